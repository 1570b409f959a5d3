"""All two-stage surrogates by name: settings to print and save, then fitted to training costs.

    settings = named_surrogate("mild_log", exponent=0.5)
    surrogate = settings.prepare(training_costs_BA)
    surrogate(scores_BA, costs_BA).mean().backward()

Settings are frozen values; ``named_surrogate(settings.name, **asdict(settings))`` gives them back.
What a loss needs to know of the whole training set, counts or margins, ``prepare`` computes.
One-stage losses are not here, as they take labels: :mod:`assistlearn.deferral.one_stage`.

Letters: B examples, A agents.
"""

import math
from collections.abc import Mapping
from dataclasses import Field, dataclass, fields
from functools import partial
from typing import Any, ClassVar, Final, Protocol

import torch
from torch import Tensor

from assistlearn.deferral.checks import checked_costs
from assistlearn.deferral.imbalance import (
    BETA,
    class_balanced,
    focal,
    ldam,
    logit_adjusted,
    oracle_counts,
)
from assistlearn.deferral.log_mass import layered_mass, log_mass
from assistlearn.deferral.mao import mao_2023, mao_2024
from assistlearn.deferral.margin_choice import THEORY_EXPONENT, theory_margins
from assistlearn.deferral.margins import mild_hinge, mild_log, mild_ramp
from assistlearn.deferral.one_stage import one_vs_all
from assistlearn.deferral.two_stage import Surrogate, two_stage_surrogate
from assistlearn.deferral.weights import Kappa
from assistlearn.errors import ConfigError, DataError


class SurrogateSettings(Protocol):
    """Which surrogate, with which settings; not yet fitted to any costs."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    name: ClassVar[str]
    """One of :func:`surrogate_names`."""

    @property
    def convex(self) -> bool:
        """Whether the loss is convex in the scores, so that L-BFGS may fit a linear rejector."""

    @property
    def largest_cost(self) -> float:
        """Costs must be in [0, this]: 1 or infinity."""

    def prepare(self, costs_BA: Tensor) -> Surrogate:
        """The surrogate, for a rejector that is trained on these costs. Shape ``(B, A)``.

        Raises:
            ConfigError: a setting is outside its range.
            DataError: the surrogate does not accept these costs.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoStage:
    """The comp-sum surrogate of arXiv:2410.15729 and its relatives."""

    name: ClassVar[str] = "two_stage"
    nu: float = 1.0
    """Member of the comp-sum family, >= 0: 1 is cross-entropy, 2 the mean absolute error."""
    weights: Kappa = "sum"
    """What the costs are subtracted from."""

    @property
    def convex(self) -> bool:
        return self.nu <= 1

    @property
    def largest_cost(self) -> float:
        return _largest_cost(self.weights)

    def prepare(self, costs_BA: Tensor) -> Surrogate:
        return _tried(partial(two_stage_surrogate, nu=self.nu, weights=self.weights), costs_BA)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mao2023:
    """Weights ``1 - c``: two-stage classification."""

    name: ClassVar[str] = "mao_2023"
    largest_cost: ClassVar[float] = 1.0
    nu: float = 1.0
    """Member of the comp-sum family, >= 0."""

    @property
    def convex(self) -> bool:
        return self.nu <= 1

    def prepare(self, costs_BA: Tensor) -> Surrogate:
        return _tried(partial(mao_2023, nu=self.nu), costs_BA)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mao2024:
    """Sums of the others' costs as weights: two-stage regression."""

    name: ClassVar[str] = "mao_2024"
    largest_cost: ClassVar[float] = math.inf
    nu: float = 1.0
    """Member of the comp-sum family, >= 0."""

    @property
    def convex(self) -> bool:
        return self.nu <= 1

    def prepare(self, costs_BA: Tensor) -> Surrogate:
        return _tried(partial(mao_2024, nu=self.nu), costs_BA)


