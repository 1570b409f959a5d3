"""Who answers, why, and at which expected cost."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from assistlearn.deferral.rejectors import Decisions, Rejector
from assistlearn.deferral.rejectors.ridge import PENALTIES, cost_errors, fit_costs


def made(scores, costs, *, names=None, errors=None):
    """Decisions from lists."""
    count = len(scores[0])
    return Decisions.of(
        np.array(scores, dtype=float),
        expected_costs=np.array(costs, dtype=float),
        cost_errors=np.array(errors or [0.1] * count),
        agent_names=names or [f"agent {number}" for number in range(count)],
    )


def test_the_largest_score_decides_and_the_lowest_index_on_a_tie():
    decisions = made([[0.0, 2.0, 1.5], [1.0, 1.0, 0.0]], [[1, 1, 1], [1, 1, 1]])

    assert decisions.agents.tolist() == [1, 0]
    assert decisions.runners_up.tolist() == [2, 1]
    assert decisions.margins.tolist() == [0.5, 0.0]
    assert decisions.names.tolist() == ["agent 1", "agent 0"]
    assert decisions.shares.tolist() == [0.5, 0.5, 0.0]
    assert len(decisions) == 2


@given(
    st.integers(1, 5).flatmap(
        lambda agents: st.lists(
            st.lists(st.sampled_from([-1.0, 0.0, 0.5, 3.0]), min_size=agents, max_size=agents),
            min_size=1,
            max_size=6,
        )
    )
)
def test_agents_runners_up_and_margins_are_those_of_a_sort(scores):
    decisions = made(scores, np.zeros_like(scores))

    for row, values in enumerate(scores):
        order = sorted(range(len(values)), key=lambda agent: (-values[agent], agent))
        assert decisions.agents[row] == order[0]
        assert decisions.runners_up[row] == order[min(1, len(order) - 1)]
        assert decisions.margins[row] == values[order[0]] - values[order[min(1, len(order) - 1)]]


def test_decisions_cannot_be_changed():
    decisions = made([[0.0, 1.0]], [[0.5, 0.2]])

    with pytest.raises(ValueError, match="read-only"):
        decisions.scores[0, 0] = 9.0
    with pytest.raises(AttributeError):
        decisions.agents = decisions.runners_up


def test_the_sentence_says_who_by_how_much_and_at_which_cost():
    decisions = made(
        [[0.1, 0.5]], [[0.31, 0.12]], names=["clinic", "lab, night"], errors=[0.4, 0.25]
    )

    assert decisions.explain(0) == (
        "'lab, night' answers, 0.4 ahead of 'clinic' in score;"
        " expected cost 0.12 (single costs: ± 0.25) against 'clinic' 0.31"
    )


def test_the_sentence_admits_that_the_cost_estimate_disagrees():
    decisions = made([[0.7, 0.5, 0.1]], [[0.3, 0.2, 0.4]])

    assert decisions.explain(0).endswith(
        "against 'agent 1' 0.2, 'agent 2' 0.4; by expected cost alone 'agent 1' would answer"
    )


def test_of_many_agents_the_sentence_names_the_runner_up_and_the_cheapest():
    decisions = made([[3.0, 2, 1, 0, -1, -2]], [[0.5, 0.4, 0.3, 0.2, 0.1, 0.0]])

    assert "against 'agent 1' 0.4, 'agent 5' 0;" in decisions.explain(0)


def test_of_one_agent_there_is_little_to_say():
    sentence = made([[0.0]], [[0.5]]).explain(0)

    assert sentence == (
        "'agent 0' answers, the only agent; expected cost 0.5 (single costs: ± 0.1)"
    )


@given(seed=st.integers(0, 10**6), rows=st.integers(9, 60), width=st.integers(1, 5))
def test_cost_regression_is_ridge_with_the_penalty_of_the_least_generalised_cross_validation(
    seed, rows, width
):
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(rows, width)) * generator.uniform(0.1, 3, size=width)
    costs = generator.random((rows, 2)) + features[:, :1] ** 2
    centred = features - features.mean(axis=0)
    unit = np.square(centred).mean()

    estimate, errors = fit_costs(features, costs)

    for agent in range(2):
        best = np.inf, None
        for penalty in PENALTIES[::-1] * unit * rows:
            hat = centred @ np.linalg.solve(
                centred.T @ centred + penalty * np.eye(width), centred.T
            )
            hat += 1 / rows
            rest = costs[:, agent] - hat @ costs[:, agent]
            freedom = rows - np.trace(hat)
            score = rows * (rest @ rest) / freedom**2
            if score < best[0] - 1e-12:
                best = score, penalty
        model = Ridge(alpha=best[1], solver="svd").fit(features, costs[:, agent])
        np.testing.assert_allclose(errors[agent], np.sqrt(best[0]), rtol=1e-4)
        expected = model.predict(features).clip(costs[:, agent].min(), costs[:, agent].max())
        np.testing.assert_allclose(estimate(features)[:, agent], expected, atol=1e-6)


@given(seed=st.integers(0, 10**6), rows=st.integers(2, 12), width=st.integers(5, 40))
def test_more_features_than_rows_give_no_estimate_outside_of_the_costs_seen(seed, rows, width):
    generator = np.random.default_rng(seed)
    features, costs = generator.normal(size=(rows, width)), generator.random((rows, 2))

    estimate, errors = fit_costs(features, costs)
    found = estimate(10 * generator.normal(size=(50, width)))

    assert (found >= costs.min(axis=0) - 1e-12).all()
    assert (found <= costs.max(axis=0) + 1e-12).all()
    assert np.isfinite(errors).all()
    assert (errors >= 0).all()


def test_errors_on_other_rows_are_a_plain_root_mean_square():
    generator = np.random.default_rng(0)
    features, costs = generator.normal(size=(40, 2)), generator.random((40, 3))
    estimate, _ = fit_costs(features[:30], costs[:30])

    found = cost_errors(estimate, features[30:], costs[30:])

    gaps = estimate(features[30:]) - costs[30:]
    np.testing.assert_allclose(found, np.sqrt((gaps**2).mean(axis=0)))


@pytest.mark.parametrize("hidden", [(), (8,)])
def test_expected_costs_are_right_in_the_mean_and_say_how_far_they_are_off(hidden):
    generator = np.random.default_rng(0)
    features = generator.normal(size=(4000, 3))
    means = np.stack([0.5 + 0.2 * np.tanh(features[:, 0]), np.full(4000, 0.4)], axis=1)
    costs = means + generator.uniform(-0.2, 0.2, size=means.shape)

    decisions = Rejector(hidden=hidden).fit(features, costs).decide(features)

    np.testing.assert_allclose(decisions.expected_costs.mean(axis=0), costs.mean(axis=0), atol=0.01)
    np.testing.assert_allclose(decisions.cost_errors, 0.4 / np.sqrt(12), atol=0.02)
    assert np.sqrt(np.square(decisions.expected_costs - means).mean()) < 0.03


def test_decisions_and_predictions_agree():
    generator = np.random.default_rng(0)
    features, costs = generator.normal(size=(300, 4)), generator.random((300, 3))
    rejector = Rejector(agents=["a", "b", "c"]).fit(features, costs)

    decisions = rejector.decide(features)

    assert (decisions.names == rejector.predict(features)).all()
    np.testing.assert_array_equal(decisions.scores, rejector.decision_function(features))


def test_data_frames_give_names_and_get_them_back():
    pandas = pytest.importorskip("pandas", reason="pandas is no dependency")
    generator = np.random.default_rng(0)
    features = pandas.DataFrame(
        generator.normal(size=(60, 2)), columns=["age", "dose"], index=range(100, 160)
    )
    costs = pandas.DataFrame(generator.random((60, 2)), columns=["nurse", "doctor"])
    rejector = Rejector().fit(features, costs)

    frame = rejector.decide(features).to_pandas(index=features.index)

    assert [*rejector.feature_names_in_] == ["age", "dose"]
    assert set(rejector.predict(features)) <= {"nurse", "doctor"}
    assert [*frame.columns] == [
        "agent",
        "margin",
        "expected cost of nurse",
        "expected cost of doctor",
        "score of nurse",
        "score of doctor",
    ]
    assert frame.index.equals(features.index)
    assert (frame["agent"] == rejector.predict(features)).all()
    with pytest.raises(ValueError, match="feature names"):
        rejector.predict(features[["dose", "age"]])


class Columns(list):
    """Rows with column names, as a data frame's values have them."""

    columns = ("nurse", "doctor")


def test_names_of_columns_and_agents_must_agree():
    rows = Columns([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])
    features = [[0.0], [1.0], [2.0]]

    assert Rejector().fit(features, rows).agents_.tolist() == ["nurse", "doctor"]
    with pytest.raises(Exception, match="the costs are of"):
        Rejector(agents=["doctor", "nurse"]).fit(features, rows)
    with pytest.raises(Exception, match="was fitted on"):
        Rejector(agents=["a", "b"]).fit(features, [*rows]).score(features, rows)
