"""The study of updates a round: its share of CIFAR-10, and the sentences it draws from figures."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread
from simulating import made_results, small_settings

from assistlearn.errors import DataError
from assistlearn.tasks import Share
from experiments.cifar10_updates import (
    CHECKPOINTS,
    COMPARED_WITH,
    GAMMAS,
    UPDATES,
    cifar10_part,
    claim_holds,
    draw,
    from_which_on,
    kept,
    scale,
    sentences,
    settings_of,
)
from experiments.points import difference
from parties.simulate.outcome import LABELS, METHODS
from parties.simulate.results import Results
from protocols.sampling import sampled_steps

LEVEL = {"learner_only": 0.4, "sequential_last": 0.5, "pooled": 0.7}


def results(assisted, *, seeds=(0.0, 0.01), **others):
    """One round on two seeds; each method's accuracy varies by the same amount."""
    levels = dict.fromkeys(METHODS, 0.6) | LEVEL | {"assisted": assisted} | others
    curves = {method: [[0.1, level + shift] for shift in seeds] for method, level in levels.items()}
    return made_results(curves, settings=small_settings(seeds=[0, 1], rounds=1, total_steps=12))


class FakeCIFAR10:
    """torchvision's class with 30 images: pixel values tell the image's number."""

    def __init__(self, *, root, train, download):
        assert not download
        count = 30 if train else 20
        self.targets = [number % 10 for number in range(count)]
        self.data = np.arange(count, dtype=np.uint8)[:, None, None, None].repeat(32, 1)
        self.data = self.data.repeat(32, 2).repeat(3, 3)


def test_a_part_of_cifar10_has_the_first_images_of_each_class(tmp_path, monkeypatch):
    monkeypatch.setattr("torchvision.datasets.CIFAR10", FakeCIFAR10)

    part = cifar10_part(root=tmp_path, images=2, test_images=1, device="cpu")
    learner = cifar10_part(
        root=tmp_path,
        images=2,
        test_images=1,
        device="cpu",
        share=Share(party="learner", imbalance=0.0),
    )

    (inputs, targets), *rest = part._train.in_order(100)
    assert not rest
    assert targets.tolist() == [*range(10)] * 2
    numbers = torch.arange(20).float() / 127.5 - 1
    assert torch.allclose(inputs[:, 2, 31, 31], numbers)
    assert len(part._test) == 10
    assert learner.examples == 1  # half of one class


def test_absent_data_are_an_error_with_a_hint(tmp_path):
    with pytest.raises(DataError, match="CIFAR10 is not in") as caught:
        cifar10_part(root=tmp_path)

    assert "--root" in caught.value.hint


@pytest.mark.parametrize("updates", UPDATES)
def test_every_number_of_updates_has_equally_many_checkpoints(tmp_path, updates):
    terms = settings_of(0, updates, root=tmp_path, seeds=3).terms

    assert len(sampled_steps(updates, terms.sampling_period)) == CHECKPOINTS + 1


@given(st.sets(st.integers(1, 9)), st.sets(st.integers(1, 9), min_size=1))
def test_from_which_on_is_the_least_number_with_no_exception_above_it(holding, numbers):
    updates = sorted(numbers)

    expected = [u for u in updates if all(v in holding for v in updates if v >= u)]

    assert from_which_on(updates, holding) == min(expected, default=None)


def test_differences_are_paired_by_seed_and_in_points():
    found = difference(results(0.65), "learner_only")

    assert found.mean == pytest.approx(25)
    assert found.error == pytest.approx(0, abs=1e-9)  # both vary alike


@pytest.mark.parametrize(
    ("assisted", "others", "holds"),
    [
        (0.69, {}, True),
        (0.67, {}, False),  # three points below pooled data
        (0.69, {"learner_only": 0.695}, False),
        (0.69, {"sequential_last": 0.695}, False),
    ],
)
def test_the_claim_needs_all_three_comparisons(assisted, others, holds):
    assert claim_holds(results(assisted, **others)) is holds


def test_sentences_say_from_where_on_and_when_nowhere():
    curve = {20: results(0.35), 60: results(0.45), 200: results(0.69)}

    said = list(sentences(0, curve))

    learner, last, pooled, *_ = said
    assert LABELS["learner_only"] in learner
    assert "-5.0 ± 0.0 at 20, +5.0 ± 0.0 at 60, +29.0 ± 0.0 at 200" in learner
    assert "not below from 60 on; its 95 % interval is above zero from 60 on" in learner
    assert "not below from 200 on" in last
    assert "at most 2 points below from 200 on" in pooled
    assert "above zero for no number measured" in pooled
    assert "holds in the mean from 200 on" in said[len(COMPARED_WITH)]


def test_the_updates_kept_are_those_on_the_way_to_the_chosen_checkpoints():
    made = results(0.5)
    steps = iter([(2, 7), (0, 3)])
    runs = []
    for run in made.runs:
        if run.method == "assisted":
            learner, provider = next(steps)
            last = dataclasses.replace(run.rounds[1], learner_step=learner, provider_step=provider)
            runs.append(dataclasses.replace(run, rounds=(run.rounds[0], last)))
        else:
            runs.append(run)

    assert kept(Results(settings=made.settings, runs=tuple(runs))) == 12 / 24


def test_the_figure_has_a_panel_for_each_split(tmp_path):
    curves = {gamma: {20: results(0.3), 60: results(0.6)} for gamma in GAMMAS}

    draw(tmp_path / "figure.png", curves, note=scale(2))

    height, width, _ = imread(tmp_path / "figure.png").shape
    assert width > 1.5 * height
