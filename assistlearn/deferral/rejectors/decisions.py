"""Who answers which example, why, and what each agent would be expected to cost.

Letters: B examples, A agents.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Indices = npt.NDArray[np.intp]

MOST_LISTED: Final = 4  # agents in a sentence that a person still reads


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decisions:
    """What a rejector decided, one row for each example. The arrays are read-only."""

    agent_names: tuple[str, ...]
    """All A agents, in the order of the columns."""

    agents: Indices
    """Number of the agent that answers. Shape ``(B,)``."""

    runners_up: Indices
    """Number of the agent with the second largest score; itself if there is only one. ``(B,)``."""

    margins: Floats
    """Score of the agent that answers less the runner-up's, >= 0. Shape ``(B,)``."""

    scores: Floats
    """The rejector's scores: the largest decides. Shape ``(B, A)``."""

    expected_costs: Floats
    """Estimated expected cost of each agent, prices included. Shape ``(B, A)``.

    An estimate of its own beside the scores, which only rank: see the rejector's class.
    """

    cost_errors: Floats
    """Typical error (root mean square) of that estimate against single costs. Shape ``(A,)``."""

    @classmethod
    def of(
        cls,
        scores: Floats,
        *,
        expected_costs: Floats,
        cost_errors: Floats,
        agent_names: Sequence[str],
    ) -> Self:
        """Largest score decides, lowest index on a tie."""
        rows = np.arange(len(scores))
        agents = scores.argmax(axis=1)
        others = scores.astype(float)  # a copy: the winner is struck out
        others[rows, agents] = -np.inf
        runners_up = others.argmax(axis=1) if scores.shape[1] > 1 else agents
        margins = scores[rows, agents] - scores[rows, runners_up]
        arrays = (agents, runners_up, margins, scores, expected_costs, cost_errors)
        for array in arrays:
            array.setflags(write=False)
        return cls(
            agent_names=tuple(agent_names),
            agents=agents,
            runners_up=runners_up,
            margins=margins,
            scores=scores,
            expected_costs=expected_costs,
            cost_errors=cost_errors,
        )

    def __len__(self) -> int:
        return len(self.agents)

    @property
    def names(self) -> npt.NDArray[np.str_]:
        """Name of the agent that answers. Shape ``(B,)``."""
        return np.asarray(self.agent_names)[self.agents]

    @property
    def shares(self) -> Floats:
        """Share of the examples that each agent answers; agent 0's is the coverage. ``(A,)``."""
        counts = np.bincount(self.agents, minlength=len(self.agent_names))
        return counts / max(len(self), 1)

    def explain(self, example: int) -> str:
        """One sentence for people: who answers ``example``, by how much, at which cost."""
        agent, other = int(self.agents[example]), int(self.runners_up[example])
        costs = self.expected_costs[example]
        cheapest = int(costs.argmin())
        if len(self.agent_names) == 1:
            return f"{self._name(agent)} answers, the only agent; {self._cost(example, agent)}"
        if len(self.agent_names) <= MOST_LISTED:
            listed = [each for each in np.argsort(costs, kind="stable") if each != agent]
        else:
            listed = list(dict.fromkeys(each for each in (other, cheapest) if each != agent))
        against = ", ".join(f"{self._name(each)} {costs[each]:.3g}" for each in listed)
        sentence = (
            f"{self._name(agent)} answers, {self.margins[example]:.3g} ahead of"
            f" {self._name(other)} in score; {self._cost(example, agent)} against {against}"
        )
        if cheapest != agent:
            sentence += f"; by expected cost alone {self._name(cheapest)} would answer"
        return sentence

    def to_pandas(self, index: Any = None) -> Any:
        """A pandas DataFrame: agent, margin, expected cost and score of each agent.

        Args:
            index: of the rows, such as that of the features; None for 0, 1, 2, ...
        """
        pandas = importlib.import_module("pandas")  # no dependency: whoever asks for it has it
        columns: dict[str, Any] = {"agent": self.names, "margin": self.margins}
        for what, values in (("expected cost", self.expected_costs), ("score", self.scores)):
            columns |= {
                f"{what} of {name}": values[:, number]
                for number, name in enumerate(self.agent_names)
            }
        return pandas.DataFrame(columns, index=index)

    def _name(self, agent: int) -> str:
        return f"'{self.agent_names[agent]}'"

    def _cost(self, example: int, agent: int) -> str:
        cost, error = self.expected_costs[example, agent], self.cost_errors[agent]
        return f"expected cost {cost:.3g} (single costs: ± {error:.2g})"
