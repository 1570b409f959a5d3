"""One held-out set, and whom each method let answer there. Checked here, believed elsewhere.

B examples, A agents; agent 0 is the main model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from assistlearn.deferral.arrays import Floats, Ints, agents_of, array_of, numbers_of
from assistlearn.errors import ConfigError, DataError

ORACLE: Final = "oracle"
"""What reports call the cheapest agent of each example: no method's name."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Routing:
    """What one method decided."""

    agents: Ints
    """The agent that answers. ``(B,)``."""

    scores: Floats | None
    """Its scores, where it has any: larger is better. ``(B, A)``. They give it a curve."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """Costs on a held-out set, and every method's decisions."""

    costs: Floats
    """Cost of each agent's answer, price included. ``(B, A)``, >= 0."""

    prices: Floats
    """What of it is the price of asking. ``(B, A)``, >= 0, at most the cost."""

    correct: npt.NDArray[np.bool_] | None
    """Whether each agent is right, where that has a meaning. ``(B, A)``."""

    groups: npt.NDArray[Any] | None
    """A label for each example, such as minority or not. ``(B,)``."""

    methods: Mapping[str, Routing]
    seed: int

    @property
    def errors(self) -> Floats:
        """Costs without prices. ``(B, A)``."""
        return self.costs - self.prices


def trial(  # noqa: PLR0913  (what is known of a held-out set)
    costs_BA: Any,
    methods: Mapping[str, Any],
    *,
    prices: Any = None,
    correct_BA: Any = None,
    groups_B: Any = None,
    seed: int = 0,
) -> Trial:
    """Put together what a report is made of.

    Args:
        costs_BA: cost of each agent's answer, >= 0, price included. Shape ``(B, A)``, A >= 2.
        methods: by name, the agents that a method chose, ``(B,)``, or an object with ``agents``
            and perhaps ``scores``, such as a rejector's decisions.
        prices: what of the costs is paid for asking: one for each agent, or ``(B, A)``; 0 if
            not given.
        correct_BA: whether each agent is right, truth values or 0 and 1. Shape ``(B, A)``.
        groups_B: any label for each example; figures are given for each group too.
        seed: which run this is.

    Raises:
        DataError: an array does not fit the costs, or holds what it must not.
        ConfigError: a method is called ``"oracle"``.
    """
    if ORACLE in methods:
        raise ConfigError(
            f"a method is called {ORACLE!r}, as is the bound that each report adds",
            hint="rename it",
        )
    costs = numbers_of(costs_BA, "costs", dimensions=2)
    examples, agents = costs.shape
    if agents < 2:  # noqa: PLR2004  (the main model and one expert)
        raise DataError("there is one agent only", hint="give the costs of at least one expert")
    if costs.min() < 0:
        raise DataError(
            f"a cost is {costs.min():g}, must be >= 0",
            hint="shift the costs of each example by a constant: the best agent stays the same",
        )
    if not methods:
        raise DataError("there is no method to report on", hint="give at least one, by its name")
    return Trial(
        costs=costs,
        prices=_prices(prices, costs),
        correct=None if correct_BA is None else _correct(correct_BA, costs.shape),
        groups=None if groups_B is None else _groups(groups_B, examples),
        methods={name: _routing(name, made, costs.shape) for name, made in methods.items()},
        seed=seed,
    )


def _prices(prices: Any, costs: Floats) -> Floats:
    given = array_of(0.0 if prices is None else prices).astype(np.float64)
    if given.shape not in {(), costs.shape[1:], costs.shape}:
        raise DataError(
            f"the prices have shape {given.shape}, the costs {costs.shape}",
            hint="give one price for each agent, agent 0 (usually free) included",
        )
    full = np.broadcast_to(given, costs.shape)
    rounding = 1e-9 * (1 + costs)
    if not ((full >= 0) & (full <= costs + rounding)).all():
        raise DataError(
            "some prices are below 0 or above the cost that they are part of",
            hint="give costs with the prices in them",
        )
    return np.array(full)


def _correct(correct_BA: Any, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    given = array_of(correct_BA)
    if given.shape != shape or not np.isin(given, (0, 1)).all():
        raise DataError(
            f"what is correct has shape {given.shape}, the costs {shape}",
            hint="give 0 or 1 for each example and agent",
        )
    return given.astype(np.bool_)


def _groups(groups_B: Any, examples: int) -> npt.NDArray[Any]:
    given = array_of(groups_B)
    if given.shape != (examples,):
        raise DataError(
            f"the groups have shape {given.shape}, for {examples} examples",
            hint="give one label for each example",
        )
    return given


def _routing(name: str, made: Any, shape: tuple[int, ...]) -> Routing:
    examples, agents = shape
    chosen = agents_of(
        getattr(made, "agents", made), f"choices of {name!r}", examples=examples, agents=agents
    )
    given = getattr(made, "scores", None)
    if given is None:
        return Routing(agents=chosen, scores=None)
    scores = numbers_of(given, f"scores of {name!r}", dimensions=2)
    if scores.shape != shape:
        raise DataError(
            f"the scores of {name!r} have shape {scores.shape}, the costs {shape}",
            hint="give one score for each example and agent",
        )
    return Routing(agents=chosen, scores=scores)


def same_agents(trials: Sequence[Trial]) -> None:
    """Refuse trials that cannot stand in one report.

    Raises:
        DataError: they differ in agents, methods, or in what is known.
    """
    first, *others = trials
    for other in others:
        if first.costs.shape[1] != other.costs.shape[1] or [*first.methods] != [*other.methods]:
            raise DataError(
                f"seeds {first.seed} and {other.seed} are about different agents or methods",
                hint="give the same methods in the same order for every seed",
            )
        if (first.correct is None) != (other.correct is None):
            raise DataError(
                f"of seeds {first.seed} and {other.seed} one only says what is correct",
                hint="give it for every seed, or for none",
            )
