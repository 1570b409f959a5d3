"""Costs from what the agents answered: arrays in, array out.

For several tasks at once, other errors or tensors, :mod:`assistlearn.deferral.costs` has the parts.

Letters: n examples, A agents.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from assistlearn.deferral.costs import RegressionError, agent_costs, regression_costs
from assistlearn.deferral.rejectors.agents import (
    OUTCOME,
    AgentNumbers,
    column_names,
    numbers_by_agent,
)
from assistlearn.deferral.rejectors.labels import (
    check_comparable,
    check_truth,
    labels_of,
    missing,
)
from assistlearn.errors import ConfigError, DataError


def costs_from_outcomes(  # noqa: PLR0913  # one keyword for each thing that may be known
    *,
    correct: npt.ArrayLike | None = None,
    answers: npt.ArrayLike | None = None,
    truth: npt.ArrayLike | None = None,
    error: Literal["wrong"] | RegressionError = "wrong",
    error_costs: AgentNumbers = None,
    prices: AgentNumbers = None,
) -> npt.NDArray[np.float64]:
    """``c_j = alpha_j * error of agent j's answer + beta_j`` for every example.

    Either ``correct``, or ``answers`` with ``truth``.

    Args:
        correct: whether each agent was right: truth values, or grades from 0 (useless) to 1.
            Shape ``(n, A)``, the main model's column first.
        answers: what each agent answered: labels of the kind that the truth is, or values; a
            missing label is wrong. Shape ``(n, A)``.
        truth: the right answers, none missing. Shape ``(n,)``.
        error: ``"wrong"`` (0 or 1), or how far values are off: ``"absolute"``, ``"squared"``,
            ``"smooth_l1"``.
        error_costs: alpha, what each agent's error costs, >= 0; 1 if left out. In order, or by
            name: a data frame's column, else "agent 0" and so on.
        prices: beta, what asking each agent costs, >= 0; 0 if left out. In order or by name.

    Returns:
        Costs >= 0. Shape ``(n, A)``.

    Raises:
        DataError: shapes do not fit, a value is out of range, an agent's labels are of another
            kind than the truth, or a right answer is missing.
        ConfigError: neither or both kinds of outcomes were given, or a name is unknown.
    """
    if (correct is None) == (answers is None) or (answers is None) != (truth is None):
        raise ConfigError(
            "costs need the agents' correctness, or their answers with the truth",
            hint="give correct=..., or answers=... and truth=...",
        )
    errors = _misses(correct) if correct is not None else _errors(answers, truth, error)
    names = _names(answers if correct is None else correct, errors.shape[1])
    if isinstance(error_costs, Mapping):
        error_costs = by_agent(error_costs, names, what="error costs", otherwise=1.0)
    if isinstance(prices, Mapping):
        prices = by_agent(prices, names, what="prices", otherwise=0.0)
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


def by_agent(
    given: Mapping[str, float], names: Sequence[str], *, what: str, otherwise: float
) -> list[float]:
    """Numbers in the order of ``names``, ``otherwise`` where left out.

    Raises:
        ConfigError: a name is unknown, or a number negative.
    """
    whole = dict.fromkeys(names, otherwise) | dict(given)
    found: list[float] = numbers_by_agent(whole, names, what=what).tolist()
    return found


def _names(outcomes: Any, count: int) -> list[str]:
    columns = column_names(outcomes)
    if columns is None:
        return [f"agent {number}" for number in range(count)]
    return [each.removeprefix(OUTCOME) for each in columns]


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
    given, right = labels_of(answers), labels_of(truth)
    if given.ndim != 2 or right.shape != given.shape[:1]:  # noqa: PLR2004  (examples, agents)
        raise DataError(
            f"the answers have shape {given.shape}, the truth {right.shape}",
            hint="give one column of answers for each agent, and one right answer for each row",
        )
    check_truth(right)
    names, gone = _names(answers, given.shape[1]), missing(given)
    if error == "wrong":
        check_comparable(dict(zip(names, given.T, strict=True)), right)
        if given.dtype == object:
            given = given.copy()
            given[gone] = None  # pandas.NA compares as neither true nor false
        wrong: npt.NDArray[np.bool_] = gone | (given != right[:, None])
        return wrong.astype(np.float64)
    if gone.any():
        row, agent = np.argwhere(gone)[0]
        raise DataError(
            f"the answer of {names[agent]!r} is missing in row {row + 1}",
            hint="leave out the example, or fill in what a missing answer counts as",
        )
    try:
        values, targets = given.astype(np.float64), right.astype(np.float64)
    except (TypeError, ValueError) as problem:
        raise DataError(
            f"the answers are no numbers: {problem}", hint='set error to "wrong" for labels'
        ) from problem
    found: npt.NDArray[np.float64] = regression_costs(
        torch.from_numpy(values), torch.from_numpy(targets), error
    ).numpy()
    return found
