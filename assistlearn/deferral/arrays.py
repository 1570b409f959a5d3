"""Arrays from callers, checked once at the door: finite, of the right shape, float64.

B examples, A agents. Torch tensors are taken as well, without importing torch.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from assistlearn.errors import DataError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
SPARSE: Final = frozenset(
    f"torch.{each}"
    for each in ("sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc")
)
FINITE: Final = "remove the examples without a number, or fill them, before they come here"


def array_of(values: Any) -> npt.NDArray[Any]:
    """A numpy array of what may be a tensor, with a gradient, of bfloat16, on any device.

    Raises:
        DataError: it is sparse, or has masked values, which would come back as what is beneath.
    """
    if hasattr(values, "toarray") or str(getattr(values, "layout", "")) in SPARSE:
        raise DataError(
            f"an array is sparse, a {type(values).__name__}",
            hint="make it dense with .toarray(), or .to_dense() in torch",
        )
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if str(values.dtype) == "torch.bfloat16":  # numpy has no such type
            values = values.float()
    if np.ma.is_masked(values):
        count = int(np.ma.getmaskarray(values).sum())
        raise DataError(f"an array has {count} masked values", hint=FINITE)
    return np.asarray(values)


def numbers_of(values: Any, what: str, *, dimensions: int) -> Floats:
    """Finite float64 numbers of ``dimensions`` axes, at least one example.

    Raises:
        DataError: another shape, no examples, or a value that is no finite number.
    """
    array = array_of(values)
    if array.dtype.kind not in "biuf":
        raise DataError(f"{what} are of type {array.dtype}", hint="give numbers")
    array = array.astype(np.float64)
    if array.ndim != dimensions or not array.size:
        raise DataError(
            f"{what} have shape {array.shape}, expected {dimensions} axes and no empty one",
            hint="give one row for each example" if dimensions > 1 else "give one for each example",
        )
    if not np.isfinite(array).all():
        row = int(np.argwhere(~np.isfinite(array))[0, 0])
        raise DataError(f"{what} are not finite in row {row + 1}", hint=FINITE)
    return array


def agents_of(values: Any, what: str, *, examples: int, agents: int) -> Ints:
    """Numbers of agents, one for each example. Shape ``(B,)``.

    Raises:
        DataError: another shape, or a number that is no agent's.
    """
    array = array_of(values)
    if array.shape != (examples,) or array.dtype.kind not in "iu":
        raise DataError(
            f"{what} have shape {array.shape} and type {array.dtype}, expected {examples} numbers"
            " of agents",
            hint="give one whole number for each example",
        )
    if array.min() < 0 or array.max() >= agents:
        wrong = array.min() if array.min() < 0 else array.max()
        raise DataError(
            f"{what} name agent {wrong}, but agents are 0 to {agents - 1}",
            hint="number the agents like the columns of the costs",
        )
    return array.astype(np.int64)


def same_length(first: Floats, second: npt.NDArray[Any], what: str) -> None:
    """Refuse arrays that are not about the same examples.

    Raises:
        DataError: the lengths differ.
    """
    if len(first) != len(second):
        raise DataError(
            f"{what}: {len(first)} and {len(second)} examples",
            hint="give both for the same examples, in the same order",
        )
