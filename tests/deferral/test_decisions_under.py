"""Who answers, why and at which expected cost: on a budget, and where agents cannot be had."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from assistlearn.deferral.availability import Reason, answers
from assistlearn.deferral.budgets import (
    Threshold,
    TokenBucket,
    benefit_of_deferring,
    calibrate,
    threshold_at_rate,
)
from assistlearn.deferral.rejectors import Decisions, PlugInRejector, RandomRejector, Rejector
from assistlearn.errors import ConfigError, DataError

NAMES = ("clinic", "lab", "expert")
SHAPE = (6, 3)
NUMBERS = hnp.arrays(np.float64, SHAPE, elements=st.integers(0, 3).map(float))
MASKS = hnp.arrays(np.bool_, SHAPE)
THRESHOLDS = st.sampled_from([-math.inf, -2.0, -1.0, 0.0, 1.0, 2.0, math.inf])


def made(scores, costs, names=NAMES):
    """Decisions from lists, with errors of 0.1."""
    return Decisions.of(
        np.array(scores, dtype=float),
        expected_costs=np.array(costs, dtype=float),
        cost_errors=np.full(len(names), 0.1),
        agent_names=names,
    )


def naive(costs, threshold, available):
    """Who answers one example by the rule of thresholds, ties kept."""
    experts = [agent for agent in (1, 2) if available[agent]]
    if not experts:
        return 0
    best = min(experts, key=lambda agent: (costs[agent], agent))
    gain = costs[0] - costs[best] if available[0] else math.inf
    return best if gain > threshold else 0


@given(NUMBERS, NUMBERS, MASKS, THRESHOLDS)
def test_at_a_threshold_a_loop_over_the_available_agents_finds_the_same(
    scores, costs, available, threshold
):
    decisions = made(scores, costs).under(threshold=threshold, available=available)

    for row in range(len(costs)):
        assert decisions.agents[row] == naive(costs[row], threshold, available[row])
        assert decisions.asked[row] == naive(costs[row], threshold, [True] * 3)


@given(NUMBERS, NUMBERS, MASKS, st.none() | THRESHOLDS)
def test_each_reason_is_given_exactly_where_it_holds(scores, costs, available, threshold):
    decisions = made(scores, costs).under(threshold=threshold, available=available)

    for row, reason in enumerate(decisions.reasons):
        agent, asked = decisions.agents[row], decisions.asked[row]
        if agent != asked:
            assert not available[row, asked]
            assert (reason is Reason.NOBODY_ELSE) == (not available[row].any())
            assert reason in {Reason.NEXT_BEST, Reason.NOBODY_ELSE}
        elif agent:
            assert reason is Reason.DEFERRED
        else:
            gain = costs[row, 0] - costs[row, 1:].min()
            below = threshold is not None and gain > 0
            assert reason is (Reason.BELOW_THRESHOLD if below else Reason.KEPT)
        assert available[row, agent] or agent == 0


@given(NUMBERS, NUMBERS, MASKS)
def test_without_a_threshold_the_scores_decide_among_those_who_can_be_had(scores, costs, available):
    decisions = made(scores, costs).under(available=available)
    expected = answers(scores, available)

    assert (decisions.agents == expected.answered).all()
    assert (decisions.asked == expected.asked).all()
    assert decisions.reasons == expected.reasons


@given(NUMBERS, NUMBERS, MASKS, st.none() | THRESHOLDS)
def test_runner_up_and_margin_are_those_of_whoever_answers(scores, costs, available, threshold):
    decisions = made(scores, costs).under(threshold=threshold, available=available)

    for row, agent in enumerate(decisions.agents):
        others = [other for other in range(3) if other != agent]
        best = max(others, key=lambda other: (scores[row, other], -other))
        assert decisions.runners_up[row] == best
        assert decisions.margins[row] == scores[row, agent] - scores[row, best]


@given(NUMBERS, NUMBERS)
def test_under_nothing_the_decisions_are_the_same_word_for_word(scores, costs):
    decisions = made(scores, costs)

    for same in (decisions.under(), decisions.under(available=np.ones(3, dtype=bool))):
        assert (same.agents == decisions.agents).all()
        assert (same.margins == decisions.margins).all()
        assert same.reasons == decisions.reasons
        assert [*map(same.explain, range(6))] == [*map(decisions.explain, range(6))]


@given(NUMBERS, MASKS, st.floats(0, 1), st.integers(0, 9))
def test_ties_at_the_threshold_are_drawn_as_the_threshold_draws_them(costs, mask, rate, seed):
    gains = benefit_of_deferring(costs).gain
    threshold = threshold_at_rate(gains, rate)
    decisions = made(-costs, costs)

    drawn = decisions.under(threshold=threshold, generator=np.random.default_rng(seed))
    kept = decisions.under(threshold=threshold)
    absent = decisions.under(
        threshold=threshold, available=mask, generator=np.random.default_rng(seed)
    )

    expected = threshold.deferred(gains, np.random.default_rng(seed))
    assert ((drawn.agents > 0) == expected).all()
    assert ((kept.agents > 0) <= expected).all()
    assert (absent.asked == drawn.asked).all()
    there = mask.all(axis=1)
    assert (absent.agents[there] == drawn.agents[there]).all()


def test_each_call_starts_anew_and_changes_nothing():
    decisions = made([[0, 1, 2]], [[0.5, 0.3, 0.1]])

    never = decisions.under(threshold=math.inf)

    assert never.agents.tolist() == [0]
    assert never.under().agents.tolist() == decisions.agents.tolist() == [2]
    assert never.under().threshold is None
    with pytest.raises(ValueError, match="read-only"):
        never.agents[0] = 1


@pytest.mark.parametrize(
    ("scores", "conditions", "sentence"),
    [
        ([0, 1, 2], {"threshold": 0.1},
         ("'expert' answers, as asking saves 0.4 at a threshold of 0.1; expected cost 0.1"
         " (single costs: ± 0.1) against 'lab' 0.3, 'clinic' 0.5")),
        ([0, 1, 2], {"threshold": 0.6},
         ("'clinic' answers, as asking 'expert' would save 0.4, not above the threshold of 0.6;"
         " expected cost 0.5 (single costs: ± 0.1) against 'expert' 0.1, 'lab' 0.3")),
        ([0, 1, 2], {"available": [True, True, False]},
         ("'lab' answers, the next best, as 'expert' cannot be had; expected cost 0.3"
         " (single costs: ± 0.1) against 'expert' 0.1, 'clinic' 0.5")),
        ([0, 1, 2], {"available": [True, True, False], "threshold": 0.3},
         ("'clinic' answers, the next best, as 'expert' cannot be had; expected cost 0.5"
         " (single costs: ± 0.1) against 'expert' 0.1, 'lab' 0.3")),
        ([0, 1, 2], {"available": [False, False, False]},
         ("'clinic' answers, as neither 'expert' nor any other can be had; expected cost 0.5"
         " (single costs: ± 0.1) against 'expert' 0.1, 'lab' 0.3")),
        ([0, 2, 1], {"available": [True, True, False]},
         ("'lab' answers, 1 ahead of 'expert' in score; expected cost 0.3 (single costs: ± 0.1)"
         " against 'expert' 0.1, 'clinic' 0.5; by expected cost alone 'expert' would answer")),
    ],
    ids=["deferred", "below", "next best", "too little left", "nobody", "untouched"],
)  # fmt: skip
def test_the_sentence_says_why(scores, conditions, sentence):
    decisions = made([scores], [[0.5, 0.3, 0.1]])
    if "available" in conditions:
        conditions["available"] = np.array(conditions["available"])

    assert decisions.under(**conditions).explain(0) == sentence


def test_what_no_threshold_would_change_is_said_to_be_the_least_cost():
    decisions = made([[0, 1, 2]], [[0.1, 0.3, 0.5]]).under(threshold=0.2)

    assert decisions.explain(0).startswith("'clinic' answers, as no other is expected to cost less")


def test_of_many_agents_the_sentence_names_the_one_that_cannot_be_had():
    names = [f"agent {number}" for number in range(6)]
    decisions = made([[0, 1, 2, 3, 4, 5]], [[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]], names)

    sentence = decisions.under(available=np.arange(6) < 4).explain(0)

    assert sentence.startswith("'agent 3' answers, the next best, as 'agent 5' cannot be had;")
    assert sentence.endswith("against 'agent 5' 0.6, 'agent 0' 0.1")


def test_a_hard_cap_joins_in_the_order_of_time():
    """A bucket is one more reason for which experts cannot be had: the docstring's loop."""
    times = [0.0, 1.0, 2.0, 3.0, 10.0]
    costs = [[0.5, 0.6, 0.1], [0.1, 0.6, 0.5], [0.5, 0.2, 0.4], [0.5, 0.1, 0.1], [0.5, 0.2, 0.1]]
    decisions = made(np.zeros((5, 3)), costs)
    bucket = TokenBucket(cap=2, window=10)

    wanted = decisions.under(threshold=0.05)
    there = np.ones(decisions.scores.shape, dtype=bool)
    for row, time in enumerate(times):
        there[row, 1:] = wanted.agents[row] == 0 or bucket.take(time)
    capped = decisions.under(threshold=0.05, available=there)

    assert wanted.agents.tolist() == [2, 0, 1, 1, 2]
    assert capped.agents.tolist() == [2, 0, 1, 0, 2]
    assert capped.reasons[3] is Reason.NEXT_BEST
    assert capped.explain(3).startswith("'clinic' answers, the next best, as 'lab' cannot be had;")


