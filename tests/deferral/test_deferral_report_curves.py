"""Curves and hulls against the rules and mixtures that they stand for."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from assistlearn.deferral.budgets import benefit_of_deferring, threshold_at_rate
from assistlearn.deferral.report import (
    RATES,
    average_quality,
    deferral_curve,
    deferral_report,
    hull,
    trial,
)
from assistlearn.errors import DataError

small = st.integers(0, 3).map(float)
points = st.lists(st.tuples(small, small), min_size=1, max_size=6)


@st.composite
def orders(draw):
    size = draw(st.integers(1, 8))
    return tuple(draw(hnp.arrays(np.float64, size, elements=small)) for _ in range(3))


@given(orders())
def test_a_curve_is_what_the_threshold_at_each_rate_gives(order):
    scores, kept, deferred = order

    curve = deferral_curve(scores, kept, deferred)

    for rate, value in zip(RATES, curve, strict=True):
        chances = threshold_at_rate(scores, rate).probabilities(scores)
        assert value == pytest.approx((chances * deferred + (1 - chances) * kept).mean())


@given(orders())
def test_equal_scores_give_the_straight_line_of_random_deferral(order):
    _, kept, deferred = order

    curve = deferral_curve(np.zeros(len(kept)), kept, deferred)

    assert curve == pytest.approx(np.linspace(kept.mean(), deferred.mean(), len(RATES)))


@given(orders())
def test_no_order_beats_that_of_the_true_gain_at_any_rate(order):
    scores, kept, deferred = order

    best = deferral_curve(deferred - kept, kept, deferred)

    assert (deferral_curve(scores, kept, deferred) <= best + 1e-12).all()


@given(hnp.arrays(np.float64, (7, 3), elements=small), st.booleans())
def test_the_oracle_curve_of_a_report_bounds_every_methods_curve(costs, with_accuracy):
    class Decided:
        scores = np.arange(21.0).reshape(7, 3) % 5
        agents = scores.argmax(axis=1)

    correct = costs < 2 if with_accuracy else None
    report = deferral_report(trial(costs, {"it": Decided}, correct_BA=correct))

    best, mine = np.array(report.oracle_curve[0]), np.array(report.methods[0].curves[0].quality)
    assert (best >= mine - 1e-12).all() if with_accuracy else (best <= mine + 1e-12).all()


def test_a_methods_curve_passes_through_what_it_does_at_its_own_rate():
    """Scores that are minus expected costs defer where the gain is positive: its own point."""
    costs = np.random.default_rng(2).random((50, 3))

    class Decided:
        scores = -np.random.default_rng(3).random((50, 3))
        agents = scores.argmax(axis=1)

    report = deferral_report(trial(costs, {"it": Decided}))

    method = report.methods[0]
    rate = 1 - method.metrics[0].coverage
    assert rate in RATES
    assert method.curves[0].quality[RATES.index(rate)] == pytest.approx(
        method.metrics[0].deferral_loss
    )
    gains = benefit_of_deferring(-Decided.scores).gain
    assert (gains > 0).mean() == rate


@given(points)
@example([(0.0, 0.0), (2.0, 2.0), (3.0, 3.0)])  # on one line
@example([(0.0, 0.0), (1.0, 1.0), (3.0, 2.0), (2.0, 2.0)])
def test_no_mixture_of_two_points_is_above_the_hull_and_its_corners_are_points(given_points):
    prices, qualities = np.array(given_points).T

    x, y = hull(prices, qualities)

    assert set(zip(x, y, strict=True)) <= set(given_points)
    assert (np.diff(x) > 0).all()
    assert (np.diff(y) > 0).all()
    assert (np.diff(np.diff(y) / np.diff(x)) < 0).all()
    for one, two in itertools.product(given_points, repeat=2):
        for weight in (0.0, 0.3, 0.5, 1.0):
            price, quality = weight * np.array(one) + (1 - weight) * np.array(two)
            assert quality <= np.interp(price, x, y) + 1e-9


def test_average_quality_is_the_area_under_the_hull_by_hand():
    """From (0, 0.5) to (1, 0.9), then level to 2; a point below the hull changes nothing."""
    assert average_quality([0, 1, 0.5], [0.5, 0.9, 0.6], upto=2) == pytest.approx(0.8)
    assert average_quality([0, 1], [0.5, 0.9], upto=0.5) == pytest.approx(0.6)
    assert average_quality([1], [0.7], upto=3) == pytest.approx(0.7)


def test_average_quality_between_common_ends_by_hand():
    """Half way up, then level; nothing is known below the first point."""
    assert average_quality([0, 1], [0.5, 0.9], start=0.5, upto=1.5) == pytest.approx(0.85)
    assert math.isnan(average_quality([0.5, 1], [0.5, 0.9], start=0.25, upto=1))


def test_average_qualities_of_methods_that_reach_different_prices_compare():
    """Agent 0 is the dearest: each method reaches down to the expert that it knows of."""
    generator = np.random.default_rng(0)
    correct = generator.random((400, 3)) < [0.9, 0.6, 0.85]
    prices = np.array([1.0, 0.0, 0.3])

    class To:
        def __init__(self, expert):
            self.scores = np.full((400, 3), -5.0)
            self.scores[:, 0] = 1
            self.scores[:, expert] = 1 + generator.permutation(400) / 400
            self.agents = self.scores.argmax(axis=1)

    made = {"to the free one": To(1), "to the other": To(2)}
    report = deferral_report(trial(10 * ~correct + prices, made, prices=prices, correct_BA=correct))

    free, other = (each.curves[0].average_quality for each in report.methods)
    accuracy = correct.mean(axis=0)
    x, y = hull(prices, accuracy)
    assert other == pytest.approx(np.trapezoid(y, x), abs=0.03)
    assert free == pytest.approx((accuracy[0] + accuracy[1]) / 2, abs=0.03)
    assert other > free


def test_an_average_over_no_width_is_refused():
    with pytest.raises(DataError, match="prices begin at 1, but the average ends at 1"):
        average_quality([1], [0.7], upto=1)


def test_arrays_of_different_length_are_refused():
    with pytest.raises(DataError, match="2 and 1 examples"):
        deferral_curve([1, 2], [1], [1])
    with pytest.raises(DataError, match="prices and qualities: 1 and 2"):
        hull([1], [1, 2])
