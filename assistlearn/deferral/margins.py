r"""MILD, RECONSTRUCTED: margin losses for agents of which some are rarely the right choice.

MILD (Cortes, Mao, Mohri, Zhong, "Optimized Deferral for Imbalanced Settings", arXiv:2604.27723) was
available here as its abstract only. Known from it: two-stage deferral, rewritten as cost-sensitive
learning over pairs of input and expert, with new margin-based losses. Not known: the losses'
formulas, weights, normalisation and constants, how margins are chosen, theorems, experiments. What
follows puts the authors' earlier parts together: their cost-sensitive weights (arXiv:2403.19494)
and the class-imbalanced margins of IMMAX (arXiv:2502.10381). Results with it are no results of
MILD. ``NOTES.md`` has the list.

An agent's *margin* in the scores is its lead over the best of the others; ``rho_k > 0``, one for
each agent, is the lead that its loss asks for. With weights ``w_k = kappa - c_k``::

    mild_log    sum_k w_k * log(1 + sum_{j != k} exp((r_j - r_k) / rho_k))
    mild_hinge  sum_k w_k * max(0, 1 - margin_k / rho_k)
    mild_ramp   sum_k w_k * min(1, max(0, 1 - margin_k / rho_k))

Unequal margins are a choice of target, not only of shape. With ``q_k = E[w_k | x] > 0``, mild_log's
minimiser orders agents by ``q_k / rho_k``: a larger margin for the majority favours the minority,
and the rejector is no longer Bayes-consistent for the deferral loss. ``normalise=True`` multiplies
each agent's term by ``rho_k`` and restores the order of ``q_k`` for every rho.

Letters: B examples, A agents.
"""

from collections.abc import Sequence
from typing import Final, TypeAlias

import torch
from torch import Tensor

from assistlearn.deferral.checks import checked_scores
from assistlearn.deferral.inputs import loss_inputs
from assistlearn.deferral.weights import Kappa, cost_weights
from assistlearn.errors import ConfigError

Margins: TypeAlias = Sequence[float]
"""rho, one for each agent, > 0, in units of the scores."""


def score_margins(scores_BA: Tensor) -> Tensor:
    """Each agent's lead over the best of the others; > 0 for at most one. Shape ``(B, A)``."""
    own_AA = torch.eye(checked_scores(scores_BA).shape[1], dtype=torch.bool).to(scores_BA.device)
    rivals_BAA = scores_BA.unsqueeze(1).masked_fill(own_AA, -torch.inf)
    return scores_BA - rivals_BAA.amax(dim=2)


def mild_log(
    scores_BA: Tensor,
    costs_BA: Tensor,
    *,
    margins: Margins,
    weights: Kappa = "sum",
    normalise: bool = False,
) -> Tensor:
    r"""MILD-log (reconstruction): cross-entropy of ``r / rho_k`` against each agent k.

    .. math:: \sum_k w_k \Bigl[\log\sum_j e^{r_j/\rho_k} - r_k/\rho_k\Bigr]

    Margins of 1 give ``two_stage_surrogate`` at nu = 1, exactly. Convex. Bayes-consistent with
    equal margins, and with any if normalised. In bits (divided by ln 2) each agent's term bounds
    its ramp from above.

    Args:
        scores_BA: rejector scores. Shape ``(B, A)``.
        costs_BA: agents' costs, >= 0. Shape ``(B, A)``. Constants: no gradient flows back.
        margins: rho, > 0, in units of the scores. Shape ``(A,)``.
        weights: what the costs are subtracted from: ``"sum"`` is the authors' earlier choice,
            ``"one"`` weighs by accuracy, ``"max"`` by gap and ignores examples on which all agents
            cost the same.
        normalise: multiply each agent's term by its margin.

    Returns:
        Losses >= 0, in nats times cost (times the scores' unit if normalised). Shape ``(B,)``.

    Raises:
        ConfigError: a margin is not above 0, there is not one for each agent, or the weights are
            unknown.
        DataError: scores or costs are not finite matrices of one shape, a cost is negative, or
            above 1 where the weights are ``"one"``.
    """
    scores_BA, costs_BA = loss_inputs(scores_BA, costs_BA)
    rho_A = _rho(margins, scores_BA)
    # Axes: example, agent k whose margin divides, agent j whose score is divided.
    scaled_BAA = scores_BA.unsqueeze(1) / rho_A.unsqueeze(1)
    losses_BA = scaled_BAA.logsumexp(2) - scaled_BAA.diagonal(dim1=1, dim2=2)
    return _total(cost_weights(costs_BA, weights), losses_BA, rho_A if normalise else None)


