"""Realizable rules, crowds of experts, and shift: the problems are what they are said to be."""

import json

import numpy as np
import pytest
from matplotlib.image import imread
from scipy.special import expit
from threadpoolctl import threadpool_limits

from assistlearn.deferral.rejectors import PlugInRejector, Rejector
from experiments.deferral import gaps_problems
from experiments.deferral.gaps import plain, spreads, tables
from experiments.deferral.gaps_figure import draw
from experiments.deferral.gaps_problems import (
    BEST,
    BUDGET,
    KAPPAS,
    PRICE,
    SHIFTS,
    Gaps,
    Source,
    crowd,
    dilution,
    moving,
    realizable,
    realizable_problem,
    targets,
    under_shift,
)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As in the studies: matrices are small, and threads would wait for each other."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def measured():
    """Everything, on two seeds and few experts, with one kind of new examples for texts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gaps_problems, "EXPERTS", (1, 3))
        rules = realizable(range(2))
    moved = moving(range(2))
    crowded, ahead = dilution(range(2), (1, 3))
    return Gaps(
        rules=rules,
        asked=targets((1, 2, 4)),
        crowded=crowded,
        ahead=ahead,
        moved=moved,
        texts={"MMLU": moved[0.0], "GSM8K": moved[1.0]},
    )


@pytest.mark.parametrize("experts", [1, 2, 4])
def test_a_linear_rejector_solves_the_realizable_problem_at_no_cost(experts):
    features, costs = realizable_problem(3, experts)
    rejector = Rejector(
        surrogate="log_mass", solver="lbfgs", weight_decay=1e-7, max_iter=1000, tol=1e-6
    )

    found = -rejector.fit(features, costs).score(features, costs)

    assert found < 0.005
    assert set(np.unique(costs)) == {0.0, 0.3, 1.0}
    assert costs.mean(axis=0).min() > 0.02  # no single agent does


def test_cross_entropy_misses_the_rule_that_log_mass_finds(measured):
    for name, row in measured.rules.items():
        if name.startswith("cross-entropy"):
            assert row[3].mean > row[1].mean - 0.03
            assert row[3].mean > 0.02
    assert measured.rules["log mass"][3].mean < 0.002
    assert measured.rules["cross-entropy, tau"][1].mean < 0.002
    assert measured.rules[BEST][3].mean > measured.rules["cross-entropy, tau"][3].mean


def test_the_softmax_asked_for_under_sum_weights_flattens_as_experts_are_added():
    """One right agent among J + 1 gets 1 / J, each wrong one (J - 1) / J^2."""
    found = targets((1, 2, 4, 10, 30))

    for experts, (right, wrong) in found["sum"].items():
        assert right == pytest.approx(1 / experts)
        assert wrong == pytest.approx((experts - 1) / experts**2)
    for kappa in set(KAPPAS) - {"sum"}:
        assert set(found[kappa].values()) == {(1.0, 0.0)}


def test_more_experts_change_nothing_for_the_first_two_agents_and_help_nobody():
    few, many = crowd(1, 1), crowd(1, 30)

    assert (few.features == many.features).all()
    assert (few.costs == many.costs[:, :2]).all()
    side = (many.test_features[:, 0] >= 0).astype(int)
    rule = many.test_costs[np.arange(len(side)), side].mean()
    assert rule == pytest.approx(0.1, abs=0.02)
    assert many.test_costs[:, 2:].mean() == pytest.approx(0.7, abs=0.01)


def test_the_first_two_agents_are_found_among_others_and_differences_are_paired(measured):
    for name, row in measured.crowded.items():
        assert row[3].mean < 0.25, name  # the best rule costs 0.1, the best agent 0.4
    for name, row in measured.ahead.items():
        for experts, ahead in row.items():
            other = measured.crowded["plug-in"][experts].mean
            assert ahead.mean == pytest.approx(measured.crowded[name][experts].mean - other)


def test_without_a_shift_the_promises_hold_and_with_one_they_do_not(measured):
    here, there = (spreads(measured.moved[each]) for each in (0.0, SHIFTS[-1]))

    assert here["rate"].mean == pytest.approx(BUDGET, abs=0.03)
    assert here["expected loss"].mean == pytest.approx(here["deferral loss"].mean, abs=0.03)
    assert there["rate"].mean > 0.8
    assert there["rate as promised"].mean == 0
    assert there["rate, again"].mean == pytest.approx(BUDGET, abs=0.08)
    assert there["agent 0"].mean > here["agent 0"].mean + 0.3


def test_costs_under_shift_are_means_over_who_was_asked():
    """Naively, with a threshold that keeps everything: all is agent 0's."""
    generator = np.random.default_rng(0)
    features, costs = gaps_problems._moved(generator, 500)
    source = Source(rejector=PlugInRejector().fit(features, costs), choose=features, hold=features)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gaps_problems, "BUDGET", 0.0)
        found = under_shift(source, features, costs, seed=0)

    assert found["rate"] == 0
    assert found["deferral loss"] == pytest.approx(costs[:, 0].mean())
    assert found["expected loss"] == pytest.approx(found["agent 0 expected"])
    assert found["random at the budget"] == pytest.approx(costs[:, 0].mean())


def test_moved_features_have_moved_and_costs_follow_the_sigmoids():
    features, costs = gaps_problems._moved(np.random.default_rng(0), 40_000, 1.0)

    assert features.mean(axis=0) == pytest.approx([1, 0, 0, 0], abs=0.03)
    errs = expit(np.stack([1.5 * features[:, 0] - 1, 0.5 * features[:, 1] - 2], axis=1))
    assert costs.mean(axis=0) == pytest.approx(errs.mean(axis=0) + np.array([0, PRICE]), abs=0.01)


def test_results_are_shown_written_and_drawn(measured, tmp_path):
    shown = "\n".join(each.text() for each in tables(measured))
    document = json.loads(json.dumps(plain(measured.rules)))
    draw(tmp_path / "figure.png", measured, "two seeds")

    assert all(each in shown for each in ("log mass", "sum weights", "rate, again", "0.25/0.188"))
    assert document["nu = 2"]["3"]["count"] == 2
    assert (tmp_path / "figure.png").stat().st_size < 150_000
    assert imread(tmp_path / "figure.png").shape[1] > 800
