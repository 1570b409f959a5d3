"""Fitted rejectors to two files and back: arrays as safetensors, the rest as a card to read.

    save(rejector, "triage.safetensors", calibration=calibrate(...), models={"net": file_digest(p)})
    card = load_card("triage.safetensors")
    load("triage.safetensors").decide(features).under(threshold=card.calibration)

``NAME.toml``, the card, says what the rejector is: kind, agents, prices, features, how far its cost
estimates are off, every parameter; and if they were given, the weights of the tasks' errors, the
calibrated threshold with its interval, and digests of the agents' models. It begins with a digest
of itself and holds the digest of ``NAME.safetensors``, so one changed byte in either file is found.
That protects against accidents and mix-ups, not against whoever can write both files.

Nothing here unpickles, imports by name or evaluates. Neither file's structure is trusted: a card is
accepted only if writing it again gives the same text, and the header that the arrays' file must
have follows from the card, so it is compared and never parsed.
"""

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_random_state

from assistlearn.deferral.budgets.calibration import Calibration
from assistlearn.deferral.rejector_card import RejectorCard, toml_value
from assistlearn.deferral.rejector_files import (
    CARD_SUFFIX,
    arrays_path,
    check_replaceable,
    file_bytes,
    read,
    read_arrays,
    write,
)
from assistlearn.deferral.rejectors.agents import agent_number, numbers_by_agent, shown_names
from assistlearn.deferral.rejectors.baselines import FixedAgent, RandomRejector
from assistlearn.deferral.rejectors.confidence import ConfidenceThreshold
from assistlearn.deferral.rejectors.interface import RejectorBase
from assistlearn.deferral.rejectors.plug_in import PlugInRejector
from assistlearn.deferral.rejectors.rejector import Rejector
from assistlearn.deferral.rejectors.torch_rejector import TorchRejector
from assistlearn.deferral.saved_modules import MODULES, module_parts, read_module
from assistlearn.digests import digest
from assistlearn.errors import ConfigError, DataError

LARGEST_CARD_BYTES: Final = 1 << 20  # 100 agents and 10,000 named features take a quarter of it
KINDS: Final[Mapping[str, type[RejectorBase]]] = {
    kind.__name__: kind
    for kind in (Rejector, PlugInRejector, ConfidenceThreshold, FixedAgent, RandomRejector)
}
PACKAGES: Final = ("assistlearn", "numpy", "scikit-learn", "torch")


def save(
    rejector: RejectorBase | TorchRejector,
    path: str | Path,
    *,
    error_costs: Mapping[str, float] | None = None,
    calibration: Calibration | None = None,
    models: Mapping[str, str] | None = None,
) -> Path:
    """Write a fitted rejector to ``NAME.safetensors`` and ``NAME.toml``, replacing both.

    Args:
        rejector: a fitted one of ``KINDS``, or a :class:`.TorchRejector` of one of ``MODULES``;
            a module of your own is code, which no card can describe.
        path: where the arrays go, ``NAME.safetensors``; its folder must exist. A ``NAME.toml``
            that is no card is not replaced.
        error_costs: what went into the costs by name, such as the lambdas of the tasks, >= 0.
        calibration: the threshold to decide at, as :func:`.calibrate` measured it.
        models: SHA-256 of agents' models by agent, as :func:`assistlearn.digests.file_digest` has
            it.

    Returns:
        The card's path.

    Raises:
        ConfigError: the rejector is not fitted, of another kind, or has a parameter that is no
            plain value, such as a function, or that was changed since; what else goes on the card
            is not as said above; or ``NAME.toml`` is something else.
        StorageError: the disk is full, read-only or failing.
    """
    target = arrays_path(path)
    check_replaceable(target.with_suffix(CARD_SUFFIX))
    if isinstance(rejector, TorchRejector):
        parts, tensors = module_parts(rejector)
    else:
        parts, tensors = _parts(rejector)
    card = RejectorCard(
        **parts,
        tensors=digest(tensors),
        versions=_versions(),
        error_costs={name: _number(value) for name, value in (error_costs or {}).items()},
        calibration=calibration,
        models=dict(models or {}),
    )
    try:
        text = card.text().encode()
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"a name cannot be written as text: {error}", hint="rename the feature"
        ) from error
    if len(text) > LARGEST_CARD_BYTES:
        raise ConfigError(
            f"the card has {len(text)} bytes, more than the {LARGEST_CARD_BYTES} that load reads",
            hint="give the features shorter names, or none",
        )
    write({target: tensors, target.with_suffix(CARD_SUFFIX): text})
    return target.with_suffix(CARD_SUFFIX)