@dataclass(frozen=True, slots=True, kw_only=True)
class MildLog:
    """MILD-log, a reconstruction. Margins by theory's rule unless they are given."""

    name: ClassVar[str] = "mild_log"
    convex: ClassVar[bool] = True
    margins: tuple[float, ...] | None = None
    """rho, one for each agent, > 0. None for the rule."""
    exponent: float = THEORY_EXPONENT
    """Of the rule; 0 for equal margins."""
    scale: float = 1.0
    """Mean margin of the rule, > 0, in units of the scores."""
    weights: Kappa = "sum"
    """What the costs are subtracted from."""
    normalise: bool = False
    """Multiply each agent's term by its margin: Bayes-consistent for all margins."""

    @property
    def largest_cost(self) -> float:
        return _largest_cost(self.weights)

    def prepare(self, costs_BA: Tensor) -> Surrogate:
        loss = partial(mild_log, weights=self.weights, normalise=self.normalise)
        return _tried(partial(loss, margins=_margins(self, costs_BA)), costs_BA)


@dataclass(frozen=True, slots=True, kw_only=True)
class MildHinge:
    """MILD-hinge, a reconstruction. Fields as in :class:`MildLog`."""

    name: ClassVar[str] = "mild_hinge"
    convex: ClassVar[bool] = True
    margins: tuple[float, ...] | None = None
    exponent: float = THEORY_EXPONENT
    scale: float = 1.0
    weights: Kappa = "sum"
    normalise: bool = False

    @property
    def largest_cost(self) -> float:
        return _largest_cost(self.weights)

    def prepare(self, costs_BA: Tensor) -> Surrogate:
        loss = partial(mild_hinge, weights=self.weights, normalise=self.normalise)
        return _tried(partial(loss, margins=_margins(self, costs_BA)), costs_BA)


@dataclass(frozen=True, slots=True, kw_only=True)
class MildRamp:
    """MILD-ramp, a reconstruction. Fields as in :class:`MildLog`; nothing to normalise."""

    name: ClassVar[str] = "mild_ramp"
    convex: ClassVar[bool] = False
    margins: tuple[float, ...] | None = None
    exponent: float = THEORY_EXPONENT
    scale: float = 1.0
    weights: Kappa = "sum"

    @property
    def largest_cost(self) -> float:
        return _largest_cost(self.weights)

    def prepare(self, costs_BA: Tensor) -> Surrogate:
        loss = partial(mild_ramp, weights=self.weights)
        return _tried(partial(loss, margins=_margins(self, costs_BA)), costs_BA)


@dataclass(frozen=True, slots=True, kw_only=True)
class OneVsAll:
    """One logistic regression for each agent."""

    name: ClassVar[str] = "one_vs_all"
    convex: ClassVar[bool] = True
    largest_cost: ClassVar[float] = 1.0

    def prepare(self, costs_BA: Tensor) -> Surrogate:
        return _tried(one_vs_all, costs_BA)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogMass:
    """The realizable surrogate for costs 0 and 1."""

    name: ClassVar[str] = "log_mass"
    convex: ClassVar[bool] = False
    largest_cost: ClassVar[float] = math.inf

    def prepare(self, costs_BA: Tensor) -> Surrogate:
        return _tried(log_mass, costs_BA)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayeredMass:
    """The realizable surrogate for any costs."""

    name: ClassVar[str] = "layered_mass"
    convex: ClassVar[bool] = False
    largest_cost: ClassVar[float] = math.inf
    nu: float = 1.0
    """Member of the comp-sum family, >= 0."""

    def prepare(self, costs_BA: Tensor) -> Surrogate:
        return _tried(partial(layered_mass, nu=self.nu), costs_BA)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassBalanced:
    """Oracle agents weighted by inverse effective numbers."""

    name: ClassVar[str] = "class_balanced"
    convex: ClassVar[bool] = True
    largest_cost: ClassVar[float] = math.inf
    beta: float = BETA
    """In [0, 1); 0 is plain cross-entropy against the oracle agent."""

    def prepare(self, costs_BA: Tensor) -> Surrogate:
        counts_A = oracle_counts(costs_BA)
        return _tried(partial(class_balanced, counts_A=counts_A, beta=self.beta), costs_BA)


