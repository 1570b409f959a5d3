"""Fitted rejectors to two files and back: arrays as safetensors, the rest as a card to read.

``NAME.toml``, the card, says what the rejector is: kind, agents, prices, features, how far its cost
estimates are off, every parameter. It ends with a digest of itself and holds the digest of
``NAME.safetensors``, so one changed byte in either file is found. That protects against accidents
and mix-ups, not against whoever can write both files.

Nothing here unpickles, imports by name or evaluates. Neither file's structure is trusted: a card is
accepted only if writing it again gives the same text, and the header that the arrays' file must
have follows from the card, so it is compared and never parsed.
"""

import json
import math
import os
import tempfile
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from assistlearn.checkpoints.durable import disk_errors, move_durably
from assistlearn.deferral.rejector_card import RejectorCard, toml_value
from assistlearn.deferral.rejectors.agents import shown_names
from assistlearn.deferral.rejectors.arrays import Layout, State
from assistlearn.deferral.rejectors.baselines import FixedAgent, RandomRejector
from assistlearn.deferral.rejectors.confidence import ConfidenceThreshold
from assistlearn.deferral.rejectors.interface import RejectorBase
from assistlearn.deferral.rejectors.plug_in import PlugInRejector
from assistlearn.deferral.rejectors.rejector import Rejector
from assistlearn.digests import digest
from assistlearn.errors import ConfigError, DataError

SUFFIX: Final = ".safetensors"
LARGEST_CARD_BYTES: Final = 1 << 20  # 100 agents and 10,000 named features take a quarter of it
KINDS: Final[Mapping[str, type[RejectorBase]]] = {
    kind.__name__: kind
    for kind in (Rejector, PlugInRejector, ConfidenceThreshold, FixedAgent, RandomRejector)
}
SAFETENSORS_TYPES: Final = {"float64": "F64", "float32": "F32", "int64": "I64"}
PACKAGES: Final = ("assistlearn", "numpy", "scikit-learn", "torch")


def save(rejector: RejectorBase, path: str | Path) -> Path:
    """Write a fitted rejector to ``NAME.safetensors`` and ``NAME.toml``, replacing both.

    Args:
        rejector: a fitted one of ``KINDS``.
        path: where the arrays go, ``NAME.safetensors``; its folder must exist.

    Returns:
        The card's path.

    Raises:
        ConfigError: the rejector is not fitted, of another kind, or has a parameter that is no
            plain value, such as a function.
        StorageError: the disk is full, read-only or failing.
    """
    target = _target(path)
    if type(rejector) not in KINDS.values() or not hasattr(rejector, "cost_errors_"):
        raise ConfigError(
            f"a {type(rejector).__name__} that is not fitted, or of this kind, cannot be saved",
            hint=f"fit one of {sorted(KINDS)}; of a MildRejector save its rejector_",
        )
    parameters = _parameters(rejector)
    tensors = _file_bytes(rejector)
    card = RejectorCard(
        kind=type(rejector).__name__,
        agents=_named(rejector.agents_),
        features=_feature_names(rejector),
        dtype=str(rejector.dtype_),
        prices=tuple(rejector.prices_.tolist()),
        cost_errors=tuple(map(float, rejector.cost_errors_)),
        parameters=parameters,
        tensors=digest(tensors),
        versions=_versions(),
    )
    try:
        text = card.text().encode()
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"a name cannot be written as text: {error}", hint="rename the feature"
        ) from error
    _write(target, tensors)
    _write(target.with_suffix(".toml"), text)
    return target.with_suffix(".toml")


