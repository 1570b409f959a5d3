"""Tables of outcomes, CSV or Parquet: features, and how each agent did on each row.

One row for each example. Columns are known by their names:

    correct:NAME     1 where agent NAME is right, 0 where it is wrong
    cost:NAME        what an error of agent NAME costs there, any number >= 0
    price:NAME       what asking agent NAME costs there, if that differs from row to row
    confidence:NAME  a feature: how sure agent NAME is, more being surer
    (any other)      a feature, if it holds numbers

Every agent has a ``correct:`` or a ``cost:`` column, or both: then the cost counts, and what is
correct is only reported. The first agent is agent 0, the main model. A confidence threshold is
among the methods compared where agent 0 has a confidence. Columns without a name, in which others
write row numbers, are no features unless named. No message ever shows a value of the table: it says
column and row, the first row below the header being row 1.

Letters: n rows, A agents, F features.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from assistlearn.deferral.arrays import Floats
from assistlearn.deferral.table_cells import labels, not_negative, numbers, truths
from assistlearn.deferral.table_columns import (
    CONFIDENCE,
    CORRECT,
    COST,
    PRICE,
    agents_in,
    check_confidences,
    check_names,
    chosen_features,
)
from assistlearn.deferral.table_doubts import doubts
from assistlearn.errors import ConfigError, DataError
from assistlearn.tasks.columns import Column, read_table
from assistlearn.tasks.references import did_you_mean

NO_GROUP: Final = "(none)"
MOST_NAMED: Final = 6  # columns in a message


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcomes:
    """A table of outcomes, every value checked."""

    agents: tuple[str, ...]
    """Names, agent 0 first."""

    features: Floats
    """Shape ``(n, F)``."""

    feature_names: tuple[str, ...]

    errors: Floats
    """What each agent's answer costs, without the price of asking. ``(n, A)``, >= 0."""

    prices: Floats
    """What asking each agent costs, in the same unit. ``(n, A)``, >= 0."""

    correct: npt.NDArray[np.bool_] | None
    """Whether each agent is right; None where the table has costs only. ``(n, A)``."""

    groups: npt.NDArray[Any] | None
    """A label for each row. ``(n,)``."""

    left_out: tuple[str, ...]
    """Columns that hold no numbers, and so are no features."""

    labels: npt.NDArray[Any] | None = None
    """The right class of each row, where one is named. ``(n,)``."""

    row_numbers: tuple[str, ...] = ()
    """Columns that were left out as they have no name of their own, as row numbers have none."""

    doubts: tuple[str, ...] = ()
    """Sentences on features that may be known only afterwards, or mean nothing."""

    def __len__(self) -> int:
        return len(self.errors)

    @property
    def costs(self) -> Floats:
        """Errors and prices together. ``(n, A)``."""
        return self.errors + self.prices

    @property
    def confidence_name(self) -> str:
        """The name of agent 0's confidence, whether or not there is such a feature."""
        return CONFIDENCE + self.agents[0]

    @property
    def confidence(self) -> int | None:
        """Number of the feature that holds agent 0's confidence; None if there is none."""
        names, wanted = self.feature_names, self.confidence_name
        return names.index(wanted) if wanted in names else None

    @property
    def fixed_prices(self) -> Floats | None:
        """The price of each agent, ``(A,)``, if it is the same in every row."""
        return self.prices[0] if (self.prices == self.prices[0]).all() else None


