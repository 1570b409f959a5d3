"""torch optimisers by name."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import torch
from torch import nn
from torch.optim import Optimizer

from assistlearn.errors import ConfigError
from assistlearn.tasks.references import did_you_mean, import_reference

NEEDS_CLOSURE: Final = frozenset({"LBFGS"})
OPTIMIZERS: Final[Mapping[str, type[Optimizer]]] = {
    name: value
    for name, value in vars(torch.optim).items()
    if isinstance(value, type)
    and issubclass(value, Optimizer)
    and value is not Optimizer
    and name not in NEEDS_CLOSURE
}


def make_optimizer(
    name: str, parameters: Iterable[nn.Parameter], settings: Mapping[str, Any]
) -> Optimizer:
    """A new optimiser over ``parameters``.

    Args:
        name: a class of ``torch.optim``, or ``package.module:Class``.
        parameters: what it updates.
        settings: keyword arguments of the class, such as ``{"lr": 0.1}``.

    Raises:
        ConfigError: no such optimiser, or it does not take these settings.
    """
    if name in NEEDS_CLOSURE:
        raise ConfigError(
            f"optimizer {name} evaluates the loss several times in one update",
            hint='choose another one, such as "SGD" or "Adam", or write a task of your own',
        )
    if ":" in name:
        make = import_reference(name, what="optimizer")
    elif name in OPTIMIZERS:
        make = OPTIMIZERS[name]
    else:
        raise ConfigError(f"optimizer {name!r} is unknown", hint=did_you_mean(name, OPTIMIZERS))
    try:
        optimizer: Optimizer = make(parameters, **settings)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"optimizer {name} does not take {dict(settings)}: {error}",
            hint="see the optimiser's page in torch's documentation for its settings",
        ) from error
    return optimizer
