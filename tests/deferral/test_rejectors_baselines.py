"""What learned rejectors are compared with, behind the same methods."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestRegressor

from assistlearn.deferral.margin_choice import EXPONENTS, theory_margins
from assistlearn.deferral.margins import mild_hinge, mild_log, mild_ramp
from assistlearn.deferral.rejectors import (
    ConfidenceThreshold,
    FixedAgent,
    MildRejector,
    Oracle,
    PlugInRejector,
    RandomRejector,
    Rejector,
)
from assistlearn.deferral.rejectors.minibatches import held_out_rows
from assistlearn.errors import ConfigError, DataError

NAMES = ["main", "near", "far"]


def outcomes(rows=400, seed=0):
    """Features, the first of which is the main model's confidence; costs of three agents."""
    generator = np.random.default_rng(seed)
    confidence = generator.uniform(size=rows)
    other = generator.normal(size=rows)
    wrong = generator.random((rows, 3)) > np.stack(
        [confidence, np.full(rows, 0.6), 1 / (1 + np.exp(-3 * other))], axis=1
    )
    return np.stack([confidence, other], axis=1), wrong + np.array([0, 0.05, 0.1])


@pytest.mark.parametrize(
    "rejector",
    [
        Rejector(agents=NAMES),
        PlugInRejector(agents=NAMES),
        ConfidenceThreshold(agents=NAMES),
        FixedAgent(agents=NAMES),
        RandomRejector(agents=NAMES),
        MildRejector(agents=NAMES, exponents=(0.0, 0.5), scales=(1.0,)),
    ],
    ids=lambda rejector: type(rejector).__name__,
)
def test_all_answer_to_the_same_methods(rejector):
    features, costs = outcomes()

    rejector.fit(features, costs)
    decisions = rejector.decide(features)

    assert set(rejector.predict(features)) <= set(NAMES)
    assert (decisions.names == rejector.predict(features)).all()
    assert decisions.expected_costs.shape == decisions.scores.shape == (400, 3)
    assert decisions.cost_errors.shape == (3,)
    chosen = costs[np.arange(400), decisions.agents]
    assert rejector.score(features, costs) == pytest.approx(-chosen.mean())
    assert Oracle().score(features, costs) >= rejector.score(features, costs)


@given(seed=st.integers(0, 10**6), rows=st.integers(2, 30), agents=st.integers(1, 4))
def test_threshold_and_expert_are_the_best_of_all_by_brute_force(seed, rows, agents):
    generator = np.random.default_rng(seed)
    confidence = generator.integers(0, 6, size=rows) / 6  # with ties
    costs = generator.integers(0, 4, size=(rows, agents)) / 4
    features = confidence[:, None]

    rejector = ConfidenceThreshold().fit(features, costs)

    best = costs[:, 0].mean()
    for threshold in [*confidence, 2.0]:
        for expert in range(1, agents):
            chosen = np.where(confidence >= threshold, costs[:, 0], costs[:, expert])
            best = min(best, chosen.mean())
    assert -rejector.score(features, costs) == pytest.approx(best)


def test_a_threshold_lies_between_the_confidences_that_it_parts():
    features = np.array([[0.2], [0.4], [0.6], [0.9]])
    costs = np.array([[1.0, 0.1], [1.0, 0.1], [0.0, 0.1], [0.0, 0.1]])

    rejector = ConfidenceThreshold().fit(features, costs)

    assert float(rejector.threshold_) == pytest.approx(0.5)
    assert rejector.predict([[0.49], [0.51]]).tolist() == [1, 0]


def test_the_confidence_column_is_found_by_number_or_name():
    features, costs = outcomes()
    swapped = features[:, ::-1]

    first = ConfidenceThreshold().fit(features, costs)
    last = ConfidenceThreshold(confidence=-1).fit(swapped, costs)

    assert (first.predict(features) == last.predict(swapped)).all()
    with pytest.raises(ConfigError, match="column 2"):
        ConfidenceThreshold(confidence=2).fit(features, costs)
    with pytest.raises(DataError, match="features have no names"):
        ConfidenceThreshold(confidence="softmax").fit(features, costs)


def test_expected_costs_of_a_threshold_are_the_means_on_its_two_sides():
    features, costs = outcomes()
    rejector = ConfidenceThreshold().fit(features, costs)

    decisions = rejector.decide(features)

    kept = decisions.agents == 0
    np.testing.assert_allclose(decisions.expected_costs[kept][0], costs[kept].mean(axis=0))
    np.testing.assert_allclose(decisions.expected_costs[~kept][0], costs[~kept].mean(axis=0))


