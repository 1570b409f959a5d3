"""Deferring two tasks at once: each rejector follows the costs that it learned from."""

import json
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.image import imread

from assistlearn.deferral.report import Spread
from experiments.deferral.common import BEST_AGENT
from experiments.deferral.ehr_agents import CASES, Answers
from experiments.deferral.ehr_figure import draw
from experiments.deferral.ehr_tables import (
    ACCURACY,
    CLAIMS,
    COST,
    claims_table,
    measured,
    plain,
    table,
    value_error,
)
from experiments.deferral.ehr_ways import CLASS, JOINT, LINEAR, VALUE, study

CASE = replace(CASES["learned experts"], agents=("both", "class", "value"))


def answers(seed):
    """Agent 0 is decent in both tasks, agent 1 perfect in the class, agent 2 in the value.

    Each perfect one is useless in its other task, so jointly agent 0 is cheapest by far. Features
    say nothing of who is right.
    """
    generator = np.random.default_rng(seed)
    count = 300
    died = generator.integers(2, size=count)
    truth = generator.normal(size=count)
    decent = np.where(generator.uniform(size=count) < 0.7, died, 1 - died)
    probabilities = np.stack([0.2 + 0.6 * decent, 0.1 + 0.8 * died, 0.9 - 0.8 * died], axis=1)
    values = np.stack([truth + 0.3, truth + 3.0, truth], axis=1)
    return Answers(
        features=generator.normal(size=(count, 5)),
        probabilities=probabilities,
        values=values,
        reference=np.stack([0.1 + 0.8 * died, truth], axis=1),
        died=died,
        truth=truth,
        test=np.arange(count) < 100,
    )


@pytest.fixture(scope="module")
def found():
    """Two seeds of the case above."""
    several = [answers(seed) for seed in (0, 1)]
    made = [study(CASE, each, seed) for seed, each in enumerate(several)]
    return measured(CASE, several, made)


@pytest.mark.parametrize("kind", ["", LINEAR])
def test_each_rejector_asks_who_is_cheapest_by_the_costs_that_it_learned_from(found, kind):
    asked = {
        name: np.mean([each.shares for each in found.report.method(name + kind).metrics], axis=0)
        for name in (CLASS, JOINT, VALUE)
    }

    assert asked[CLASS][1] > 0.9
    assert asked[VALUE][2] > 0.9
    assert asked[JOINT][0] > 0.9


def test_joint_cost_is_what_both_tasks_cost_together(found):
    for method in found.methods:
        for each in method.metrics:
            wrong = 1 - ACCURACY(each)

            assert COST(each) == pytest.approx(wrong + value_error(each))
            assert value_error(each) > -1e-12


def test_error_of_the_value_is_the_smooth_l1_of_the_agent_asked(found):
    (alone,) = (each for each in found.methods if each.name == "always both")

    assert [value_error(each) for each in alone.metrics] == pytest.approx([0.3**2 / 2] * 2)


def test_area_is_of_the_probabilities_of_the_agents_asked(found):
    assert found.areas["always class"] == (1.0, 1.0)
    assert found.areas["always value"] == (0.0, 0.0)


def test_a_reference_that_knows_all_has_no_cost(found):
    assert [each.cost for each in found.references] == pytest.approx([0.0, 0.0])
    assert found.reference_ahead(BEST_AGENT).mean < 0


@pytest.mark.parametrize(
    ("mean", "half_width", "expected"),
    [(-0.2, 0.1, "holds"), (0.2, 0.1, "fails"), (-0.1, 0.2, "open"), (0.0, 0.0, "open")],
)
def test_a_claim_holds_only_if_the_interval_lies_on_its_side(mean, half_width, expected):
    claim = next(each for each in CLAIMS if each.sign < 0)

    assert claim.verdict(Spread(mean=mean, half_width=half_width, count=5)) == expected


def test_every_method_every_agent_and_the_oracle_stand_in_the_table(found):
    shown = table(found, "title").text()
    claimed = claims_table(found).text()

    for name in (
        "oracle",
        "always class",
        BEST_AGENT,
        "random, same shares",
        "no agent: one model",
    ):
        assert name in shown
    assert "fails" in claimed or "holds" in claimed


def test_results_are_plain_and_drawn_in_a_small_file(found, tmp_path):
    document = json.loads(json.dumps(plain(found)))

    draw(tmp_path / "figure.png", dict.fromkeys(CASES, found), note="two seeds")

    assert document["methods"]["oracle"]["regret"]["mean"] == 0
    assert (tmp_path / "figure.png").stat().st_size < 150_000
    assert imread(tmp_path / "figure.png").shape[1] > 1500
