"""Simulated experts on images: who knows what, and the encoding against a loop."""

import json

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from threadpoolctl import threadpool_limits

from assistlearn.deferral.rejectors import Rejector
from assistlearn.deferral.report import deferral_report
from experiments.deferral import image_experts_agents
from experiments.deferral.common import EQUAL, HINGE, PAIRS, RAMP, RANDOM, Candidate, joined
from experiments.deferral.image_experts import (
    NOTE,
    ONE_STAGE,
    THRESHOLD,
    VALIDATED,
    draw,
    measured,
    published,
    study,
    study_kinked,
    study_one_stage,
    thinned,
)
from experiments.deferral.image_experts_agents import PRICE, SETTINGS, Pictures, lesson, names
from experiments.deferral.one_stage import OWN_CLASSES, one_stage
from experiments.deferral.tables import paired, plain, table

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
    assert len(few.labels) == 150
    assert few.test_costs is made.test_costs
    assert few.test_labels is made.test_labels


@pytest.fixture(scope="module")
def lessons():
    parts = pictures(400), pictures(300, seed=1)
    return [lesson(parts, STEP, seed) for seed in range(2)]


@pytest.fixture(scope="module")
def found(lessons):
    """Every method on two draws of experts."""
    made = [
        joined(study(each, seed), study_kinked(each, seed)) for seed, each in enumerate(lessons)
    ]
    alone = [study_one_stage(each, seed) for seed, each in enumerate(lessons)]
    return {STEP.label: measured(made, alone, agents=names(STEP))}


def losses(report):
    return {each.name: each.spread(lambda m: m.deferral_loss).mean for each in report.methods}


def test_losses_learn_whom_to_ask_and_confidence_alone_cannot_tell(found):
    """A threshold on confidence knows when to ask but not whom: it has one expert."""
    loss = losses(found[STEP.label].report)

    assert loss[EQUAL] < loss[THRESHOLD] < loss[RANDOM]
    assert loss["plug-in"] < loss["best agent"]


def test_hinge_and_ramp_learn_whom_to_ask_from_the_start_that_they_have(found):
    loss = losses(found[STEP.label].report)

    for name in (HINGE, RAMP, PAIRS[HINGE], PAIRS[RAMP]):
        assert loss[name] < loss["best agent"]


def test_without_an_early_stop_the_hinge_of_five_agents_forgets_whom_to_ask(found):
    loss = losses(found[STEP.label].report)

    assert loss["hinge, no early stop"] > loss[PAIRS[HINGE]] + 0.05


def test_a_one_stage_method_names_classes_itself_where_features_tell_them(found, lessons):
    """The features tell nearly every class, and the main model is right on half of them only."""
    each = found[STEP.label]

    accuracies = [metrics.accuracy for metrics in each.one_stage.metrics]

    assert min(accuracies) > 0.85
    right = [made.test_correct[:, 0].mean() for made in lessons]
    assert max(right) < 0.6
    assert each.one_stage.name == ONE_STAGE


def test_one_stage_costs_are_those_of_its_own_classes_and_of_the_same_experts(lessons):
    made = lessons[0]
    candidate = Candidate(rejector=Rejector(surrogate="two_stage"))

    trial = one_stage(made, candidate, name="mine", classes=10, seed=0).trial

    assert (trial.costs[:, 1:] == made.test_costs[:, 1:]).all()
    assert set(trial.costs[:, 0]) == {0, 1}
    assert (trial.correct[:, 0] == (trial.costs[:, 0] == 0)).all()
    report = deferral_report([trial, trial], agents=(OWN_CLASSES, *made.agents[1:]))
    assert report.agents[0].alone.metrics[0].accuracy > 0.9


def test_methods_measured_apart_are_joined_only_on_the_same_rows(lessons):
    one, other = (study_kinked(each, 0) for each in lessons)

    with pytest.raises(AssertionError):
        joined(one, other)


def test_results_are_shown_written_and_drawn_in_a_small_file(found, tmp_path):
    for label, each in found.items():
        text = table(each.report, label, note=NOTE, beside=[each.one_stage]).text()
        document = json.loads(json.dumps(plain(each.report, beside=[each.one_stage])))

        wanted = (THRESHOLD, "always main model", "oracle", label, ONE_STAGE, HINGE)
        assert all(one in text for one in wanted)
        assert len(document["methods"][EQUAL]["recalls"]) == len(each.report.agents)
        assert "regret" not in document["methods"][ONE_STAGE]
        assert len(document["methods"][ONE_STAGE]["deferral loss by seed"]) == 2
        assert [*each.chosen] == [*VALIDATED]
        assert f"{RAMP}: loss" in paired({label: each.report}).text()
    draw(tmp_path / "figure.png", found, "two seeds")
    assert (tmp_path / "figure.png").stat().st_size < 150_000
    assert imread(tmp_path / "figure.png").shape[1] > 800


def test_the_published_numbers_of_mild_stand_beside_ours_with_the_reason_of_the_difference(found):
    beside = published(found)

    loss = found[STEP.label].report.method(EQUAL).spread(lambda m: m.deferral_loss).mean
    assert beside["deferral loss"]["published"] == 0.106
    assert beside["share of expert 1, %"]["published"] == pytest.approx(70.01)
    ours = beside["deferral loss"]["ours"][f"{STEP.label}, {EQUAL}"]
    assert ours.startswith(f"{loss:.3f}")
    assert "cannot be compared" in beside["difference"]
