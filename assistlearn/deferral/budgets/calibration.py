"""How well a deferral rate is known, and thresholds that keep a rate with confidence.

B examples. Two errors come together: the rate was estimated from few examples, and of the next N
requests only a random number is deferred even at a known rate.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from assistlearn.deferral.arrays import numbers_of
from assistlearn.deferral.budgets.threshold import Threshold, checked_rate, threshold_at_rate
from assistlearn.errors import ConfigError, DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class RateInterval:
    """A deferral rate and where it lies with confidence."""

    rate: float
    """Share deferred of the examples looked at."""
    lower: float
    upper: float
    confidence: float

    def __post_init__(self) -> None:
        bounds = (self.rate, self.lower, self.upper)
        if not (all(0 <= each <= 1 for each in bounds) and self.lower <= self.upper):
            raise ConfigError(
                f"a rate of {self.rate} from {self.lower} to {self.upper} is no interval of shares",
                hint="use the interval that rate_interval or deployed_interval gives",
            )
        _check_confidence(self.confidence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A threshold chosen for a rate, and what rate to expect of it."""

    threshold: Threshold
    expected: RateInterval
    """The rate over all requests to come."""
    deployed: RateInterval
    """The share deferred of the next ``requests``."""
    requests: int
    held_out: int
    """Examples that both rates were measured on, none of which chose the threshold."""

    def __post_init__(self) -> None:
        expected, deployed = self.expected, self.deployed
        deferred = round(expected.rate * self.held_out)
        _check_counts(deferred, self.held_out)
        _check_counts(0, self.requests)
        same = (expected.rate, expected.confidence) == (deployed.rate, deployed.confidence)
        inside = expected.lower <= expected.rate <= expected.upper
        if not (same and inside and expected.rate == deferred / self.held_out):
            raise ConfigError(
                f"{expected} and {deployed} are not measured on the same {self.held_out} examples",
                hint="use what calibrate gives",
            )


def calibrate(  # noqa: PLR0913  (two samples, and what is asked of them)
    scores_B: Any,
    rate: float,
    *,
    held_out_B: Any,
    requests: int,
    generator: np.random.Generator,
    confidence: float = 0.95,
) -> Calibration:
    """Choose a threshold for ``rate`` on some scores and measure it on others.

    The scores it is chosen on say nothing about how well it holds: their rate is right by
    construction.

    Args:
        scores_B: scores to choose the threshold on.
        rate: expected deferral rate, from 0 to 1.
        held_out_B: other scores, from the same source, to measure the rate on.
        requests: how many requests the deployed rate is about, at least 1.
        generator: draws for ties.
        confidence: of both intervals, below 1.

    Raises:
        ConfigError: a share or count out of range.
        DataError: scores cannot be used.
    """
    threshold = threshold_at_rate(scores_B, rate)
    deferred = threshold.deferred(held_out_B, generator)
    count, total = int(deferred.sum()), len(deferred)
    return Calibration(
        threshold=threshold,
        expected=rate_interval(count, total, confidence=confidence),
        deployed=deployed_interval(count, total, requests=requests, confidence=confidence),
        requests=requests,
        held_out=total,
    )


def rate_interval(deferred: int, count: int, *, confidence: float = 0.95) -> RateInterval:
    """Where the rate of a fixed rule lies, by Clopper and Pearson (1934).

    Covers the true rate at least as often as ``confidence`` says, for every rate and every count.

    Args:
        deferred: examples deferred.
        count: examples looked at, drawn independently, none used to choose the rule.
        confidence: above 0, below 1; the rest is divided equally between both sides.

    Raises:
        ConfigError: a count or the confidence is out of range.
    """
    _check_counts(deferred, count)
    _check_confidence(confidence)
    tail = (1 - confidence) / 2
    return RateInterval(
        rate=deferred / count,
        lower=_lower(deferred, count, tail),
        upper=_upper(deferred, count, tail),
        confidence=confidence,
    )


