"""Costs of agents that did not see the row, and what becomes of a rejector without them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from assistlearn.deferral.help import HelpCosts
from assistlearn.deferral.rejectors import (
    Rejector,
    costs_from_outcomes,
    cross_fitted_costs,
    cross_fitted_outputs,
)
from assistlearn.errors import ConfigError, DataError


class Recorder:
    """An agent that answers with whether it has seen the row."""

    def fit(self, rows, truth):
        self.seen = set(rows[:, 0])

    def predict(self, rows):
        return [row in self.seen for row in rows[:, 0]]


class Echo:
    """Answers the row's own number."""

    def fit(self, rows, truth):
        pass

    def predict(self, rows):
        return rows[:, 0]


@given(rows=st.integers(2, 60), folds=st.integers(2, 6), seed=st.integers(0, 10**6))
def test_no_agent_is_asked_about_a_row_that_it_was_fitted_on(rows, folds, seed):
    numbers = np.arange(rows)[:, None]
    truth = np.random.default_rng(seed).integers(0, 3, size=rows)
    folds = min(folds, rows)

    seen = cross_fitted_outputs(Recorder, numbers, truth, folds=folds, seed=seed)
    answers = cross_fitted_outputs(Echo, numbers, truth, folds=folds, seed=seed)

    assert not seen.any()
    assert (answers == numbers[:, 0]).all()


def test_answers_of_different_lengths_are_kept_whole():
    class Lengths:
        def fit(self, rows, truth):
            self.answer = "x" * len(set(rows[:, 0]))

        def predict(self, rows):
            return np.array([self.answer] * len(rows))

    answers = cross_fitted_outputs(Lengths, np.arange(5)[:, None], [0.5, 1, 2, 3, 4], folds=2)

    assert sorted(map(len, answers)) == [2, 2, 2, 3, 3]


@pytest.mark.parametrize("folds", [1, 9])
def test_folds_without_rows_are_refused(folds):
    with pytest.raises(DataError, match=f"{folds} folds of 8 rows"):
        cross_fitted_outputs(Echo, np.zeros((8, 1)), np.zeros(8), folds=folds)


def test_a_fixed_agent_gives_its_answers_and_a_fitted_one_is_cross_fitted():
    generator = np.random.default_rng(0)
    features, truth = generator.normal(size=(60, 2)), generator.integers(0, 2, size=60)
    fixed = generator.integers(0, 2, size=60)

    costs = cross_fitted_costs(
        {"client": fixed, "server": lambda: DecisionTreeClassifier(random_state=0)},
        features,
        truth,
        prices=[0, 0.25],
        error_costs=[1, 1.25],
        seed=4,
    )

    answers = cross_fitted_outputs(
        lambda: DecisionTreeClassifier(random_state=0), features, truth, seed=4
    )
    assert (costs[:, 0] == (fixed != truth)).all()
    np.testing.assert_allclose(costs[:, 1], 0.25 + 1.25 * (answers != truth))


def sample(generator, rows):
    """Labels that follow a line except where the second feature is large; one in five is wrong."""
    features = generator.normal(size=(rows, 4))
    labels = (features[:, 0] > 0) ^ (features[:, 1] > 0.8)
    return features, labels ^ (generator.random(rows) < 0.2)


def generalised_losses(seed):
    """Of never deferring, in-sample costs and cross-fitted ones, on fresh data of one seed."""
    generator = np.random.default_rng(seed)
    prices = HelpCosts(query_cost=0.1, server_error_cost=1.25)
    client = LogisticRegression().fit(*sample(generator, 400))  # has learned the line alone
    features, labels = sample(generator, 600)
    server = DecisionTreeClassifier(random_state=0).fit(features, labels)  # knows its rows by heart
    own = client.predict(features)

    def costs(local, remote, truth):
        right = torch.from_numpy(local == truth), torch.from_numpy(remote == truth)
        return prices.agent_costs(*right, dtype=torch.float64).numpy()

    in_sample = costs(own, server.predict(features), labels)
    unseen = cross_fitted_outputs(
        lambda: DecisionTreeClassifier(random_state=0), features, labels, seed=seed
    )
    fresh, truth = sample(generator, 4000)
    test = costs(client.predict(fresh), server.predict(fresh), truth)

    def loss(training_costs):
        return -Rejector().fit(features, training_costs).score(fresh, test)

    return test[:, 0].mean(), loss(in_sample), loss(costs(own, unseen, labels))