@dataclass(frozen=True, slots=True, kw_only=True)
class Focal:
    """Oracle agents, easy examples weighing little."""

    name: ClassVar[str] = "focal"
    largest_cost: ClassVar[float] = math.inf
    gamma: float = 2.0
    """Focus, >= 0; 0 is plain cross-entropy against the oracle agent."""

    @property
    def convex(self) -> bool:
        return self.gamma == 0

    def prepare(self, costs_BA: Tensor) -> Surrogate:
        return _tried(partial(focal, gamma=self.gamma), costs_BA)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ldam:
    """Oracle agents, the rarer with the larger margin."""

    name: ClassVar[str] = "ldam"
    convex: ClassVar[bool] = True
    largest_cost: ClassVar[float] = math.inf
    max_margin: float = 0.5
    """Margin of the rarest agent, >= 0, in units of the scores."""
    scale: float = 1.0
    """Factor on the scores, > 0."""

    def prepare(self, costs_BA: Tensor) -> Surrogate:
        loss = partial(ldam, max_margin=self.max_margin, scale=self.scale)
        return _tried(partial(loss, counts_A=oracle_counts(costs_BA)), costs_BA)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogitAdjusted:
    """Oracle agents, scores shifted by their log-frequencies."""

    name: ClassVar[str] = "logit_adjusted"
    convex: ClassVar[bool] = True
    largest_cost: ClassVar[float] = math.inf
    tau: float = 1.0
    """How much of the log-frequency, >= 0; 0 is plain cross-entropy against the oracle agent."""

    def prepare(self, costs_BA: Tensor) -> Surrogate:
        counts_A = oracle_counts(costs_BA)
        return _tried(partial(logit_adjusted, counts_A=counts_A, tau=self.tau), costs_BA)


_KINDS: Final[tuple[type[SurrogateSettings], ...]] = (
    TwoStage, Mao2023, Mao2024, MildLog, MildHinge, MildRamp, OneVsAll, LogMass, LayeredMass,
    ClassBalanced, Focal, Ldam, LogitAdjusted,
)  # fmt: skip
_BY_NAME: Final[Mapping[str, type[SurrogateSettings]]] = {kind.name: kind for kind in _KINDS}


def surrogate_names() -> tuple[str, ...]:
    """Every name that :func:`named_surrogate` knows, related ones together."""
    return tuple(_BY_NAME)


def named_surrogate(name: str, **settings: Any) -> SurrogateSettings:
    """A surrogate's settings by its name.

    Args:
        name: one of :func:`surrogate_names`.
        **settings: the fields of its class; the others keep their defaults. Lists do for tuples.

    Raises:
        ConfigError: the name or a setting is unknown, or a setting is of the wrong type. Ranges are
            checked by ``prepare``.
    """
    kind = _BY_NAME.get(name)
    if kind is None:
        raise ConfigError(f"there is no surrogate {name!r}", hint=_suggestion(name, _BY_NAME))
    defaults = {each.name: each.default for each in fields(kind)}
    for key, value in settings.items():
        if key not in defaults:
            hint = _suggestion(key, defaults) if defaults else "remove it: there are none"
            raise ConfigError(f"surrogate {name!r} has no setting {key!r}", hint=hint)
        if not _is_like(defaults[key], value):
            raise ConfigError(
                f"setting {key!r} of surrogate {name!r} is {value!r}",
                hint=f"give a value like {defaults[key]!r}"
                if defaults[key] is not None
                else "give one number for each agent, or leave it out",
            )
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()})


def _is_like(default: Any, value: Any) -> bool:
    match default:
        case bool() | str():
            return isinstance(value, type(default))
        case float():
            return isinstance(value, int | float) and not isinstance(value, bool)
        case _:  # margins
            return value is None or (
                isinstance(value, list | tuple) and all(_is_like(1.0, each) for each in value)
            )


def _suggestion(name: str, known: Mapping[str, Any]) -> str:
    from assistlearn.tasks.references import did_you_mean  # noqa: PLC0415  (loads torchvision)

    return did_you_mean(name, known)


def _largest_cost(weights: Kappa) -> float:
    return 1.0 if weights == "one" else math.inf


def _margins(settings: MildLog | MildHinge | MildRamp, costs_BA: Tensor) -> tuple[float, ...]:
    if settings.margins is not None:
        return settings.margins
    return theory_margins(
        costs_BA, weights=settings.weights, exponent=settings.exponent, scale=settings.scale
    )


def _tried(surrogate: Surrogate, costs_BA: Tensor) -> Surrogate:
    """The surrogate, once it has accepted its settings and the dearest that each agent can be."""
    if not len(checked_costs(costs_BA)):
        raise DataError(
            "there are no costs to prepare a surrogate for",
            hint="give the costs of the training set",
        )
    dearest_1A = costs_BA.amax(dim=0, keepdim=True)
    surrogate(torch.zeros(dearest_1A.shape, device=costs_BA.device), dearest_1A)
    return surrogate