def deployed_interval(
    deferred: int, count: int, *, requests: int, confidence: float = 0.95
) -> RateInterval:
    """Where the share deferred of the next ``requests`` lies.

    Half of what may go wrong is given to the rate (Clopper and Pearson), half to the binomial
    number of deferrals at that rate; so it covers at least as often as it says.

    Args:
        deferred: examples deferred.
        count: examples looked at.
        requests: requests to come, at least 1.
        confidence: above 0, below 1.

    Raises:
        ConfigError: a count or the confidence is out of range.
    """
    _check_counts(deferred, count)
    _check_counts(0, requests)
    _check_confidence(confidence)
    tail = (1 - confidence) / 4
    lowest, highest = _lower(deferred, count, tail), _upper(deferred, count, tail)
    return RateInterval(
        rate=deferred / count,
        lower=float(stats.binom.ppf(tail, requests, lowest)) / requests if lowest > 0 else 0.0,
        upper=float(stats.binom.ppf(1 - tail, requests, highest)) / requests,
        confidence=confidence,
    )


def hoeffding_margin(requests: int, *, confidence: float = 0.95) -> float:
    r"""By how much the share of ``requests`` stays below its expectation, with confidence.

    .. math::
        P\bigl(\text{share} > p + \epsilon\bigr) \le e^{-2 N \epsilon^2}

    Source: Hoeffding (1963). It needs no estimate, and is wider than the binomial interval.

    Raises:
        ConfigError: a count or the confidence is out of range.
    """
    _check_counts(0, requests)
    _check_confidence(confidence)
    return math.sqrt(math.log(1 / (1 - confidence)) / (2 * requests))


def guaranteed_threshold(scores_B: Any, rate: float, *, confidence: float = 0.95) -> Threshold:
    r"""The lowest threshold whose true deferral rate is at most ``rate``, with confidence.

    It is one of the scores. With k scores above the one that is taken, the true rate above it is at
    most a Beta(k + 1, B - k) variable, whatever the scores' distribution (equal to one where
    scores never tie): no held-out data are needed. Ties are kept, which only lowers the rate.

    Args:
        scores_B: scores drawn independently from what is to come. Shape ``(B,)``.
        rate: bound on the deferral rate, above 0, at most 1.
        confidence: above 0, below 1; over the draw of ``scores_B``.

    Raises:
        ConfigError: the rate or the confidence is out of range.
        DataError: too few scores for any threshold to keep this promise.
    """
    checked_rate(rate, "the deferral rate")
    _check_confidence(confidence)
    scores = np.sort(numbers_of(scores_B, "scores", dimensions=1))[::-1]
    above = np.arange(len(scores))
    kept = stats.beta.ppf(confidence, above + 1, len(scores) - above) <= rate
    if not kept[0]:
        needed = math.ceil(math.log(1 - confidence) / math.log1p(-rate)) if rate > 0 else 0
        raise DataError(
            f"{len(scores)} scores are too few to promise a deferral rate of {rate} with"
            f" confidence {confidence}",
            hint=f"give at least {needed} scores" if needed else "use agent 0 alone to never ask",
        )
    return Threshold(value=float(scores[np.flatnonzero(kept)[-1]]))


def _lower(deferred: int, count: int, tail: float) -> float:
    return float(stats.beta.ppf(tail, deferred, count - deferred + 1)) if deferred else 0.0


def _upper(deferred: int, count: int, tail: float) -> float:
    if deferred == count:
        return 1.0
    return float(stats.beta.ppf(1 - tail, deferred + 1, count - deferred))


def _check_counts(deferred: int, count: int) -> None:
    if not 0 <= deferred <= count or count < 1:
        raise ConfigError(
            f"{deferred} of {count} is no share of examples",
            hint="count at least one example, and no more deferred than there are",
        )


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ConfigError(
            f"the confidence is {confidence}, must be above 0 and below 1",
            hint="give a share such as 0.95",
        )
