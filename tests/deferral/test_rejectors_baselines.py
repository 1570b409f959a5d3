"""What learned rejectors are compared with, behind the same methods."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestRegressor

from assistlearn.deferral.rejectors import (
    ConfidenceThreshold,
    FixedAgent,
    MildRejector,
    Oracle,
    PlugInRejector,
    RandomRejector,
    Rejector,
)
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
