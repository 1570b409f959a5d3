"""Losses made for imbalanced classes, on the rejector: the class is the agent that was cheapest.

Baselines for :mod:`assistlearn.deferral.margins`. All four are cross-entropies against the
*oracle agent* of each example. They forget by how much it was cheaper, so none of them is
Bayes-consistent for the deferral loss.

Letters: B examples, A agents (agent 0 is the main model).
"""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from assistlearn.deferral.checks import checked_costs
from assistlearn.deferral.inputs import loss_inputs
from assistlearn.errors import ConfigError, DataError

BETA: Final = 0.9999
"""Cui et al.'s largest: an agent's examples cover at most 1 / (1 - BETA) = 10,000 distinct ones."""


def oracle_agents(costs_BA: Tensor) -> Tensor:
    """The agent that was cheapest on each example, the lowest index on a tie. Shape ``(B,)``."""
    return checked_costs(costs_BA).argmin(dim=1)  # torch promises the first of several least ones


def oracle_counts(costs_BA: Tensor) -> Tensor:
    """On how many examples each agent is the oracle agent. Shape ``(A,)``, integers."""
    return torch.bincount(oracle_agents(costs_BA), minlength=costs_BA.shape[1])


def class_balanced_weights(counts_A: Tensor, *, beta: float = BETA) -> Tensor:
    r"""Inverse effective numbers of examples, scaled to sum to the number of agents.

    .. math:: w_j \propto \frac{1-\beta}{1-\beta^{n_j}}

    Source: Cui et al., "Class-Balanced Loss Based on Effective Number of Samples",
    arXiv:1901.05555, equations 3 and 5. ``beta = 0`` weights all alike; as beta approaches 1,
    weights become inverse frequencies.

    Args:
        counts_A: how often each agent was the oracle agent. Shape ``(A,)``, >= 0. Counted as at
            least once: an agent that never was has no example that its weight could apply to.
        beta: in [0, 1).

    Returns:
        Shape ``(A,)``, > 0, in 64-bit floating point.

    Raises:
        ConfigError: beta is outside its range.
    """
    if not 0 <= beta < 1:
        raise ConfigError(f"beta is {beta:g}, must be in [0, 1)", hint="set beta to 0.9999 or less")
    weights_A = (1 - beta) / (1 - torch.pow(beta, _at_least_one(counts_A)))
    return weights_A * len(weights_A) / weights_A.sum()


def class_balanced(
    scores_BA: Tensor, costs_BA: Tensor, *, counts_A: Tensor, beta: float = BETA
) -> Tensor:
    """Cross-entropy against the oracle agent, weighted by :func:`class_balanced_weights`.

    Args:
        scores_BA: rejector scores. Shape ``(B, A)``.
        costs_BA: agents' costs; only which is least matters. Shape ``(B, A)``.
        counts_A: oracle agents of the *training* set. Shape ``(A,)``.
        beta: in [0, 1).

    Returns:
        Loss per example, in nats times weight. Shape ``(B,)``.
    """
    scores_BA, oracles_B = _inputs(scores_BA, costs_BA, counts_A)
    weights_A = class_balanced_weights(counts_A, beta=beta).to(scores_BA)
    return weights_A[oracles_B] * _cross_entropy(scores_BA, oracles_B)


def focal(scores_BA: Tensor, costs_BA: Tensor, *, gamma: float = 2.0) -> Tensor:
    r"""Cross-entropy against the oracle agent that turns away from easy examples.

    .. math:: (1 - p_o)^\gamma \, (-\log p_o), \qquad p = \mathrm{softmax}(r), \; o = \text{oracle}

    Source: Lin et al., "Focal Loss for Dense Object Detection", arXiv:1708.02002, equation 4,
    with a softmax for the sigmoid. ``gamma = 0`` is cross-entropy.

    Args:
        scores_BA: rejector scores. Shape ``(B, A)``.
        costs_BA: agents' costs; only which is least matters. Shape ``(B, A)``.
        gamma: focus, >= 0.

    Returns:
        Loss per example, in nats. Shape ``(B,)``.

    Raises:
        ConfigError: gamma is negative.
    """
    if not gamma >= 0:
        raise ConfigError(f"gamma is {gamma:g}, must be >= 0", hint="set gamma to 0 or more")
    scores_BA, oracles_B = _inputs(scores_BA, costs_BA)
    oracle_BA = functional.one_hot(oracles_B, scores_BA.shape[1]).bool()
    # log(1 - p) from the other scores: 1 - p itself would round to 0, and its power's gradient to
    # infinity times 0.
    log_miss_B = scores_BA.masked_fill(oracle_BA, -torch.inf).logsumexp(1) - scores_BA.logsumexp(1)
    return torch.exp(gamma * log_miss_B) * _cross_entropy(scores_BA, oracles_B)