def test_costs_on_the_servers_own_rows_make_deferring_worse_than_never_deferring():
    """arXiv:2501.13810, table 1: the trained system's generalised loss is above never deferring."""
    never, in_sample, cross_fitted = np.array([generalised_losses(seed) for seed in range(12)]).T

    assert ttest_1samp(in_sample - never, 0, alternative="greater").pvalue < 1e-3
    assert ttest_1samp(cross_fitted - never, 0, alternative="less").pvalue < 1e-3
    assert (in_sample > cross_fitted).all()


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ({"correct": [[1, 0], [True, True]]}, [[0, 1], [0, 0]]),
        ({"correct": [[0.75, 0.0]], "prices": [0, 0.5]}, [[0.25, 1.5]]),
        ({"answers": [["cat", "dog"]], "truth": ["dog"]}, [[1, 0]]),
        ({"answers": [[1, 2]], "truth": [2], "error_costs": [3, 3], "prices": [0, 1]}, [[3, 1]]),
        ({"answers": [[1.0, 4.0]], "truth": [2.0], "error": "absolute"}, [[1, 2]]),
        ({"answers": [[1.0, 4.0]], "truth": [2.0], "error": "squared"}, [[1, 4]]),
    ],
)
def test_costs_are_errors_times_what_they_cost_plus_prices(given_, expected):
    np.testing.assert_allclose(costs_from_outcomes(**given_), expected)


@pytest.mark.parametrize(
    ("given_", "error", "message"),
    [
        ({}, ConfigError, "correctness, or their answers"),
        ({"answers": [[1, 2]]}, ConfigError, "correctness, or their answers"),
        ({"correct": [[1, 2]]}, DataError, "not from 0 to 1"),
        ({"correct": [1, 0]}, DataError, "have shape \\(2,\\)"),
        ({"correct": [["yes", "no"]]}, DataError, "and type"),
        ({"answers": [[1, 2]], "truth": [1, 2]}, DataError, "the truth \\(2,\\)"),
        ({"answers": [["a", "b"]], "truth": ["a"], "error": "absolute"}, DataError, "no numbers"),
        ({"correct": [[1, 0]], "error_costs": [1]}, DataError, "must be 2 numbers"),
        ({"correct": [[1, 0]], "prices": [0, -1]}, DataError, "must be >= 0"),
    ],
)
def test_outcomes_that_do_not_fit_are_refused(given_, error, message):
    with pytest.raises(error, match=message):
        costs_from_outcomes(**given_)


class Knows:
    """An agent whose answers are given, whatever it is fitted on."""

    def __init__(self, answer):
        self.answer = answer

    def fit(self, rows, truth):
        pass

    def predict(self, rows):
        return [self.answer] * len(rows)


@pytest.mark.parametrize(
    ("answers", "truth", "kinds"),
    [
        (np.array([["0", "1"]]), [1], "'agent 0' are text, the truth is numbers"),
        ([["0", 1]], [1], "'agent 0' are text, the truth is numbers"),
        ([[1, 2]], ["1"], "'agent 0' are numbers, the truth is text"),
        ([[True, False]], ["yes"], "'agent 0' are truth values, the truth is text"),
        ([[True, False]], [2], "'agent 0' are truth values, the truth is numbers"),
        (np.array([["a", 1], ["b", 2]], dtype=object), ["a", "b"], "'agent 1' are numbers"),
        ([[b"a", b"a"]], ["a"], "'agent 0' are bytes, the truth is text"),
    ],
)
def test_answers_of_another_kind_than_the_truth_are_refused(answers, truth, kinds):
    with pytest.raises(DataError, match=f"the answers of {kinds}"):
        costs_from_outcomes(answers=answers, truth=truth)


