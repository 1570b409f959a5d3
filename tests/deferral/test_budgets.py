"""Rules for a bounded deferral rate: exact predictions and exact enumerations, no simulation."""

import itertools
import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from assistlearn.deferral.budgets import (
    Threshold,
    benefit_of_deferring,
    stochastic_rule,
    threshold_at_rate,
)
from assistlearn.errors import ConfigError, DataError

shares = st.floats(0, 1)
small = st.integers(-3, 3).map(float)


@st.composite
def populations(draw, largest=6):
    """A finite distribution: probabilities, and the gain of deferring at each point."""
    size = draw(st.integers(1, largest))
    parts = draw(st.lists(st.integers(1, 9), min_size=size, max_size=size))
    gains = draw(st.lists(small, min_size=size, max_size=size))
    return np.array(parts) / sum(parts), np.array(gains)


def test_a_threshold_defers_more_than_its_value_and_ties_by_chance():
    rule = Threshold(value=0.5, tie_probability=0.25)

    assert rule.probabilities([0.4, 0.5, 0.6]).tolist() == [0.0, 0.25, 1.0]
    assert rule.probabilities(torch.tensor([0.6], requires_grad=True)).tolist() == [1.0]


def test_drawn_decisions_are_the_probabilities_at_zero_and_one():
    rule = Threshold(value=0.0, tie_probability=0.0)

    decided = rule.deferred([-1.0, 0.0, 1.0], np.random.default_rng(0))

    assert decided.tolist() == [False, False, True]


@given(populations(), shares)
def test_the_expected_rate_of_a_calibrated_threshold_is_exactly_the_bound(population, rate):
    weights, scores = population

    rule = threshold_at_rate(scores, rate, weights_B=weights)

    assert weights @ rule.probabilities(scores) == pytest.approx(rate, abs=1e-12)


@given(populations(), shares)
def test_no_randomised_rule_of_the_same_rate_gains_more_than_the_threshold(population, rate):
    """All vertices of the rules with this rate: at most one point is deferred by chance."""
    weights, gains = population
    size = len(gains)

    best = -math.inf
    for partial in range(size):
        others = [point for point in range(size) if point != partial]
        for deferred in itertools.product([0.0, 1.0], repeat=size - 1):
            rule = np.zeros(size)
            rule[others] = deferred
            rule[partial] = (rate - weights @ rule) / weights[partial]
            if -1e-12 <= rule[partial] <= 1 + 1e-12:
                best = max(best, weights @ (rule * gains))

    threshold = threshold_at_rate(gains, rate, weights_B=weights)
    assert weights @ (threshold.probabilities(gains) * gains) == pytest.approx(best, abs=1e-9)


@given(populations(), st.lists(st.booleans(), min_size=6, max_size=6), shares, st.booleans())
def test_the_threshold_on_gains_is_never_worse_than_the_stochastic_rule(
    population, decisions, bound, fill
):
    weights, gains = population
    deferred = np.array(decisions[: len(gains)])
    reject_rate = min(float(weights @ deferred), 1.0)

    stochastic = stochastic_rule(reject_rate, bound, fill=fill).probabilities(deferred)
    rate = min(float(weights @ stochastic), 1.0)
    best = threshold_at_rate(gains, rate, weights_B=weights).probabilities(gains)

    assert rate <= bound + 1e-12
    assert weights @ (best * gains) >= weights @ (stochastic * gains) - 1e-9


def test_a_ratio_of_costs_is_the_wrong_order_for_a_bounded_rate():
    """Both rules keep the sign, but at a rate of one half they defer different halves."""
    local, remote = np.array([0.2, 0.9]), np.array([0.01, 0.45])
    gains, ratios = local - remote, local / remote

    by_gain = threshold_at_rate(gains, 0.5).probabilities(gains)
    by_ratio = threshold_at_rate(ratios, 0.5).probabilities(ratios)

    assert by_gain.tolist() == [0.0, 1.0]
    assert by_ratio.tolist() == [1.0, 0.0]
    assert by_gain @ gains > by_ratio @ gains


@given(populations(), st.floats(0.01, 0.99))
def test_a_bounded_rate_is_pay_per_request_at_the_price_of_its_threshold(population, rate):
    weights, gains = population
    benefit = benefit_of_deferring(np.stack([gains, np.zeros_like(gains)], axis=1))

    rule = threshold_at_rate(gains, rate, weights_B=weights)
    chances = rule.probabilities(gains)

    certain = (chances == 0) | (chances == 1)
    paid = benefit.deferred(rule.value)
    assert (paid[certain & (gains != rule.value)] == chances[certain & (gains != rule.value)]).all()
    assert gains[~certain].tolist() == [rule.value] * int((~certain).sum())


def test_nothing_is_deferred_at_rate_0_and_everything_at_rate_1_whatever_comes():
    seen = [0.0, 1.0]

    assert threshold_at_rate(seen, 0.0).probabilities([-9.0, 9.0]).tolist() == [0.0, 0.0]
    assert threshold_at_rate(seen, 1.0).probabilities([-9.0, 9.0]).tolist() == [1.0, 1.0]