@pytest.mark.parametrize("mask", [np.ones(2, bool), np.ones((5, 3), bool), np.ones((1, 3))])
@pytest.mark.parametrize("threshold", [None, 0.1])
def test_masks_that_do_not_fit_are_refused(mask, threshold):
    with pytest.raises(DataError, match="mask of available agents"):
        made([[0, 1, 2]], [[0.5, 0.3, 0.1]]).under(threshold=threshold, available=mask)


def test_what_is_no_threshold_is_refused():
    decisions = made([[0, 1, 2]], [[0.5, 0.3, 0.1]])

    with pytest.raises(ConfigError, match="NaN"):
        decisions.under(threshold=math.nan)
    with pytest.raises(DataError, match="one agent only"):
        made([[0]], [[0.5]], ["clinic"]).under(threshold=0.1)


def clinic_data(rows, seed):
    """Two features; the clinic errs the more often the larger the first, the others alike."""
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(rows, 2))
    chances = np.stack(
        [
            np.clip(0.5 + 0.4 * features[:, 0], 0, 1),
            np.full(rows, 0.2),
            np.full(rows, 0.1),
        ],
        axis=1,
    )
    return features, (generator.random((rows, 3)) < chances).astype(float)


def test_a_rejector_fitted_once_serves_any_budget_and_any_absence():
    """Fit, calibrate on held-out rows, decide, change the threshold, withdraw the expert."""
    prices = {"lab": 0.1, "expert": 0.15}
    rejector = Rejector(agents=NAMES, prices=prices).fit(*clinic_data(2000, seed=0))
    chosen_on, measured_on = (
        benefit_of_deferring(rejector.decide(clinic_data(1000, seed)[0]).expected_costs).gain
        for seed in (1, 2)
    )
    generator = np.random.default_rng(0)
    at_a_fifth, at_half = (
        calibrate(chosen_on, rate, held_out_B=measured_on, requests=1000, generator=generator)
        for rate in (0.2, 0.5)
    )
    features, _ = clinic_data(1000, seed=3)
    away = np.arange(1000) % 2 == 0
    there = np.ones((1000, 3), dtype=bool)
    there[away, 2] = False

    free = rejector.decide(features)
    some = free.under(threshold=at_a_fifth)
    more = free.under(threshold=at_half)
    left = free.under(threshold=at_a_fifth, available=there)

    for decisions, calibration in ((some, at_a_fifth), (more, at_half)):
        rate = 1 - decisions.shares[0]
        assert calibration.deployed.lower <= rate <= calibration.deployed.upper
    assert (free.names == rejector.predict(features)).all()
    assert set(some.reasons) == {Reason.KEPT, Reason.DEFERRED, Reason.BELOW_THRESHOLD}
    assert ((more.agents > 0) >= (some.agents > 0)).all()

    assert (left.agents[~away] == some.agents[~away]).all()
    assert not (left.agents[away] == 2).any()
    costs, limit = free.expected_costs, at_a_fifth.threshold.value
    missed = away & (some.agents == 2)
    worth_it = costs[:, 0] - costs[:, 1] > limit
    assert (left.agents[missed] == np.where(worth_it, 1, 0)[missed]).all()
    assert {left.reasons[row] for row in np.flatnonzero(missed)} == {Reason.NEXT_BEST}
    to_lab, to_clinic = (np.flatnonzero(missed & (left.agents == agent))[0] for agent in (1, 0))
    assert some.explain(to_lab).startswith("'expert' answers, as asking saves ")
    assert left.explain(to_lab).startswith(
        "'lab' answers, the next best, as 'expert' cannot be had; expected cost "
    )
    assert left.explain(to_clinic).startswith(
        "'clinic' answers, the next best, as 'expert' cannot be had; expected cost "
    )
    alone = free.under(threshold=at_a_fifth, available=np.zeros(3, dtype=bool))
    assert not alone.agents.any()
    assert alone.explain(to_lab).startswith(
        "'clinic' answers, as neither 'expert' nor any other can be had; expected cost "
    )


def test_where_the_scores_are_the_costs_a_threshold_of_zero_changes_nothing():
    rejector = PlugInRejector(agents=NAMES).fit(*clinic_data(200, seed=0))
    decisions = rejector.decide(clinic_data(300, seed=1)[0])

    assert (decisions.under(threshold=0).agents == decisions.agents).all()


def test_any_decisions_can_be_put_on_a_budget():
    rejector = RandomRejector(agents=NAMES).fit(*clinic_data(50, seed=0))
    decisions = rejector.decide(clinic_data(40, seed=1)[0])

    assert not decisions.under(threshold=Threshold(value=math.inf)).agents.any()
    assert not (decisions.under(available=np.array([True, True, False])).agents == 2).any()
