"""Simulated experts on images: who knows what, and the encoding against a loop."""

import json

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from threadpoolctl import threadpool_limits

from assistlearn.deferral.report import deferral_report
from experiments.deferral import image_experts_agents
from experiments.deferral.common import EQUAL, RANDOM
from experiments.deferral.image_experts import NOTE, THRESHOLD, draw, study, thinned
from experiments.deferral.image_experts_agents import PRICE, SETTINGS, Pictures, lesson, names
from experiments.deferral.tables import plain, table

FLAT, STEP, TAILED = SETTINGS


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As in the studies: matrices are small, and threads would wait for each other."""
    with threadpool_limits(1):
        yield


def pictures(count, seed=0):
    """Features that tell the class, and a main model that is right half of the time."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(10, size=count)
    hints = np.eye(10)[labels] + 0.3 * generator.standard_normal((count, 10))
    confidence = generator.random((count, 1))
    right = generator.random(count) < confidence[:, 0]
    return Pictures(
        features=np.hstack([confidence, hints]),
        answers=np.where(right, labels, (labels + 1) % 10),
        labels=labels,
    )


@pytest.mark.parametrize("setting", [FLAT, STEP], ids=lambda each: each.label)
def test_experts_are_right_on_their_own_classes_and_guess_on_the_others(setting):
    parts = pictures(40_000), pictures(4_000, seed=1)

    made = lesson(parts, setting, 0)

    right = made.costs[:, 1:] - PRICE < 0.5
    labels = made.features[:, 1:].argmax(axis=1)  # nearly always the class
    skills = np.array([right[labels == each].mean(axis=0) for each in np.unique(labels)])
    assert (skills > 0.7).sum(axis=0).tolist() == list(setting.classes)  # each class has one owner
    assert (skills > 0.7).sum(axis=1).tolist() == [1] * 10
    assert skills[skills < 0.7] == pytest.approx(0.1, abs=0.06)
    assert len(made.agents) == made.costs.shape[1] == 1 + len(setting.classes)


def test_rare_classes_are_those_of_the_last_experts_in_training_and_test():
    parts = pictures(40_000), pictures(20_000, seed=1)

    made, flat = (lesson(parts, each, 0) for each in (TAILED, FLAT))

    assert len(flat.costs) == 40_000
    for costs in (made.costs, made.test_costs):
        known = (costs[:, 1:] < 0.5).mean(axis=0)
        assert known[0] > 0.8
        assert known[0] > known[1] > known[2]
    assert names(TAILED) == ("main model", "expert 1 (7)", "expert 2 (2)", "expert 3 (1)")


def test_seeds_draw_who_knows_what():
    parts = pictures(500), pictures(100, seed=1)

    one, again, other = (lesson(parts, STEP, seed).test_costs for seed in (0, 0, 1))

    assert (one == again).all()
    assert (one != other).any()


def test_the_price_is_part_of_an_experts_cost_and_what_is_correct_is_not():
    made = lesson((pictures(300), pictures(200, seed=1)), STEP, 0)

    assert (made.test_prices == [0, *[PRICE] * 4]).all()
    assert (made.test_correct == (made.test_costs - made.test_prices == 0)).all()


def test_the_encoding_is_what_a_loop_over_patches_finds(monkeypatch):
    monkeypatch.setattr(image_experts_agents, "FILTERS", 5)
    images = 255 * torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    captured = {}
    convolution = image_experts_agents.functional.conv2d

    def spy(block, kernel):
        captured["kernel"] = kernel
        return convolution(block, kernel)

    monkeypatch.setattr(image_experts_agents.functional, "conv2d", spy)
    encode = image_experts_agents._encoder(images)
    found = encode(images[:1])

    kernel = captured["kernel"].double().reshape(5, -1)
    windows = images[0].double().unfold(1, 6, 1).unfold(2, 6, 1)  # (3, 27, 27, 6, 6)
    patches = windows.permute(1, 2, 0, 3, 4).reshape(27, 27, -1)
    patches = patches - patches.mean(dim=2, keepdim=True)
    patches /= (patches.square().sum(dim=2, keepdim=True) / 107 + 10).sqrt()
    without_offset = torch.einsum("yxd,kd->kyx", patches, kernel)
    offset = _offset(encode)
    response = without_offset - offset.view(-1, 1, 1).double()
    both = torch.cat([(response - 0.25).clamp(min=0), (-response - 0.25).clamp(min=0)])
    expected = torch.nn.functional.adaptive_avg_pool2d(both, 2).flatten()
    assert found[0] == pytest.approx(expected.numpy(), abs=1e-4)


def _offset(encode):
    """What the encoder subtracts, from its closure."""
    cells = dict(zip(encode.__code__.co_freevars, encode.__closure__, strict=True))
    return cells["offset"].cell_contents


def test_fewer_training_rows_leave_the_test_as_it_is():
    made = lesson((pictures(300), pictures(200, seed=1)), FLAT, 0)

    few = thinned(made, 0.5)

    assert len(few.costs) == len(few.features) == 150
    assert few.held_out.max() < 150
    assert few.test_costs is made.test_costs


@pytest.fixture(scope="module")
def reports():
    parts = pictures(400), pictures(300, seed=1)
    return {
        setting.label: deferral_report(
            [study(lesson(parts, setting, seed), seed).trial for seed in range(2)],
            agents=names(setting),
        )
        for setting in (STEP,)
    }


def test_losses_learn_whom_to_ask_and_confidence_alone_cannot_tell(reports):
    """A threshold on confidence knows when to ask but not whom: it has one expert."""
    for report in reports.values():
        loss = {each.name: each.spread(lambda m: m.deferral_loss).mean for each in report.methods}

        assert loss[EQUAL] < loss[THRESHOLD] < loss[RANDOM]
        assert loss["plug-in"] < loss["best agent"]


def test_results_are_shown_written_and_drawn_in_a_small_file(reports, tmp_path):
    for label, report in reports.items():
        text = table(report, label, note=NOTE).text()
        document = json.loads(json.dumps(plain(report)))

        assert all(each in text for each in (THRESHOLD, "always main model", "oracle", label))
        assert len(document["methods"][EQUAL]["recalls"]) == len(report.agents)
    draw(tmp_path / "figure.png", reports, "two seeds")
    assert (tmp_path / "figure.png").stat().st_size < 150_000
    assert imread(tmp_path / "figure.png").shape[1] > 800
