"""Agents that cannot always be asked: who answers instead, and what the answer says about it.

Intermittent availability of learning to help (arXiv:2501.13810), at prediction. B examples, A
agents. The fallback is the next best agent that can be had, an expert or agent 0; agent 0, which is
local, where nobody can be had.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from assistlearn.deferral.arrays import Bools, Ints, array_of, numbers_of
from assistlearn.errors import DataError


class Reason(enum.StrEnum):
    """Why an agent answers."""

    KEPT = "kept"
    """Agent 0 was the choice."""

    DEFERRED = "deferred"
    """The expert that was the choice answers."""

    BELOW_THRESHOLD = "below the threshold"
    """An expert is expected to cost less, but not by more than the threshold; agent 0 answers."""

    NEXT_BEST = "next best"
    """The agent asked for cannot be had; the best of those that can answers."""

    NOBODY_ELSE = "nobody else"
    """No agent can be had; agent 0 answers, as it is here."""


_BY_CODE: Final = (
    Reason.KEPT,
    Reason.NEXT_BEST,
    Reason.NOBODY_ELSE,
    Reason.DEFERRED,
    Reason.BELOW_THRESHOLD,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answers:
    """Who was to answer, who does, and why, for each example."""

    asked: Ints
    """The choice among all agents, as if each could be had. ``(B,)``."""

    answered: Ints
    """The agent that answers. ``(B,)``."""

    reasons: tuple[Reason, ...]
    """One for each example."""

    @property
    def agents(self) -> Ints:
        """Who answers: the name under which reports look for it."""
        return self.answered

    def explained(self, row: int, names: Sequence[str]) -> str:
        """One example's answer in words, with the agents called ``names``."""
        asked, answered = names[self.asked[row]], names[self.answered[row]]
        match self.reasons[row]:
            case Reason.KEPT:
                return f"{answered} answers itself"
            case Reason.DEFERRED:
                return f"{answered} was asked and answers"
            case Reason.BELOW_THRESHOLD:
                return f"{answered} answers itself, as asking would save too little"
            case Reason.NEXT_BEST:
                return f"{asked} cannot be had, {answered} is next best and answers"
            case Reason.NOBODY_ELSE:
                return f"neither {asked} nor any other can be had, {answered} answers"


def answers(scores_BA: Any, available_BA: Any) -> Answers:
    """Let the best available agent answer: the largest score, the lowest index on a tie.

    Args:
        scores_BA: the rejector's scores. Shape ``(B, A)``.
        available_BA: True where an agent can be had. Shape ``(B, A)``, or ``(A,)`` for all
            examples. Agent 0 answers where nobody can, whatever is said of it here.

    Raises:
        DataError: scores are no finite matrix, or the mask does not fit.
    """
    scores = numbers_of(scores_BA, "scores", dimensions=2)
    mask = available_agents(available_BA, scores.shape)
    asked = scores.argmax(axis=1)
    # Where nobody can be had all entries are equal, and the lowest index is agent 0.
    answered = np.where(mask, scores, -np.inf).argmax(axis=1)
    return Answers(
        asked=asked,
        answered=answered,
        reasons=reasons(asked, answered, anybody_B=np.any(mask, axis=1)),
    )


def available_agents(available_BA: Any, shape: tuple[int, ...]) -> Bools:
    """The mask of agents that can be had, for each example. Shape ``(B, A)``, as ``shape`` says.

    Raises:
        DataError: it holds no truth values, or has another shape than ``(B, A)`` or ``(A,)``.
    """
    mask = array_of(available_BA)
    if mask.dtype != np.bool_ or mask.shape not in {shape, shape[1:]}:
        raise DataError(
            f"the mask of available agents has shape {mask.shape} and type {mask.dtype}, the"
            f" scores have shape {shape}",
            hint="give a truth value for each agent, or for each example and agent",
        )
    return np.broadcast_to(mask, shape)


def reasons(
    asked_B: Ints,
    answered_B: Ints,
    *,
    anybody_B: Bools | None = None,
    below_B: Bools | None = None,
) -> tuple[Reason, ...]:
    """Why each agent answers.

    Args:
        asked_B: the choice among all agents. Shape ``(B,)``.
        answered_B: who answers. Shape ``(B,)``.
        anybody_B: whether any agent can be had; None if one always can. Shape ``(B,)``.
        below_B: whether a threshold kept what is kept; None if there is none. Shape ``(B,)``.
    """
    elsewhere_B = asked_B != answered_B
    codes_B = np.select(
        [
            elsewhere_B & (True if anybody_B is None else anybody_B),
            elsewhere_B,
            answered_B > 0,
            np.zeros_like(elsewhere_B) if below_B is None else below_B,
        ],
        range(1, len(_BY_CODE)),
    )
    return tuple(map(_BY_CODE.__getitem__, codes_B.tolist()))