def test_the_plug_in_asks_whom_it_expects_to_be_cheapest():
    features, costs = outcomes()

    decisions = PlugInRejector().fit(features, costs).decide(features)

    assert (decisions.agents == decisions.expected_costs.argmin(axis=1)).all()
    assert -PlugInRejector().fit(features, costs).score(features, costs) < 0.45


def test_the_plug_in_takes_any_regressor_and_judges_it_on_unseen_rows():
    features, costs = outcomes()
    forest = RandomForestRegressor(n_estimators=20, random_state=0)

    rejector = PlugInRejector(regressor=forest).fit(features, costs)

    seen = np.sqrt(np.square(rejector.decide(features).expected_costs - costs).mean(axis=0))
    assert (rejector.cost_errors_ > 1.5 * seen).all()  # a forest remembers its rows
    assert rejector.regressor_ is not forest


def test_the_best_agent_is_the_one_with_the_least_mean_cost():
    features, costs = outcomes()

    rejector = FixedAgent(agents=NAMES).fit(features, costs)

    assert set(rejector.predict(features)) == {NAMES[costs.mean(axis=0).argmin()]}
    np.testing.assert_allclose(rejector.decide(features).expected_costs[7], costs.mean(axis=0))


@pytest.mark.parametrize("agent", ["far", 2])
def test_a_fixed_agent_is_named_or_numbered(agent):
    features, costs = outcomes()

    rejector = FixedAgent(agents=NAMES, agent=agent).fit(features, costs)

    assert set(rejector.predict(features)) == {"far"}
    with pytest.raises(ConfigError, match="agent 'fare' is unknown"):
        FixedAgent(agents=NAMES, agent="fare").fit(features, costs)
    with pytest.raises(ConfigError, match="agent 3 is unknown"):
        FixedAgent(agent=3).fit(features, costs)


def test_chance_keeps_the_shares_that_it_is_given():
    features, costs = outcomes(20_000)

    rejector = RandomRejector(agents=NAMES, shares={"main": 0.7, "far": 0.3}).fit(features, costs)
    shares = rejector.decide(features).shares

    assert shares[1] == 0
    assert shares[0] == pytest.approx(0.7, abs=6 * np.sqrt(0.21 / 20_000))
    deviation = costs.std() / np.sqrt(20_000)
    assert rejector.score(features, costs) == pytest.approx(
        rejector.expected_score(costs), abs=6 * deviation
    )


def test_the_mean_over_all_draws_is_the_mean_cost_by_shares():
    features, costs = outcomes()
    rejector = RandomRejector(shares=[0.5, 0.25, 0.25], prices=[0, 0, 1]).fit(features, costs)

    expected = sum(
        share * (costs[:, agent].mean() + (agent == 2))
        for agent, share in enumerate([0.5, 0.25, 0.25])
    )

    assert rejector.expected_score(costs) == pytest.approx(-expected)


@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.5, 0.6, 0.1], [1.5, -0.5, 0.0]])
def test_shares_that_are_none_are_refused(shares):
    features, costs = outcomes()

    with pytest.raises(ConfigError, match="the shares are"):
        RandomRejector(shares=shares).fit(features, costs)


def test_the_oracle_is_told_the_costs_and_takes_the_least():
    features, costs = outcomes()

    oracle = Oracle(agents=NAMES).fit(features, costs)

    assert oracle.score(features, costs) == pytest.approx(-costs.min(axis=1).mean())
    assert (oracle.decide(features, costs).agents == costs.argmin(axis=1)).all()
    assert oracle.predict(features[:1], costs[:1]).tolist() == [NAMES[costs[0].argmin()]]


def test_mild_with_equal_margins_alone_is_the_plain_rejector():
    features, costs = outcomes()

    mild = MildRejector(exponents=(0.0,), scales=(1.0,)).fit(features, costs)
    plain = Rejector().fit(features, costs)

    np.testing.assert_allclose(
        mild.decision_function(features), plain.decision_function(features), atol=1e-5
    )


def test_mild_keeps_the_margins_with_the_least_held_out_deferral_loss():
    features, costs = outcomes()

    mild = MildRejector(exponents=(0.0, 1.0, -0.5), scales=(1.0,), agents=NAMES)
    mild.fit(features, costs)

    losses = [trial.loss for trial in mild.choice_.trials]
    assert len(losses) == 3
    assert mild.choice_.best.loss == min(losses)
    assert mild.rejector_.surrogate_settings["margins"] == mild.choice_.best.margins
    assert mild.rejector_.surrogate == "mild_log"


