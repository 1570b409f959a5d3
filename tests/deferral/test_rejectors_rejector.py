"""The trained rejector: its optimum, its promises to scikit-learn's users, and what it refuses."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from assistlearn.deferral.rejectors import Rejector
from assistlearn.deferral.rejectors.convex import any_loss, log_loss
from assistlearn.deferral.rejectors.minibatches import held_out_rows
from assistlearn.deferral.surrogates import surrogate_names
from assistlearn.deferral.two_stage import two_stage_surrogate
from assistlearn.deferral.weights import cost_weights
from assistlearn.errors import ConfigError, DataError


def regions(rows=600, seed=0, agents=3):
    """Each agent is usually right where its own feature is largest. Features, costs."""
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(rows, agents))
    chances = np.where(features == features.max(axis=1, keepdims=True), 0.95, 0.35)
    return features, (generator.random((rows, agents)) > chances).astype(float)


@given(seed=st.integers(0, 10**6), rows=st.integers(1, 400), agents=st.integers(2, 5))
@settings(max_examples=30, deadline=None)
def test_the_shortcut_of_log_losses_is_what_autograd_gives(seed, rows, agents):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(rows, 3, generator=generator, dtype=torch.float64)
    costs = torch.rand(rows, agents, generator=generator, dtype=torch.float64)
    parameters = torch.randn(4, agents, generator=generator, dtype=torch.float64)

    fast, slope = log_loss(features, costs, cost_weights)(parameters)
    slow, expected = any_loss(features, costs, two_stage_surrogate)(parameters)

    assert fast == pytest.approx(slow, rel=1e-10)
    torch.testing.assert_close(slope, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_sums_over_many_blocks_do_not_depend_on_the_number_of_threads(threads):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(70_000, 6, generator=generator)
    costs = torch.rand(70_000, 4, generator=generator)
    parameters = torch.randn(7, 4, generator=generator)
    before = torch.get_num_threads()

    torch.set_num_threads(threads)
    try:
        value, slope = log_loss(features, costs, cost_weights)(parameters)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    torch.set_num_threads(1)
    try:
        expected, expected_slope = log_loss(features, costs, cost_weights)(parameters)
    finally:
        torch.set_num_threads(before)

    assert value == expected
    assert torch.equal(slope, expected_slope)


def test_with_one_right_agent_it_is_multinomial_logistic_regression():
    generator = np.random.default_rng(1)
    features = generator.normal(size=(400, 3))
    right = (features @ generator.normal(size=(3, 4)) + generator.gumbel(size=(400, 4))).argmax(1)
    scaled = StandardScaler().fit_transform(features)
    classifier = LogisticRegression(C=1 / (400 * 0.01), tol=1e-10, max_iter=5000)

    rejector = Rejector(surrogate="mao_2023", weight_decay=0.01, tol=1e-9)
    rejector.fit(features, 1 - np.eye(4)[right])
    classifier.fit(scaled, right)

    weights = rejector.layers_.weights[0]
    np.testing.assert_allclose(
        weights - weights.mean(axis=1, keepdims=True), classifier.coef_.T, atol=1e-5
    )
    assert (rejector.predict(features) == classifier.predict(scaled)).all()


@given(
    seed=st.integers(0, 10**6),
    cells=st.integers(1, 4),
    agents=st.integers(2, 4),
    kappa=st.sampled_from(["sum", "max"]),
)
@settings(max_examples=15, deadline=None)
def test_where_any_rule_can_be_written_it_finds_the_cheapest_agent_of_each_cell(
    seed, cells, agents, kappa
):
    generator = np.random.default_rng(seed)
    means = np.stack([generator.permutation(agents) for _ in range(cells)]) / 2 + 0.1
    cell = np.repeat(np.arange(cells), 40)
    noise = generator.uniform(-0.1, 0.1, size=(len(cell), agents))
    features = np.eye(cells)[cell]

    rejector = Rejector(surrogate_settings={"weights": kappa}, weight_decay=1e-9, tol=1e-7)
    rejector.fit(features, means[cell] + noise)

    assert (rejector.predict(np.eye(cells)) == means.argmin(axis=1)).all()


@pytest.mark.parametrize("name", surrogate_names())
def test_every_named_surrogate_does_better_than_the_best_agent_alone(name):
    features, costs = regions()

    rejector = Rejector(surrogate=name, max_iter=100, patience=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        rejector.fit(features, costs)

    assert -rejector.score(features, costs) < costs.mean(axis=0).min() - 0.1


def test_hidden_layers_learn_what_no_line_separates():
    generator = np.random.default_rng(0)
    features = generator.uniform(-1, 1, size=(1500, 2))
    product = features[:, 0] * features[:, 1] > 0
    costs = np.stack([product, ~product], axis=1).astype(float)

    linear = Rejector().fit(features, costs)
    network = Rejector(hidden=(16,), learning_rate=0.02, patience=20).fit(features, costs)

    assert -linear.score(features, costs) > 0.35
    assert -network.score(features, costs) < 0.06


def test_two_fits_are_the_same_bit_for_bit_and_leave_torchs_generator_alone():
    features, costs = regions()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)

    first, second = (
        Rejector(hidden=(4,), max_iter=500, patience=3).fit(features, costs) for _ in range(2)
    )

    assert torch.equal(torch.rand(3), expected)
    assert first.layers_.state().keys() == second.layers_.state().keys()
    for name, array in first.layers_.state().items():
        assert np.array_equal(array, second.layers_.state()[name])


def test_training_keeps_the_epoch_with_the_least_held_out_deferral_loss():
    features, costs = regions()
    rejector = Rejector(solver="adam", max_iter=30, patience=31, random_state=3)

    with pytest.warns(ConvergenceWarning, match="stopped after 30"):
        rejector.fit(features, costs)

    _, held = held_out_rows(len(costs), fraction=0.1, seed=3)
    found = -rejector.score(features[held], costs[held])
    assert found == pytest.approx(rejector.deferral_loss_, abs=1e-12)


@pytest.mark.parametrize(("unit", "shift"), [(1e6, 0.0), (1e-6, 0.0), (3.0, 1e5)])
def test_neither_unit_nor_origin_of_the_features_matters(unit, shift):
    features, costs = regions()

    plain = Rejector().fit(features, costs)
    moved = Rejector().fit(features * unit + shift, costs)

    agreement = plain.predict(features) == moved.predict(features * unit + shift)
    assert agreement.mean() > 0.995


@pytest.mark.parametrize("unit", [1e-3, 1e4])
def test_the_unit_of_the_costs_does_not_matter(unit):
    features, costs = regions()

    plain = Rejector(weight_decay=1e-3).fit(features, costs)
    scaled = Rejector(weight_decay=1e-3 * unit).fit(features, costs * unit)

    assert (plain.predict(features) == scaled.predict(features)).mean() > 0.995


def test_a_constant_feature_changes_nothing():
    features, costs = regions()
    constant = np.full((len(features), 1), 1e9 + 0.1)

    with_constant = Rejector().fit(np.hstack([features, constant]), costs)

    expected = Rejector().fit(features, costs).decision_function(features)
    found = with_constant.decision_function(np.hstack([features, constant]))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_float32_features_are_not_copied_into_float64():
    features, costs = regions()

    rejector = Rejector().fit(features.astype(np.float32), costs)

    assert rejector.decision_function(features.astype(np.float32)).dtype == np.float32
    assert rejector.layers_.weights[0].dtype == np.float32
    exact = Rejector().fit(features, costs)
    assert (rejector.predict(features) == exact.predict(features)).mean() > 0.995


def test_where_all_agents_cost_the_same_the_main_model_answers():
    features, _ = regions(50)

    rejector = Rejector(agents=["main", "expert"]).fit(features, np.ones((50, 2)))

    assert set(rejector.predict(features)) == {"main"}


def test_prices_are_what_is_added_to_the_costs():
    features, costs = regions()

    by_name = Rejector(agents=["a", "b", "c"], prices={"c": 0.3}).fit(features, costs)
    in_order = Rejector(prices=[0, 0, 0.3]).fit(features, costs)
    dearer = costs + np.array([0, 0, 0.3])
    added = Rejector().fit(features, dearer)

    for rejector in (by_name, in_order):
        assert np.array_equal(
            rejector.decision_function(features), added.decision_function(features)
        )
        assert rejector.score(features, costs) == added.score(features, dearer)


def test_the_score_is_minus_the_mean_cost_of_whoever_answers():
    features, costs = regions(80)
    rejector = Rejector(prices=[0.0, 0.1, 0.2]).fit(features, costs)

    total = 0.0
    for row, agent in zip(costs, rejector.predict(features), strict=True):
        total += row[agent] + rejector.prices_[agent]

    assert rejector.score(features, costs) == pytest.approx(-total / 80)


def test_it_works_in_pipelines_grids_and_cross_validation():
    features, costs = regions(200)
    pipeline = make_pipeline(PolynomialFeatures(2), Rejector())

    search = GridSearchCV(pipeline, {"rejector__weight_decay": [1e-4, 10.0]}, cv=3)
    search.fit(features, costs)

    assert search.best_params_ == {"rejector__weight_decay": 1e-4}
    assert cross_val_score(Rejector(), features, costs, cv=3).mean() > -0.3


def test_a_surrogate_of_ones_own_is_trained_by_adam():
    features, costs = regions()

    rejector = Rejector(surrogate=lambda scores, costs: (scores.softmax(1) * costs).sum(1))
    rejector.fit(features, costs)

    assert -rejector.score(features, costs) < 0.3


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"surrogate": "two_stagee"}, "no surrogate 'two_stagee'"),
        ({"surrogate_settings": {"mu": 1}}, "no setting 'mu'"),
        ({"surrogate": lambda s, c: s, "surrogate_settings": {"nu": 1}}, "is a function"),
        ({"surrogate": 3}, "surrogate is a int"),
        ({"solver": "sgd"}, "solver 'sgd' is unknown"),
        ({"solver": "lbfgs", "hidden": (3,)}, "'lbfgs' is for linear scores"),
        ({"hidden": 32}, "hidden is 32"),
        ({"hidden": (3, 0)}, "hidden is \\(3, 0\\)"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"validation_fraction": 1.0}, "validation_fraction is 1.0"),
        ({"agents": ["a", "b"]}, "the agents are"),
        ({"agents": ["a", "b", "b"]}, "the agents are"),
        ({"agents": ["a", "b", "new\nline"]}, "the agents are"),
        ({"prices": [1, 2]}, "the prices are"),
        ({"prices": [0, -1, 0]}, "the prices are"),
        ({"agents": ["a", "b", "c"], "prices": {"d": 1}}, "agent 'd' is unknown"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(parameters, message):
    features, costs = regions(20)

    with pytest.raises(ConfigError, match=message) as caught:
        Rejector(**parameters).fit(features, costs)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("costs", "message"),
    [
        (np.full((20, 3), -0.5), "a cost is -0.5"),
        (np.zeros(20), "must be examples by agents"),
    ],
)
def test_costs_that_are_none_are_refused(costs, message):
    features, _ = regions(20)

    with pytest.raises(DataError, match=message):
        Rejector().fit(features, costs)


def test_costs_of_other_agents_are_not_scored():
    features, costs = regions(20)
    rejector = Rejector().fit(features, costs)

    with pytest.raises(DataError, match="must be \\(20, 3\\)"):
        rejector.score(features, costs[:, :2])


def test_costs_above_one_are_refused_by_weights_of_one_minus_cost():
    features, costs = regions(20)

    with pytest.raises(DataError, match="need costs <= 1"):
        Rejector(surrogate="mao_2023").fit(features, 2 * costs)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
@pytest.mark.parametrize(
    "parameters", [{}, {"surrogate": "mild_log"}, {"hidden": (8,), "patience": 3}], ids=str
)
def test_a_rejector_fitted_on_an_accelerator_decides_as_one_fitted_without(parameters):
    features, costs = regions()

    here = Rejector(**parameters).fit(features, costs)
    there = Rejector(device="cuda", **parameters).fit(features, costs)

    assert (here.predict(features) == there.predict(features)).mean() > 0.98
