"""What deferring is worth on each example, and the setting in which every request is paid for.

B examples, A agents; agent 0 is the main model, the others are experts.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from assistlearn.deferral.arrays import Bools, Floats, Ints, numbers_of
from assistlearn.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Benefit:
    """The best expert for each example, and what is gained by asking it."""

    gain: Floats
    """Expected cost of agent 0 less that of the best expert, in the costs' unit. ``(B,)``."""

    expert: Ints
    """The expert with the least expected cost, the lowest index on a tie. ``(B,)``, from 1."""

    def deferred(self, price: float = 0.0) -> Bools:
        """Pay per request: defer where the gain is above the price, keep on a tie. ``(B,)``.

        A bound on the share of deferrals is the same rule at another price: the threshold that
        meets the bound (:func:`.threshold_at_rate`) *is* the price of one more request.
        """
        return self.gain > price

    def agents(self, deferred_B: Bools) -> Ints:
        """Who answers when ``deferred_B`` is done: the best expert or agent 0. ``(B,)``."""
        return np.where(deferred_B, self.expert, 0)


def benefit_of_deferring(costs_BA: Any) -> Benefit:
    r"""The gain :math:`\bar c_0(x) - \min_{j \ge 1} \bar c_j(x)` of asking the best expert.

    This difference is the score to put a threshold on: among all rules of one deferral rate, to
    defer where it is largest has the least expected cost (Neyman and Pearson; for abstention
    Franc, Prusa and Voracek, JMLR 2023). The scores of a rejector that was trained on a surrogate
    do not rank by it: those of learning to help tend to the logarithm of a *ratio* of costs,
    which agrees in sign but not in order.

    Args:
        costs_BA: expected cost of each agent's answer, prices included. Shape ``(B, A)``, A >= 2.

    Raises:
        DataError: not a finite matrix, or no expert in it.
    """
    costs = numbers_of(costs_BA, "costs", dimensions=2)
    if costs.shape[1] < 2:  # noqa: PLR2004  (the main model and one expert)
        raise DataError("there is one agent only", hint="give the costs of at least one expert")
    expert_B = costs[:, 1:].argmin(axis=1) + 1
    best_B = np.take_along_axis(costs, expert_B[:, None], axis=1)[:, 0]
    return Benefit(gain=costs[:, 0] - best_B, expert=expert_B)
