"""A trained torch module as a rejector: who answers, why, and what each agent would cost.

    module = ImageRejector((3, 32, 32), agents=2, extra=10)
    train_rejector(module, (images, logits), costs, two_stage_surrogate)
    rejector = TorchRejector.of(module, (other_images, other_logits), other_costs)
    print(rejector.decide(fresh_images, fresh_logits).explain(0))

Letters: B examples, A agents, N numbers that the scores are linear in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, cast

import numpy as np
import torch
from torch import Tensor, nn

from assistlearn.deferral.arrays import numbers_of
from assistlearn.deferral.rejectors.agents import (
    AgentNames,
    column_names,
    fitted_names,
    shown_names,
)
from assistlearn.deferral.rejectors.arrays import Floats
from assistlearn.deferral.rejectors.decisions import Decisions
from assistlearn.deferral.rejectors.minibatches import EVALUATION_ROWS
from assistlearn.deferral.rejectors.ridge import CostEstimate, fit_costs
from assistlearn.errors import ConfigError, DataError


class Scoring(Protocol):
    """What a module must have: ``forward`` is ``last(hidden(...))``."""

    @property
    def last(self) -> nn.Module:
        """The layer that gives the scores, from ``(B, N)`` to ``(B, A)``."""

    def hidden(self, *inputs: Tensor) -> Tensor:
        """What the scores are linear in. Shape ``(B, N)``."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TorchRejector:
    """A module, its agents, and an estimate of their costs fitted beside the scores.

    As in :class:`.Rejector`, the estimate is a ridge regression of each agent's cost on what the
    scores are linear in: the last hidden layer, or without one the features.
    """

    module: nn.Module
    """A trained :class:`.TableRejector`, :class:`.ImageRejector`, :class:`.TextFeatureRejector`,
    or one of your own that is :class:`Scoring`."""

    agents: tuple[str, ...] | int
    """Names, or how many there are."""

    cost_estimate: CostEstimate
    """Costs from the last hidden layer."""

    cost_errors: Floats
    """Root mean square error of that estimate against single costs. Shape ``(A,)``."""

    @classmethod
    def of(
        cls,
        module: nn.Module,
        features: Tensor | Sequence[Tensor],
        costs: Any,
        *,
        agents: AgentNames = None,
    ) -> Self:
        """Fit the cost estimate of a trained module, whose parameters stay.

        Args:
            module: already trained; put into evaluation mode.
            features: one tensor or several, as the module takes them, with at least two examples
                along the first axis. Of rows that the module was not trained on: on others its
                hidden layer was fitted to these same costs, and ``cost_errors`` come out too low.
            costs: of each agent, prices included, >= 0. Shape ``(B, A)``.
            agents: names, the main model's first; None for a data frame's columns, or numbers.

        Raises:
            ConfigError: the module has no ``hidden`` or ``last``, is of half precision, or names
                do not fit.
            DataError: costs are negative, not finite, or not one for each example and score.
        """
        _checked(module)
        costs_BA = numbers_of(costs, "costs", dimensions=2)
        if costs_BA.min() < 0:
            raise DataError(
                f"a cost is {costs_BA.min():.6g}, must be >= 0",
                hint="shift the costs of each example by a constant: the best agent stays the same",
            )
        inputs = (features,) if isinstance(features, Tensor) else tuple(features)
        hidden_BN, scores_BA = _outputs(module, inputs)
        if costs_BA.shape != scores_BA.shape or len(costs_BA) < 2:  # noqa: PLR2004  (rows)
            raise DataError(
                f"the costs have shape {costs_BA.shape}, the scores {scores_BA.shape}",
                hint="give at least two examples, and one cost for each example and agent",
            )
        names = fitted_names(agents, column_names(costs), costs_BA.shape[1])
        estimate, errors = fit_costs(hidden_BN, costs_BA)
        return cls(
            module=module,
            agents=len(names) if names.dtype.kind == "i" else shown_names(names),
            cost_estimate=estimate,
            cost_errors=errors,
        )

    @property
    def agent_names(self) -> tuple[str, ...]:
        """Names to show: "agent 0" where there is only a number."""
        if isinstance(self.agents, tuple):
            return self.agents
        return shown_names(np.arange(self.agents))

    def decide(self, *inputs: Tensor) -> Decisions:
        """Who answers each example, why, and what each agent would be expected to cost.

        Puts the module into evaluation mode. For budgets and absent agents go on with
        :meth:`.Decisions.under`.

        Args:
            inputs: as the module takes them; of texts, :meth:`.TextFeatureRejector.features`.
        """
        hidden_BN, scores_BA = _outputs(self.module, inputs)
        return Decisions.of(
            scores_BA,
            expected_costs=self.cost_estimate(hidden_BN),
            cost_errors=self.cost_errors,
            agent_names=self.agent_names,
        )


def _outputs(module: nn.Module, inputs: Sequence[Tensor]) -> tuple[Floats, Floats]:
    """Hidden numbers and scores. Shapes ``(B, N)`` and ``(B, A)``."""
    scoring, place = cast("Scoring", module.eval()), next(module.parameters())
    hidden, scores = [], []
    with torch.no_grad():
        for batch in zip(*(torch.split(each, EVALUATION_ROWS) for each in inputs), strict=True):
            hidden.append(scoring.hidden(*(each.to(place) for each in batch)))
            scores.append(scoring.last(hidden[-1]))
    return torch.cat(hidden).cpu().numpy(), torch.cat(scores).cpu().numpy()


def _checked(module: nn.Module) -> None:
    """Refuse a module that cannot be had costs of.

    Raises:
        ConfigError: it lacks ``hidden`` or ``last``, or counts in types that numpy does not have.
    """
    if not (hasattr(module, "hidden") and hasattr(module, "last")):
        raise ConfigError(
            f"a {type(module).__name__} has no hidden numbers that its scores are linear in",
            hint="give it a method hidden and a layer last, as TableRejector has them",
        )
    types = {each.dtype for each in module.parameters()}
    if types not in ({torch.float32}, {torch.float64}):
        raise ConfigError(
            f"the module's parameters are {sorted(map(str, types))}",
            hint="convert it with module.float()",
        )
