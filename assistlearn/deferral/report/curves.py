"""How figures change with the deferral rate and with the price paid: exact, ties and all.

B examples, A agents.
"""

from typing import Any, Final

import numpy as np

from assistlearn.deferral.arrays import Floats, numbers_of, same_length
from assistlearn.deferral.budgets.benefit import benefit_of_deferring
from assistlearn.errors import DataError

RATES: Final[tuple[float, ...]] = tuple(step / 50 for step in range(51))
"""Deferral rates at which a report keeps its curves."""


def deferral_curve(order_B: Any, kept_B: Any, deferred_B: Any, *, rates: Any = RATES) -> Floats:
    """Expected value at each rate, when the examples largest in ``order_B`` are deferred.

    Equal ones are deferred in random order, so the curve is straight across a tie: it is what
    :func:`.threshold_at_rate` gives at every rate.

    Args:
        order_B: what deferring is thought to be worth. Shape ``(B,)``.
        kept_B: value of an example that is kept. Shape ``(B,)``.
        deferred_B: value of one that is deferred. Shape ``(B,)``.
        rates: deferral rates, from 0 to 1. Shape ``(R,)``.

    Returns:
        Mean values. Shape ``(R,)``.

    Raises:
        DataError: the arrays do not fit each other.
    """
    order = numbers_of(order_B, "scores", dimensions=1)
    kept = numbers_of(kept_B, "values", dimensions=1)
    deferred = numbers_of(deferred_B, "values", dimensions=1)
    same_length(order, kept, "scores and values")
    same_length(order, deferred, "scores and values")
    _, tied, counts = np.unique(-order, return_inverse=True, return_counts=True)
    gains = np.bincount(tied, weights=deferred - kept)
    corners = np.concatenate([[0.0], np.cumsum(counts)]) / len(order)
    values = kept.mean() + np.concatenate([[0.0], np.cumsum(gains)]) / len(order)
    found: Floats = np.interp(np.asarray(rates, dtype=np.float64), corners, values)
    return found


def scored_curve(scores: Floats, values_BA: Floats) -> Floats:
    """The curve of a method's own scores, deferring to the expert it scores highest. ``(R,)``."""
    benefit = benefit_of_deferring(-scores)
    deferred = np.take_along_axis(values_BA, benefit.expert[:, None], axis=1)[:, 0]
    return deferral_curve(benefit.gain, values_BA[:, 0], deferred)


def hull(prices: Any, qualities: Any) -> tuple[Floats, Floats]:
    """Corners of the least concave line, nowhere falling, that no point is above.

    What can be had by choosing at random between points, and by not spending all.

    Args:
        prices: of points. Shape ``(P,)``.
        qualities: of points, larger is better. Shape ``(P,)``.

    Returns:
        Prices and qualities of its corners, from the least price to that of the best quality.

    Raises:
        DataError: the arrays do not fit each other.
    """
    x = numbers_of(prices, "prices", dimensions=1)
    y = numbers_of(qualities, "qualities", dimensions=1)
    same_length(x, y, "prices and qualities")
    corners: list[int] = []
    for point in np.lexsort((-y, x)):
        if corners and y[point] <= y[corners[-1]]:
            continue  # dearer, or as dear, and no better
        while len(corners) > 1 and _is_below(x, y, corners[-2], corners[-1], int(point)):
            corners.pop()
        corners.append(int(point))
    return x[corners], y[corners]


def average_quality(
    prices: Any, qualities: Any, *, upto: float, start: float | None = None
) -> float:
    """Mean height of the points' hull from ``start`` to ``upto``.

    RouterBench's AIQ (arXiv:2403.12031), with common ends so that methods compare.

    Args:
        prices: of points. Shape ``(P,)``.
        qualities: of points, larger is better. Shape ``(P,)``.
        upto: above the start.
        start: the points' least price if not given, which only methods that begin there share.

    Returns:
        The mean; NaN if the points begin above ``start``, as nothing is known of the prices
        between. (Add the point of the cheapest agent alone: any method can be mixed with it.)

    Raises:
        DataError: there is no width to average over.
    """
    x, y = hull(prices, qualities)
    left = float(x[0] if start is None else start)
    if not upto > left:
        raise DataError(
            f"prices begin at {left:g}, but the average ends at {upto:g}",
            hint="average up to the price of the dearest agent",
        )
    if x[0] > left:
        return float("nan")
    inside = (x > left) & (x < upto)
    corners = np.concatenate([[left], x[inside], [upto]])
    heights = np.interp(corners, x, y)  # level beyond the last corner
    return float(np.trapezoid(heights, corners) / (upto - left))


def _is_below(x: Floats, y: Floats, left: int, middle: int, right: int) -> bool:
    """Whether the middle point is on or under the line between the others."""
    rise = (y[right] - y[left]) * (x[middle] - x[left])
    return bool((y[middle] - y[left]) * (x[right] - x[left]) <= rise)
