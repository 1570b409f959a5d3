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
