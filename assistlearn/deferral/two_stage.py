"""Two-stage learning to defer: the agents are fixed, only the rejector learns.

The largest score decides, the lowest index on a tie, so that a tie with the main model keeps
its answer. Every loss is per example and differentiable in the scores alone.

Letters: B examples, A agents (0 is the main model, 1..J the experts; A = J + 1).
"""

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor

from assistlearn.deferral.checks import checked_costs, checked_scores
from assistlearn.deferral.comp_sum import comp_sum
from assistlearn.deferral.weights import Kappa, cost_weights

Surrogate: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Scores (B, A) and costs (B, A) in, one loss for each example (B,) out."""


def chosen_agents(scores_BA: Tensor) -> Tensor:
    """Index of each example's largest score, the lowest index on a tie. Shape ``(B,)``."""
    return checked_scores(scores_BA).argmax(dim=1)


def deferral_loss(scores_BA: Tensor, costs_BA: Tensor) -> Tensor:
    """True deferral loss: the cost of the agent that each example is sent to.

    Source: arXiv:2410.15729, definition 4.1. Piecewise constant in the scores: for measuring,
    not for training.

    Args:
        scores_BA: rejector scores. Shape ``(B, A)``.
        costs_BA: cost of each agent's answer, >= 0. Shape ``(B, A)``.

    Returns:
        Costs, in their own unit and dtype, without gradient. Shape ``(B,)``.

    Raises:
        DataError: scores or costs are not finite matrices of one shape, or a cost is negative.
    """
    agents_B1 = chosen_agents(scores_BA).unsqueeze(1)
    return checked_costs(costs_BA, like=scores_BA).gather(1, agents_B1).squeeze(1)


def two_stage_surrogate(
    scores_BA: Tensor, costs_BA: Tensor, *, nu: float = 1.0, weights: Kappa = "sum"
) -> Tensor:
    r"""Surrogate deferral loss ``sum_j w_j Phi^nu(r, j)``, with ``w_j = kappa - c_j``.

    With the default weights ``tau_j = sum_{i != j} c_i`` it is lemma 4.3 of arXiv:2410.15729,
    where nu = 1 is what its experiments train on. Bayes-consistent for every nu and kappa.
    Bounds the true loss only after normalising: with ``tau_j``, ``surrogate / n - (J - 1) *
    sum_j c_j >= deferral_loss``, where n is :func:`comp_sum_normalizer`.

    Args:
        scores_BA: rejector scores. Shape ``(B, A)``.
        costs_BA: cost of each agent's answer, >= 0. Shape ``(B, A)``. Constants: no gradient
            flows into whoever computed them.
        nu: member of the comp-sum family, >= 0. Convex in the scores for nu <= 1.
        weights: what the costs are subtracted from.

    Returns:
        Losses >= 0, in nats times cost for nu = 1. Shape ``(B,)``.

    Raises:
        ConfigError: nu or weights are none that exist.
        DataError: scores or costs are not finite matrices of one shape, a cost is negative, or
            above 1 where the weights are ``"one"``.
    """
    weights_BA = cost_weights(checked_costs(costs_BA, like=scores_BA), weights)
    return (weights_BA * comp_sum(scores_BA, nu)).sum(dim=1)
