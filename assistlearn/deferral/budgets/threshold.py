"""Defer where a score is largest: the best rule for a bounded deferral rate.

B examples. The score is any number that grows with what deferring is worth; for the least expected
cost it is the gain of :func:`.benefit_of_deferring`.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from assistlearn.deferral.arrays import Bools, Floats, numbers_of, same_length
from assistlearn.errors import ConfigError, DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """Defer above ``value``, at it with a probability, never below.

    Plain numbers: it can be stored, shown, and replaced by another at any time.
    """

    value: float
    """Scores above it are deferred. Infinite to defer nothing, minus infinity to defer all."""

    tie_probability: float = 0.0
    """How likely a score equal to ``value`` is deferred, from 0 to 1."""

    def __post_init__(self) -> None:
        if math.isnan(self.value):
            raise ConfigError("the threshold is NaN", hint="give a number, or inf to keep all")
        checked_rate(self.tie_probability, "the probability of deferring a tie")

    def probabilities(self, scores_B: Any) -> Floats:
        """How likely each example is deferred. Shape ``(B,)``."""
        scores = numbers_of(scores_B, "scores", dimensions=1)
        return np.where(scores == self.value, self.tie_probability, scores > self.value)

    def deferred(self, scores_B: Any, generator: np.random.Generator) -> Bools:
        """Decide, drawing one number for each example. Shape ``(B,)``."""
        probabilities = self.probabilities(scores_B)
        return generator.random(len(probabilities)) < probabilities


def threshold_at_rate(
    scores_B: Any, rate: float, *, weights_B: Any = None, floor: float = -math.inf
) -> Threshold:
    r"""The threshold that defers exactly the share ``rate`` of these scores, in expectation.

    It is their :math:`(1-p)` quantile, with ties broken at random, so that the share is met also
    where many scores are equal.

    Args:
        scores_B: scores of held-out examples. Shape ``(B,)``.
        rate: expected deferral rate p, from 0 to 1.
        weights_B: probability of each score, up to a factor; None for equal ones.
        floor: never defer at this score or below it, even if the rate would allow it. With gains
            for scores, the price below which asking is not worth it.

    Raises:
        ConfigError: the rate is not between 0 and 1.
        DataError: scores or weights cannot be used.
    """
    checked_rate(rate, "the deferral rate")
    scores = numbers_of(scores_B, "scores", dimensions=1)
    weights = _weights(scores, weights_B)
    if rate in {0.0, 1.0}:  # exact also for scores beyond those seen here
        return Threshold(value=math.inf if rate == 0 else floor)
    values, inverse = np.unique(-scores, return_inverse=True)
    mass = np.bincount(inverse, weights=weights)
    upto = np.cumsum(mass)
    # The last value has all the mass; rounding must not push the rate beyond it.
    at = min(int(np.searchsorted(upto, rate)), len(values) - 1)
    value, above = float(-values[at]), float(upto[at] - mass[at])
    if value <= floor:
        return Threshold(value=floor)
    probability = (rate - above) / float(mass[at])
    return Threshold(value=value, tie_probability=min(max(probability, 0.0), 1.0))


def checked_rate(rate: float, what: str) -> None:
    """Refuse what is no share.

    Raises:
        ConfigError: not between 0 and 1.
    """
    if not 0 <= rate <= 1:
        raise ConfigError(f"{what} is {rate}, must be from 0 to 1", hint="give a share such as 0.2")


def _weights(scores: Floats, weights_B: Any) -> Floats:
    if weights_B is None:
        return np.full(len(scores), 1 / len(scores))
    weights = numbers_of(weights_B, "weights", dimensions=1)
    same_length(scores, weights, "scores and weights")
    if weights.min() < 0 or weights.sum() == 0:
        raise DataError(
            f"weights go down to {weights.min()} and add up to {weights.sum()}",
            hint="give weights >= 0, one at least above 0",
        )
    shares: Floats = weights / weights.sum()
    return shares
