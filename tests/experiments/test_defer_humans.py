"""Deferring to people: prices for answers, one-stage methods beside two-stage ones, tables."""

import json

import numpy as np
import pytest
from matplotlib.image import imread

from assistlearn.deferral.report import deferral_report
from experiments.deferral.common import BEST_AGENT
from experiments.deferral.humans_data import Asked
from experiments.deferral.humans_figure import draw
from experiments.deferral.humans_tables import LOSS, Found, plain, table
from experiments.deferral.humans_ways import (
    TWO_STAGE,
    lesson,
    one_stage,
    one_stage_ways,
    two_stage,
)
from experiments.deferral.one_stage import OWN_CLASSES

COUNT = 400


def questions(seed=0):
    """The model knows the left half of a line and the person the right half.

    The right class is 0 or 1 and can be told from the second feature, so a model of one's own
    could be right everywhere.
    """
    generator = np.random.default_rng(seed)
    place = generator.uniform(-1, 1, size=COUNT)
    labels = generator.integers(2, size=COUNT)
    confidence = np.where(place < 0, 0.95, 0.55)
    features = np.stack([place, labels + 0.1 * generator.normal(size=COUNT), confidence], axis=1)
    errors = np.stack([place > 0, place <= 0], axis=1).astype(float)
    return Asked(
        agents=("model", "person"),
        answers=(0, 1),
        features=features,
        errors=errors,
        labels=labels,
        classes=2,
        test=np.arange(COUNT) < COUNT // 2,
    )


@pytest.fixture(scope="module")
def found():
    """Two seeds, people for nothing."""
    made = [two_stage(questions(seed), price=0.0, seed=seed) for seed in (0, 1)]
    alone = {
        name: [one_stage(questions(seed), name, price=0.0, seed=seed).trial for seed in (0, 1)]
        for name in one_stage_ways()
    }
    return Found(
        report=deferral_report([each.trial for each in made], agents=("model", "person")),
        one_stage={
            name: deferral_report(trials, agents=(OWN_CLASSES, "person"))
            for name, trials in alone.items()
        },
        settings=tuple(each.settings for each in made),
    )


def test_a_price_is_paid_for_each_answer_of_a_person():
    asked = questions()

    learned = lesson(asked, price=0.25, seed=0)

    assert np.array_equal(learned.test_prices, np.tile([0, 0.25], (COUNT // 2, 1)))
    assert np.array_equal(learned.test_costs - learned.test_prices, asked.errors[asked.test])
    assert np.array_equal(learned.costs, asked.errors[~asked.test] + [0, 0.25])


def test_every_rejector_finds_the_half_that_the_person_knows(found):
    for name, least in {TWO_STAGE: 0.95, "one-vs-all": 0.95, "plug-in, forest": 0.95,
                        "confidence threshold": 0.95, "MILD, validated": 0.95}.items():  # fmt: skip
        for each in found.method(name).metrics:
            assert each.accuracy > least


def test_a_one_stage_method_answers_with_its_own_classes(found):
    for name in one_stage_ways():
        assert found.method(name).metrics[0].accuracy > 0.9
        own = found.one_stage[name].agents[0]

        # The main model is right on half of the questions only.
        assert own.name == OWN_CLASSES
        assert own.alone.metrics[0].accuracy > 0.9


def test_nobody_asks_a_person_who_costs_more_than_any_error():
    made = two_stage(questions(), price=2.0, seed=0)

    for name in (TWO_STAGE, "plug-in, ridge", "confidence threshold", BEST_AGENT):
        assert (made.trial.methods[name].agents == 0).mean() > 0.95


def test_one_stage_methods_share_the_person_with_two_stage_ones(found):
    for name in one_stage_ways():
        alone = found.one_stage[name].agents[1].alone.metrics

        assert [LOSS(each) for each in alone] == [
            LOSS(each) for each in found.method("always person").metrics
        ]


def test_differences_are_paired_by_seed(found):
    method = found.method("always person")

    ahead = found.ahead(method, TWO_STAGE)

    expected = np.mean([
        LOSS(one) - LOSS(two)
        for one, two in zip(method.metrics, found.method(TWO_STAGE).metrics, strict=True)
    ])  # fmt: skip
    assert ahead.mean == pytest.approx(expected)


def test_results_are_shown_plain_and_drawn_in_a_small_file(found, tmp_path):
    shown = table(found, "title").text()

    document = json.loads(json.dumps(plain(found)))
    draw(tmp_path / "figure.png", {"left and right": {0.0: found, 0.05: found}}, note="note")

    for name in (*one_stage_ways(), "oracle", BEST_AGENT, "random, same shares"):
        assert name in shown
        assert name in document["methods"]
    assert (tmp_path / "figure.png").stat().st_size < 150_000
    assert imread(tmp_path / "figure.png").shape[0] > 300
