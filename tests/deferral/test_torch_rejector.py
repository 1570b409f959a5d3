"""Decisions of torch modules: the same as an estimator's, from the same kind of cost estimate."""

import numpy as np
import pytest
import torch
from torch import nn

from assistlearn.deferral.availability import Reason
from assistlearn.deferral.rejectors import (
    AdamSettings,
    ImageRejector,
    Rejector,
    TableRejector,
    TextFeatureRejector,
    train_rejector,
)
from assistlearn.deferral.rejectors.minibatches import EVALUATION_ROWS
from assistlearn.deferral.rejectors.torch_rejector import TorchRejector
from assistlearn.deferral.two_stage import two_stage_surrogate
from assistlearn.errors import ConfigError, DataError

NAMES = ("clinic", "lab")


def data(rows=400, seed=0):
    """Features, and costs of two agents: the first errs where the first feature is large."""
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(rows, 3))
    costs = np.stack([0.5 + 0.3 * np.tanh(features[:, 0]), np.full(rows, 0.4)], axis=1)
    return features, costs + generator.uniform(0, 0.2, size=costs.shape)


def test_a_module_with_an_estimators_weights_decides_and_explains_as_the_estimator():
    features, costs = data()
    estimator = Rejector(agents=NAMES).fit(features, costs)
    module = TableRejector(3, 2, hidden=()).double()
    with torch.no_grad():
        module.last.weight.copy_(torch.tensor(estimator.layers_.weights[0].T))
        module.last.bias.copy_(torch.tensor(estimator.layers_.biases[0]))
    scaled = torch.from_numpy(estimator.scaling_(features))

    found = TorchRejector.of(module, scaled, costs, agents=NAMES).decide(scaled)

    expected = estimator.decide(features)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-10)
    np.testing.assert_allclose(found.expected_costs, expected.expected_costs, rtol=1e-10)
    np.testing.assert_allclose(found.cost_errors, expected.cost_errors, rtol=1e-10)
    assert [*map(found.explain, range(20))] == [*map(expected.explain, range(20))]


def test_images_with_logits_are_decided_explained_and_put_on_a_budget():
    torch.manual_seed(0)
    images, logits = torch.randn(600, 1, 16, 16), torch.randn(600, 3)
    costs = torch.stack([0.5 - 0.3 * logits[:, 0].tanh(), torch.full((600,), 0.4)], dim=1)
    module = ImageRejector((1, 16, 16), 2, extra=3)
    train_rejector(
        module,
        (images[:300], logits[:300]),
        costs[:300],
        two_stage_surrogate,
        AdamSettings(epochs=30, patience=30),
    )

    rejector = TorchRejector.of(
        module, (images[300:], logits[300:]), costs[300:], agents=("net", "doctor")
    )
    decisions = rejector.decide(images, logits)

    assert (decisions.agents == module(images, logits).argmax(dim=1).numpy()).all()
    gaps = decisions.expected_costs[300:] - costs[300:].numpy()
    assert np.sqrt(np.square(gaps).mean(axis=0))[0] < 0.8 * costs[:, 0].std()
    assert "answers, " in decisions.explain(0)
    assert "'doctor'" in decisions.explain(0)
    absent = decisions.under(threshold=0.0, available=np.array([True, False]))
    assert set(absent.reasons) == {Reason.KEPT, Reason.NEXT_BEST}


def test_texts_are_decided_by_their_features():
    texts = ["pay the invoice", "refund my invoice", "kernel panic", "panic in the kernel log"] * 10
    costs = np.array([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]] * 10)
    module = TextFeatureRejector(2, buckets=256)
    features = module.features(texts)
    settings = AdamSettings(epochs=40)
    train_rejector(module, features, torch.from_numpy(costs).float(), two_stage_surrogate, settings)

    decisions = TorchRejector.of(module, features, costs).decide(module.features(["an invoice"]))

    assert decisions.agent_names == ("agent 0", "agent 1")
    assert decisions.agents.tolist() == [0]
    assert decisions.expected_costs[0, 0] < decisions.expected_costs[0, 1]


@pytest.mark.parametrize(
    "module",
    [
        TableRejector(4, 2, hidden=(3,), extra=3),
        ImageRejector((1, 16, 16), 2, extra=3),
        TextFeatureRejector(2, buckets=16, extra=3),
    ],
    ids=lambda module: type(module).__name__,
)
def test_scores_are_linear_in_the_hidden_numbers_and_settings_build_the_same_module(module):
    first = {
        TableRejector: torch.randn(5, 4),
        ImageRejector: torch.randn(5, 1, 16, 16),
        TextFeatureRejector: torch.randn(5, 16),
    }[type(module)]
    second = torch.randn(5, 3)

    again = type(module)(**module.settings)
    again.load_state_dict(module.state_dict())

    hidden = module.hidden(first, second)
    torch.testing.assert_close(
        module(first, second), hidden @ module.last.weight.T + module.last.bias
    )
    assert torch.equal(again(first, second), module(first, second))
    assert again.settings == module.settings


def test_more_rows_than_fit_into_one_batch_are_decided_in_order():
    features, costs = data(EVALUATION_ROWS + 5)
    inputs = torch.from_numpy(features)
    rejector = TorchRejector.of(TableRejector(3, 2).double(), inputs, costs)

    whole, part = rejector.decide(inputs), rejector.decide(inputs[-20:])

    assert len(whole) == len(features)
    np.testing.assert_allclose(whole.scores[-20:], part.scores, rtol=1e-12)
    np.testing.assert_allclose(whole.expected_costs[-20:], part.expected_costs, rtol=1e-12)


def test_columns_of_a_data_frame_name_the_agents():
    pandas = pytest.importorskip("pandas", reason="pandas is no dependency")
    features, costs = data()
    frame = pandas.DataFrame(costs, columns=NAMES)

    rejector = TorchRejector.of(TableRejector(3, 2).double(), torch.from_numpy(features), frame)

    assert rejector.agents == NAMES


@pytest.mark.parametrize(
    ("module", "costs", "error", "message"),
    [
        (nn.Linear(3, 2), [[0.0, 1.0]] * 4, ConfigError, "no hidden numbers"),
        (TableRejector(3, 2).bfloat16(), [[0.0, 1.0]] * 4, ConfigError, "bfloat16"),
        (TableRejector(3, 2), [[0.0, 1.0]] * 3, DataError, r"\(3, 2\), the scores \(4, 2\)"),
        (TableRejector(3, 2), [[0.0, 1.0, 2.0]] * 4, DataError, r"the scores \(4, 2\)"),
        (TableRejector(3, 2), [[0.0, -1.0]] * 4, DataError, "must be >= 0"),
        (TableRejector(3, 2), [[0.0, np.inf]] * 4, DataError, "not finite"),
    ],
    ids=["no hidden", "half precision", "rows", "agents", "negative", "infinite"],
)
def test_what_no_costs_can_be_estimated_for_is_refused(module, costs, error, message):
    with pytest.raises(error, match=message):
        TorchRejector.of(module, torch.randn(4, 3), costs)


@pytest.mark.parametrize(
    "build",
    [
        lambda: TableRejector(0, 2),
        lambda: TableRejector(3, 2, hidden=(2.5,)),
        lambda: TableRejector(3, True),
        lambda: TableRejector(3, 2, extra=-1),
        lambda: ImageRejector((0, 16, 16), 2),
        lambda: TextFeatureRejector(2, words=0),
    ],
)
def test_sizes_that_are_no_counts_are_refused(build):
    with pytest.raises(ConfigError, match="must be a whole number"):
        build()
