"""Rejectors as torch modules, and their training loop."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from assistlearn.deferral.rejectors import (
    AdamSettings,
    ImageRejector,
    TableRejector,
    TextFeatureRejector,
    train_rejector,
)
from assistlearn.deferral.rejectors.minibatches import held_out_rows
from assistlearn.deferral.two_stage import deferral_loss, two_stage_surrogate
from assistlearn.errors import ConfigError, DataError


def parameters(module):
    return sum(each.numel() for each in module.parameters())


def test_the_image_rejector_has_the_papers_number_of_parameters():
    """LeNet-5 with two outputs on 32x32 RGB images, arXiv:2501.13810."""
    assert parameters(ImageRejector((3, 32, 32), 2)) == 61_326


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 28, 40), (4, 33, 17)])
@pytest.mark.parametrize("extra", [0, 10])
def test_images_of_any_size_from_sixteen_on_give_one_score_for_each_agent(shape, extra):
    rejector = ImageRejector(shape, 3, extra=extra)
    images = torch.randn(5, *shape)

    scores = rejector(images, torch.randn(5, extra)) if extra else rejector(images)

    assert scores.shape == (5, 3)


def test_smaller_images_are_refused():
    with pytest.raises(DataError, match="15x20"):
        ImageRejector((3, 15, 20), 2)


def test_without_hidden_layers_a_table_rejector_is_linear():
    rejector = TableRejector(4, 3, hidden=())

    features = torch.randn(6, 4)
    (layer,) = (each for each in rejector.modules() if isinstance(each, nn.Linear))

    torch.testing.assert_close(rejector(features), features @ layer.weight.T + layer.bias)


@pytest.mark.parametrize(
    "rejector",
    [
        TableRejector(4, 2, extra=3),
        ImageRejector((1, 16, 16), 2, extra=3),
        TextFeatureRejector(2, buckets=16, extra=3),
    ],
    ids=lambda rejector: type(rejector).__name__,
)
def test_the_second_input_reaches_the_scores_and_must_be_there(rejector):
    torch.manual_seed(0)
    for parameter in rejector.parameters():
        nn.init.normal_(parameter)
    first = {
        TableRejector: torch.randn(2, 4),
        ImageRejector: torch.randn(2, 1, 16, 16),
        TextFeatureRejector: torch.randn(2, 16),
    }[type(rejector)]

    one = rejector(first, torch.zeros(2, 3))
    other = rejector(first, torch.ones(2, 3))

    assert (one != other).all()
    with pytest.raises(DataError, match="has 0 numbers, this rejector was built for 3"):
        rejector(first)
    with pytest.raises(DataError, match="has 2 numbers"):
        rejector(first, torch.zeros(2, 2))


def test_hidden_feature_maps_are_flattened_behind_the_features():
    rejector = TableRejector(2, 2, hidden=(), extra=12)
    features, maps = torch.randn(3, 2), torch.randn(3, 3, 2, 2)

    assert torch.equal(rejector(features, maps), rejector(features, maps.reshape(3, 12)))


def test_texts_are_told_apart_by_their_words():
    texts = ["pay the invoice", "refund my invoice", "kernel panic", "panic in the kernel log"] * 10
    costs = torch.tensor([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]] * 10)
    rejector = TextFeatureRejector(2, buckets=256)

    features = rejector.features(texts)
    train_rejector(rejector, features, costs, two_stage_surrogate, AdamSettings(epochs=40))
    fresh = rejector(rejector.features(["an invoice", "a kernel"]))

    assert features.shape == (40, 256)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(40))
    assert fresh.argmax(dim=1).tolist() == [0, 1]
    assert torch.equal(features[:4], rejector.features(texts[:4]))


def test_a_text_without_known_words_gets_equal_scores():
    rejector = TextFeatureRejector(3)

    assert rejector(rejector.features(["", "?"])).eq(0).all()


def test_training_ends_on_the_best_epoch_and_says_which():
    torch.manual_seed(0)
    features = torch.randn(300, 2)
    costs = torch.stack([(features[:, 0] > 0).float(), (features[:, 0] < 0).float()], dim=1)
    rejector = TableRejector(2, 2)
    settings = AdamSettings(epochs=30, patience=5, seed=7)

    done = train_rejector(rejector, features, costs, two_stage_surrogate, settings)

    _, held = held_out_rows(300, fraction=0.1, seed=7)
    loss = deferral_loss(rejector(features[held]), costs[held]).mean()
    assert float(loss) == pytest.approx(done.deferral_loss)
    assert done.deferral_loss < 0.1
    assert 1 <= done.best_epoch <= done.epochs <= 30
    assert not rejector.training


def test_images_and_logits_are_trained_on_together():
    torch.manual_seed(0)
    images, logits = torch.randn(120, 1, 16, 16), torch.randn(120, 3)
    costs = torch.stack([(logits[:, 0] < 0).float(), torch.full((120,), 0.4)], dim=1)
    rejector = ImageRejector((1, 16, 16), 2, extra=3)

    train_rejector(
        rejector, (images, logits), costs, two_stage_surrogate, AdamSettings(epochs=40, patience=40)
    )

    loss = deferral_loss(rejector(images, logits), costs).mean()
    assert float(loss) < 0.9 * float(costs.mean(dim=0).min())


def test_without_held_out_rows_the_last_epoch_is_kept():
    rejector = TableRejector(1, 2)
    settings = AdamSettings(epochs=3, validation_fraction=0)

    done = train_rejector(
        rejector, torch.randn(8, 1), torch.rand(8, 2), two_stage_surrogate, settings
    )

    assert (done.epochs, done.best_epoch, done.converged) == (3, 3, True)
    assert math.isnan(done.deferral_loss)


def test_a_start_that_is_never_bettered_is_kept():
    rejector = TableRejector(1, 2, hidden=())
    before = [each.clone() for each in rejector.parameters()]
    worthless = AdamSettings(epochs=4, patience=4)
    costs = torch.tensor([[0.0, 0.0]] * 20)

    done = train_rejector(rejector, torch.randn(20, 1), costs, two_stage_surrogate, worthless)

    assert done.best_epoch == 0
    assert all(map(torch.equal, before, rejector.parameters()))


@pytest.mark.parametrize(
    ("rows", "fraction", "held"), [(2, 0.1, 1), (10, 0.99, 9), (100, 0.25, 25), (5, 0, 0)]
)
def test_held_out_rows_and_the_others_are_all_rows_once(rows, fraction, held):
    train, rest = held_out_rows(rows, fraction=fraction, seed=1)

    assert len(rest) == held
    assert sorted([*train, *rest]) == [*range(rows)]
    assert (np.diff(train) > 0).all()


def test_features_and_costs_of_different_lengths_are_refused():
    with pytest.raises(DataError, match=r"\[3\] features for 4 costs"):
        train_rejector(
            TableRejector(1, 2), torch.zeros(3, 1), torch.zeros(4, 2), two_stage_surrogate
        )


def test_training_that_diverges_is_said_to_diverge():
    rejector = TableRejector(1, 2)

    def explodes(scores, costs):
        return scores.sum(dim=1) * float("inf")

    with pytest.raises(DataError, match="training diverged"):
        train_rejector(rejector, torch.randn(20, 1), torch.rand(20, 2), explodes)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"epochs": 0}, "epochs is 0"), ({"weight_decay": -1.0}, "weight_decay"),
     ({"validation_fraction": 1}, "validation_fraction is 1")],
)  # fmt: skip
def test_settings_out_of_range_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        AdamSettings(**wrong)
