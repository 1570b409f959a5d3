"""Who should have answered: the cheapest agent, and how unevenly that falls on the agents.

B examples, A agents. An example is *decided* if exactly one agent is cheapest there: where
several are, asking any of them is no mistake, so recall and imbalance are over decided examples.
Costs that differ by rounding alone, as 0.1 + 0.2 and 0.3 do, are equal.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from assistlearn.deferral.arrays import Bools, Floats, Ints, numbers_of
from assistlearn.errors import ConfigError

ROUNDING: Final = 1e-9  # far above what adding a price leaves, far below what anybody pays
BETA: Final = 0.9999
"""Of the effective number, the largest that Cui et al. use."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Oracle:
    """The cheapest agent of each example."""

    agents: Ints
    """The cheapest, the lowest index on a tie; see :func:`cheapest`. ``(B,)``."""

    decided: Bools
    """Whether it is the only one. ``(B,)``."""

    counts: Ints
    """On how many decided examples each agent is the cheapest. ``(A,)``."""

    @classmethod
    def of(cls, costs: Floats) -> "Oracle":
        """Read it off the costs. Shape ``(B, A)``."""
        found = cheapest(costs)
        agents = found.argmax(axis=1)  # the first
        decided = found.sum(axis=1) == 1
        counts = np.bincount(agents[decided], minlength=costs.shape[1])
        return cls(agents=agents, decided=decided, counts=counts)

    @property
    def shares(self) -> Floats:
        """Of the decided examples, the share on which each agent is cheapest. ``(A,)``."""
        return shares_of(self.counts)

    @property
    def imbalance(self) -> float:
        """Largest count over the smallest; infinite if an agent is never the only cheapest.

        Source: Buda et al., arXiv:1710.05381, with agents for classes. NaN without examples.
        """
        if not self.counts.any():
            return float("nan")
        return float(self.counts.max() / self.counts.min()) if self.counts.min() else float("inf")

    def recalls(self, agents: Ints) -> Floats:
        """Of the examples where an agent is the only cheapest, the share sent to it. ``(A,)``.

        NaN for an agent that has no such example.
        """
        right = self.decided & (agents == self.agents)
        found = np.bincount(agents[right], minlength=len(self.counts))
        recalls: Floats = np.full(len(self.counts), np.nan)
        np.divide(found, self.counts, out=recalls, where=self.counts > 0)
        return recalls

    def divergence(self, agents: Ints) -> float:
        """KL divergence of the shares from the oracle's, in nats, over decided examples.

        0 if every agent is asked as often as it should be (if not on the same examples), infinite
        if one that should be asked never is. NaN without decided examples.
        """
        chosen = np.bincount(agents[self.decided], minlength=len(self.counts))
        if not self.counts.any():
            return float("nan")
        wanted, given = self.shares, shares_of(chosen)
        asked = wanted > 0
        if (given[asked] == 0).any():
            return float("inf")
        # Rounding can leave the sum of a perfect match a little below zero.
        return max(float((wanted[asked] * np.log(wanted[asked] / given[asked])).sum()), 0.0)


def cheapest(costs: Floats) -> Bools:
    """Which agents cost no more than the least, up to rounding. ``(B, A)``, from the same."""
    least = costs.min(axis=1, keepdims=True)
    return np.asarray(costs <= least + rounding(costs))


def rounding(costs: Floats) -> Floats:
    """What costs may differ by and still be equal: 1e-9 (1 + least of the example). ``(B, 1)``.

    Where no cost reaches 1 it is 1e-9 of the largest instead, so that the unit does not matter.
    """
    least = costs.min(axis=1, keepdims=True)
    return np.asarray(ROUNDING * np.minimum(1 + least, costs.max()))


def shares_of(counts: Ints) -> Floats:
    """Counts as shares of their sum; zeros if there are none."""
    return counts / max(int(counts.sum()), 1)


def effective_numbers(counts_A: Any, *, beta: float = BETA) -> Floats:
    r"""How many different examples a count stands for, :math:`(1-\beta^n)/(1-\beta)`.

    Source: Cui et al., arXiv:1901.05555, equation 3.

    Args:
        counts_A: examples of each agent, >= 0. Shape ``(A,)``.
        beta: from 0, where one example says it all, to below 1, where every one is new.

    Raises:
        ConfigError: beta is out of range.
    """
    if not 0 <= beta < 1:
        raise ConfigError(f"beta is {beta}, must be in [0, 1)", hint="set it to 0.9999 or less")
    counts = numbers_of(counts_A, "counts", dimensions=1)
    numbers: Floats = (1 - beta**counts) / (1 - beta)
    return numbers
