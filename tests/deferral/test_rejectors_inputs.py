"""What rejectors are given: types of features, tensors, gaps, columns, parameters."""

import math

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given
from hypothesis import strategies as st

from assistlearn.deferral.rejectors import (
    ConfidenceThreshold,
    FixedAgent,
    Oracle,
    PlugInRejector,
    Rejector,
    TableRejector,
)
from assistlearn.deferral.rejectors.agents import OUTCOME
from assistlearn.deferral.table_columns import CORRECT
from assistlearn.errors import ConfigError, DataError


def data(rows=60):
    generator = np.random.default_rng(0)
    return generator.normal(size=(rows, 3)), generator.random((rows, 2))


def test_confidences_of_one_are_deferred_in_float32_where_float64_defers_them():
    confidences = np.r_[np.linspace(0.5, 0.99, 50), np.ones(50)].astype(np.float32)[:, None]
    costs = np.tile([1.0, 0.0], (100, 1))

    rejector = ConfidenceThreshold().fit(confidences, costs)

    assert (rejector.predict(confidences) == 1).all()
    assert (rejector.decide(confidences).agents == 1).all()
    assert rejector.decide(confidences).expected_costs[0].tolist() == [1, 0]


@pytest.mark.parametrize("above", [np.float32(1), np.float32(1 - 2**-24)])
def test_a_threshold_between_two_neighbours_of_float32_parts_them(above):
    below = np.nextafter(above, np.float32(0))
    confidences = np.repeat([below, above], 50)[:, None]
    costs = np.repeat([[1.0, 0.0], [0.0, 1.0]], 50, axis=0)

    rejector = ConfidenceThreshold().fit(confidences, costs)

    assert confidences.dtype == np.float32
    assert rejector.score(confidences, costs) == 0
    assert rejector.decide(confidences).agents.tolist() == [1] * 50 + [0] * 50


@given(
    st.lists(st.integers(0, 6), min_size=2, max_size=12),
    st.sampled_from([1.0, 1e-38, 1e-45, 1e30]),
    st.integers(0, 99),
)
def test_float32_confidences_decide_as_the_same_numbers_in_float64(places, unit, seed):
    steps = (np.array(places) * np.float32(unit)).astype(np.float32)
    costs = np.random.default_rng(seed).integers(0, 2, size=(len(places), 3)).astype(float)

    narrow = ConfidenceThreshold().fit(steps[:, None], costs)
    wide = ConfidenceThreshold().fit(steps[:, None].astype(np.float64), costs)

    chosen = wide.predict(steps[:, None].astype(np.float64))
    assert (narrow.predict(steps[:, None]) == chosen).all()
    assert (narrow.decide(steps[:, None]).agents == chosen).all()
    assert (wide.predict(steps[:, None]) == chosen).all()
    assert (wide.decide(steps[:, None]).agents == chosen).all()


@pytest.mark.parametrize("confidence", [True, 0.7, 1.5, None, (0,)])
def test_a_confidence_that_is_neither_name_nor_number_is_refused(confidence):
    with pytest.raises(ConfigError, match="must be a feature's name or number"):
        ConfidenceThreshold(confidence=confidence).fit(*data())


@pytest.mark.parametrize("make", [PlugInRejector, Rejector, lambda: Rejector(hidden=(4,))])
def test_float32_features_after_a_float64_fit_are_decided_in_float64(make):
    features, costs = data(400)
    costs = 1e8 + costs + features[:, :1] * [1, -1]
    rejector = make()
    if rejector.get_params().get("hidden"):
        rejector.set_params(max_iter=2000, patience=1)
    rejector.fit(features, costs)

    narrow = features.astype(np.float32)
    decisions = rejector.decide(narrow)

    assert decisions.scores.dtype == decisions.expected_costs.dtype == np.float64
    assert (decisions.agents == rejector.predict(narrow)).all()
    assert (decisions.scores == rejector.decision_function(narrow)).all()


@pytest.mark.parametrize("ready", [torch.float64, torch.float32])
def test_tensors_that_require_gradients_are_taken_as_arrays(ready):
    features, costs = (torch.tensor(each, dtype=ready, requires_grad=True) for each in data())

    rejector = Rejector().fit(features, costs)

    plain = Rejector().fit(features.detach().numpy(), costs.detach().numpy())
    assert (rejector.predict(features) == plain.predict(features.detach().numpy())).all()
    assert rejector.score(features, costs) == plain.score(
        features.detach().numpy(), costs.detach().numpy()
    )


def test_tensors_of_bfloat16_are_taken_as_float32():
    features, costs = (torch.tensor(each).bfloat16() for each in data())

    rejector = FixedAgent().fit(features, costs)

    assert rejector.mean_costs_ == pytest.approx(costs.float().mean(0).numpy())