@pytest.mark.parametrize("truth", [[True, False], [1, 0], [1.0, 0.0]])
@pytest.mark.parametrize("kind", [bool, int, float])
def test_truth_values_and_zeros_and_ones_are_the_same(kind, truth):
    costs = costs_from_outcomes(answers=np.array([[1, 0], [1, 0]]).astype(kind), truth=truth)

    assert costs.tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize("gap", [None, np.nan])
@pytest.mark.parametrize("known", [1.0, "cat", True])
def test_a_missing_right_answer_is_refused_by_its_row(known, gap):
    features = np.zeros((4, 1))
    truth = [known, known, gap, known]

    with pytest.raises(DataError, match="the truth is missing in row 3, and in 1 of 4"):
        costs_from_outcomes(answers=[[known, known]] * 4, truth=truth)
    with pytest.raises(DataError, match="the truth is missing in row 3"):
        cross_fitted_costs({"a": lambda: Knows(known)}, features, truth, folds=2)
    with pytest.raises(DataError, match="the truth is missing in row 3"):
        cross_fitted_outputs(lambda: Knows(known), features, truth, folds=2)


@pytest.mark.parametrize("gap", [None, np.nan])
def test_a_missing_label_is_wrong_and_a_missing_value_is_refused(gap):
    assert costs_from_outcomes(answers=[["cat", gap]], truth=["cat"]).tolist() == [[0, 1]]
    with pytest.raises(DataError, match="the answer of 'agent 1' is missing in row 1"):
        costs_from_outcomes(answers=[[1.0, gap]], truth=[1.0], error="absolute")


def test_pandas_tables_give_names_and_gaps():
    pandas = pytest.importorskip("pandas", reason="pandas is no dependency")
    answers = pandas.DataFrame({"a": ["cat", pandas.NA], "b": ["cat", "dog"]}, dtype="object")
    correct = pandas.DataFrame({"correct:a": [1, 0], "correct:b": [1, 1]})

    by_answers = costs_from_outcomes(answers=answers, truth=["cat", "dog"], prices={"b": 1})
    by_correctness = costs_from_outcomes(correct=correct, prices={"b": 1}, error_costs={"a": 3})

    assert by_answers.tolist() == [[0, 1], [1, 1]]
    assert by_correctness.tolist() == [[0, 1], [3, 1]]
    with pytest.raises(DataError, match="the answers of 'a' are text, the truth is numbers"):
        costs_from_outcomes(answers=answers, truth=[1, 2])


def test_prices_by_name_need_names():
    with pytest.raises(ConfigError, match="agent 'b' is unknown"):
        costs_from_outcomes(correct=[[1, 0]], prices={"b": 1})
    found = costs_from_outcomes(correct=[[1, 0]], prices={"agent 1": 1})
    assert found.tolist() == [[0, 2]]


def test_cross_fitted_agents_are_named_in_what_they_cost_and_in_what_is_wrong():
    features, truth = np.zeros((4, 1)), np.array(["x", "y", "x", "y"])
    agents = {"text": lambda: Knows("x"), "model": lambda: Knows("y")}

    costs = cross_fitted_costs(
        agents, features, truth, folds=2, prices={"model": 0.5}, error_costs={"text": 2}
    )

    assert costs.tolist() == [[0, 1.5], [2, 0.5]] * 2
    with pytest.raises(DataError, match="the answers of 'model' are numbers, the truth is text"):
        cross_fitted_costs({**agents, "model": lambda: Knows(1)}, features, truth, folds=2)
    with pytest.raises(DataError, match=r"the answers of 'model' have shape \(3,\)"):
        cross_fitted_costs({**agents, "model": truth[:3]}, features, truth, folds=2)
    with pytest.raises(ConfigError, match="agent 'server' is unknown"):
        cross_fitted_costs(agents, features, truth, folds=2, prices={"server": 1})
