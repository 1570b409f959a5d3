"""Realizable rules: which surrogate finds them, by the number of experts."""

import pytest
from threadpoolctl import threadpool_limits

from experiments.deferral import gaps_problems
from experiments.deferral.gaps_problems import realizable


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As in the studies: matrices are small, and threads would wait for each other."""
    with threadpool_limits(1):
        yield


def costs_left(monkeypatch, experts, *, seeds=2):
    """Deferral loss on problems of 150 points, by surrogate; a linear rule leaves none."""
    monkeypatch.setattr(gaps_problems, "POINTS", 150)
    monkeypatch.setattr(gaps_problems, "EXPERTS", (experts,))
    return {name: row[experts].mean for name, row in realizable(range(seeds)).items()}


def test_with_one_expert_only_weights_1_minus_cost_miss_the_rule(monkeypatch):
    left = costs_left(monkeypatch, 1)

    assert left.pop("cross-entropy, 1 - c") > 0.01
    assert left.pop("best fixed agent") > 0.05
    assert max(left.values()) < 0.003


@pytest.mark.parametrize("experts", [2, 8])
def test_with_more_experts_cross_entropy_misses_it_under_all_weights_and_masses_do_not(
    monkeypatch, experts
):
    left = costs_left(monkeypatch, experts, seeds=1 if experts == 8 else 2)

    plain = [value for name, value in left.items() if name.startswith("cross-entropy")]
    assert len(plain) == 3
    assert min(plain) > 0.02
    assert left["nu = 2"] < min(plain) / 2
    assert left["log mass"] < min(plain) / 8
    assert left["layered mass"] < min(plain) / 8
