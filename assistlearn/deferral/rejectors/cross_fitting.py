"""Agents' outputs on rows that they were not fitted on.

A rejector that learns from an agent's answers on that agent's own training rows learns that the
agent is never wrong. In the published results of learning to help (arXiv:2501.13810, table 1) the
trained system has a larger generalised loss than never deferring; client, server and rejector all
saw the same rows. Cross-fitting gives every row an answer from an agent that did not see it.

Letters: n examples, A agents.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.utils.multiclass import type_of_target

from assistlearn.deferral.costs import RegressionError
from assistlearn.deferral.rejectors.agents import AgentNumbers
from assistlearn.deferral.rejectors.labels import check_comparable, check_truth, labels_of
from assistlearn.deferral.rejectors.outcomes import by_agent, costs_from_outcomes
from assistlearn.errors import DataError


class Agent(Protocol):
    """Whoever can be fitted and asked: any scikit-learn predictor, or a wrapper around a model."""

    def fit(self, X: Any, y: Any) -> Any:
        """Learn from features and right answers."""

    def predict(self, X: Any) -> Any:
        """One answer for each example."""


def cross_fitted_outputs(
    make_agent: Callable[[], Agent],
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    folds: int = 5,
    seed: int = 0,
) -> npt.NDArray[Any]:
    """What agents of this kind answer on rows that they were not fitted on.

    Args:
        make_agent: returns a new, unfitted agent.
        X: features. Shape ``(n, ...)``.
        y: right answers. Shape ``(n,)``.
        folds: parts of the rows, at least 2; each is answered by an agent fitted on the others.
        seed: of the parts. Classes keep their shares in each of them.

    Returns:
        Answer to each row. Shape ``(n,)``.

    Raises:
        DataError: there are fewer rows than folds, or a right answer is missing.
    """
    check_truth(labels_of(y))
    features, truth = np.asarray(X), np.asarray(y)
    if not 2 <= folds <= len(truth) == len(features):  # noqa: PLR2004
        raise DataError(
            f"{folds} folds of {len(features)} rows with {len(truth)} right answers",
            hint="give at least two folds, and one row and right answer for each fold",
        )
    answers: list[npt.NDArray[Any]] = []
    places: list[npt.NDArray[np.intp]] = []
    for train, rest in _parts(truth, folds, seed):
        agent = make_agent()
        agent.fit(features[train], truth[train])
        answers.append(np.asarray(agent.predict(features[rest])))
        places.append(rest)
    joined = np.concatenate(answers)  # finds the type that holds all answers
    return joined[np.argsort(np.concatenate(places))]


def cross_fitted_costs(  # noqa: PLR0913  # agents, data, folds and what costs what
    agents: Mapping[str, Callable[[], Agent] | npt.ArrayLike],
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    folds: int = 5,
    seed: int = 0,
    error: Literal["wrong"] | RegressionError = "wrong",
    error_costs: AgentNumbers = None,
    prices: AgentNumbers = None,
) -> npt.NDArray[np.float64]:
    """Costs of several agents, none of them asked about a row that it was fitted on.

    Args:
        agents: by name, the main model first: a function that returns a new agent, or the answers
            of one that was fitted on other data, shape ``(n,)``.
        X: features. Shape ``(n, ...)``.
        y: right answers. Shape ``(n,)``.
        folds: see :func:`cross_fitted_outputs`; the same parts for all agents.
        seed: of the parts.
        error: see :func:`.outcomes.costs_from_outcomes`, also for what follows.
        error_costs: alpha, in order or by name.
        prices: beta, in order or by name.

    Returns:
        Costs >= 0. Shape ``(n, A)``.

    Raises:
        DataError: answers are not one for each row or of another kind than the truth, or as
            :func:`cross_fitted_outputs` says.
        ConfigError: numbers are given for an agent that there is not.
    """
    names, truth = [*agents], labels_of(y)
    check_truth(truth)
    if isinstance(error_costs, Mapping):
        error_costs = by_agent(error_costs, names, what="error costs", otherwise=1.0)
    if isinstance(prices, Mapping):
        prices = by_agent(prices, names, what="prices", otherwise=0.0)
    columns = {
        name: labels_of(
            cross_fitted_outputs(each, X, y, folds=folds, seed=seed) if callable(each) else each
        )
        for name, each in agents.items()
    }
    for name, column in columns.items():
        if column.shape != truth.shape:
            raise DataError(
                f"the answers of {name!r} have shape {column.shape}, the truth {truth.shape}",
                hint="give one answer for each row",
            )
    if error == "wrong":
        check_comparable(columns, truth)
    # Side by side, numbers would become text where another agent answers with text.
    mixed = len({column.dtype.kind for column in columns.values()}) > 1
    return costs_from_outcomes(
        answers=np.stack(
            [column.astype(object) if mixed else column for column in columns.values()], axis=1
        ),
        truth=truth,
        error=error,
        error_costs=error_costs,
        prices=prices,
    )


def _parts(truth: npt.NDArray[Any], folds: int, seed: int) -> Any:
    kind = KFold
    if type_of_target(truth) in {"binary", "multiclass"}:
        rarest = np.unique(truth, return_counts=True)[1].min()
        kind = StratifiedKFold if rarest >= folds else KFold
    return kind(folds, shuffle=True, random_state=seed).split(truth, truth)