def test_mild_needs_a_loss_that_exists_and_rows_to_choose_by():
    features, costs = outcomes()

    with pytest.raises(ConfigError, match="loss 'logs' is unknown"):
        MildRejector(loss="logs").fit(features, costs)
    with pytest.raises(ConfigError, match="validation_fraction is 0"):
        MildRejector(validation_fraction=0).fit(features, costs)


def test_the_rejector_inside_knows_agents_prices_and_features_so_that_it_can_be_saved():
    features, errors = outcomes()

    mild = MildRejector(agents=NAMES, prices={"far": 0.3}, exponents=(0.0,), scales=(1.0,))
    mild.fit(features, errors)

    assert mild.rejector_.agents_.tolist() == NAMES
    assert mild.rejector_.prices_.tolist() == [0, 0, 0.3]
    assert mild.rejector_.score(features, errors) == mild.score(features, errors)


PARTS = ((300, (0.8, 0.7, 0.1)), (80, (0.55, 0.1, 0.45)), (40, (0.15, 0.1, 0.9)))
"""Rows of one kind, and how often each agent is right there: the third is seldom needed."""


def finite_problem():
    """One-hot features, so that linear scores give every rule there is; costs 0 and 1."""
    kinds = np.repeat(np.arange(3), [rows for rows, _ in PARTS])
    generator = np.random.default_rng(0)
    costs = [
        np.stack([generator.permutation(np.arange(rows) >= round(rows * p)) for p in right], axis=1)
        for rows, right in PARTS
    ]
    return kinds, np.eye(3)[kinds], np.concatenate(costs).astype(float)


def own_loss(loss, rejector, features, costs, margins):
    scores_BA = torch.from_numpy(rejector.decision_function(features))
    return float(loss(scores_BA, torch.from_numpy(costs), margins=margins, weights="max").mean())


@pytest.mark.parametrize(
    ("name", "loss"), [("log", mild_log), ("hinge", mild_hinge), ("ramp", mild_ramp)]
)
def test_each_mild_loss_with_validated_margins_finds_the_best_of_all_27_rules(name, loss):
    kinds, features, costs = finite_problem()
    rows = np.arange(len(costs))
    by_rule = {
        rule: costs[rows, np.array(rule)[kinds]].mean() for rule in product(range(3), repeat=3)
    }
    settings = {"surrogate_settings": {"weights": "max"}, "learning_rate": 0.05, "patience": 40}

    mild = MildRejector(loss=name, rejector=Rejector(**settings), scales=(1.0,))
    mild.fit(features, costs)

    best = min(by_rule, key=by_rule.get)
    assert best == (0, 0, 2)
    assert tuple(mild.predict(np.eye(3))) == best
    equal, *others = mild.choice_.trials
    assert equal.margins == (1.0, 1.0, 1.0)
    assert len(others) == len(EXPONENTS) - 1
    least = min(trial.loss for trial in mild.choice_.trials)
    assert mild.choice_.best.loss == least
    assert (mild.choice_.best == equal) == (equal.loss == least)  # it wins ties, and only these
    plain = Rejector().fit(features, costs)  # another loss, the same decisions
    assert (plain.predict(np.eye(3)) == best).all()
    reached, before = (
        own_loss(loss, each, features, costs, mild.choice_.best.margins) for each in (mild, plain)
    )
    assert reached < before


def test_margins_by_the_theory_rule_alone_prefer_the_rare_agent_and_miss_the_best_rule():
    """Hence validation: of the second kind's 80 rows, each costs .1 more than need be."""
    _, features, costs = finite_problem()
    best = Rejector().fit(features, costs)

    rejector = Rejector(surrogate="mild_log", surrogate_settings={"weights": "max"})
    rejector.fit(features, costs)

    assert tuple(rejector.predict(np.eye(3))) == (0, 2, 2)
    lost = best.score(features, costs) - rejector.score(features, costs)
    assert lost == pytest.approx(80 * 0.1 / 420)


def test_margin_candidates_follow_the_weights_that_the_loss_has():
    _, features, costs = finite_problem()
    rejector = Rejector(surrogate_settings={"weights": "max"})

    mild = MildRejector(rejector=rejector, exponents=(1.0,), scales=(1.0,)).fit(features, costs)

    train, _ = held_out_rows(len(costs), fraction=0.25, seed=0)
    expected = theory_margins(torch.from_numpy(costs[train]), weights="max", exponent=1.0)
    assert mild.choice_.trials[1].margins == expected