def ldam_margins(counts_A: Tensor, *, max_margin: float = 0.5) -> Tensor:
    r"""Label-distribution-aware margins: larger for the rarer agent.

    .. math:: \Delta_j = \Delta_{\max} \left(\min_i n_i / n_j\right)^{1/4}

    Source: Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss",
    arXiv:1906.07413, equation 11, scaled as in the authors' code.

    Args:
        counts_A: how often each agent was the oracle agent. Shape ``(A,)``; at least once.
        max_margin: margin of the rarest agent, >= 0.

    Returns:
        Shape ``(A,)``, in units of the scores, 64-bit floating point.

    Raises:
        ConfigError: the margin is negative.
    """
    if not max_margin >= 0:
        raise ConfigError(
            f"max_margin is {max_margin:g}, must be >= 0", hint="set max_margin to 0 or more"
        )
    counts_A = _at_least_one(counts_A)
    return max_margin * (counts_A.min() / counts_A).pow(0.25)


def ldam(
    scores_BA: Tensor,
    costs_BA: Tensor,
    *,
    counts_A: Tensor,
    max_margin: float = 0.5,
    scale: float = 1.0,
) -> Tensor:
    r"""Cross-entropy in which the oracle agent has to lead by :func:`ldam_margins`.

    .. math:: -\log\mathrm{softmax}_o\bigl(s\,(r - \Delta_o e_o)\bigr)

    Source: Cao et al., arXiv:1906.07413, equation 13.

    Args:
        scores_BA: rejector scores. Shape ``(B, A)``.
        costs_BA: agents' costs; only which is least matters. Shape ``(B, A)``.
        counts_A: oracle agents of the *training* set. Shape ``(A,)``.
        max_margin: margin of the rarest agent, in units of the scores, >= 0.
        scale: s > 0. The authors' 30 belongs to scores that are cosines, in [-1, 1]; ours are
            free, so 1 is the default.

    Returns:
        Loss per example, in nats. Shape ``(B,)``.

    Raises:
        ConfigError: the scale is not above 0.
    """
    if not scale > 0:
        raise ConfigError(f"scale is {scale:g}, must be above 0", hint="set scale to 1")
    scores_BA, oracles_B = _inputs(scores_BA, costs_BA, counts_A)
    margins_A = ldam_margins(counts_A, max_margin=max_margin).to(scores_BA)
    leads_BA = functional.one_hot(oracles_B, scores_BA.shape[1]) * margins_A
    return _cross_entropy(scale * (scores_BA - leads_BA), oracles_B)


def logit_adjusted(
    scores_BA: Tensor, costs_BA: Tensor, *, counts_A: Tensor, tau: float = 1.0
) -> Tensor:
    r"""Cross-entropy of the scores with the oracle agents' log-frequencies added.

    .. math:: -\log\mathrm{softmax}_o(r + \tau\log\pi), \qquad \pi = n / \textstyle\sum_j n_j

    The rejector then decides on ``r`` alone, without the frequencies. Source: Menon et al.,
    "Long-Tail Learning via Logit Adjustment", arXiv:2007.07314, equation 10. With ``tau = 1`` it
    is Bayes-consistent for the *balanced* error of finding the oracle agent.

    Args:
        scores_BA: rejector scores. Shape ``(B, A)``.
        costs_BA: agents' costs; only which is least matters. Shape ``(B, A)``.
        counts_A: oracle agents of the *training* set. Shape ``(A,)``; at least once.
        tau: how much of the log-frequency, >= 0. 0 is cross-entropy.

    Returns:
        Loss per example, in nats. Shape ``(B,)``.

    Raises:
        ConfigError: tau is negative.
    """
    if not tau >= 0:
        raise ConfigError(f"tau is {tau:g}, must be >= 0", hint="set tau to 1, or 0 for none")
    scores_BA, oracles_B = _inputs(scores_BA, costs_BA, counts_A)
    counts_A = _at_least_one(counts_A)
    shifts_A = tau * (counts_A / counts_A.sum()).log().to(scores_BA)
    return _cross_entropy(scores_BA + shifts_A, oracles_B)


def _inputs(
    scores_BA: Tensor, costs_BA: Tensor, counts_A: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    scores_BA, costs_BA = loss_inputs(scores_BA, costs_BA)
    if counts_A is not None and counts_A.shape != costs_BA.shape[1:]:
        raise DataError(
            f"there are counts of shape {tuple(counts_A.shape)} for {costs_BA.shape[1]} agents",
            hint="give one count for each agent: oracle_counts(training costs)",
        )
    return scores_BA, oracle_agents(costs_BA)


def _cross_entropy(scores_BA: Tensor, oracles_B: Tensor) -> Tensor:
    return functional.cross_entropy(scores_BA, oracles_B, reduction="none")


def _at_least_one(counts_A: Tensor) -> Tensor:
    return counts_A.cpu().double().clamp(min=1.0)  # not every accelerator has 64-bit numbers
