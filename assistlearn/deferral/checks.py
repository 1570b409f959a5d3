"""What every loss of this package asks of its arrays, and says when it does not get it.

Letters: B examples, A agents.
"""

import torch
from torch import Tensor

from assistlearn.errors import DataError

_FINITE_HINT = "look for a division by zero or a missing value where they are computed"


def checked_scores(scores_BA: Tensor) -> Tensor:
    """``scores_BA`` itself, if it is one finite row of scores for at least two agents.

    Raises:
        DataError: the shape, the type or a value is none that a rejector can give.
    """
    _check_matrix("scores", scores_BA)
    if not scores_BA.is_floating_point():
        raise DataError(
            f"the scores are {scores_BA.dtype}, must be floating-point numbers",
            hint="give the rejector's real scores, not its choice",
        )
    return scores_BA


def checked_costs(costs_BA: Tensor, *, like: Tensor | None = None) -> Tensor:
    """The costs as constants in at least float32: nothing flows back into the agents.

    Half precision would do for costs, but not for sums and differences of many of them.

    Args:
        costs_BA: cost of each agent's answer, >= 0 and finite. Shape ``(B, A)``.
        like: scores, or other costs, whose shape these must have.

    Raises:
        DataError: the shape differs, or a cost is negative or not finite.
    """
    _check_matrix("costs", costs_BA)
    if like is not None and costs_BA.shape != like.shape:
        raise DataError(
            f"the costs have shape {tuple(costs_BA.shape)}, must have {tuple(like.shape)}",
            hint="give one cost and one score for each example and agent, agent 0 first",
        )
    costs_BA = costs_BA.detach()
    if not costs_BA.is_floating_point():
        costs_BA = costs_BA.to(torch.get_default_dtype())
    costs_BA = costs_BA.to(torch.promote_types(costs_BA.dtype, torch.float32))
    if (costs_BA < 0).any():
        raise DataError(
            f"a cost is {costs_BA.min().item():.6g}, must be >= 0",
            hint="shift the costs of each example by a constant: the best agent stays the same",
        )
    return costs_BA


def _check_matrix(what: str, values_BA: Tensor) -> None:
    if values_BA.ndim != 2 or values_BA.shape[1] < 2:  # noqa: PLR2004 (rows, and two agents)
        raise DataError(
            f"the {what} have shape {tuple(values_BA.shape)}, must be examples by agents",
            hint="give one row for each example and one column for each of at least two agents",
        )
    if not torch.isfinite(values_BA).all():
        raise DataError(f"some of the {what} are not finite", hint=_FINITE_HINT)
