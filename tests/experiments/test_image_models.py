"""The paper's image studies: settings files as they are, or in small, and what is said of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread
from simulating import made_results, small_settings

from experiments.image_models import (
    CHECKPOINTS,
    CONFIGS,
    DATA,
    GAMMAS,
    MODELS,
    PERIODS,
    ROUNDS,
    Point,
    draw,
    rows,
    sentence,
    settings_of,
    words_of,
)
from experiments.parts import first_of_each_class
from experiments.points import difference
from parties.settings import SimulationSettings
from parties.settings_file import load_settings
from parties.simulate.outcome import METHODS
from protocols.sampling import sampled_steps

POINTS = [
    Point(data=data, model=model, gamma=gamma, period=50)
    for data in DATA
    for model in MODELS
    for gamma in GAMMAS
]
IDS = [f"{p.data}-{p.model}-{p.gamma}" for p in POINTS]


def results(assisted, **others):
    levels = dict.fromkeys(METHODS, 0.6) | {"assisted": assisted} | others
    curves = {m: [[0.1, level + shift] for shift in (0.0, 0.02)] for m, level in levels.items()}
    return made_results(curves, settings=small_settings(seeds=[0, 1], rounds=1, total_steps=12))


@pytest.mark.parametrize("point", POINTS, ids=IDS)
def test_at_full_size_a_point_is_its_settings_file(point):
    path = CONFIGS / f"{point.data}_{point.model}_gamma{point.gamma}.toml"

    found = settings_of(point, scale=1, seeds=5, root=None)

    assert found == load_settings(path, SimulationSettings)


@pytest.mark.parametrize("period", PERIODS)
def test_the_sampling_period_is_the_only_other_change_at_full_size(period):
    point = Point(data="cifar10", model="alexnet", gamma="1", period=period)

    found = settings_of(point, scale=1, seeds=5, root="elsewhere")

    assert found.terms.sampling_period == period
    assert found.task.settings["root"] == "elsewhere"


@pytest.mark.parametrize("point", POINTS, ids=IDS)
@pytest.mark.parametrize("scale", [0.5, 0.025, 0.001])
def test_in_small_both_parties_pass_over_their_images_as_often_as_at_full_size(point, scale):
    full = settings_of(point, scale=1, seeds=2, root=None)
    small = settings_of(point, scale=scale, seeds=2, root=None)

    def passes(settings, images):
        return settings.terms.total_steps * settings.task.settings["batch_size"] / images

    whole = {"cifar10": 50_000, "fashion_mnist": 60_000}[point.data]
    part = 10 * small.task.settings["images"]
    assert part == pytest.approx(scale * whole, abs=5)
    assert passes(small, part) == pytest.approx(passes(full, whole), rel=0.2)
    assert small.terms.rounds == ROUNDS
    sampled = sampled_steps(small.terms.total_steps, small.terms.sampling_period)
    assert 2 <= len(sampled) - 1 <= 2 * CHECKPOINTS


def test_what_is_smaller_is_said():
    assert words_of(1.0, 5) == "full size, 5 seeds"
    said = words_of(0.025, 2)
    for each in ("scaled down by 0.025", "batches of 64 for 256", "3 rounds for 10", "2 seeds"):
        assert each in said


@given(labels=st.lists(st.integers(0, 3), min_size=1), count=st.integers(1, 5))
def test_the_first_of_each_class_are_those_a_loop_takes(labels, count):
    taken, expected = dict.fromkeys(range(4), 0), []
    for number, label in enumerate(labels):
        if taken[label] < count:
            taken[label] += 1
            expected.append(number)

    assert first_of_each_class(np.array(labels), count).tolist() == expected


def test_differences_are_paired_by_seed_and_said_in_points():
    found = results(0.65, learner_only=0.4)

    assert difference(found, "learner_only").mean == pytest.approx(25)
    assert difference(found, "learner_only").error == pytest.approx(0, abs=1e-9)
    said = sentence(POINTS[0], found)
    assert said.startswith("CIFAR-10, AlexNet, gamma 0, a checkpoint every 3 of 12 updates a round")
    assert "learner alone +25.0 ± 0.0" in said


def test_rows_and_figure_have_every_point(tmp_path):
    found = {point: results(0.65) for point in POINTS[:3]}

    table = list(rows(found))
    draw(tmp_path / "figure.png", found, note="in small")

    assert [(row["model"], row["gamma"]) for row in table] == [
        ("alexnet", "0"),
        ("alexnet", "0.3"),
        ("alexnet", "0.7"),
    ]
    assert set(table[0]["accuracy"]) == set(METHODS)
    height, width, _ = imread(tmp_path / "figure.png").shape
    assert width > height > 100