@pytest.mark.parametrize(
    "wrap",
    [
        scipy.sparse.csr_matrix,
        scipy.sparse.csr_array,
        lambda costs: torch.tensor(costs).to_sparse(),
        lambda costs: np.ma.masked_less(costs, 0.5),
    ],
    ids=["matrix", "array", "torch", "masked"],
)
def test_sparse_and_masked_costs_are_refused(wrap):
    features, costs = data()

    with pytest.raises(DataError, match=r"sparse|masked"):
        Rejector().fit(features, wrap(costs))


@pytest.mark.parametrize("dtype", ["string", "Float64", "object"])
def test_values_that_pandas_calls_missing_are_refused(dtype):
    pandas = pytest.importorskip("pandas", reason="pandas is no dependency")
    features, costs = data()
    frame = pandas.DataFrame(features)
    frame[1] = frame[1].astype(dtype)
    frame.loc[3, 1] = pandas.NA

    with pytest.raises((DataError, ValueError), match=r"missing|NaN"):
        Rejector().fit(frame, costs)
    with pytest.raises((DataError, ValueError), match=r"missing|NaN"):
        Rejector().fit(features, costs).predict(frame)


def test_outcomes_are_not_taken_for_costs():
    pandas = pytest.importorskip("pandas", reason="pandas is no dependency")
    features, _ = data(4)
    columns = [f"{CORRECT}small", f"{CORRECT}large"]
    frame = pandas.DataFrame([[1, 0], [1, 1], [0, 1], [0, 0]], columns=columns)

    assert OUTCOME == CORRECT
    for fit in (
        lambda: Rejector().fit(features, frame),
        lambda: Rejector(agents=["small", "large"]).fit(features, frame),
        lambda: Oracle().decide(features, frame),
    ):
        with pytest.raises(DataError, match="column 'correct:small' holds outcomes") as caught:
            fit()
        assert "read_outcomes" in caught.value.hint


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"max_iter": 0}, "max_iter is 0, must be a whole number above 0"),
        ({"max_iter": 1.5}, "max_iter is 1.5"),
        ({"patience": True}, "patience is True"),
        ({"batch_size": "a"}, "batch_size is 'a'"),
        ({"weight_decay": "a"}, "weight_decay is 'a', must be a number >= 0"),
        ({"weight_decay": -1}, "weight_decay is -1"),
        ({"weight_decay": math.inf}, "weight_decay is inf"),
        ({"tol": math.nan}, "tol is nan"),
        ({"learning_rate": math.nan}, "learning_rate is nan"),
        ({"validation_fraction": "half"}, "validation_fraction is 'half'"),
        ({"device": None}, "device is None"),
        ({"random_state": "x"}, "random_state is 'x'"),
        ({"surrogate_settings": [1]}, r"surrogate_settings are \[1\]"),
        ({"hidden": "12"}, "hidden is 12"),
        ({"hidden": np.array([4.0])}, "hidden is"),
        ({"hidden": (1 << 20, 1 << 20)}, "too many layers or too wide"),
        ({"agents": 5}, "agents is 5"),
        ({"agents": "ab"}, "agents is 'ab'"),
        ({"prices": ["a", 0]}, "the prices are"),
        ({"prices": [[0], [0, 1]]}, "the prices are"),
    ],
    ids=str,
)
def test_a_wrong_parameter_is_refused_by_its_own_name(parameters, message):
    with pytest.raises(ConfigError, match=message) as caught:
        Rejector(**parameters).fit(*data())
    assert "epochs" not in f"{caught.value} {caught.value.hint}"


def test_hidden_widths_may_be_an_array():
    parameters = {"max_iter": 1000, "patience": 1}
    features, costs = data()

    array = Rejector(hidden=np.array([4, 3]), **parameters).fit(features, costs)
    plain = Rejector(hidden=(4, 3), **parameters).fit(features, costs)

    assert np.array_equal(array.decision_function(features), plain.decision_function(features))
    assert TableRejector(3, 2, hidden=np.array([4])).settings["hidden"] == (4,)


def test_prices_by_number_are_those_by_name():
    rejectors = [
        FixedAgent(agents=["a", "b"], prices=prices).fit(*data())
        for prices in ({1: 0.5}, {"b": 0.5})
    ]

    assert [each.prices_.tolist() for each in rejectors] == [[0, 0.5], [0, 0.5]]


@pytest.mark.parametrize("agent", [True, 0.5, [1]])
def test_an_agent_that_is_neither_name_nor_number_is_refused(agent):
    with pytest.raises(ConfigError, match="is unknown"):
        FixedAgent(agent=agent).fit(*data())
