"""Tables of outcomes, CSV or Parquet: features, and how each agent did on each row.

One row for each example. Columns are known by their names:

    correct:NAME     1 where agent NAME is right, 0 where it is wrong
    cost:NAME        what an error of agent NAME costs there, any number >= 0
    price:NAME       what asking agent NAME costs there, if that differs from row to row
    confidence:NAME  a feature: how sure agent NAME is, more being surer
    (any other)      a feature, if it holds numbers

Every agent has a ``correct:`` or a ``cost:`` column, or both: then the cost counts, and what is
correct is only reported. The first agent is agent 0, the main model. A confidence threshold is
among the methods compared where agent 0 has a confidence. No message ever shows a value of the
table: it says column and row, the first row below the header being row 1.

Letters: n rows, A agents, F features.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from assistlearn.deferral.arrays import Floats
from assistlearn.errors import ConfigError, DataError
from assistlearn.tasks.columns import MISSING, Column, column, read_table
from assistlearn.tasks.references import did_you_mean

CORRECT: Final = "correct:"
COST: Final = "cost:"
PRICE: Final = "price:"
CONFIDENCE: Final = "confidence:"
HALF: Final = 0.5  # of a column's cells: from here on what is no number is taken for a mistake


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
        group: a column of labels to report by. Not a feature unless named as one.
        label: the column of right classes, for methods that learn to answer themselves. Not a
            feature unless named as one.

    Raises:
        DataError: the file cannot be read, lacks a column, or holds what is no number.
        ConfigError: a setting names what is not there, or a price is below 0.
    """
    path = Path(path)
    columns = read_table(path)
    agents = _agents(columns, path, main)
    errors, correct = _errors(columns, agents, path)
    _check_confidences(columns, agents)
    names, left_out = _features(columns, path, features, {group, label})
    return Outcomes(
        agents=agents,
        features=np.stack([_numbers(columns, name, path) for name in names], axis=1),
        feature_names=names,
        errors=errors,
        prices=_prices(columns, agents, path, prices or {}),
        correct=correct,
        groups=None if group is None else column(columns, group, path).astype(str),
        left_out=left_out,
        labels=None if label is None else _classes(columns, label, path),
    )


