"""Checks a checkpoint file against the model specification: its bytes and its values.

Runs on every file before it is sealed and on every file that a peer sends, as it arrives, in the
process that holds keys and sockets. So it must never import torch, never parse the header (it is
compared), and never hold more than one block of the file in memory.
"""

import os
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from assistlearn.checkpoints.spec import DType, ModelSpec, TensorSpec
from assistlearn.durable import disk_errors
from assistlearn.errors import TensorError

MAX_ABS: Final = 1e6
"""Largest magnitude of any value. Weights of a model that trains stay below a thousand, but
running variances of features nobody scaled reach 1e5; from 1e6 on a product of two float32
layers is still finite, so that a peer cannot break our evaluation by overflow alone."""

MAX_COUNTER: Final = 1 << 53
"""Largest value of any counter: more steps than anybody makes, and so far below 2^63 that no
training that goes on from a peer's counter can overflow it."""

BLOCK_BYTES: Final = 1 << 18  # fits the second-level cache of any machine of today

Block = npt.NDArray[np.uint8]


def check_file(path: Path, spec: ModelSpec, *, max_abs: float = MAX_ABS) -> None:
    """Accept exactly the files that :func:`save_checkpoint` writes for ``spec``.

    The size is the specified one, and the bytes pass a :class:`BytesCheck`.

    Raises:
        TensorError: names the tensor, the index in it and the value, if a value is at fault.
        StorageError: the file cannot be read.
    """
    block = memoryview(bytearray(BLOCK_BYTES))
    check = BytesCheck(spec, name=path.name, max_abs=max_abs)
    with disk_errors(f"read checkpoint {path.name}"), path.open("rb", buffering=0) as file:
        size_bytes = os.fstat(file.fileno()).st_size
        if size_bytes != spec.file_bytes:
            raise TensorError(
                f"a checkpoint of this model has {spec.file_bytes} bytes, {path.name} has"
                f" {size_bytes}",
                hint="check that both parties build the same model with the same wire precision",
            )
        while count := file.readinto(block):
            check.update(block[:count])
    check.finish()


class BytesCheck:
    """Checks the bytes of a checkpoint file as they come, in order and cut anywhere.

    The header equals ``spec.header`` byte for byte, every float is finite and at most ``max_abs``
    in magnitude, every counter is from 0 to :data:`MAX_COUNTER`, and nothing is missing or left
    over.
    """

    def __init__(self, spec: ModelSpec, *, name: str, max_abs: float = MAX_ABS) -> None:
        """Begin.

        Args:
            spec: the agreed specification.
            name: what messages call the file.
            max_abs: largest magnitude of any float.
        """
        self._name = name
        self._header = spec.header
        self._tensors = iter(spec.tensors)
        self._next_tensor()
        self._cut = b""  # the beginning of an element
        self._max_abs = max_abs

    def update(self, data: bytes | memoryview) -> None:
        """Check the next bytes.

        Raises:
            TensorError: names the tensor, the index in it and the value, if a value is at fault.
        """
        view = self._behind_header(memoryview(data))
        while view:
            tensor = self._tensor
            if tensor is None:
                raise TensorError(f"{self._name} goes on after its last tensor")
            size = self._size
            part = view[: self._left]
            if self._cut or len(part) < size:
                begun, self._cut = self._cut, self._cut + part[: size - len(self._cut)]
                view = view[len(self._cut) - len(begun) :]
                if len(self._cut) < size:
                    return
                part, self._cut = memoryview(self._cut), b""
            else:
                part = part[: len(part) // size * size]
                view = view[len(part) :]
            self._check(np.frombuffer(part, np.uint8), tensor)
            self._left -= len(part)
            if not self._left:
                self._next_tensor()

    def finish(self) -> None:
        """Declare the end.

        Raises:
            TensorError: something is missing.
        """
        if self._tensor is not None:
            where = "its header" if self._header else f"tensor {self._tensor.name}"
            raise TensorError(f"{self._name} ends inside {where}")

    def _next_tensor(self) -> None:
        self._tensor = tensor = next(self._tensors, None)
        if tensor is not None:
            self._size = tensor.dtype.size
            self._left = tensor.size_bytes  # bytes of it that are still to be checked

    def _behind_header(self, view: memoryview) -> memoryview:
        """Compare what belongs to the header; what follows it."""
        part = view[: len(self._header)]
        if part != self._header[: len(part)]:
            raise TensorError(
                f"the header of {self._name} is not the one that the model specification gives",
                hint="check that both parties build the same model with the same wire precision",
            )
        self._header = self._header[len(part) :]
        return view[len(part) :]

    def _check(self, part: Block, tensor: TensorSpec) -> None:
        if tensor.dtype is DType.I64:
            index = _first_no_count(part.view("<u8"))
        else:
            index = _first_beyond(part, tensor.dtype, self._max_abs)
        if index is not None:
            value = _value(part, tensor.dtype, index)
            counter = tensor.dtype is DType.I64
            allowed = "from 0 to 2^53" if counter else f"finite and within +-{self._max_abs:g}"
            change = "check what it counts at" if counter else "lower the learning rate of"
            before = (tensor.size_bytes - self._left) // self._size
            raise TensorError(
                f"value {before + index} of tensor {tensor.name} is {value:g}, must be {allowed}",
                hint=f"{change} the party that trained this checkpoint",
            )


def _first_no_count(counters: npt.NDArray[np.uint64]) -> int | None:
    """Index of the first counter out of bounds: read as unsigned, a negative one is too large."""
    return int(np.argmax(counters > MAX_COUNTER)) if counters.max() > MAX_COUNTER else None


def _first_beyond(part: Block, dtype: DType, max_abs: float) -> int | None:
    """Index of the first float that is NaN, infinite or too large; None if there is none.

    The bits of `|x|` as an integer grow with `|x|`, and infinity and NaN lie above all numbers.
    So two maxima decide what otherwise takes four passes and memory for their results: read as
    signed integers, the largest is a float without a sign; as unsigned ones, one with a sign.
    """
    signed, unsigned, limit, sign = _bounds(dtype, max_abs)
    bits = part.view(unsigned)
    if part.view(signed).max() <= limit and bits.max() <= sign + limit:
        return None
    return int(np.argmax(bits & unsigned.type(sign - 1) > limit))


@cache
def _bounds(dtype: DType, max_abs: float) -> tuple[np.dtype[Any], np.dtype[Any], int, int]:
    """Both ways to read a float's bits, those of ``max_abs``, and the bit of its sign."""
    signed, unsigned = (np.dtype(f"{kind}{dtype.size}") for kind in ("<i", "<u"))
    return signed, unsigned, magnitude_bits(max_abs, dtype), 1 << (8 * dtype.size - 1)


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
