"""The two files of a saved rejector: arrays as safetensors, written whole, compared and not parsed.

A file's only possible header follows from the arrays' names, shapes and types, which follow from
the card: what a file says of itself is never believed.
"""

import json
import math
import os
import secrets
import stat
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from assistlearn.deferral.rejector_card import SEAL_LINE, RejectorCard
from assistlearn.deferral.rejectors.arrays import Layout, State
from assistlearn.digests import digest
from assistlearn.durable import disk_errors, move_durably
from assistlearn.errors import ConfigError, DataError

SUFFIX: Final = ".safetensors"
CARD_SUFFIX: Final = ".toml"
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
            f"{target.name!r} does not end in {SUFFIX}",
            hint=f"give {target.with_suffix(SUFFIX).name}, the arrays; the card is found beside it"
            if target.suffix == CARD_SUFFIX
            else f"call it {target.name}{SUFFIX}",
        )
    return target


def read(path: Path, *, at_most: int) -> bytes:
    """A file of a size that it may have.

    Raises:
        DataError: it is larger, or no ordinary file.
        StorageError: it cannot be read.
    """
    with disk_errors(f"read {path}"), ExitStack() as opened:
        # Not blocking: the other end of a pipe may never come.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        opened.callback(os.close, descriptor)
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise DataError(f"{path.name} is no ordinary file", hint="give the file save wrote")
        size = found.st_size  # read() would reserve whatever it is asked for
        if size > at_most:
            raise DataError(
                f"{path.name} has {size} bytes, more than the {at_most} that it may have",
                hint="copy the file again",
            )
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(size)


def check_replaceable(card: Path) -> None:
    """Refuse to write a card over somebody else's file.

    Raises:
        ConfigError: there is a file, and it is no card.
        StorageError: it cannot be read.
    """
    with disk_errors(f"read {card}"):
        if not os.path.lexists(card):
            return
        begins = b""
        if card.is_file():
            with card.open("rb") as file:
                begins = file.read(128)
    if not SEAL_LINE.match(begins):
        raise ConfigError(
            f"{card.name} is there already and is no rejector's card",
            hint="give the rejector another name, as its card stands beside the arrays",
        )


def write(files: Mapping[Path, bytes]) -> None:
    """Put data in the place of files: none of them unless there is room for all.

    As with any new file, the umask says who may read them.

    Raises:
        StorageError: the disk is full, read-only or failing. No file was changed, unless it is
            renaming that fails; nothing unfinished is left.
    """
    with ExitStack() as unfinished:
        finished = {}
        for path, data in files.items():
            with disk_errors(f"write {path}"):
                part = path.with_name(f".{secrets.token_hex(8)}.part")
                unfinished.callback(part.unlink, missing_ok=True)
                with part.open("xb") as file:
                    file.write(data)
                finished[path] = part
        for path, part in finished.items():
            with disk_errors(f"write {path}"):
                move_durably(part, path)
