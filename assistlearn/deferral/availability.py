"""Agents that cannot always be asked: who answers instead, and what the answer says about it.

Intermittent availability of learning to help (arXiv:2501.13810), at prediction. B examples, A
agents; agent 0 is local and answers when nobody else can.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from assistlearn.deferral.arrays import Ints, array_of, numbers_of
from assistlearn.errors import DataError


class Reason(enum.StrEnum):
    """Why an agent answers."""

    KEPT = "kept"
    """Agent 0 was the rejector's choice."""

    DEFERRED = "deferred"
    """The expert that was the rejector's choice answers."""

    NEXT_BEST = "next best"
    """The agent asked for cannot be had; the best of those that can answers."""

    NOBODY_ELSE = "nobody else"
    """No agent can be had; agent 0 answers, as it is here."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answers:
    """Who was to answer, who does, and why, for each example."""

    asked: Ints
    """The rejector's choice among all agents. ``(B,)``."""

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
    mask = array_of(available_BA)
    if mask.dtype != np.bool_ or mask.shape not in {scores.shape, scores.shape[1:]}:
        raise DataError(
            f"the mask of available agents has shape {mask.shape} and type {mask.dtype}, the"
            f" scores have shape {scores.shape}",
            hint="give a truth value for each agent, or for each example and agent",
        )
    mask = np.broadcast_to(mask, scores.shape)
    asked = scores.argmax(axis=1)
    # Where nobody can be had all entries are equal, and the lowest index is agent 0.
    answered = np.where(mask, scores, -np.inf).argmax(axis=1)
    return Answers(
        asked=asked,
        answered=answered,
        reasons=tuple(
            _reason(wanted, got, anybody=any(row))
            for wanted, got, row in zip(
                asked.tolist(), answered.tolist(), mask.tolist(), strict=True
            )
        ),
    )


def _reason(asked: int, answered: int, *, anybody: bool) -> Reason:
    if asked == answered:
        return Reason.DEFERRED if asked else Reason.KEPT
    return Reason.NEXT_BEST if anybody else Reason.NOBODY_ELSE
