"""A figure over several seeds: its mean, and how well the mean is known."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import t as student_t

from assistlearn.errors import ConfigError

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A mean over seeds and its 95 % confidence interval by Student's t."""

    mean: float
    half_width: float
    """Half the interval's width; NaN for one seed or values that are not finite."""
    count: int
    """Seeds in which the figure is defined."""
    seeds: int = 0
    """Seeds in all."""


def spread(values: Sequence[float], *, overlap: float = 0.0) -> Spread:
    r"""Mean and interval of the values that are defined: NaN says that a seed has none.

    Half the interval's width, with S values of standard deviation s:

    .. math:: t_{S-1} \; s \; \sqrt{1/S + \mathrm{overlap}}

    Seeds that divide one table anew share its rows, so their values are not independent: however
    many seeds there are, the mean is known no better than that one table allows. With an overlap
    of 0 the interval would shrink to nothing and soon call mere chance a difference.

    Source: Nadeau and Bengio, "Inference for the generalization error", Machine Learning 52
    (2003), section 3, the corrected resampled t-test.

    Args:
        values: one for each seed.
        overlap: held-out rows over training rows where all seeds divide one table; 0 where every
            seed draws examples of its own.

    Raises:
        ConfigError: the overlap is negative or not finite.
    """
    check_overlap(overlap)
    defined = [value for value in values if not math.isnan(value)]
    count = len(defined)
    mean = half_width = math.nan
    if not all(map(math.isfinite, defined)):
        mean = math.fsum(defined)
    elif count:
        mean = statistics.fmean(defined)
        if count > 1:
            error = statistics.stdev(defined) * math.sqrt(1 / count + overlap)
            half_width = float(student_t.ppf((1 + CONFIDENCE) / 2, count - 1)) * error
    return Spread(mean=mean, half_width=half_width, count=count, seeds=len(values))


def check_overlap(overlap: float) -> None:
    """Refuse what is no ratio of rows.

    Raises:
        ConfigError: the overlap is negative or not finite.
    """
    if not 0 <= overlap < math.inf:
        raise ConfigError(
            f"the overlap is {overlap}, must be finite and >= 0",
            hint="give held-out rows over training rows, or 0 for examples of each seed's own",
        )


def interval_words(seeds: int, *, overlap: float) -> str:
    """What a caption says of means and intervals: ``95 % interval over 5 seeds``, or more."""
    corrected = ", corrected for re-divisions of one table" if overlap else ""
    return f"95 % interval over {seeds} seeds{corrected}"