def load_card(path: str | Path) -> RejectorCard:
    """The card of a saved rejector: calibration, error costs, digests of models, versions.

    The arrays are not looked at; :func:`load` and :func:`load_module` do that.

    Args:
        path: as given to :func:`save`.

    Raises:
        DataError: the card is not whole, or not one that ``save`` writes.
        StorageError: it cannot be read.
    """
    card = arrays_path(path).with_suffix(CARD_SUFFIX)
    return RejectorCard.parse(read(card, at_most=LARGEST_CARD_BYTES))


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
    card = load_card(path)
    kind = KINDS.get(card.kind)
    if kind is None:
        raise _unknown(card, KINDS, "load it with load_module" if card.kind in MODULES else "")
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
        rejector._restore(read_arrays(arrays_path(path), layout, card))  # noqa: SLF001
        _check(rejector)
    except (TypeError, ValueError, AttributeError, OverflowError, ConfigError) as error:
        raise DataError(
            f"the card's parameters are not those of a {card.kind}: {error}",
            hint="save the rejector again",
        ) from error
    return rejector


def load_module(path: str | Path) -> TorchRejector:
    """The torch rejector that :func:`save` wrote: same parameters bit for bit, on the CPU.

    Args:
        path: as given to :func:`save`.

    Raises:
        DataError: as :func:`load` does.
        StorageError: a file cannot be read.
    """
    card = load_card(path)
    if card.kind not in MODULES:
        raise _unknown(card, MODULES, "load it with load" if card.kind in KINDS else "")
    return read_module(arrays_path(path), card)


def _unknown(card: RejectorCard, kinds: Mapping[str, Any], hint: str) -> DataError:
    return DataError(
        f"the card is of a {card.kind[:80]!r}, which is unknown here",
        hint=hint or f"save one of {sorted(kinds)}, or update assistlearn",
    )


def _parts(rejector: RejectorBase) -> tuple[dict[str, Any], bytes]:
    """What a card says of a fitted estimator, and its arrays' file.

    Raises:
        ConfigError: it is not fitted, of another kind, or cannot be described.
    """
    if type(rejector) not in KINDS.values() or not hasattr(rejector, "cost_errors_"):
        raise ConfigError(
            f"a {type(rejector).__name__} that is not fitted, or of this kind, cannot be saved",
            hint=f"fit one of {sorted(KINDS)}; of a MildRejector save its rejector_, of a torch"
            " module its TorchRejector",
        )
    parameters = _parameters(rejector)
    _check(rejector)
    parts = {
        "kind": type(rejector).__name__,
        "agents": _named(rejector.agents_),
        "features": _feature_names(rejector),
        "dtype": str(rejector.dtype_),
        "prices": tuple(rejector.prices_.tolist()),
        "cost_errors": tuple(map(float, rejector.cost_errors_)),
        "parameters": parameters,
    }
    return parts, file_bytes(rejector._layout(), rejector._state())  # noqa: SLF001


def _check(rejector: RejectorBase) -> None:
    """Refuse parameters that are not those of the fitted rejector, on saving and on loading alike.

    Raises:
        ConfigError: so says the message.
        ValueError: scikit-learn's own, for what is no seed.
    """
    rejector._check_parameters()  # noqa: SLF001
    names = shown_names(rejector.agents_)
    same = True
    match rejector:
        case FixedAgent(agent=str() | int() as agent):
            same = agent_number(agent, names) == rejector.agent_
        case RandomRejector(shares=shares):
            check_random_state(rejector.random_state)
            if shares is not None:
                given = numbers_by_agent(shares, names, what="shares")
                same = np.array_equal(given, rejector.shares_)
        case _:
            pass
    if not same:
        raise ConfigError(
            "the fitted arrays are not those that the parameters give",
            hint="fit the rejector again: its parameters were changed since",
        )


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
        except (TypeError, ValueError) as error:  # a ValueError for too large a number
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


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, int | float | np.number) else value


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from a folder that was never installed
            found[package] = "unknown"
    return found
