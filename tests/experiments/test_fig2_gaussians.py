"""The two Gaussian classes: who has which points, and what selection saves."""

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from scipy.stats import norm

from assistlearn.tasks import Share
from experiments.fig2_gaussians import BEST, PUBLISHED, draw, gaussians, plain, run
from parties.simulate.outcome import ASSISTED, METHODS


@pytest.fixture(scope="module")
def long_training():
    """Two rounds of 50 updates of each party, on three seeds."""
    return run(50, range(3), rounds=2)


def rows(data):
    points_B2, classes_B = data
    return {
        (*point, label) for point, label in zip(points_B2.tolist(), classes_B.tolist(), strict=True)
    }


def test_each_party_has_a_mixture_of_its_own_and_both_together_are_the_pooled_points():
    tasks = {
        party: gaussians(share=Share(party=party)) for party in ("learner", "provider", "pooled")
    }

    counts = {party: task.own[1].long().bincount().tolist() for party, task in tasks.items()}

    assert counts == {"learner": [45, 5], "provider": [5, 45], "pooled": [50, 50]}
    learner, provider = rows(tasks["learner"].own), rows(tasks["provider"].own)
    assert not learner & provider
    assert learner | provider == rows(tasks["pooled"].own)


def test_another_seed_gives_other_points_and_the_same_seed_the_same():
    first, again, other = (
        rows(gaussians(share=Share(party="learner", seed=seed)).own) for seed in (1, 1, 2)
    )

    assert first == again
    assert not first & other


def test_training_is_gradient_descent_on_the_mean_loss_of_all_own_points():
    task = gaussians(share=Share(party="learner"))
    points_B2, classes_B = (each.double().numpy() for each in task.own)
    expected = np.zeros(3)
    for _ in range(7):
        inputs_B3 = np.c_[points_B2, np.ones(len(points_B2))]
        wrong_B = 1 / (1 + np.exp(-inputs_B3 @ expected)) - classes_B
        expected -= 0.5 * inputs_B3.T @ wrong_B / len(points_B2)

    model = task.build_model()
    task.train(model, task.build_optimizer(model), range(7))

    found = [model.weight[0, 0].item(), model.weight[0, 1].item(), model.bias.item()]
    assert found == pytest.approx(expected, abs=1e-5)


def test_the_line_between_the_means_is_right_as_often_as_the_best_possible():
    task = gaussians(share=Share(party="learner"))
    model = task.build_model()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, -1.0]]))

    accuracy = task.metrics(model)["accuracy"]

    assert pytest.approx(norm.cdf(np.sqrt(2) / 1.5), abs=1e-12) == BEST
    assert abs(accuracy - BEST) < 4 * np.sqrt(BEST * (1 - BEST) / 4000)


def test_selection_beats_the_last_model_when_local_training_is_long(long_training):
    ahead = long_training.difference(ASSISTED, "sequential_last", 2, "accuracy")

    assert ahead.mean > 0.05


def test_one_round_brings_the_learner_from_its_own_data_to_pooled_data(long_training):
    above = long_training.difference(ASSISTED, "learner_only", 1, "accuracy")
    below = long_training.difference("pooled", ASSISTED, 1, "accuracy")

    assert above.mean > 0.05
    assert below.mean < 0.01


def test_global_loss_of_what_the_learner_holds_never_rises(long_training):
    for made in long_training.of(ASSISTED):
        losses = [each.global_loss for each in made.rounds]

        assert all(later <= earlier for earlier, later in pairwise(losses))


def test_results_stand_beside_what_is_published_and_are_drawn_in_a_small_file(
    long_training, tmp_path
):
    found = {50: long_training}

    document = json.loads(json.dumps(plain(found)))
    draw(tmp_path / "figure.png", found)

    assert document["published"] == PUBLISHED
    assert set(document["steps"]["50"]) == set(METHODS)
    assert document["steps"]["50"][ASSISTED]["assisted_minus_this"]["mean"] == 0
    assert (tmp_path / "figure.png").stat().st_size < 150_000
    assert imread(tmp_path / "figure.png").shape[1] > 800
