"""The best that any rejector can do once the agents are fixed, and how far one is from it.

Letters: X inputs of a finite distribution, A agents.
"""

from torch import Tensor

from assistlearn.deferral.checks import checked_costs
from assistlearn.deferral.two_stage import deferral_loss


def bayes_agents(mean_costs_XA: Tensor) -> Tensor:
    """Bayes rejector: the agent with the least expected cost, the lowest index on a tie.

    Source: arXiv:2410.15729, lemma 4.2. The least cost itself, ``mean_costs_XA.amin(dim=1)``, is
    the conditional risk that no rejector undercuts. If the main model is still to be chosen, let
    column 0 hold the least expected cost among the models at hand.

    Args:
        mean_costs_XA: expected cost of each agent's answer given the input. Shape ``(X, A)``.

    Returns:
        Agents. Shape ``(X,)``.
    """
    return checked_costs(mean_costs_XA).argmin(dim=1)


def deferral_regret(scores_XA: Tensor, mean_costs_XA: Tensor) -> Tensor:
    """Expected cost of the chosen agents beyond the Bayes rejector's.

    Args:
        scores_XA: rejector scores. Shape ``(X, A)``.
        mean_costs_XA: expected cost of each agent's answer given the input. Shape ``(X, A)``.

    Returns:
        Regrets >= 0, in the costs' unit. Shape ``(X,)``.
    """
    return deferral_loss(scores_XA, mean_costs_XA) - checked_costs(mean_costs_XA).amin(dim=1)
