"""What every honest report compares with: one agent for all, chance, and the oracle.

Letters: B examples, A agents.
"""

from collections.abc import Sequence
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
from sklearn.utils import Tags, check_array, check_random_state

from assistlearn.deferral.rejectors.agents import (
    AgentNames,
    AgentNumbers,
    agent_number,
    column_names,
    fitted_names,
    numbers_by_agent,
    shown_names,
)
from assistlearn.deferral.rejectors.arrays import Floats, Layout, State
from assistlearn.deferral.rejectors.decisions import Decisions
from assistlearn.deferral.rejectors.interface import RejectorBase, checked_number
from assistlearn.errors import ConfigError

ROUNDING: Final = 1e-6  # by which shares may miss a sum of 1


class ConstantCosts(RejectorBase):
    """Rejectors that do not look at the features: every example is expected to cost the mean.

    Attributes:
        mean_costs_: of each agent, where it was fitted. Shape ``(A,)``.
    """

    def _read_costs(self, X: Any, y: Any) -> Floats:
        _, costs = self._read(X, y)
        self.mean_costs_: Floats = costs.mean(axis=0, dtype=np.float64)
        self.cost_errors_ = costs.std(axis=0, dtype=np.float64)
        means: Floats = self.mean_costs_
        return means

    def _expected_costs(self, features: Floats) -> Floats:
        return np.repeat(self.mean_costs_[None].astype(features.dtype), len(features), axis=0)

    def _layout(self) -> Layout:
        return {"mean_costs": ((len(self.agents_),), np.float64)}

    def _state(self) -> State:
        return {"mean_costs": self.mean_costs_}

    def _restore(self, state: State) -> None:
        self.mean_costs_ = state["mean_costs"]


class FixedAgent(ConstantCosts):
    """One agent answers everything.

    Args:
        agents: names, the main model's first; see :class:`.Rejector`.
        prices: added to the costs.
        agent: name or number of the one; None for the one that was cheapest in the mean where it
            was fitted, the lowest index on a tie.

    Attributes:
        agent_: its number.
    """

    def __init__(
        self,
        *,
        agents: AgentNames = None,
        prices: AgentNumbers = None,
        agent: str | int | None = None,
    ) -> None:
        self.agents = agents
        self.prices = prices
        self.agent = agent

    def fit(self, X: Any, y: Any) -> Self:
        """Learn the mean costs from features X ``(n, F)`` and costs y ``(n, A)``."""
        means = self._read_costs(X, y)
        if self.agent is None:
            self.agent_ = int(means.argmin())
        else:
            self.agent_ = agent_number(self.agent, self._names())
        return self

    def _scores(self, features: Floats) -> Floats:
        scores = np.zeros((len(features), len(self.agents_)), dtype=features.dtype)
        scores[:, self.agent_] = 1
        return scores

    def _layout(self) -> Layout:
        return {**super()._layout(), "agent": ((), np.int64)}

    def _state(self) -> State:
        return {**super()._state(), "agent": np.array(self.agent_)}

    def _restore(self, state: State) -> None:
        super()._restore(state)
        self.agent_ = checked_number(state["agent"], count=len(self.agents_), what="the answer")


