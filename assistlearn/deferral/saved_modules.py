"""Torch rejectors as a card's fields and arrays, and back: settings and weights, never code.

Only modules whose settings say everything can be saved. One of your own is code that no card can
describe: keep its ``state_dict`` with safetensors, build it again, and give it to
:meth:`.TorchRejector.of`.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from assistlearn.deferral.rejector_card import RejectorCard
from assistlearn.deferral.rejector_files import file_bytes, read_arrays
from assistlearn.deferral.rejectors.arrays import Layout
from assistlearn.deferral.rejectors.modules import (
    ImageRejector,
    TableRejector,
    TextFeatureRejector,
)
from assistlearn.deferral.rejectors.ridge import CostEstimate
from assistlearn.deferral.rejectors.torch_rejector import TorchRejector
from assistlearn.errors import ConfigError, DataError

Saved = TableRejector | ImageRejector | TextFeatureRejector

MODULES: Final[Mapping[str, type[Saved]]] = {
    kind.__name__: kind for kind in (TableRejector, ImageRejector, TextFeatureRejector)
}
OF_MODULE: Final = "module."  # before the names of its parameters
DTYPES: Final = {"float32": torch.float32, "float64": torch.float64}


def module_parts(rejector: TorchRejector) -> tuple[dict[str, Any], bytes]:
    """What a card says of a torch rejector, by field, and its arrays' file.

    Raises:
        ConfigError: its module is of a class of your own, or was changed since it was built.
    """
    module = rejector.module
    if type(module) not in MODULES.values():
        raise ConfigError(
            f"a {type(module).__name__} cannot be saved: no card can describe its code",
            hint=f"use one of {sorted(MODULES)}, or keep its state_dict with safetensors",
        )
    kind, dtype = type(module).__name__, str(next(module.parameters()).dtype).split(".")[1]
    settings: Mapping[str, Any] = module.settings  # type: ignore[assignment]  # one of MODULES
    state = {
        f"{OF_MODULE}{name}": tensor.numpy(force=True)
        for name, tensor in module.state_dict().items()
    }
    state |= rejector.cost_estimate.state()
    parts = _card_parts(kind, settings, dtype, rejector)
    return parts, file_bytes(_layout(_empty(kind, settings, dtype), dtype), state)


def read_module(path: Path, card: RejectorCard) -> TorchRejector:
    """The torch rejector of a card, with the arrays of ``path``.

    Raises:
        DataError: card or arrays are none that saving writes.
        StorageError: the arrays cannot be read.
    """
    try:
        module = _empty(card.kind, card.parameters, card.dtype)
        state = read_arrays(path, _layout(module, card.dtype), card)
        weights = {
            name.removeprefix(OF_MODULE): torch.from_numpy(array)
            for name, array in state.items()
            if name.startswith(OF_MODULE)
        }
        module.load_state_dict(weights, assign=True)
        rejector = TorchRejector(
            module=module.eval(),
            agents=card.agents,
            cost_estimate=CostEstimate.restored(state),
            cost_errors=np.array(card.cost_errors),
        )
        parts = _card_parts(card.kind, module.settings, card.dtype, rejector)
        same = replace(card, **parts).text() == card.text()
    except (TypeError, ValueError, RuntimeError, ArithmeticError, ConfigError) as error:
        raise DataError(
            f"the card's parameters are not those of a {card.kind}: {error}",
            hint="save the rejector again",
        ) from error
    if not same:
        raise DataError(
            f"the card's fields are not those of such a {card.kind}",
            hint="save the rejector again",
        )
    return rejector


def _empty(kind: str, settings: Mapping[str, Any], dtype: str) -> Saved:
    """A module of sizes only: whatever a card says, no memory is taken before the file is read."""
    with torch.device("meta"):
        return MODULES[kind](**settings).to(DTYPES[dtype])


def _layout(module: Saved, dtype: str) -> Layout:
    """The arrays that follow from a module's settings."""
    last = module.last
    assert isinstance(last, nn.Linear)  # of every class in MODULES
    shapes = {name: tuple(each.shape) for name, each in module.state_dict().items()}
    return {
        **{f"{OF_MODULE}{name}": (shape, dtype) for name, shape in shapes.items()},
        **CostEstimate.layout(last.in_features, last.out_features, dtype),
    }


def _card_parts(
    kind: str, settings: Mapping[str, Any], dtype: str, rejector: TorchRejector
) -> dict[str, Any]:
    agents: int = settings["agents"]
    match kind:
        case "ImageRejector":
            features = math.prod(settings["shape"])
        case "TextFeatureRejector":
            features = settings["buckets"]
        case _:
            features = settings["features"]
    return {
        "kind": kind,
        "agents": rejector.agents if isinstance(rejector.agents, tuple) else agents,
        "features": features,
        "dtype": dtype,
        "prices": (0.0,) * agents,  # the costs have them in
        "cost_errors": tuple(map(float, rejector.cost_errors)),
        "parameters": settings,
    }