@given(populations(), shares)
def test_a_floor_keeps_what_is_not_worth_its_price_and_changes_nothing_above(population, rate):
    weights, gains = population

    free = threshold_at_rate(gains, rate, weights_B=weights).probabilities(gains)
    floored = threshold_at_rate(gains, rate, weights_B=weights, floor=0.0).probabilities(gains)

    assert (floored[gains <= 0] == 0).all()
    assert (floored[gains > 0] >= free[gains > 0]).all()
    assert weights @ floored <= rate + 1e-12


@given(st.floats(0.001, 0.999), shares, st.floats(0, 1), st.floats(0, 1))
def test_expected_accuracy_of_the_stochastic_rule_is_linear_with_a_kink_at_the_reject_rate(
    reject_rate, bound, local_accuracy, remote_accuracy
):
    """Two points: deferred by the rejector, and kept. Remote is right on all it is given."""
    weights = np.array([reject_rate, 1 - reject_rate])
    local, remote = np.array([local_accuracy, 0.7]), np.array([1.0, remote_accuracy])
    corners = [
        weights @ local,
        weights @ np.array([remote[0], local[1]]),
        weights @ remote,
    ]

    chances = stochastic_rule(reject_rate, bound, fill=True).probabilities([True, False])
    accuracy = weights @ (chances * remote + (1 - chances) * local)

    assert weights @ chances == pytest.approx(bound)
    assert accuracy == pytest.approx(np.interp(bound, [0.0, reject_rate, 1.0], corners))


@given(st.floats(0.001, 1), shares)
def test_without_its_second_branch_the_stochastic_rule_defers_the_smaller_of_both_rates(
    reject_rate, bound
):
    weights = np.array([reject_rate, 1 - reject_rate])

    chances = stochastic_rule(reject_rate, bound).probabilities([True, False])

    assert weights @ chances == pytest.approx(min(reject_rate, bound))
    assert chances[1] == 0


def test_the_gain_over_random_deferral_at_the_reject_rate_is_the_published_contrast():
    """CIFAR-10 in arXiv:2501.13810, table 1: system 70.43 %, random at the same rate 69.15 %."""
    local_share, remote_share = 0.4411, 0.559
    local, remote = np.array([0.739, 0.545]), np.array([0.819, 0.677])
    weights = np.array([local_share, remote_share])
    weights /= weights.sum()

    chances = stochastic_rule(weights[1], weights[1]).probabilities([False, True])
    system = weights @ (chances * remote + (1 - chances) * local)
    random_ = weights[0] * (weights @ local) + weights[1] * (weights @ remote)

    assert system == pytest.approx(0.7043, abs=2e-4)
    assert random_ == pytest.approx(0.6915, abs=2e-4)
    contrast = (remote - local)[1] - (remote - local)[0]
    assert system - random_ == pytest.approx(weights.prod() * contrast)


def test_the_benefit_names_the_cheapest_expert_and_keeps_on_a_tie():
    costs = [[0.5, 0.2, 0.2], [0.1, 0.3, 0.2], [0.2, 0.9, 0.2]]

    benefit = benefit_of_deferring(costs)

    assert benefit.expert.tolist() == [1, 2, 2]
    assert benefit.gain.tolist() == pytest.approx([0.3, -0.1, 0.0])
    assert benefit.agents(benefit.deferred()).tolist() == [1, 0, 0]
    assert benefit.agents(benefit.deferred(price=-0.05)).tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    ("refused", "error", "said"),
    [
        (lambda: threshold_at_rate([0.1], 1.5), ConfigError, "deferral rate is 1.5"),
        (lambda: threshold_at_rate([], 0.5), DataError, r"shape \(0,\)"),
        (lambda: threshold_at_rate([0.1, math.nan], 0.5), DataError, "not finite in row 2"),
        (lambda: threshold_at_rate([0.1], 0.5, weights_B=[-1.0]), DataError, "down to -1.0"),
        (lambda: threshold_at_rate([0.1], 0.5, weights_B=[1, 2]), DataError, "1 and 2 examples"),
        (lambda: Threshold(value=math.nan), ConfigError, "threshold is NaN"),
        (lambda: stochastic_rule(-0.1, 0.5), ConfigError, "reject rate is -0.1"),
        (lambda: stochastic_rule(0.1, 0.5).probabilities([0.0, 1.0]), DataError, "truth value"),
        (lambda: benefit_of_deferring([[0.1], [0.2]]), DataError, "one agent only"),
        (lambda: benefit_of_deferring([["a", "b"]]), DataError, "of type <U1"),
    ],
)
def test_what_is_no_rate_score_or_cost_is_refused(refused, error, said):
    with pytest.raises(error) as caught:
        refused()

    assert re.search(said, f"{caught.value} {caught.value.hint}")
