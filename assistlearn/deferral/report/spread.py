"""A figure over several seeds: its mean, and how well the mean is known."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import t as student_t

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A mean over seeds and its 95 % confidence interval by Student's t."""

    mean: float
    half_width: float
    """Half the interval's width; NaN for one seed or values that are not finite."""
    count: int
    """Seeds in which the figure is defined."""


def spread(values: Sequence[float]) -> Spread:
    """Mean and interval of the values that are defined: NaN says that a seed has none."""
    defined = [value for value in values if not math.isnan(value)]
    count = len(defined)
    if not count:
        return Spread(mean=math.nan, half_width=math.nan, count=0)
    if not all(map(math.isfinite, defined)):
        return Spread(mean=math.fsum(defined), half_width=math.nan, count=count)
    half_width = math.nan
    if count > 1:
        error = statistics.stdev(defined) / math.sqrt(count)
        half_width = float(student_t.ppf((1 + CONFIDENCE) / 2, count - 1)) * error
    return Spread(mean=statistics.fmean(defined), half_width=half_width, count=count)
