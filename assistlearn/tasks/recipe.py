"""How a task trains, apart from its data: the settings that every task factory shares."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, Self

import numpy as np
import numpy.typing as npt

from assistlearn.errors import ConfigError
from assistlearn.tasks.examples import Examples
from assistlearn.tasks.models import Shape, model_factory
from assistlearn.tasks.objectives import PerExampleLoss
from assistlearn.tasks.references import did_you_mean
from assistlearn.tasks.schema import schema
from assistlearn.tasks.splits import Share, quantile_classes, share_indices
from assistlearn.tasks.supervised import SupervisedTask
from assistlearn.training.devices import set_threads

Kind = Literal["classification", "regression"]

USUAL_LOSS: Final[Mapping[Kind, str]] = {"classification": "cross_entropy", "regression": "mse"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Model, optimiser and machine. Both parties must agree on model and loss."""

    model: str = "mlp"
    """``mlp``, ``alexnet32``, another key of ``MODELS``, or ``package.module:function``."""

    model_settings: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of the model, such as ``{"hidden": [128, 64]}``."""

    optimizer: str = "SGD"
    """A class of ``torch.optim``, or ``package.module:Class``."""

    optimizer_settings: Mapping[str, Any] = field(
        default_factory=lambda: {"lr": 0.05, "momentum": 0.9}
    )
    """Keyword arguments of the optimiser. Replaces the default as a whole."""

    batch_size: int = 64
    """Examples in one update. At least 1."""

    loss: str | PerExampleLoss | None = None
    """``cross_entropy``, ``mse`` or ``package.module:function``; None for what the data suggest."""

    device: str = "auto"
    """``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``."""

    precision: str = "float32"
    """``float32``, or ``bfloat16`` for mixed precision."""

    seed: int = 0
    """Seed of the order of examples."""

    threads: int = 0
    """CPU threads of torch, for the whole process; 0 leaves torch's own choice."""

    @classmethod
    def read(
        cls, given: Mapping[str, Any], factory: Callable[..., Any], defaults: Mapping[str, Any]
    ) -> Self:
        """The recipe among a factory's keyword arguments.

        Args:
            given: keyword arguments that are no settings of the factory's own.
            factory: whose own settings are suggested too when a name is unknown.
            defaults: the factory's own defaults, where they differ from the ones above.

        Raises:
            ConfigError: a name is unknown, or a value has the wrong type.
        """
        known = {each.name for each in fields(cls)}
        own = {name for name in inspect.signature(factory).parameters if name != "recipe"}
        for name in given:
            if name not in known:
                raise ConfigError(
                    f"{factory.__name__} has no setting {name!r}",
                    hint=did_you_mean(name, known | own),
                )
        chosen = {name: value for name, value in given.items() if value is not None}
        return cls(**{**defaults, **chosen})

    def __post_init__(self) -> None:
        for name in ("batch_size", "seed", "threads"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < (name == "batch_size"):
                raise ConfigError(
                    f"{name} is {value!r}, must be a whole number >= {int(name == 'batch_size')}",
                    hint=f"set {name} to a number, without quotes",
                )
        for name in ("model_settings", "optimizer_settings"):
            if not isinstance(getattr(self, name), Mapping):
                raise ConfigError(
                    f"{name} is {getattr(self, name)!r}, must be a table of settings",
                    hint=f"write it like {name} = {{ lr = 0.1 }}",
                )


def assemble(  # noqa: PLR0913  # what a data source knows, by keyword
    recipe: Recipe,
    *,
    train: Examples,
    test: Examples | None,
    labels: npt.ArrayLike,
    kind: Kind,
    input_shape: Shape,
    outputs: int,
    classes: Sequence[Any] | int | None,
    share: Share | None,
    **alike: Any,
) -> SupervisedTask:
    """A task from a data source and a recipe.

    Args:
        recipe: how to train.
        train: all training examples of the source.
        test: held-out examples; never split.
        labels: class or target value of each training example. Shape ``(N,)``.
        kind: whether the labels are classes or values.
        input_shape: shape of one example.
        outputs: number of classes or target values.
        classes: their names in order, or their number; None for a regression.
        share: which part of the training examples to take; None for all.
        **alike: settings of the source that both parties must have alike, for the schema.

    Raises:
        ConfigError: the recipe's loss cannot be used for this kind of labels.
    """
    loss = _loss(recipe.loss, kind)
    set_threads(recipe.threads)
    build = model_factory(
        recipe.model, input_shape=input_shape, outputs=outputs, settings=recipe.model_settings
    )
    if share is not None:
        strata = np.asarray(labels) if kind == "classification" else quantile_classes(labels)
        train = train.subset(share_indices(strata, share))
    return SupervisedTask(
        build=build,
        train=train,
        test=test,
        loss=loss,
        optimizer=recipe.optimizer,
        optimizer_settings=recipe.optimizer_settings,
        batch_size=recipe.batch_size,
        device=recipe.device,
        precision=recipe.precision,
        seed=recipe.seed,
        schema=schema(
            loss if isinstance(loss, str) else None,
            {"task": kind, "inputs": input_shape, "classes": classes, **alike},
        ),
    )


def _loss(given: str | PerExampleLoss | None, kind: Kind) -> str | PerExampleLoss:
    """The loss that is trained on: the one given, or the usual one."""
    usual = USUAL_LOSS[kind]
    if isinstance(given, str) and given != usual and given in USUAL_LOSS.values():
        raise ConfigError(
            f"loss {given!r} cannot be used for a {kind}",
            hint=f"leave loss out, or set it to {usual!r}",
        )
    return given or usual
