"""A loss's two inputs, checked, and in enough digits for logarithms and exponentials.

Letters: B examples, A agents.
"""

import torch
from torch import Tensor

from assistlearn.deferral.checks import checked_costs, checked_scores


def loss_inputs(scores_BA: Tensor, costs_BA: Tensor) -> tuple[Tensor, Tensor]:
    """Scores and costs in at least float32, costs as constants.

    Args:
        scores_BA: rejector scores, any finite number. Shape ``(B, A)``.
        costs_BA: agents' costs, >= 0. Shape ``(B, A)``.

    Raises:
        DataError: scores or costs are not finite matrices of one shape, or a cost is negative.
    """
    costs_BA = checked_costs(costs_BA, like=checked_scores(scores_BA))
    return scores_BA.to(torch.promote_types(scores_BA.dtype, torch.float32)), costs_BA
