"""Columns of a table of outcomes, known by their names: agents, and what may be decided by.

No name that could move a cursor gets further than this, as names are printed.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from assistlearn.deferral.table_cells import LONGEST_LABEL, holds_numbers
from assistlearn.errors import ConfigError, DataError
from assistlearn.tasks.columns import Column, column
from assistlearn.tasks.references import did_you_mean

CORRECT: Final = "correct:"
COST: Final = "cost:"
PRICE: Final = "price:"
CONFIDENCE: Final = "confidence:"
OUTCOMES: Final = (CORRECT, COST)
# What pandas and pyarrow call the row numbers that they write.
ROW_NUMBERS: Final = re.compile(r"|Unnamed: \d+|__index_level_\d+__")


class Chosen(NamedTuple):
    """What is decided by, and what is not."""

    features: tuple[str, ...]
    left_out: tuple[str, ...]
    """Columns that hold no numbers."""
    row_numbers: tuple[str, ...]
    """Columns without a name of their own, as row numbers are written."""


def check_names(columns: Mapping[str, Column], path: Path) -> None:
    """Refuse column names that cannot be shown, and agents without a name.

    Raises:
        DataError: there is such a name.
    """
    for name in columns:
        if not name.isprintable():
            raise DataError(
                f"column {name[:LONGEST_LABEL]!r} of {path} has characters that cannot be shown",
                hint="rename it: letters, digits, signs and plain spaces",
            )
        for prefix in OUTCOMES:
            agent = name.removeprefix(prefix)
            if not name.startswith(prefix):
                continue
            if not agent.strip():
                raise DataError(
                    f"column {name!r} of {path} names no agent",
                    hint=f"call it {prefix}NAME, with the agent's name",
                )
            if len(agent) > LONGEST_LABEL:
                raise DataError(
                    f"{path} has an agent whose name is {len(agent)} characters long",
                    hint=f"use at most {LONGEST_LABEL}",
                )


def agents_in(columns: Mapping[str, Column], path: Path, main: str | None) -> tuple[str, ...]:
    """All agents with an outcome, ``main`` or else the first in the file as agent 0.

    Raises:
        DataError: there are fewer than two.
        ConfigError: ``main`` is none of them.
    """
    found = [
        name.removeprefix(prefix)
        for name in columns
        for prefix in OUTCOMES
        if name.startswith(prefix)
    ]
    agents = [*dict.fromkeys(found)]
    if len(agents) < 2:  # noqa: PLR2004  (the main model and one expert)
        raise DataError(
            f"{path} has outcomes of {f'one agent only, {agents[0]!r}' if agents else 'no agent'}",
            hint=f"give each agent a column {CORRECT}NAME with 0 or 1, or {COST}NAME with a number"
            " >= 0; at least two agents",
        )
    if main is None:
        return tuple(agents)
    if main not in agents:
        raise ConfigError(f"there is no agent {main!r} in {path}", hint=did_you_mean(main, agents))
    return main, *(name for name in agents if name != main)


def chosen_features(
    columns: Mapping[str, Column],
    path: Path,
    named: Sequence[str] | None,
    *,
    group: str | None,
    label: str | None,
) -> Chosen:
    """The features that are named, or else all other columns that are meant as numbers.

    Raises:
        DataError: a column is not there, or none is left to decide by.
        ConfigError: one that is named is known only afterwards.
    """
    if named:
        for name in named:
            column(columns, name, path)  # says what was probably meant
            _check_known_before(name, group=group, label=label)
        return Chosen(features=tuple(dict.fromkeys(named)), left_out=(), row_numbers=())
    others = [
        name
        for name in columns
        if not name.startswith((*OUTCOMES, PRICE)) and name not in {group, label}
    ]
    row_numbers = tuple(name for name in others if ROW_NUMBERS.fullmatch(name))
    found = tuple(
        name
        for name in others
        if not ROW_NUMBERS.fullmatch(name)
        and (name.startswith(CONFIDENCE) or holds_numbers(columns[name]))
    )
    if not found:
        raise DataError(
            f"{path} has no column of numbers to decide by",
            hint="add features: numbers that are known before anybody is asked, such as lengths,"
            " confidences or embeddings",
        )
    used = {*found, *row_numbers}
    left_out = tuple(name for name in others if name not in used)
    return Chosen(features=found, left_out=left_out, row_numbers=row_numbers)


def _check_known_before(name: str, *, group: str | None, label: str | None) -> None:
    roles = {group: "the groups", label: "the right classes"}
    what = roles.get(name) or ("an outcome" if name.startswith(OUTCOMES) else None)
    if what:
        raise ConfigError(
            f"column {name!r} holds {what}, and cannot be a feature",
            hint="decide by columns that are known before anybody is asked",
        )


def check_confidences(columns: Mapping[str, Column], agents: Sequence[str]) -> None:
    """Refuse a confidence of nobody.

    Raises:
        ConfigError: there is one.
    """
    known = {*agents}
    for column_name in columns:
        name = column_name.removeprefix(CONFIDENCE)
        if column_name.startswith(CONFIDENCE) and name not in known:
            raise ConfigError(
                f"there is a confidence of {name!r}, which is no agent",
                hint=did_you_mean(name, agents),
            )
