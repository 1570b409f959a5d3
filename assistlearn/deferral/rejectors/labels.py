"""Labels that can be compared at all: what agents answer must be of the kind that the truth is.

``"1"`` is not ``1``. Compared all the same, every agent would be wrong on every example, and
nothing would say so.

Letters: n examples, A agents.
"""

from collections.abc import Mapping
from numbers import Number
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from assistlearn.deferral.arrays import Bools, array_of
from assistlearn.errors import DataError

Labels = npt.NDArray[Any]

NUMBER: Final = "numbers"
TRUTH_VALUE: Final = "truth values"
TEXT: Final = "text"
_BY_DTYPE: Final = {
    "b": TRUTH_VALUE, "i": NUMBER, "u": NUMBER, "f": NUMBER, "c": NUMBER, "U": TEXT,
}  # fmt: skip
_PANDAS_MISSING: Final = frozenset({"NAType", "NaTType"})  # pandas is never imported here


def labels_of(values: Any) -> Labels:
    """Labels as an array in which each is still of its own type.

    Raises:
        DataError: rows have different lengths, or the array is sparse or masked.
    """
    try:
        labels = array_of(values)
        if labels.dtype.kind in "US" and not hasattr(values, "dtype"):
            # numpy has made text of the numbers and gaps that a list has among texts.
            labels = np.array(values, dtype=object)
    except ValueError as error:
        raise DataError(
            f"the answers make no array: {error}", hint="give rows of one length"
        ) from error
    return labels


def missing(labels: Labels) -> Bools:
    """Where there is none: NaN, None, or one of pandas' signs for it. Of the same shape."""
    if labels.dtype.kind != "O":
        unlike: Bools = labels != labels  # noqa: PLR0124  # NaN and NaT alone are not themselves
        return unlike
    return np.array([_is_missing(each) for each in labels.flat], dtype=bool).reshape(labels.shape)


def check_truth(truth_n: Labels) -> None:
    """Refuse examples without a right answer: every agent would be charged, or none.

    Raises:
        DataError: there is one.
    """
    rows = np.flatnonzero(missing(truth_n))
    if len(rows):
        raise DataError(
            f"the truth is missing in row {rows[0] + 1}, and in {len(rows)} of {len(truth_n)}",
            hint="leave out the examples whose right answer is not known",
        )


def check_comparable(answers: Mapping[str, Labels], truth_n: Labels) -> None:
    """Refuse answers that could never equal the truth.

    Args:
        answers: of each agent by name. Shape ``(n,)`` each.
        truth_n: right answers, none missing.

    Raises:
        DataError: an agent's answers are of another kind.
    """
    right = _kinds(truth_n)
    for name, given_n in answers.items():
        kinds = _kinds(given_n)
        if kinds <= right:
            continue
        if kinds | right <= {NUMBER, TRUTH_VALUE} and _binary(given_n) and _binary(truth_n):
            continue  # 0 and 1 equal False and True
        raise DataError(
            f"the answers of {name!r} are {_listed(kinds)}, the truth is {_listed(right)}",
            hint="write both as the same labels, for instance with astype(str)",
        )


def _is_missing(value: Any) -> bool:
    if value is None or type(value).__name__ in _PANDAS_MISSING:
        return True
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


def _kinds(labels_n: Labels) -> frozenset[str]:
    if labels_n.dtype.kind != "O":
        return frozenset({_BY_DTYPE.get(labels_n.dtype.kind, labels_n.dtype.name)})
    return frozenset(map(_kind, {type(each) for each in labels_n if not _is_missing(each)}))


def _kind(of: type) -> str:
    if issubclass(of, str):
        return TEXT
    if issubclass(of, bool | np.bool_):
        return TRUTH_VALUE
    return NUMBER if issubclass(of, Number | np.number) else of.__name__


def _binary(labels_n: Labels) -> bool:
    return all(each in {0, 1} for each in labels_n[~missing(labels_n)].tolist())


def _listed(kinds: frozenset[str]) -> str:
    return " and ".join(sorted(kinds))
