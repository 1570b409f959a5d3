"""Deferring to the k best agents at once, with the scores of any surrogate.

Source: Montreuil et al., arXiv:2504.12988. The surrogate does not depend on k: train once with
:func:`~assistlearn.deferral.two_stage.two_stage_surrogate`, then take any k. With k = 1 all of
this is ordinary deferral.

Letters: B examples, A agents, k chosen agents.
"""

from torch import Tensor

from assistlearn.deferral.checks import checked_costs, checked_scores
from assistlearn.errors import ConfigError


def top_k_agents(scores_BA: Tensor, k: int) -> Tensor:
    """The k largest scores' agents, best first, lower indices first among ties.

    Where the scores are those of a Bayes-consistent surrogate's minimiser, these are the k agents
    of least expected cost.

    Args:
        scores_BA: rejector scores. Shape ``(B, A)``.
        k: how many agents to ask, from 1 to all.

    Returns:
        Agents, all different in one row. Shape ``(B, k)``.

    Raises:
        ConfigError: there are not that many agents.
        DataError: the scores are not a finite matrix.
    """
    agents = checked_scores(scores_BA).shape[1]
    if not 1 <= k <= agents:
        raise ConfigError(f"k is {k}, must be from 1 to {agents}", hint="ask fewer agents")
    return scores_BA.argsort(dim=1, descending=True, stable=True)[:, :k]


def top_k_deferral_loss(scores_BA: Tensor, costs_BA: Tensor, k: int) -> Tensor:
    """Cost of asking the k chosen agents: the sum of theirs.

    Args:
        scores_BA: rejector scores. Shape ``(B, A)``.
        costs_BA: cost of each agent's answer, >= 0. Shape ``(B, A)``.
        k: how many agents to ask, from 1 to all.

    Returns:
        Costs of the sets, without gradient. Shape ``(B,)``.
    """
    return checked_costs(costs_BA, like=scores_BA).gather(1, top_k_agents(scores_BA, k)).sum(dim=1)
