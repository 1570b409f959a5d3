"""The two files of a saved rejector: arrays as safetensors, written whole, compared and not parsed.

A file's only possible header follows from the arrays' names, shapes and types, which follow from
the card: what a file says of itself is never believed.
"""

import json
import math
import os
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from assistlearn.checkpoints.durable import disk_errors, move_durably
from assistlearn.deferral.rejector_card import RejectorCard
from assistlearn.deferral.rejectors.arrays import Layout, State
from assistlearn.digests import digest
from assistlearn.errors import ConfigError, DataError

SUFFIX: Final = ".safetensors"
SAFETENSORS_TYPES: Final = {"float64": "F64", "float32": "F32", "int64": "I64"}


def file_bytes(layout: Layout, state: State) -> bytes:
    """The arrays' file.

    Raises:
        ConfigError: the arrays are others than the layout says.
    """
    arrays = {name: np.asarray(array) for name, array in state.items()}
    found = {name: (array.shape, array.dtype) for name, array in arrays.items()}
    if found != {name: (shape, np.dtype(dtype)) for name, (shape, dtype) in layout.items()}:
        raise ConfigError(
            "the fitted arrays are not those that the parameters give",
            hint="fit the rejector again: its parameters were changed since",
        )
    stored = (arrays[name].astype(_stored(dtype)) for name, (_, dtype) in layout.items())
    return _header(layout) + b"".join(array.tobytes() for array in stored)


def _stored(dtype: npt.DTypeLike) -> np.dtype[Any]:
    return np.dtype(dtype).newbyteorder("<")  # as safetensors has it


def _header(layout: Layout) -> bytes:
    """The only safetensors header that a file with these arrays may have."""
    entries, offset = {}, 0
    for name, (shape, dtype) in layout.items():
        end = offset + math.prod(shape) * np.dtype(dtype).itemsize
        entries[name] = {
            "dtype": SAFETENSORS_TYPES[np.dtype(dtype).name],
            "shape": [*shape],
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # safetensors aligns the data to 8 bytes
    return len(text).to_bytes(8, "little") + text


def read_arrays(path: Path, layout: Layout, card: RejectorCard) -> State:
    """The arrays of a file that is what its card says.

    Raises:
        DataError: it is not.
        StorageError: it cannot be read.
    """
    header = _header(layout)
    size = len(header) + sum(
        math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in layout.values()
    )
    data = read(path, at_most=size)
    if digest(data) != card.tensors:
        raise DataError(
            f"{path.name} hashes to {digest(data)[:16]}, its card says {card.tensors[:16]}",
            hint="copy both files again, from the same rejector",
        )
    if len(data) != size or not data.startswith(header):
        raise DataError(
            f"{path.name} does not hold the arrays of the {card.kind} on its card",
            hint="save the rejector again",
        )
    arrays, offset = {}, len(header)
    for name, (shape, dtype) in layout.items():
        count = math.prod(shape)
        values = np.frombuffer(data, _stored(dtype), count, offset).astype(dtype).reshape(shape)
        if not np.isfinite(values).all():
            raise DataError(f"{name} holds values that are not finite", hint="fit it again")
        arrays[name] = values
        offset += values.nbytes
    return arrays


def arrays_path(path: str | Path) -> Path:
    """Where the arrays go; the card stands beside.

    Raises:
        ConfigError: the name ends in anything but ``.safetensors``.
    """
    target = Path(path)
    if target.suffix != SUFFIX:
        raise ConfigError(
            f"{target.name!r} does not end in {SUFFIX}", hint=f"call it {target.name}{SUFFIX}"
        )
    return target


def read(path: Path, *, at_most: int) -> bytes:
    """A file of a size that it may have.

    Raises:
        DataError: it is larger.
        StorageError: it cannot be read.
    """
    with disk_errors(f"read {path}"), path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size  # read() would reserve whatever it is asked for
        if size > at_most:
            raise DataError(
                f"{path.name} has {size} bytes, more than the {at_most} that it may have",
                hint="copy the file again",
            )
        return file.read(size)


def write(path: Path, data: bytes) -> None:
    """Put ``data`` in the place of a file, whole or not at all.

    Raises:
        StorageError: the disk is full, read-only or failing.
    """
    with disk_errors(f"write {path}"):
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(data)
        move_durably(Path(file.name), path)