def read_outcomes(  # noqa: PLR0913  (what there is to say of a table)
    path: str | Path,
    *,
    features: Sequence[str] | None = None,
    prices: Mapping[str, float] | None = None,
    main: str | None = None,
    group: str | None = None,
    label: str | None = None,
) -> Outcomes:
    """Read a table of outcomes.

    Args:
        path: a file that ends in ``.csv`` or ``.parquet``.
        features: columns to decide by; None for all others that hold numbers.
        prices: what asking costs, by agent, >= 0; 0 for those that are not named.
        main: the agent that is agent 0; None for the first in the file.
        group: a column of labels to report by, at most 200 characters each. No feature.
        label: the column of right classes, for methods that learn to answer themselves. No
            feature.

    Raises:
        DataError: the file cannot be read, lacks a column, or holds what is no number; or a
            column's name cannot be shown.
        ConfigError: a setting names what is not there, or an outcome as a feature, or a price is
            no finite number >= 0.
    """
    path = Path(path)
    columns = read_table(path)
    check_names(columns, path)
    agents = agents_in(columns, path, main)
    errors, correct = _errors(columns, agents, path)
    check_confidences(columns, agents)
    chosen = chosen_features(columns, path, features, group=group, label=label)
    values = _stacked(columns, chosen.features, path)
    return Outcomes(
        agents=agents,
        features=values,
        feature_names=chosen.features,
        errors=errors,
        prices=_prices(columns, agents, path, prices or {}),
        correct=correct,
        groups=None if group is None else labels(columns, group, path, gap=NO_GROUP),
        left_out=chosen.left_out,
        labels=None if label is None else labels(columns, label, path),
        row_numbers=chosen.row_numbers,
        doubts=tuple(doubts(values, chosen.features, errors, agents, label=label)),
    )


def read_features(path: str | Path, names: Sequence[str]) -> Floats:
    """The features of new rows, in the order of ``names``. Shape ``(n, F)``.

    Args:
        path: a file that ends in ``.csv`` or ``.parquet``; other columns are passed over.
        names: columns, at least one.

    Raises:
        DataError: the file cannot be read, lacks a column, or holds what is no number.
    """
    path = Path(path)
    columns = read_table(path)
    lacking = [name for name in names if name not in columns]
    if lacking:
        shown = ", ".join(map(repr, lacking[:MOST_NAMED]))
        more = f" and {len(lacking) - MOST_NAMED} more" if len(lacking) > MOST_NAMED else ""
        raise DataError(
            f"{path} lacks {len(lacking)} of {len(names)} features: {shown}{more}",
            hint="give it all columns that the rejector was fitted on, by the same names",
        )
    return _stacked(columns, names, path)


def _stacked(columns: Mapping[str, Column], names: Sequence[str], path: Path) -> Floats:
    return np.stack([numbers(columns, name, path, is_feature=True) for name in names], axis=1)


def _errors(
    columns: Mapping[str, Column], agents: Sequence[str], path: Path
) -> tuple[Floats, npt.NDArray[np.bool_] | None]:
    has = {
        prefix: [name for name in agents if prefix + name in columns] for prefix in (CORRECT, COST)
    }
    for prefix, named in has.items():
        if named and len(named) < len(agents):
            lacking = next(name for name in agents if prefix + name not in columns)
            if prefix == CORRECT and len(has[COST]) == len(agents):
                continue  # correctness of some is of no use, and does no harm
            raise DataError(
                f"{path} has {prefix}{named[0]} but no column {prefix}{lacking}",
                hint="describe all agents alike: correct: for every one, or cost: for every one",
            )
    correct = None
    if len(has[CORRECT]) == len(agents):
        correct = np.stack([truths(columns, CORRECT + name, path) for name in agents], axis=1)
    if not has[COST]:
        assert correct is not None  # one of both is there for every agent
        return np.where(correct, 0.0, 1.0), correct
    costs = [not_negative(columns, COST + name, path) for name in agents]
    return np.stack(costs, axis=1), correct


def _prices(
    columns: Mapping[str, Column],
    agents: Sequence[str],
    path: Path,
    given: Mapping[str, float],
) -> Floats:
    known = {name.removeprefix(PRICE): name for name in columns if name.startswith(PRICE)}
    existing = {*agents}
    for name in (*given, *known):
        if name not in existing:
            raise ConfigError(
                f"there is a price of {name!r}, which is no agent", hint=did_you_mean(name, agents)
            )
    for name, price in given.items():
        if not 0 <= price < math.inf:
            raise ConfigError(
                f"the price of {name!r} is {price}, must be a finite number >= 0",
                hint="give 0 for no price",
            )
        if name in known:
            raise ConfigError(
                f"{name!r} has a price and a column {known[name]!r}", hint="leave one of them out"
            )
    rows = len(next(iter(columns.values())))
    return np.stack(
        [
            not_negative(columns, known[name], path)
            if name in known
            else np.full(rows, float(given.get(name, 0.0)))
            for name in agents
        ],
        axis=1,
    )
