"""Columns and arrays read from files, with every value checked and nothing guessed."""

import contextlib
import warnings
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from assistlearn.errors import ConfigError, DataError, DataWarning
from assistlearn.tasks.references import did_you_mean

Column = npt.NDArray[Any]
READABLE: Final = (".parquet", ".csv")
SAVE_AS_UTF8: Final = "save it as UTF-8: in a spreadsheet, as 'CSV UTF-8'"
WIDE: Final = 10.0  # mean or deviation of inputs that nobody scaled
SHORT: Final = 20  # characters of a cell that a message may show
MISSING: Final = frozenset(
    {"", "#N/A", "#N/A N/A", "#NA", "N/A", "NA", "NULL", "NaT", "n/a", "null"}
)  # what pyarrow takes for a gap where the rest of a column are numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """What is done to each column: fill gaps, subtract the mean, divide by the deviation."""

    mean: Mapping[str, float] = field(default_factory=dict)
    std: Mapping[str, float] = field(default_factory=dict)
    fill: Mapping[str, float] = field(default_factory=dict)

    def check(self, columns: Sequence[str]) -> None:
        """Refuse settings for columns other than these."""
        for setting, values in (("mean", self.mean), ("std", self.std), ("fill", self.fill)):
            for name in values:
                if name not in columns:
                    raise ConfigError(
                        f"{setting} names a column {name!r} that is not used",
                        hint=did_you_mean(name, columns),
                    )
        for name, value in self.std.items():
            if not value > 0:
                raise ConfigError(
                    f"std of column {name!r} is {value}, must be > 0", hint="leave the column out"
                )

    def apply(self, name: str, values: Column, path: Path) -> npt.NDArray[np.float32]:
        """A column of numbers, scaled. ``path`` is for messages."""
        gaps = np.isnan(values)
        if gaps.any():
            if name not in self.fill:
                raise DataError(
                    f"column {name!r} of {path} has no value in {int(gaps.sum())} of"
                    f" {len(values)} rows",
                    hint=f"set fill = {{ {name} = VALUE }}, the same on both sides, or drop these"
                    " rows",
                )
            values = np.where(gaps, self.fill[name], values)
        if not np.isfinite(values).all():
            raise DataError(
                f"column {name!r} of {path} holds infinite values", hint="remove these rows"
            )
        scaled = (values - self.mean.get(name, 0.0)) / self.std.get(name, 1.0)
        return np.asarray(scaled, dtype=np.float32)


def warn_of_wide(names: Sequence[str], values_NF: npt.NDArray[np.float32]) -> None:
    """Warn of columns that lie far from 0, or far apart: models hardly learn from such.

    Not mended here: a mean and deviation of one party's own rows would be another function of the
    inputs than the other party's.
    """
    sizes = np.maximum(np.abs(values_NF.mean(axis=0)), values_NF.std(axis=0))
    widest = int(sizes.argmax())
    if sizes[widest] > WIDE:
        mean, deviation = values_NF[:, widest].mean(), values_NF[:, widest].std()
        warnings.warn(
            f"{names[widest]!r} has mean {mean:.4g} and deviation {deviation:.4g}"
            f" ({int((sizes > WIDE).sum())} of {len(names)} like this): models hardly learn from"
            " numbers that large; state mean and std in [task.settings], alike on both sides",
            DataWarning,
            stacklevel=3,
        )


def count_classes(labels: Column) -> int:
    """Classes that are numbered from 0 to the largest label."""
    if not labels.size:
        raise DataError(
            "the array of class labels is empty", hint="give a file with at least one example"
        )
    try:
        return int(labels.max()) + 1
    except (TypeError, ValueError) as error:
        raise DataError(
            f"class labels of type {labels.dtype} are no numbers",
            hint="number the classes from 0, or use a table, which takes names",
        ) from error


def read_table(path: Path) -> dict[str, Column]:
    """Columns by name. Missing numbers are NaN, which makes whole numbers floats; others None."""
    import pyarrow as pa  # noqa: PLC0415  # needed here only
    from pyarrow import parquet  # noqa: PLC0415

    _check_file(path, READABLE)
    try:
        rows = parquet.read_table(path) if path.suffix.lower() == ".parquet" else _read_csv(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"cannot read {path}: {error}", hint="write it again with pyarrow or pandas"
        ) from error
    if not rows.num_rows:
        raise DataError(f"{path} has no rows", hint="give a file with at least one row")
    names = rows.column_names
    twice, times = Counter(names).most_common(1)[0] if names else ("", 0)
    if times > 1:
        raise DataError(f"{path} has two columns {twice!r}", hint="rename one of them")
    return {name: rows.column(name).to_numpy() for name in names}


def _read_csv(path: Path) -> Any:
    """A pyarrow table. No message shows a row, nor has it an error for a context that would."""
    import pyarrow as pa  # noqa: PLC0415  # needed here only
    from pyarrow import csv  # noqa: PLC0415

    _check_header(path)
    with contextlib.suppress(pa.ArrowInvalid):
        rows = csv.read_csv(path)
        for field_ in rows.schema:
            if pa.types.is_binary(field_.type):
                raise DataError(
                    f"column {field_.name!r} of {path} holds text that is not UTF-8",
                    hint=SAVE_AS_UTF8,
                )
        return rows
    return _find_wrong_row(path)


