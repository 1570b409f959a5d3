"""The one-stage rejector: a classifier and a rejector that are learned together.

It needs the right classes beside the experts' costs, which two-stage estimators do without, so its
``fit`` and ``score`` take them as well; the other methods are the same. Agent 0 is no model that
was there before, but the estimator's own classifier.

Letters: B examples, A agents, K classes, J = A - 1 experts, N = K + J actions (classes first).
"""

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from assistlearn.deferral.arrays import array_of, numbers_of
from assistlearn.deferral.one_stage import action_costs
from assistlearn.deferral.rejectors.agents import AgentNames, fitted_names, shown_names
from assistlearn.deferral.rejectors.arrays import Floats
from assistlearn.deferral.rejectors.decisions import Decisions
from assistlearn.deferral.rejectors.rejector import Rejector
from assistlearn.errors import ConfigError, DataError

SURROGATES: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "cross_entropy": ("two_stage", {"weights": "max"}),
    "one_vs_all": ("one_vs_all", {}),
    "realizable": ("layered_mass", {}),
}
"""Each loss as a two-stage surrogate with actions in place of agents."""


class OneStageRejector(BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Scores the classes and the experts; the largest score answers or defers.

    The losses are those of :mod:`assistlearn.deferral.one_stage`: ``"cross_entropy"``, of Mozannar
    and Sontag (arXiv:2006.01862) and with several experts of Verma et al. (arXiv:2210.16955), for
    costs above 1 in the former's general form with weights ``max - cost``; ``"one_vs_all"``
    (arXiv:2202.03673), for costs up to 1; ``"realizable"`` (arXiv:2407.13732).

    It cannot be saved: of what it learns, a card of agents and costs tells only a part.

    Args:
        agents: names of its own classifier and of the experts; None for numbers.
        loss: ``"cross_entropy"``, ``"one_vs_all"`` or ``"realizable"``.
        rejector: whose other parameters to train with; None for the defaults.

    Attributes:
        agents_: names of the agents. Shape ``(A,)``.
        classes_: the labels, sorted. Shape ``(K,)``.
        cost_errors_: typical error of the expected costs where it was fitted. Shape ``(A,)``.
        rejector_: the :class:`.Rejector` of actions.
    """

    def __init__(
        self,
        *,
        agents: AgentNames = None,
        loss: Literal["cross_entropy", "one_vs_all", "realizable"] = "cross_entropy",
        rejector: Rejector | None = None,
    ) -> None:
        self.agents = agents
        self.loss = loss
        self.rejector = rejector

    def fit(self, X: Any, labels: Any, expert_costs: Any) -> Self:
        """Learn to answer and to defer.

        Args:
            X: features. Shape ``(n, F)``.
            labels: right classes, of any kind; to name another costs 1. Shape ``(n,)``.
            expert_costs: what each expert's answer costs, prices included, >= 0. ``(n, J)``.

        Raises:
            ConfigError: the loss is unknown, or names are not one for each agent.
            DataError: shapes do not fit, or the loss does not accept these costs.
            ValueError: scikit-learn's own, for what is no array of finite numbers.
        """
        if self.loss not in SURROGATES:
            raise ConfigError(
                f"loss {self.loss!r} is unknown", hint=f"choose one of {tuple(SURROGATES)}"
            )
        surrogate, settings = SURROGATES[self.loss]
        costs_BJ = numbers_of(expert_costs, "costs of the experts", dimensions=2)
        self.classes_, labels_B = np.unique(_labels(labels, len(costs_BJ)), return_inverse=True)
        self.agents_ = fitted_names(self.agents, None, costs_BJ.shape[1] + 1)
        costs_BN = action_costs(
            torch.from_numpy(labels_B), torch.from_numpy(costs_BJ), classes=len(self.classes_)
        )
        actions = Rejector() if self.rejector is None else clone(self.rejector)
        actions.set_params(
            agents=None, prices=None, surrogate=surrogate, surrogate_settings=dict(settings)
        )
        self.rejector_ = actions.fit(X, costs_BN.numpy())
        found = self._found(X)
        gaps_B = found.costs[:, 0] - (found.classes != labels_B)
        own = np.sqrt(np.square(gaps_B).mean(dtype=np.float64))
        errors_N = self.rejector_.cost_errors_
        self.cost_errors_ = np.array([own, *errors_N[len(self.classes_) :]])
        return self

    def classify(self, X: Any) -> npt.NDArray[Any]:
        """The class that its own classifier names for each example. Shape ``(n,)``."""
        found: npt.NDArray[Any] = self.classes_[self._found(X).classes]
        return found

    def decide(self, X: Any) -> Decisions:
        """Who answers each example, why, and what each agent would be expected to cost.

        What agent 0 would answer says :meth:`classify`; its score is that of the class it names.
        """
        found = self._found(X)
        return Decisions.of(
            found.scores,
            expected_costs=found.costs,
            cost_errors=self.cost_errors_,
            agent_names=shown_names(self.agents_),
        )

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Name of the agent that answers each example, or its number if they have none."""
        found: npt.NDArray[Any] = self.agents_[self._found(X).scores.argmax(axis=1)]
        return found

    def score(self, X: Any, labels: Any, expert_costs: Any) -> float:
        """Minus the true deferral loss; arguments as for :meth:`fit`."""
        costs_BA = self.costs(X, labels, expert_costs)
        choices_B = self._found(X).scores.argmax(axis=1)
        return -float(costs_BA[np.arange(len(choices_B)), choices_B].mean())

    def costs(self, X: Any, labels: Any, expert_costs: Any) -> npt.NDArray[np.float64]:
        """What each agent costs: 1 where its own classifier is wrong, then the experts' costs.

        Shape ``(n, A)``; arguments as for :meth:`fit`.
        """
        costs_BJ = numbers_of(expert_costs, "costs of the experts", dimensions=2)
        wrong_B = self.classify(X) != _labels(labels, len(costs_BJ))
        return np.concatenate([wrong_B[:, None], costs_BJ], axis=1)

    def _found(self, X: Any) -> "_Found":
        check_is_fitted(self)
        actions, classes = self.rejector_.decide(X), len(self.classes_)
        named_B = actions.scores[:, :classes].argmax(axis=1)
        scores_BA, costs_BA = (
            np.concatenate([values[np.arange(len(values)), named_B, None], values[:, classes:]], 1)
            for values in (actions.scores, actions.expected_costs)
        )
        return _Found(classes=named_B, scores=scores_BA, costs=costs_BA)


class _Found(NamedTuple):
    """Actions as agents: the class with the largest score stands for agent 0."""

    classes: npt.NDArray[np.intp]
    scores: Floats
    costs: Floats


def _labels(given: Any, rows: int) -> npt.NDArray[Any]:
    labels = array_of(given)
    if labels.shape != (rows,):
        raise DataError(
            f"the labels have shape {labels.shape}, for costs of {rows} examples",
            hint="give one right class for each example",
        )
    return labels
