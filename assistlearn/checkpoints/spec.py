"""What a checkpoint consists of: every tensor's name, dtype and shape, and nothing else.

The specification is part of the agreement, by digest. From it follow the exact bytes of the
safetensors header, so that a peer's header is never parsed: it is compared
(``assistlearn/bundle/FORMAT.md`` section 5). This module knows nothing of torch.
"""

import json
import math
import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final

from assistlearn.digests import digest
from assistlearn.errors import TensorError

MAX_TENSORS: Final = 100_000
MAX_RANK: Final = 8
MAX_DIMENSION: Final = 1 << 31
NAME: Final = re.compile(r"[A-Za-z0-9_.]{1,128}")
LINE: Final = re.compile(r"(parameter|buffer) (\S+) (\S+)((?: [0-9]+)*)")


class DType(StrEnum):
    """Element types that may cross, by their safetensors names."""

    F32 = "F32"
    F16 = "F16"
    BF16 = "BF16"
    I64 = "I64"  # only counters such as BatchNorm's num_batches_tracked

    @property
    def size(self) -> int:
        """Bytes of one element."""
        return {"F32": 4, "F16": 2, "BF16": 2, "I64": 8}[self.value]


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One tensor of the model."""

    name: str
    dtype: DType
    shape: tuple[int, ...]
    buffer: bool
    """True for a buffer (running statistics), False for a parameter."""

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise TensorError(
                f"tensor name {self.name!r} is not 1 to 128 of A-Z a-z 0-9 _ .",
                hint="rename the module attribute",
            )
        if len(self.shape) > MAX_RANK or any(not 0 < n <= MAX_DIMENSION for n in self.shape):
            raise TensorError(f"tensor {self.name} has a shape out of bounds: {self.shape}")

    @property
    def size_bytes(self) -> int:
        """Bytes of the tensor's elements."""
        return math.prod(self.shape) * self.dtype.size


@dataclass(frozen=True)
class ModelSpec:
    """The ordered tensors of a model, parameters and buffers."""

    tensors: tuple[TensorSpec, ...]

    def __post_init__(self) -> None:
        names = {tensor.name for tensor in self.tensors}
        if not 0 < len(self.tensors) <= MAX_TENSORS or len(names) != len(self.tensors):
            raise TensorError(
                f"a model needs 1 to {MAX_TENSORS} tensors with names of their own, got"
                f" {len(self.tensors)} tensors with {len(names)} names"
            )

    @cached_property
    def header(self) -> bytes:
        """The only safetensors header that a file of this model may have."""
        entries, offset = {}, 0
        for tensor in self.tensors:
            end = offset + tensor.size_bytes
            entries[tensor.name] = {
                "dtype": tensor.dtype.value,
                "shape": list(tensor.shape),
                "data_offsets": [offset, end],
            }
            offset = end
        text = json.dumps(entries, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)  # safetensors aligns the data to 8 bytes
        return len(text).to_bytes(8, "little") + text

    @cached_property
    def file_bytes(self) -> int:
        """Bytes of one checkpoint file: header and elements."""
        return len(self.header) + sum(tensor.size_bytes for tensor in self.tensors)

    @property
    def buffers(self) -> tuple[str, ...]:
        """Names of the buffers, which travel because the specification lists them."""
        return tuple(tensor.name for tensor in self.tensors if tensor.buffer)

    @property
    def elements(self) -> int:
        """Number of elements in all tensors."""
        return sum(math.prod(tensor.shape) for tensor in self.tensors)

    def text(self) -> str:
        """One line a tensor, in order: kind, name, dtype, dimensions."""
        return "".join(
            " ".join(
                [
                    "buffer" if tensor.buffer else "parameter",
                    tensor.name,
                    tensor.dtype.value,
                    *map(str, tensor.shape),
                ]
            )
            + "\n"
            for tensor in self.tensors
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256 of :meth:`text`: what the agreement names."""
        return digest(self.text().encode())

    @classmethod
    def parse(cls, text: str) -> "ModelSpec":
        """The inverse of :meth:`text`.

        Raises:
            TensorError: the text is not one that :meth:`text` writes.
        """
        tensors = []
        for line in text.splitlines():
            match = LINE.fullmatch(line)
            if match is None or match[3] not in set(DType):
                raise TensorError(f"not a line of a model specification: {line[:80]!r}")
            shape = tuple(int(n) for n in match[4].split())
            tensors.append(
                TensorSpec(
                    name=match[2], dtype=DType(match[3]), shape=shape, buffer=match[1] == "buffer"
                )
            )
        spec = cls(tuple(tensors))
        if spec.text() != text:
            raise TensorError("the model specification is not in canonical form")
        return spec