def _find_wrong_row(path: Path) -> Any:
    """Read again, in one thread: only that counts rows, and a handler in many may abort."""
    import pyarrow as pa  # noqa: PLC0415  # needed here only
    from pyarrow import csv  # noqa: PLC0415

    wrong: list[Any] = []

    def refuse(row: Any) -> str:
        wrong.append(row)
        return "error"

    try:
        return csv.read_csv(
            path,
            parse_options=csv.ParseOptions(invalid_row_handler=refuse),
            read_options=csv.ReadOptions(use_threads=False),
        )
    except pa.ArrowInvalid:
        if not wrong:
            raise
    number = wrong[-1].number
    raise DataError(
        f"expected {wrong[-1].expected_columns} columns, got {wrong[-1].actual_columns} in"
        f" {'a row' if number is None else f'row {number - 1}'} of {path}",
        hint="mend this row (the first below the header is row 1): it has a comma too many or too"
        " few, a line break in a text, or a text with commas that is not in quotes",
    )


def _check_header(path: Path) -> None:
    with path.open("rb") as file:
        header = next(filter(bytes.strip, file), b"")
    if "\ufffd" in header.decode("utf-8", "replace"):
        raise DataError(f"the header of {path} is not UTF-8", hint=SAVE_AS_UTF8)
    for separator, name in ((b";", "';'"), (b"\t", "tabs")):
        if separator in header and b"," not in header:
            raise DataError(
                f"{path} has one column only: it seems to be separated by {name}",
                hint="save it with commas between the columns, and with points in the numbers",
            )


def _check_file(path: Path, suffixes: Sequence[str]) -> None:
    if path.suffix.lower() not in suffixes:
        raise DataError(
            f"cannot read {path}", hint=f"give a file that ends in {' or '.join(suffixes)}"
        )
    if not path.is_file():
        raise DataError(
            f"there is no file {path.absolute()}", hint="give the path from the current folder"
        )


def column(columns: Mapping[str, Column], name: str, path: Path) -> Column:
    """The column called ``name``."""
    if name not in columns:
        raise DataError(f"{path} has no column {name!r}", hint=did_you_mean(name, columns))
    return columns[name]


def numbers(values: Column, name: str, path: Path) -> Column:
    """The values as float64, with NaN for missing ones."""
    if values.dtype.kind not in "mM":  # numpy would turn a date into a count of days
        with contextlib.suppress(TypeError, ValueError):
            return values.astype(np.float64)
    row, cell = _no_number(values)
    shown = repr(cell) if len(cell) <= SHORT else f"a value of {len(cell)} characters"
    raise DataError(
        f"column {name!r} of {path} holds {shown} in row {row}, which is no number",
        hint="mend or empty this cell, or leave the column out of features, or encode it as"
        " numbers in the same way on both sides",
    )


def _no_number(values: Column) -> tuple[int, str]:
    """Row, counted from 1, and text of the first cell that is neither number nor gap."""
    gaps = []
    for row, cells in enumerate(np.atleast_1d(values), start=1):
        for cell in np.atleast_1d(cells).reshape(-1):
            if _is_number(cell):
                continue
            if str(cell) not in MISSING:
                return row, str(cell)
            gaps.append((row, str(cell)))
    return gaps[0] if gaps else (1, str(values.reshape(-1)[0]))


def _is_number(cell: Any) -> bool:
    if isinstance(cell, np.datetime64 | np.timedelta64):
        return False
    try:
        float(0.0 if cell is None else cell)
    except (TypeError, ValueError):
        return False
    return True


def classes_in(values: Column, name: str, path: Path) -> list[Any]:
    """The values that occur, sorted."""
    _check_complete(values, name, path)
    found: list[Any] = np.unique(values).tolist()
    return found


def _check_complete(values: Column, name: str, path: Path) -> None:
    rows = values.reshape(-1).tolist()
    missing = sum(value is None or value != value for value in rows)  # noqa: PLR0124  # NaN
    if missing:
        raise DataError(
            f"{name!r} in {path} has no value in {missing} rows", hint="drop these rows"
        )


def class_numbers(
    values: Column, classes: Sequence[Any], name: str, path: Path
) -> npt.NDArray[np.int64]:
    """The position of each value in ``classes``. Shape ``(N,)``."""
    _check_complete(values, name, path)
    positions = {value: index for index, value in enumerate(classes)}
    distinct, where = np.unique(values, return_inverse=True)
    for value in distinct.tolist():
        if value not in positions:
            raise DataError(
                f"{name!r} in {path} holds {value!r}, which is no class",
                hint=f"add it to classes on both sides; now they are {[*classes][:20]}",
            )
    by_value = np.array([positions[value] for value in distinct.tolist()], dtype=np.int64)
    return by_value[where].reshape(-1)


def read_npz(path: Path, *names: str) -> list[Column]:
    """The arrays of these names. Never unpickles."""
    _check_file(path, (".npz",))
    try:
        with np.load(path, allow_pickle=False) as file:
            for name in names:
                if name not in file:
                    raise DataError(f"{path} has no array {name!r}", hint=did_you_mean(name, file))
            return [file[name] for name in names]
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise DataError(
            f"cannot read {path}: {error}",
            hint="write it with numpy.savez; arrays of Python objects are not read",
        ) from error
