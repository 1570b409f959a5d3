r"""What each agent's answer costs on each example: its error, plus the price of asking.

``c_j = sum_t lambda_t * error_t(agent j's answer) + beta_j`` (arXiv:2410.15729, section 4.1). One
function for each kind of error, one that adds them up. A task whose answer has one joint score
(detection, by its average precision) is the case of one error, ``1 - score``.

Letters: B examples, A agents, T tasks.
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from assistlearn.deferral.checks import checked_costs
from assistlearn.errors import ConfigError, DataError

RegressionError: TypeAlias = Literal["smooth_l1", "squared", "absolute"]
"""How far a value is from the target; ``"smooth_l1"`` is squared within 1 and absolute beyond."""


def classification_costs(labels_BA: Tensor, targets_B: Tensor) -> Tensor:
    """0 where the agent names the right class, 1 where it does not.

    Args:
        labels_BA: class that each agent names. Shape ``(B, A)``.
        targets_B: right class. Shape ``(B,)``.

    Returns:
        Zeros and ones in torch's default dtype. Shape ``(B, A)``.

    Raises:
        DataError: the shapes do not fit each other.
    """
    _check_answers(labels_BA, targets_B)
    return (labels_BA != targets_B.unsqueeze(1)).to(torch.get_default_dtype())


def regression_costs(
    values_BA: Tensor,
    targets_B: Tensor,
    error: RegressionError = "smooth_l1",
    *,
    clamp: float | None = None,
) -> Tensor:
    """Error of each agent's value, in the target's unit (or its square).

    Args:
        values_BA: value that each agent gives. Shape ``(B, A)``.
        targets_B: right value. Shape ``(B,)``.
        error: how to measure.
        clamp: largest error that counts, > 0. Bounded costs keep one wild answer from deciding
            the training, and are what the theory assumes.

    Returns:
        Errors >= 0 without gradient. Shape ``(B, A)``.

    Raises:
        ConfigError: the error or the clamp is none that exists.
        DataError: the shapes do not fit each other, or a value is not finite.
    """
    _check_answers(values_BA, targets_B)
    if clamp is not None and not clamp > 0:
        raise ConfigError(f"clamp is {clamp}, must be > 0", hint="set it to None for no clamp")
    gaps_BA = (values_BA - targets_B.unsqueeze(1)).abs()
    match error:
        case "smooth_l1":
            errors_BA = functional.smooth_l1_loss(
                gaps_BA, torch.zeros_like(gaps_BA), reduction="none"
            )
        case "squared":
            errors_BA = gaps_BA.square()
        case "absolute":
            errors_BA = gaps_BA
        case _:
            raise ConfigError(
                f"error {error!r} is unknown", hint='choose "smooth_l1", "squared" or "absolute"'
            )
    return checked_costs(errors_BA.clamp(max=clamp) if clamp is not None else errors_BA)


def score_costs(quality_BA: Tensor) -> Tensor:
    """``1 - quality``, for answers that are judged as a whole.

    Args:
        quality_BA: how good each agent's answer is, from 0 to 1 (average precision, F1, the
            grade of a judge). Shape ``(B, A)``.

    Raises:
        DataError: a quality is outside [0, 1].
    """
    if not ((quality_BA >= 0) & (quality_BA <= 1)).all():
        raise DataError(
            "some qualities are not from 0 to 1",
            hint="give a score where 1 is perfect and 0 useless; if 0 is perfect, it is a cost",
        )
    return checked_costs(1 - quality_BA)


def agent_costs(
    errors_TBA: Sequence[Tensor],
    *,
    lambdas_T: Sequence[float] | None = None,
    prices_A: Sequence[float] | Tensor | None = None,
) -> Tensor:
    """Joint cost of each agent: errors of all tasks, weighted, plus the price of asking.

    Args:
        errors_TBA: one array of errors for each task, >= 0. Shape ``(B, A)`` each.
        lambdas_T: weight of each task, >= 0; all 1 if not given. One of 0 leaves that task out.
        prices_A: beta_j, what asking each agent costs, >= 0, in the unit of the weighted errors;
            agent 0 first, usually 0. Shape ``(A,)``, or ``(B, A)`` where it differs by example.

    Returns:
        Costs >= 0 without gradient. Shape ``(B, A)``.

    Raises:
        ConfigError: there are not as many lambdas as tasks, or one is negative.
        DataError: the errors or prices have other shapes, are negative or not finite.
    """
    lambdas_T = [1.0] * len(errors_TBA) if lambdas_T is None else list(lambdas_T)
    if not errors_TBA or len(lambdas_T) != len(errors_TBA) or not min(lambdas_T) >= 0:
        raise ConfigError(
            f"the lambdas are {lambdas_T} for {len(errors_TBA)} tasks",
            hint="give one number >= 0 for each task, in the order of the errors",
        )
    first_BA = checked_costs(errors_TBA[0])
    costs_BA = torch.zeros_like(first_BA)
    for weight, errors_BA in zip(lambdas_T, errors_TBA, strict=True):
        costs_BA = costs_BA + weight * checked_costs(errors_BA, like=first_BA)
    if prices_A is not None:
        prices = torch.as_tensor(prices_A, dtype=costs_BA.dtype, device=costs_BA.device)
        if prices.shape not in {costs_BA.shape, costs_BA.shape[1:]}:
            raise DataError(
                f"the prices have shape {tuple(prices.shape)}, the errors {tuple(costs_BA.shape)}",
                hint="give one price for each agent, agent 0 (usually free) included",
            )
        costs_BA = costs_BA + checked_costs(prices.expand_as(costs_BA))
    return checked_costs(costs_BA)


def _check_answers(answers_BA: Tensor, targets_B: Tensor) -> None:
    if answers_BA.ndim != 2 or targets_B.shape != answers_BA.shape[:1]:  # noqa: PLR2004
        raise DataError(
            f"the answers have shape {tuple(answers_BA.shape)}, the targets"
            f" {tuple(targets_B.shape)}",
            hint="give answers as examples by agents, and one target for each example",
        )
