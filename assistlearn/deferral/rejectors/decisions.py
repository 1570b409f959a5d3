"""Who answers which example, why, and what each agent would be expected to cost.

Letters: B examples, A agents.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from assistlearn.deferral.availability import Answers, Reason, answers, reasons
from assistlearn.deferral.budgets.answers import answers_above, threshold_of
from assistlearn.deferral.budgets.calibration import Calibration
from assistlearn.deferral.budgets.threshold import Threshold

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

    asked: Indices
    """Number of the agent that would answer if each could be had. Shape ``(B,)``."""

    reasons: tuple[Reason, ...]
    """Why that agent answers, B in all."""

    runners_up: Indices
    """Number of the agent with the largest score of the others. Shape ``(B,)``.

    Itself if there is only one.
    """

    margins: Floats
    """Score of the agent that answers less the runner-up's. Shape ``(B,)``.

    Negative only where a threshold or an agent's absence went against the scores.
    """

    scores: Floats
    """The rejector's scores: the largest decides. Shape ``(B, A)``."""

    expected_costs: Floats
    """Estimated expected cost of each agent, prices included. Shape ``(B, A)``.

    An estimate of its own beside the scores, which only rank: see the rejector's class.
    """

    cost_errors: Floats
    """Typical error (root mean square) of that estimate against single costs. Shape ``(A,)``."""

    threshold: float | None = None
    """On the expected gain of asking an expert, in the costs' unit; None if the scores decided."""

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
        for array in (scores, expected_costs, cost_errors):
            array.setflags(write=False)
        agents = scores.argmax(axis=1)
        return cls(
            agent_names=tuple(agent_names),
            scores=scores,
            expected_costs=expected_costs,
            cost_errors=cost_errors,
            **_answered(
                scores, Answers(asked=agents, answered=agents, reasons=reasons(agents, agents))
            ),
        )

    def under(
        self,
        *,
        threshold: Threshold | Calibration | float | None = None,
        available: Any = None,
        generator: np.random.Generator | None = None,
    ) -> Self:
        """The same examples decided on a budget, or where agents cannot be had.

            decisions = rejector.decide(features)
            held_out = rejector.decide(others)  # calibrated on rows that nothing was fitted on
            gains = benefit_of_deferring(held_out.expected_costs).gain
            decisions.under(threshold=threshold_at_rate(gains, 0.2)).explain(0)
            decisions.under(threshold=0.05, available=[True, False, True]).explain(0)

        Scores and expected costs stay: nothing is fitted or computed again, and each call starts
        from these alone, whatever an earlier one said. With a threshold the expected costs decide
        (:func:`.answers_above`), as the scores of a surrogate do not rank by the gain; without
        one, the scores. The fallback is the next best agent that can be had by the same rule, and
        agent 0 where nobody can.

        A :class:`.TokenBucket` joins in the order of time, as one more reason for which experts
        cannot be had:

            wanted = decisions.under(threshold=0.05)
            there = np.ones(decisions.scores.shape, dtype=bool)
            for row, time in enumerate(times):
                there[row, 1:] = wanted.agents[row] == 0 or bucket.take(time)
            capped = decisions.under(threshold=0.05, available=there)

        Args:
            threshold: on the expected cost of agent 0 less that of the best expert, prices
                included: a number, what :func:`.threshold_at_rate` or
                :func:`.guaranteed_threshold` finds, or what :func:`.calibrate` measured.
            available: True where an agent can be had. Shape ``(B, A)``, or ``(A,)`` for all
                examples; None if all always can.
            generator: draws for gains equal to the threshold; None keeps such ties, which only
                lowers the rate.

        Raises:
            ConfigError: the threshold is NaN.
            DataError: the mask does not fit, or there is a threshold and no expert.
        """
        if threshold is None:
            mask = np.ones(len(self.agent_names), dtype=bool) if available is None else available
            found, value = answers(self.scores, mask), None
        else:
            rule = threshold_of(threshold)
            found = answers_above(
                self.expected_costs, rule, available_BA=available, generator=generator
            )
            value = rule.value
        return replace(self, threshold=value, **_answered(self.scores, found))

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
        """One sentence for people: who answers ``example``, why, at which cost."""
        agent, other = int(self.agents[example]), int(self.runners_up[example])
        costs = self.expected_costs[example]
        cheapest = int(costs.argmin())
        if len(self.agent_names) == 1:
            return f"{self._name(agent)} answers, the only agent; {self._cost(example, agent)}"
        if len(self.agent_names) <= MOST_LISTED:
            listed = [each for each in np.argsort(costs, kind="stable") if each != agent]
        else:
            listed = [int(self.asked[example]), other, cheapest]
            listed = list(dict.fromkeys(each for each in listed if each != agent))
        against = ", ".join(f"{self._name(each)} {costs[each]:.3g}" for each in listed)
        sentence = (
            f"{self._name(agent)} answers, {self._because(example)};"
            f" {self._cost(example, agent)} against {against}"
        )
        if cheapest != agent and self._by_score(example):
            sentence += f"; by expected cost alone {self._name(cheapest)} would answer"
        return sentence

    def to_pandas(self, index: Any = None) -> Any:
        """A pandas DataFrame: agent, margin, expected cost and score of each agent.

        Reasons are not in it; they are ``reasons``, in the same order.

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

    def _by_score(self, example: int) -> bool:
        own_choice = self.reasons[example] in {Reason.KEPT, Reason.DEFERRED}
        return own_choice and self.threshold is None

    def _because(self, example: int) -> str:
        """Why the agent answers, as it goes on after "answers,"."""
        asked = self._name(int(self.asked[example]))
        reason = self.reasons[example]
        if reason is Reason.NEXT_BEST:
            return f"the next best, as {asked} cannot be had"
        if reason is Reason.NOBODY_ELSE:
            return f"as neither {asked} nor any other can be had"
        if self.threshold is None:
            other = self._name(int(self.runners_up[example]))
            return f"{self.margins[example]:.3g} ahead of {other} in score"
        if reason is Reason.KEPT:
            return "as no other is expected to cost less"
        costs = self.expected_costs[example]
        expert = 1 + int(costs[1:].argmin())
        gain = f"{float(costs[0]) - float(costs[expert]):.3g}"
        if reason is Reason.BELOW_THRESHOLD:
            return (
                f"as asking {self._name(expert)} would save {gain}, not above the threshold of"
                f" {self.threshold:.3g}"
            )
        return f"as asking saves {gain} at a threshold of {self.threshold:.3g}"

    def _name(self, agent: int) -> str:
        return f"'{self.agent_names[agent]}'"

    def _cost(self, example: int, agent: int) -> str:
        cost, error = self.expected_costs[example, agent], self.cost_errors[agent]
        return f"expected cost {cost:.3g} (single costs: ± {error:.2g})"


def _answered(scores: Floats, found: Answers) -> dict[str, Any]:
    """What follows from who answers, by field."""
    rows, agents = np.arange(len(scores)), found.answered
    others = scores.astype(float)  # a copy: whoever answers is struck out
    others[rows, agents] = -np.inf
    runners_up = others.argmax(axis=1) if scores.shape[1] > 1 else agents
    margins = scores[rows, agents] - scores[rows, runners_up]
    arrays = {
        "agents": agents,
        "asked": found.asked,
        "runners_up": runners_up,
        "margins": margins,
    }
    for array in arrays.values():
        array.setflags(write=False)
    return {**arrays, "reasons": found.reasons}