class RandomRejector(ConstantCosts):
    """Every example goes to an agent drawn by lot: what a budget buys without any knowledge.

    Args:
        agents: names, the main model's first; see :class:`.Rejector`.
        prices: added to the costs.
        shares: of the examples for each agent, by name or in order, adding up to 1, such as
            another rejector's ``decide(X).shares``; None for equal ones.
        random_state: seed of the draws, which each call begins anew.

    Attributes:
        shares_: as given. Shape ``(A,)``.
    """

    def __init__(
        self,
        *,
        agents: AgentNames = None,
        prices: AgentNumbers = None,
        shares: AgentNumbers = None,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.agents = agents
        self.prices = prices
        self.shares = shares
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Learn the mean costs from features X ``(n, F)`` and costs y ``(n, A)``."""
        self._read_costs(X, y)
        self.shares_ = _shares(self.shares, self._names())
        return self

    def decision_function(self, X: Any) -> Floats:
        """1 for the agent drawn, 0 for the others. Shape ``(n, A)``."""
        features = self._features(X)
        scores = np.zeros((len(features), len(self.agents_)), dtype=features.dtype)
        scores[np.arange(len(features)), self._choices(features)] = 1
        return scores

    def decide(self, X: Any) -> Decisions:
        """Who answers each example, by lot; all are expected to cost the mean."""
        scores = self.decision_function(X)
        return Decisions.of(
            scores,
            expected_costs=self._expected_costs(scores),
            cost_errors=self.cost_errors_,
            agent_names=self._names(),
        )

    def expected_score(self, y: Any) -> float:
        """Mean of :meth:`score` over all draws: minus the agents' mean costs by their shares."""
        costs = self._costs(y, rows=len(y))
        return -float(costs.mean(axis=0, dtype=np.float64) @ self.shares_)

    def __sklearn_tags__(self) -> Tags:
        """The same example may go elsewhere in another call."""
        tags = super().__sklearn_tags__()
        tags.non_deterministic = True
        return tags

    def _layout(self) -> Layout:
        return {**super()._layout(), "shares": ((len(self.agents_),), np.float64)}

    def _state(self) -> State:
        return {**super()._state(), "shares": self.shares_}

    def _restore(self, state: State) -> None:
        super()._restore(state)
        self.shares_ = _shares(state["shares"].tolist(), self._names())

    def _choices(self, features: Floats) -> npt.NDArray[np.intp]:
        draws = check_random_state(self.random_state).random_sample(len(features))
        found = np.searchsorted(self.shares_.cumsum(), draws, side="right")
        # Shares add up to 1 only as floating point does; the last agent with a share takes the rest
        choices: npt.NDArray[np.intp] = np.minimum(found, np.flatnonzero(self.shares_)[-1])
        return choices


class Oracle:
    """The cheapest agent of each single example: a bound, not a rejector.

    It is told the costs when it decides, which nobody is in earnest. Ties go to the lowest index.

    Args:
        agents: names, the main model's first.
    """

    def __init__(self, *, agents: AgentNames = None) -> None:
        self.agents = agents

    def fit(self, X: Any, y: Any) -> Self:  # noqa: ARG002  # there is nothing to learn
        """Itself."""
        return self

    def decide(self, X: Any, y: Any) -> Decisions:  # noqa: ARG002  # only the costs matter
        """The cheapest agents by costs y ``(n, A)``, prices included."""
        costs: Floats = check_array(y, dtype=(np.float64, np.float32), copy=True)
        names = fitted_names(self.agents, column_names(y), costs.shape[1])
        return Decisions.of(
            -costs,
            expected_costs=costs,
            cost_errors=np.zeros(costs.shape[1]),
            agent_names=shown_names(names),
        )

    def predict(self, X: Any, y: Any) -> npt.NDArray[np.str_]:
        """Names of the cheapest agents. Shape ``(n,)``."""
        return self.decide(X, y).names

    def score(self, X: Any, y: Any) -> float:
        """Minus the least deferral loss that any rejector could have."""
        return -float(self.decide(X, y).expected_costs.min(axis=1).mean(dtype=np.float64))


def _shares(given: AgentNumbers, names: Sequence[str]) -> npt.NDArray[np.float64]:
    if given is None:
        return np.full(len(names), 1 / len(names))
    shares = numbers_by_agent(given, names, what="shares")
    if abs(shares.sum() - 1) > ROUNDING:
        raise ConfigError(
            f"the shares are {given}, which add up to {shares.sum():.6g}",
            hint="divide them by their sum, or take another rejector's decide(X).shares",
        )
    return shares
