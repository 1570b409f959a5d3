"""Checks a checkpoint file against the model specification: its bytes and its values.

Runs on every file before it is sealed and on every file that a peer sent, in the process that
holds keys and sockets. So it must never import torch, never parse the header (it is compared),
and never hold more than one block of the file in memory.
"""

import os
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import numpy.typing as npt

from assistlearn.checkpoints.durable import disk_errors
from assistlearn.checkpoints.spec import DType, ModelSpec, TensorSpec
from assistlearn.errors import TensorError

MAX_ABS: Final = 1e6
"""Largest magnitude of any value. Weights of a model that trains stay below a thousand, but
running variances of features nobody scaled reach 1e5; from 1e6 on a product of two float32
layers is still finite, so that a peer cannot break our evaluation by overflow alone."""

BLOCK_BYTES: Final = 1 << 20  # block and scratch fit the second-level cache together

Block = npt.NDArray[np.uint8]


def check_file(path: Path, spec: ModelSpec, *, max_abs: float = MAX_ABS) -> None:
    """Accept exactly the files that :func:`save_checkpoint` writes for ``spec``.

    The size is the specified one, the header equals ``spec.header`` byte for byte, every float
    is finite and at most ``max_abs`` in magnitude, and every counter is >= 0.

    Raises:
        TensorError: names the tensor, the index in it and the value, if a value is at fault.
        StorageError: the file cannot be read.
    """
    block, scratch = np.empty((2, BLOCK_BYTES), dtype=np.uint8)
    with disk_errors(f"read checkpoint {path.name}"), path.open("rb", buffering=0) as file:
        size_bytes = os.fstat(file.fileno()).st_size
        if size_bytes != spec.file_bytes:
            raise TensorError(
                f"a checkpoint of this model has {spec.file_bytes} bytes, {path.name} has"
                f" {size_bytes}",
                hint="check that both parties build the same model with the same wire precision",
            )
        if file.read(len(spec.header)) != spec.header:
            raise TensorError(
                f"the header of {path.name} is not the one that the model specification gives",
                hint="check that both parties build the same model with the same wire precision",
            )
        for tensor in spec.tensors:
            _check_tensor(file, tensor, block, scratch, max_abs=max_abs)


def _check_tensor(
    file: BinaryIO, tensor: TensorSpec, block: Block, scratch: Block, *, max_abs: float
) -> None:
    for start in range(0, tensor.size_bytes, BLOCK_BYTES):
        part = block[: min(BLOCK_BYTES, tensor.size_bytes - start)]
        _fill(file, part, tensor.name)
        if tensor.dtype is DType.I64:
            index = _first_negative(part.view("<i8"))
        else:
            index = _first_beyond(part, scratch, tensor.dtype, max_abs)
        if index is not None:
            value = _value(part, tensor.dtype, index)
            allowed = ">= 0" if tensor.dtype is DType.I64 else f"finite and within +-{max_abs:g}"
            raise TensorError(
                f"value {start // tensor.dtype.size + index} of tensor {tensor.name} is"
                f" {value:g}, must be {allowed}",
                hint="lower the learning rate of the party that trained this checkpoint",
            )


def _fill(file: BinaryIO, part: Block, name: str) -> None:
    """Read exactly ``part.nbytes`` bytes into ``part``."""
    view = part.data
    while view:
        count = file.readinto(view)  # type: ignore[attr-defined]  # BinaryIO lacks it in typeshed
        if not count:
            raise TensorError(f"the file ends inside tensor {name}")
        view = view[count:]


def _first_negative(counters: npt.NDArray[np.int64]) -> int | None:
    return int(np.argmax(counters < 0)) if counters.min() < 0 else None


def _first_beyond(part: Block, scratch: Block, dtype: DType, max_abs: float) -> int | None:
    """Index of the first float that is NaN, infinite or too large; None if there is none.

    The bits of `|x|` as an unsigned integer grow with `|x|`, and infinity and NaN lie above
    all numbers. So one masked integer maximum decides what otherwise takes four passes.
    """
    unsigned = np.dtype("<u4" if dtype is DType.F32 else "<u2")
    bits = part.view(unsigned)
    without_sign = unsigned.type((1 << (8 * unsigned.itemsize - 1)) - 1)
    magnitudes = scratch[: part.nbytes].view(unsigned)
    np.bitwise_and(bits, without_sign, out=magnitudes)
    limit = magnitude_bits(max_abs, dtype)
    return int(np.argmax(magnitudes > limit)) if magnitudes.max() > limit else None


def magnitude_bits(max_abs: float, dtype: DType) -> int:
    """Bits of the largest finite value of ``dtype`` that is at most ``max_abs`` (> 0)."""
    floats, unsigned = ("<f2", "<u2") if dtype is DType.F16 else ("<f4", "<u4")
    bounded = min(max_abs, float(np.finfo(floats).max))
    nearest = np.array(bounded, dtype=floats)
    bits = int(nearest.view(unsigned))
    if float(nearest) > bounded:  # rounded up on the way
        bits -= 1
    # bfloat16 is the upper half of float32: cutting the rest off rounds towards zero
    return bits >> 16 if dtype is DType.BF16 else bits


def _value(part: Block, dtype: DType, index: int) -> float:
    match dtype:
        case DType.F32:
            return float(part.view("<f4")[index])
        case DType.F16:
            return float(part.view("<f2")[index])
        case DType.BF16:
            return float((part.view("<u2")[index : index + 1].astype("<u4") << 16).view("<f4")[0])
        case DType.I64:
            return float(part.view("<i8")[index])
