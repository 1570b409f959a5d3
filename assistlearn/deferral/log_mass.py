"""Surrogates on the total softmax mass of the agents that would do, not on each agent's own.

A cross-entropy over agents asks the softmax to spread over all good ones in fixed proportions;
with three agents or more, a linear rejector may then miss a rule that costs nothing. Here it is
enough that *some* good agent gets the mass.

Letters: B examples, A agents, L = A - 1 layers, C = 2 (an agent within or outside a layer).
"""

import torch
from torch import Tensor

from assistlearn.deferral.comp_sum import comp_sum
from assistlearn.deferral.inputs import loss_inputs


def log_mass(scores_BA: Tensor, costs_BA: Tensor) -> Tensor:
    r"""Negative logarithm of the softmax mass on the cheapest agents.

    .. math:: -\log \sum_{j \,:\, c_j = \min_i c_i} \mathrm{softmax}_j(r)

    The two-stage form of Mozannar et al.'s realizable surrogate (arXiv:2301.06197). Realizable
    consistent. Not Bayes-consistent, except for two agents with costs 0 and 1. Blind to how much
    dearer the others are: see :func:`layered_mass` for other costs. Not convex.

    Args:
        scores_BA: rejector scores. Shape ``(B, A)``.
        costs_BA: agents' costs, >= 0; only which ones are least matters. Shape ``(B, A)``.

    Returns:
        Losses in nats, >= 0; 0 where all agents cost the same. Shape ``(B,)``.

    Raises:
        DataError: scores or costs are not finite matrices of one shape, or a cost is negative.
    """
    scores_BA, costs_BA = loss_inputs(scores_BA, costs_BA)
    dear_BA = costs_BA > costs_BA.amin(dim=1, keepdim=True)
    return scores_BA.logsumexp(1) - scores_BA.masked_fill(dear_BA, -torch.inf).logsumexp(1)


def layered_mass(scores_BA: Tensor, costs_BA: Tensor, *, nu: float = 1.0) -> Tensor:
    r"""For each step up in cost, the loss of not having settled below it.

    With the agents of an example in order of cost and P_i the softmax mass of the i cheapest,

    .. math:: \sum_{i=1}^{A-1} \bigl(c_{(i+1)} - c_{(i)}\bigr)\, \Phi^\nu(P_i), \qquad
              \Phi^1(P) = -\log P, \quad \Phi^\nu(P) = \frac{1 - P^{\nu-1}}{\nu - 1}

    Ours; it joins what the literature has apart. With one step it is Mao et al.'s realizable family
    (arXiv:2407.13732), with costs 0 and 1 :func:`log_mass`, with two agents the comp-sum surrogate
    under ``"max"`` weights, and at nu = 2 the expected excess cost of drawing the agent from the
    softmax. Divided by :math:`\Phi^\nu(1 - 1/A)` it bounds the excess ``c_chosen - min_j c_j`` from
    above; hence realizable consistency. (1/2 would not do: two good agents with .3 each have more
    than half, and lose to a bad one with .4.) Bayes-consistent at nu = 2, and for two agents at
    every nu; not at nu = 1 otherwise. Not convex.

    Args:
        scores_BA: rejector scores. Shape ``(B, A)``.
        costs_BA: agents' costs, >= 0. Shape ``(B, A)``. Constants: no gradient flows back.
        nu: member of the comp-sum family, >= 0.

    Returns:
        Losses >= 0, in nats times cost for nu = 1. Shape ``(B,)``.

    Raises:
        ConfigError: nu is negative or not finite.
        DataError: scores or costs are not finite matrices of one shape, or a cost is negative.
    """
    scores_BA, costs_BA = loss_inputs(scores_BA, costs_BA)
    costs_BA, order_BA = costs_BA.sort(dim=1)
    scores_BA = scores_BA.gather(1, order_BA)
    within_BL = scores_BA.logcumsumexp(1)[:, :-1]
    outside_BL = scores_BA.flip(1).logcumsumexp(1).flip(1)[:, 1:]
    pairs_BLC = torch.stack((within_BL, outside_BL), dim=2)
    losses_BL = comp_sum(pairs_BLC.flatten(0, 1), nu)[:, 0].view_as(within_BL)
    return (costs_BA.diff(dim=1) * losses_BL).sum(dim=1)
