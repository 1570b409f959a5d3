"""Cells of a table of outcomes: numbers, truth values and labels, or which row has none.

No message ever shows a cell. Letter: n rows.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from assistlearn.deferral.arrays import Bools, Floats
from assistlearn.errors import DataError
from assistlearn.tasks.columns import MISSING, Column, column

HALF: Final = 0.5  # of a column's cells: from here on what is no number is taken for a mistake
LONGEST_LABEL: Final = 200  # characters; labels stand in tables
DECIMAL_COMMA: Final = re.compile(r"\s*[+-]?\d*,\d+\s*")


def numbers(
    columns: Mapping[str, Column], name: str, path: Path, *, is_feature: bool = False
) -> Floats:
    """A column as finite numbers. Shape ``(n,)``.

    Raises:
        DataError: there is no such column, or a cell holds none.
    """
    cells = column(columns, name, path)
    values, no_number = _parsed(cells)
    otherwise = ", or name the features to use" if is_feature else ""
    if no_number.any():
        row = _first(no_number)
        comma = DECIMAL_COMMA.fullmatch(str(cells[row - 1]))
        raise DataError(
            f"column {name!r} of {path} holds no number in row {row}",
            hint="write numbers with a decimal point instead of a comma"
            if comma
            else f"mend this cell{otherwise}",
        )
    for wrong, what in ((np.isnan(values), "no value"), (np.isinf(values), "an infinite value")):
        if wrong.any():
            rows = int(wrong.sum())
            more = f" and {rows - 1} more" if rows > 1 else ""
            raise DataError(
                f"column {name!r} of {path} has {what} in row {_first(wrong)}{more}",
                hint=f"fill or drop these rows{otherwise}",
            )
    return values


def not_negative(columns: Mapping[str, Column], name: str, path: Path) -> Floats:
    """A column of costs or prices. Shape ``(n,)``.

    Raises:
        DataError: as :func:`numbers`, or one is below 0.
    """
    values = numbers(columns, name, path)
    if (values < 0).any():
        raise DataError(
            f"column {name!r} of {path} is below 0 in row {_first(values < 0)}",
            hint="give costs and prices >= 0; turn a score where more is better into a cost",
        )
    return values


def truths(columns: Mapping[str, Column], name: str, path: Path) -> Bools:
    """A column of 0 and 1. Shape ``(n,)``.

    Raises:
        DataError: as :func:`numbers`, or one is another number.
    """
    values = numbers(columns, name, path)
    wrong = ~np.isin(values, (0.0, 1.0))
    if wrong.any():
        raise DataError(
            f"column {name!r} of {path} is neither 0 nor 1 in row {_first(wrong)}",
            hint="write 1 for right and 0 for wrong; call the column cost:NAME if it holds costs",
        )
    return values.astype(np.bool_)


def labels(
    columns: Mapping[str, Column], name: str, path: Path, *, gap: str | None = None
) -> npt.NDArray[np.object_]:
    """A column as text, whatever it holds. Shape ``(n,)``.

    Text of any length for each row by itself: an array of fixed width would give every row the
    room of the longest.

    Args:
        columns: all of them.
        name: which one.
        path: for messages.
        gap: what to call a cell without a value; None if there must be none.

    Raises:
        DataError: there is no such column, a cell has no value, or too much of it.
    """
    values = column(columns, name, path)
    cells = (values.astype(np.str_) if values.dtype.kind in "mM" else values).tolist()
    found = np.empty(len(cells), dtype=object)
    for row, cell in enumerate(cells):
        if _is_gap(cell):
            if gap is None:
                raise DataError(
                    f"column {name!r} of {path} has no value in row {row + 1}",
                    hint="give the right class of every row",
                )
            found[row] = gap
            continue
        found[row] = str(cell)
        if len(found[row]) > LONGEST_LABEL:
            raise DataError(
                f"column {name!r} of {path} has {len(found[row])} characters in row {row + 1}",
                hint=f"use labels of at most {LONGEST_LABEL} characters",
            )
    return found


def holds_numbers(values: Column) -> bool:
    """Whether a column is meant as numbers, if only by most of its cells."""
    parsed, no_number = _parsed(values)
    present = ~np.isnan(parsed) | no_number
    return bool(present.any() and no_number[present].mean() < HALF)


def _parsed(values: Column) -> tuple[Floats, Bools]:
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
    if cell is None:
        return math.nan
    if isinstance(cell, str):
        if cell.strip() in MISSING:
            return math.nan
        if "_" in cell:  # Python's way to write thousands, and nobody else's
            return None
    try:
        return float(cell)
    except (TypeError, ValueError, OverflowError):
        return None


def _is_gap(cell: Any) -> bool:
    number = _number(cell)
    return number is not None and math.isnan(number)


def _first(rows: Bools) -> int:
    return int(np.flatnonzero(rows)[0]) + 1