def _agents(columns: Mapping[str, Column], path: Path, main: str | None) -> tuple[str, ...]:
    found = [
        name.removeprefix(prefix)
        for name in columns
        for prefix in (CORRECT, COST)
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


def _errors(
    columns: Mapping[str, Column], agents: Sequence[str], path: Path
) -> tuple[Floats, npt.NDArray[np.bool_] | None]:
    has = {
        prefix: [name for name in agents if prefix + name in columns] for prefix in (CORRECT, COST)
    }
    for prefix, named in has.items():
        if named and len(named) < len(agents):
            lacking = next(name for name in agents if name not in named)
            if prefix == CORRECT and len(has[COST]) == len(agents):
                continue  # correctness of some is of no use, and does no harm
            raise DataError(
                f"{path} has {prefix}{named[0]} but no column {prefix}{lacking}",
                hint="describe all agents alike: correct: for every one, or cost: for every one",
            )
    correct = None
    if len(has[CORRECT]) == len(agents):
        correct = np.stack([_truth(columns, CORRECT + name, path) for name in agents], axis=1)
    if not has[COST]:
        assert correct is not None  # one of both is there for every agent
        return np.where(correct, 0.0, 1.0), correct
    costs = [_not_negative(columns, COST + name, path) for name in agents]
    return np.stack(costs, axis=1), correct


def _features(
    columns: Mapping[str, Column],
    path: Path,
    named: Sequence[str] | None,
    labels: Collection[str | None],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if named:
        for name in named:
            column(columns, name, path)  # says what was probably meant
        return tuple(dict.fromkeys(named)), ()
    others = [
        name
        for name in columns
        if not name.startswith((CORRECT, COST, PRICE)) and name not in labels
    ]
    found = tuple(
        name for name in others if name.startswith(CONFIDENCE) or _holds_numbers(columns[name])
    )
    if not found:
        raise DataError(
            f"{path} has no column of numbers to decide by",
            hint="add features: numbers that are known before anybody is asked, such as lengths,"
            " confidences or embeddings",
        )
    return found, tuple(name for name in others if name not in found)


def _check_confidences(columns: Mapping[str, Column], agents: Sequence[str]) -> None:
    for column_name in columns:
        name = column_name.removeprefix(CONFIDENCE)
        if column_name.startswith(CONFIDENCE) and name not in agents:
            raise ConfigError(
                f"there is a confidence of {name!r}, which is no agent",
                hint=did_you_mean(name, agents),
            )


def _prices(
    columns: Mapping[str, Column],
    agents: Sequence[str],
    path: Path,
    given: Mapping[str, float],
) -> Floats:
    known = {name.removeprefix(PRICE): name for name in columns if name.startswith(PRICE)}
    for name in (*given, *known):
        if name not in agents:
            raise ConfigError(
                f"there is a price of {name!r}, which is no agent", hint=did_you_mean(name, agents)
            )
    for name, price in given.items():
        if not 0 <= price < math.inf:
            raise ConfigError(
                f"the price of {name!r} is {price}, must be >= 0", hint="give 0 for no price"
            )
        if name in known:
            raise ConfigError(
                f"{name!r} has a price and a column {known[name]!r}", hint="leave one of them out"
            )
    rows = len(next(iter(columns.values())))
    return np.stack(
        [
            _not_negative(columns, known[name], path)
            if name in known
            else np.full(rows, float(given.get(name, 0.0)))
            for name in agents
        ],
        axis=1,
    )


def _truth(columns: Mapping[str, Column], name: str, path: Path) -> npt.NDArray[np.bool_]:
    values = _numbers(columns, name, path)
    wrong = ~np.isin(values, (0.0, 1.0))
    if wrong.any():
        raise DataError(
            f"column {name!r} of {path} is neither 0 nor 1 in row {_first(wrong)}",
            hint=f"write 1 for right and 0 for wrong; call the column {COST}NAME if it holds costs",
        )
    return values.astype(np.bool_)


def _classes(columns: Mapping[str, Column], name: str, path: Path) -> npt.NDArray[np.str_]:
    values = column(columns, name, path)
    gaps = np.array([_is_gap(cell) for cell in values.tolist()])
    if gaps.any():
        raise DataError(
            f"column {name!r} of {path} has no value in row {_first(gaps)}",
            hint="give the right class of every row",
        )
    return values.astype(np.str_)


def _not_negative(columns: Mapping[str, Column], name: str, path: Path) -> Floats:
    values = _numbers(columns, name, path)
    if (values < 0).any():
        raise DataError(
            f"column {name!r} of {path} is below 0 in row {_first(values < 0)}",
            hint="give costs and prices >= 0; turn a score where more is better into a cost",
        )
    return values


def _numbers(columns: Mapping[str, Column], name: str, path: Path) -> Floats:
    """A column as finite numbers. Shape ``(n,)``."""
    values, no_number = _parsed(column(columns, name, path))
    if no_number.any():
        raise DataError(
            f"column {name!r} of {path} holds no number in row {_first(no_number)}",
            hint="mend this cell, or name the features to use",
        )
    for wrong, what in ((np.isnan(values), "no value"), (np.isinf(values), "an infinite value")):
        if wrong.any():
            rows = int(wrong.sum())
            more = f" and {rows - 1} more" if rows > 1 else ""
            raise DataError(
                f"column {name!r} of {path} has {what} in row {_first(wrong)}{more}",
                hint="fill or drop these rows, or name the features to use",
            )
    return values


def _holds_numbers(values: Column) -> bool:
    """Whether a column is meant as numbers, if only by most of its cells."""
    parsed, no_number = _parsed(values)
    present = ~np.isnan(parsed) | no_number
    return bool(present.any() and no_number[present].mean() < HALF)


def _parsed(values: Column) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Each cell as a number, NaN for gaps and for others; and which are others."""
    if values.dtype.kind in "biuf":
        return values.astype(np.float64), np.zeros(len(values), dtype=np.bool_)
    if values.dtype.kind in "mM":  # dates: numpy would make them counts of days
        return np.full(len(values), math.nan), np.ones(len(values), dtype=np.bool_)
    cells = [_number(cell) for cell in values.tolist()]
    no_number = np.array([cell is None for cell in cells])
    return np.array([math.nan if cell is None else cell for cell in cells]), no_number


def _number(cell: Any) -> float | None:
    """NaN for a gap, None for what is no number."""
    if cell is None or (isinstance(cell, str) and cell.strip() in MISSING):
        return math.nan
    try:
        return float(cell)
    except (TypeError, ValueError):
        return None


def _is_gap(cell: Any) -> bool:
    number = _number(cell)
    return number is not None and math.isnan(number)


def _first(rows: npt.NDArray[np.bool_]) -> int:
    return int(np.flatnonzero(rows)[0]) + 1