def load(path: str | Path) -> RejectorBase:
    """The rejector that :func:`save` wrote: it decides bit for bit as the one saved.

    Attributes that say how training went (``n_iter_`` and the like) are not there.

    Args:
        path: as given to :func:`save`.

    Raises:
        DataError: a file is not whole, not of this format or version, or not one that ``save``
            writes; the message says which.
        StorageError: a file cannot be read.
    """
    target = _target(path)
    card = RejectorCard.parse(_read(target.with_suffix(".toml"), at_most=LARGEST_CARD_BYTES))
    kind = KINDS.get(card.kind)
    if kind is None:
        raise DataError(
            f"the card is of a {card.kind[:80]!r}, which is unknown",
            hint=f"save one of {sorted(KINDS)}, or update assistlearn",
        )
    unknown = set(card.parameters) - set(kind._get_param_names())  # noqa: SLF001  # sklearn's
    if unknown:
        raise DataError(
            f"the card has a parameter {min(unknown)[:80]!r}, which a {card.kind} has not",
            hint="load it with the version of assistlearn that the card names",
        )
    try:
        rejector = kind(**card.parameters)
        _fill(rejector, card)
        layout = rejector._layout()  # noqa: SLF001  # this module is its other half
        rejector._restore(_arrays(target, layout, card))  # noqa: SLF001
    except (TypeError, ValueError, AttributeError, OverflowError, ConfigError) as error:
        raise DataError(
            f"the card's parameters are not those of a {card.kind}: {error}",
            hint="save the rejector again",
        ) from error
    return rejector


def _fill(rejector: RejectorBase, card: RejectorCard) -> None:
    """What every fitted rejector has."""
    names = card.agents
    rejector.agents_ = np.arange(names) if isinstance(names, int) else np.asarray(names)
    rejector.prices_ = np.array(card.prices)
    rejector.cost_errors_ = np.array(card.cost_errors)
    rejector.dtype_ = np.dtype(card.dtype)
    rejector.n_features_in_ = card.feature_count
    if not isinstance(card.features, int):
        rejector.feature_names_in_ = np.array(card.features, dtype=object)


def _named(agents: npt.NDArray[Any]) -> tuple[str, ...] | int:
    return len(agents) if agents.dtype.kind == "i" else shown_names(agents)


def _feature_names(rejector: RejectorBase) -> tuple[str, ...] | int:
    names = getattr(rejector, "feature_names_in_", None)
    return int(rejector.n_features_in_) if names is None else tuple(map(str, names))


def _parameters(rejector: RejectorBase) -> dict[str, Any]:
    """All parameters as plain values, but for those that are None by default and were left so.

    Raises:
        ConfigError: one is a function or another object, or None where that is not the default.
    """
    found = {}
    defaults = type(rejector)().get_params(deep=False)
    for name, value in rejector.get_params(deep=False).items():
        plain = _plain(value)
        if plain is None and defaults[name] is None:
            continue
        try:
            toml_value(plain)
        except TypeError as error:
            raise ConfigError(
                f"parameter {name} is a {type(value).__name__}, which a card cannot hold",
                hint="use a surrogate by name, ridge regression and a whole number as seed",
            ) from error
        found[name] = plain
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items() if each is not None}
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else value


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from a folder that was never installed
            found[package] = "unknown"
    return found


def _file_bytes(rejector: RejectorBase) -> bytes:
    layout, state = rejector._layout(), rejector._state()  # noqa: SLF001
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


def _arrays(path: Path, layout: Layout, card: RejectorCard) -> State:
    """The arrays of a file that is what its card says."""
    header = _header(layout)
    size = len(header) + sum(
        math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in layout.values()
    )
    data = _read(path, at_most=size)
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


def _target(path: str | Path) -> Path:
    target = Path(path)
    if target.suffix != SUFFIX:
        raise ConfigError(
            f"{target.name!r} does not end in {SUFFIX}", hint=f"call it {target.name}{SUFFIX}"
        )
    return target


def _read(path: Path, *, at_most: int) -> bytes:
    with disk_errors(f"read {path}"), path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size  # read() would reserve whatever it is asked for
        if size > at_most:
            raise DataError(
                f"{path.name} has {size} bytes, more than the {at_most} that it may have",
                hint="copy the file again",
            )
        return file.read(size)


def _write(path: Path, data: bytes) -> None:
    with disk_errors(f"write {path}"):
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(data)
        move_durably(Path(file.name), path)
