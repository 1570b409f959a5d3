"""Intervals and guarantees cover as often as they say: sums over all outcomes, no simulation."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from assistlearn.deferral.budgets import (
    calibrate,
    deployed_interval,
    guaranteed_threshold,
    hoeffding_margin,
    rate_interval,
)
from assistlearn.errors import ConfigError, DataError

RATES = (0.0, 0.004, 0.03, 0.1, 0.25, 0.5, 0.77, 0.96, 1.0)


def test_a_rate_interval_is_that_of_clopper_and_pearson():
    found = rate_interval(7, 40, confidence=0.95)
    exact = stats.binomtest(7, 40).proportion_ci(confidence_level=0.95, method="exact")

    assert (found.lower, found.upper) == pytest.approx((exact.low, exact.high))
    assert found.rate == 0.175
    assert rate_interval(0, 5).lower == 0
    assert rate_interval(5, 5).upper == 1


@pytest.mark.parametrize("count", [1, 7, 30])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
@pytest.mark.parametrize("rate", RATES)
def test_a_rate_interval_covers_the_rate_as_often_as_it_says(count, confidence, rate):
    covered = 0.0
    for deferred in range(count + 1):
        interval = rate_interval(deferred, count, confidence=confidence)
        if interval.lower <= rate <= interval.upper:
            covered += stats.binom.pmf(deferred, count, rate)

    assert covered >= confidence - 1e-12


@pytest.mark.parametrize(("count", "requests"), [(1, 1), (20, 5), (15, 40)])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
@pytest.mark.parametrize("rate", RATES)
def test_a_deployed_interval_covers_the_share_to_come_as_often_as_it_says(
    count, requests, confidence, rate
):
    shares = np.arange(requests + 1) / requests
    covered = 0.0
    for deferred in range(count + 1):
        interval = deployed_interval(deferred, count, requests=requests, confidence=confidence)
        inside = (interval.lower - 1e-12 <= shares) & (shares <= interval.upper + 1e-12)
        later = stats.binom.pmf(np.arange(requests + 1), requests, rate)
        covered += stats.binom.pmf(deferred, count, rate) * later[inside].sum()

    assert covered >= confidence - 1e-12


def test_a_deployed_interval_is_wider_than_that_of_the_rate_and_comes_close_with_many_requests():
    rate = rate_interval(30, 300)
    few, many = (deployed_interval(30, 300, requests=n) for n in (50, 10**6))

    assert few.lower < many.lower < rate.lower
    assert rate.upper < many.upper < few.upper
    assert many.upper - rate.upper < 0.01


@pytest.mark.parametrize("requests", [1, 9, 100])
@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("rate", RATES)
def test_the_share_of_requests_passes_hoeffdings_margin_as_rarely_as_it_says(
    requests, confidence, rate
):
    margin = hoeffding_margin(requests, confidence=confidence)
    most = math.floor(requests * (rate + margin) + 1e-9)

    assert stats.binom.sf(most, requests, rate) <= 1 - confidence + 1e-12


@pytest.mark.parametrize("shares", [(0.1, 0.9), (0.05, 0.15, 0.8), (0.3, 0.3, 0.4), (0.01, 0.99)])
@pytest.mark.parametrize("rate", [0.1, 0.3])
def test_a_guaranteed_threshold_keeps_its_rate_as_often_as_it_says_though_scores_tie(shares, rate):
    """Every sample of 30 scores from a finite distribution, with its probability."""
    size, confidence = 30, 0.9
    scores = np.arange(len(shares))[::-1].astype(float)

    kept = 0.0
    for counts in itertools.product(range(size + 1), repeat=len(shares)):
        if sum(counts) != size:
            continue
        sample = np.repeat(scores, counts)
        threshold = guaranteed_threshold(sample, rate, confidence=confidence)
        if np.array(shares) @ threshold.probabilities(scores) <= rate + 1e-12:
            kept += stats.multinomial.pmf(counts, size, shares)

    assert kept >= confidence - 1e-9


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.6])
def test_a_guaranteed_threshold_leaves_as_many_above_as_the_binomial_tail_allows(rate):
    """Without ties: k above is allowed while a rate of p has k or fewer above rarely enough."""
    size, confidence = 200, 0.95
    threshold = guaranteed_threshold(np.arange(size), rate, confidence=confidence)

    above = size - 1 - int(threshold.value)
    assert stats.binom.cdf(above, size, rate) <= 1 - confidence
    assert stats.binom.cdf(above + 1, size, rate) > 1 - confidence


def test_too_few_scores_for_a_guarantee_say_how_many_are_needed():
    with pytest.raises(DataError, match="58 scores are too few") as caught:
        guaranteed_threshold(np.arange(58), 0.05, confidence=0.95)

    assert caught.value.hint == "give at least 59 scores"
    assert guaranteed_threshold(np.arange(59), 0.05, confidence=0.95).value == 58
    with pytest.raises(DataError, match="too few to promise"):
        guaranteed_threshold(np.arange(59), 0.0)


def test_a_calibration_measures_its_threshold_on_other_scores():
    chosen_on, checked_on = np.arange(100.0), np.arange(50.0, 150.0)

    found = calibrate(
        chosen_on, 0.2, held_out_B=checked_on, requests=10, generator=np.random.default_rng(0)
    )

    assert found.threshold.probabilities(chosen_on).mean() == pytest.approx(0.2)
    assert found.expected.rate == 0.7
    assert found.expected.lower < 0.7 < found.expected.upper
    assert found.deployed.lower < found.expected.lower
    assert found.requests == 10
    assert found.held_out == 100


@pytest.mark.parametrize(
    "refused",
    [
        lambda: rate_interval(3, 2),
        lambda: rate_interval(0, 0),
        lambda: rate_interval(1, 2, confidence=1.0),
        lambda: deployed_interval(1, 2, requests=0),
        lambda: hoeffding_margin(5, confidence=0.0),
        lambda: guaranteed_threshold([0.1], 1.5),
    ],
)
def test_counts_and_confidences_out_of_range_are_refused(refused):
    with pytest.raises(ConfigError):
        refused()
