"""Costs from what the agents answered: arrays in, array out.

For several tasks at once, other errors or tensors, :mod:`assistlearn.deferral.costs` has the parts.

Letters: n examples, A agents.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from assistlearn.deferral.costs import RegressionError, agent_costs, regression_costs
from assistlearn.errors import ConfigError, DataError


def costs_from_outcomes(  # noqa: PLR0913  # one keyword for each thing that may be known
    *,
    correct: npt.ArrayLike | None = None,
    answers: npt.ArrayLike | None = None,
    truth: npt.ArrayLike | None = None,
    error: Literal["wrong"] | RegressionError = "wrong",
    error_costs: Sequence[float] | None = None,
    prices: Sequence[float] | None = None,
) -> npt.NDArray[np.float64]:
    """``c_j = alpha_j * error of agent j's answer + beta_j`` for every example.

    Either ``correct``, or ``answers`` with ``truth``.

    Args:
        correct: whether each agent was right: truth values, or grades from 0 (useless) to 1.
            Shape ``(n, A)``, the main model's column first.
        answers: what each agent answered: labels of any kind, or values. Shape ``(n, A)``.
        truth: the right answers. Shape ``(n,)``.
        error: ``"wrong"`` (0 or 1), or how far values are off: ``"absolute"``, ``"squared"``,
            ``"smooth_l1"``.
        error_costs: alpha, what each agent's error costs, >= 0; 1 if left out.
        prices: beta, what asking each agent costs, >= 0; 0 if left out.

    Returns:
        Costs >= 0. Shape ``(n, A)``.

    Raises:
        DataError: shapes do not fit, or a value is out of range.
        ConfigError: neither or both kinds of outcomes were given.
    """
    if (correct is None) == (answers is None) or (answers is None) != (truth is None):
        raise ConfigError(
            "costs need the agents' correctness, or their answers with the truth",
            hint="give correct=..., or answers=... and truth=...",
        )
    errors = _misses(correct) if correct is not None else _errors(answers, truth, error)
    if error_costs is not None:
        factors = np.asarray(error_costs, dtype=np.float64)
        if factors.shape != errors.shape[1:] or not (factors >= 0).all():
            raise DataError(
                f"the costs of errors are {error_costs}, must be {errors.shape[1]} numbers >= 0",
                hint="give one for each agent, the main model's first",
            )
        errors = errors * factors
    found: npt.NDArray[np.float64] = agent_costs(
        [torch.from_numpy(errors)], prices_A=prices
    ).numpy()
    return found


def _misses(correct: npt.ArrayLike) -> npt.NDArray[np.float64]:
    grades = np.asarray(correct)
    if grades.ndim != 2 or grades.dtype.kind not in "biuf":  # noqa: PLR2004  (examples, agents)
        raise DataError(
            f"the outcomes have shape {grades.shape} and type {grades.dtype}",
            hint="give one row of truth values for each example, one column for each agent",
        )
    grades = grades.astype(np.float64)
    if not ((grades >= 0) & (grades <= 1)).all():
        raise DataError(
            "some outcomes are not from 0 to 1",
            hint="give 1 for a right answer and 0 for a wrong one",
        )
    return 1 - grades


def _errors(
    answers: Any, truth: Any, error: Literal["wrong"] | RegressionError
) -> npt.NDArray[np.float64]:
    given, right = np.asarray(answers), np.asarray(truth)
    if given.ndim != 2 or right.shape != given.shape[:1]:  # noqa: PLR2004  (examples, agents)
        raise DataError(
            f"the answers have shape {given.shape}, the truth {right.shape}",
            hint="give one column of answers for each agent, and one right answer for each row",
        )
    if error == "wrong":
        wrong: npt.NDArray[np.bool_] = given != right[:, None]
        return wrong.astype(np.float64)
    try:
        values, targets = given.astype(np.float64), right.astype(np.float64)
    except ValueError as problem:
        raise DataError(
            f"the answers are no numbers: {problem}", hint='set error to "wrong" for labels'
        ) from problem
    found: npt.NDArray[np.float64] = regression_costs(
        torch.from_numpy(values), torch.from_numpy(targets), error
    ).numpy()
    return found