def mild_hinge(
    scores_BA: Tensor,
    costs_BA: Tensor,
    *,
    margins: Margins,
    weights: Kappa = "sum",
    normalise: bool = False,
) -> Tensor:
    r"""MILD-hinge (reconstruction): each agent's shortfall of its margin, in parts of it.

    .. math:: \sum_k w_k \max(0,\; 1 - m_k/\rho_k), \qquad m_k = r_k - \max_{j\ne k} r_j

    Convex. Bounds the ramp from above. Bayes-consistent for two agents only (with equal margins, or
    normalised): with three, equal scores are a minimiser wherever no agent has half of the weight.

    Args:
        scores_BA: rejector scores. Shape ``(B, A)``.
        costs_BA: agents' costs, >= 0. Shape ``(B, A)``. Constants: no gradient flows back.
        margins: rho, > 0, in units of the scores. Shape ``(A,)``.
        weights: what the costs are subtracted from; see :func:`mild_log`.
        normalise: multiply each agent's term by its margin.

    Returns:
        Losses >= 0, in units of the cost (times the scores' unit if normalised). Shape ``(B,)``.

    Raises:
        ConfigError: see :func:`mild_log`.
        DataError: see :func:`mild_log`.
    """
    scores_BA, costs_BA = loss_inputs(scores_BA, costs_BA)
    rho_A = _rho(margins, scores_BA)
    losses_BA = (1 - score_margins(scores_BA) / rho_A).clamp(min=0)
    return _total(cost_weights(costs_BA, weights), losses_BA, rho_A if normalise else None)


def mild_ramp(
    scores_BA: Tensor, costs_BA: Tensor, *, margins: Margins, weights: Kappa = "sum"
) -> Tensor:
    r"""MILD-ramp (reconstruction): the hinge, but no example's agent costs more than its weight.

    .. math:: \sum_k w_k \min\bigl(1, \max(0,\; 1 - m_k/\rho_k)\bigr)

    The margin loss itself, of which log and hinge are bounds. Bayes-consistent for *every* rho: the
    excess of the true cost-sensitive loss never exceeds the excess of this one. So there is nothing
    to normalise, and doing so would order agents by ``q_k * rho_k``. Not convex, and flat where
    an agent is clearly behind: for measuring, or for training from a good start.

    Args:
        scores_BA: rejector scores. Shape ``(B, A)``.
        costs_BA: agents' costs, >= 0. Shape ``(B, A)``. Constants: no gradient flows back.
        margins: rho, > 0, in units of the scores. Shape ``(A,)``.
        weights: what the costs are subtracted from; see :func:`mild_log`.

    Returns:
        Losses >= 0, in units of the cost. Shape ``(B,)``.

    Raises:
        ConfigError: see :func:`mild_log`.
        DataError: see :func:`mild_log`.
    """
    scores_BA, costs_BA = loss_inputs(scores_BA, costs_BA)
    rho_A = _rho(margins, scores_BA)
    losses_BA = (1 - score_margins(scores_BA) / rho_A).clamp(min=0, max=1)
    return _total(cost_weights(costs_BA, weights), losses_BA, None)


PAIRWISE: Final = frozenset({mild_log, mild_hinge, mild_ramp})
"""The losses that take memory for each pair of agents, ``B * A * A`` numbers at once."""


def checked_margins(margins: Margins, *, agents: int) -> tuple[float, ...]:
    """The margins as they are, if there is one above 0 for each agent.

    Raises:
        ConfigError: there is not.
    """
    checked = tuple(float(margin) for margin in margins)
    if len(checked) != agents:
        raise ConfigError(
            f"there are {len(checked)} margins for {agents} agents",
            hint="give one margin for each agent, agent 0 first",
        )
    if not all(0 < margin < float("inf") for margin in checked):
        raise ConfigError(
            f"the margins are {checked}, must be finite and above 0",
            hint="set all of them to 1 for the plain cross-entropy",
        )
    return checked


def _rho(margins: Margins, scores_BA: Tensor) -> Tensor:
    return scores_BA.new_tensor(checked_margins(margins, agents=scores_BA.shape[1]))


def _total(weights_BA: Tensor, losses_BA: Tensor, rho_A: Tensor | None) -> Tensor:
    return (weights_BA * (losses_BA if rho_A is None else losses_BA * rho_A)).sum(dim=1)
