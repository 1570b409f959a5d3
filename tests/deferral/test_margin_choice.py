"""The margins' rule against an optimiser, and a choice that can never hide the plain loss."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from minimising import minimise, random_costs

from assistlearn.deferral.margin_choice import (
    MarginTrial,
    margin_candidates,
    select_margins,
    theory_margins,
)
from assistlearn.deferral.weights import cost_weights
from assistlearn.errors import ConfigError, DataError


def costs_of_oracles(counts):
    """0 for the agent that is right, 1 for the others; agent k is right ``counts[k]`` times."""
    agents_B = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return 1 - torch.nn.functional.one_hot(agents_B, len(counts)).double()


@pytest.mark.parametrize(("exponent", "power"), [(2 / 3, 2), (1 / 2, 1)])
def test_the_rule_minimises_the_complexity_term_at_a_fixed_sum_of_margins(exponent, power):
    """T6: s^(2/3) for the sum of (s / rho)^2, s^(1/2) for the looser sum of s / rho."""
    costs_BA = random_costs(4, examples=30, agents=4) ** torch.tensor([0.2, 1.0, 3.0, 9.0])
    sizes_A = cost_weights(costs_BA, "max").norm(dim=0)

    margins = theory_margins(costs_BA, weights="max", exponent=exponent)

    best_A = minimise(
        lambda z: (sizes_A / (4 * z.softmax(0))).pow(power).sum(), torch.zeros(4)
    ).softmax(0)
    assert margins == pytest.approx((4 * best_A).tolist(), rel=1e-4)


def test_with_0_1_weights_the_rule_is_the_cube_root_of_the_counts():
    """IMMAX's rule for classes: r_k^(2/3) m_k^(1/3), larger for the more frequent."""
    margins = theory_margins(costs_of_oracles([64, 8, 1]), weights="max")

    assert margins == pytest.approx((12 / 7, 6 / 7, 3 / 7))


def test_feature_norms_count_as_often_as_weights():
    costs_BA = costs_of_oracles([4, 4])
    norms_B = torch.tensor([8.0] * 4 + [1.0] * 4)

    margins = theory_margins(costs_BA, weights="max", feature_norms_B=norms_B)

    assert margins[0] / margins[1] == pytest.approx(8 ** (2 / 3))


@given(st.integers(0, 2**31), st.sampled_from([-0.5, 0.0, 0.5, 2 / 3]), st.floats(0.1, 9))
def test_the_scale_is_the_mean_margin(seed, exponent, scale):
    costs_BA = random_costs(seed, examples=6, agents=4)

    margins = theory_margins(costs_BA, exponent=exponent, scale=scale)

    assert math.fsum(margins) / 4 == pytest.approx(scale)


@pytest.mark.parametrize("exponent", [-0.5, 0.0, 2 / 3])
def test_an_agent_without_weight_has_the_mean_margin_and_disturbs_nobody_elses(exponent):
    costs_BA = costs_of_oracles([9, 4])
    with_a_useless_third_BA = torch.cat((costs_BA, torch.ones(13, 1)), dim=1)

    margins = theory_margins(with_a_useless_third_BA, weights="max", exponent=exponent)

    assert margins == (*theory_margins(costs_BA, weights="max", exponent=exponent), 1.0)


def test_where_all_agents_cost_the_same_all_margins_are():
    assert theory_margins(torch.ones(5, 3), weights="max", scale=2.0) == (2.0, 2.0, 2.0)


def test_candidates_go_both_ways_and_begin_with_the_plain_cross_entropy():
    costs_BA = costs_of_oracles([64, 8, 1])

    candidates = margin_candidates(costs_BA, weights="max")

    assert candidates[0] == (1.0, 1.0, 1.0)
    assert len(set(candidates)) == len(candidates) == 6 * 4
    ratios = {round(rho[0] / rho[2], 6) for rho in candidates}
    assert {1.0, round(64**-0.25, 6), 4.0} <= ratios


def test_candidates_hold_equal_margins_though_no_exponent_asks_for_them():
    candidates = margin_candidates(costs_of_oracles([3, 1]), exponents=[1.0], scales=[2.0])

    assert candidates[0] == (1.0, 1.0)
    assert len(candidates) == 2


def test_equal_margins_are_tried_though_nobody_named_them():
    choice = select_margins([(2.0, 1.0), (1.0, 2.0)], lambda margins: abs(margins[0] - 1.5))

    assert [trial.margins for trial in choice.trials] == [(1.0, 1.0), (2.0, 1.0), (1.0, 2.0)]


def test_equal_margins_of_any_size_are_enough():
    choice = select_margins([(2.0, 1.0), (3.0, 3.0)], lambda margins: margins[0])

    assert [trial.margins for trial in choice.trials] == [(3.0, 3.0), (2.0, 1.0)]


@given(st.lists(st.sampled_from([0.1, 0.2, 0.3, math.nan, math.inf]), min_size=1, max_size=6))
def test_the_least_loss_wins_and_unequal_margins_never_win_a_tie(losses):
    candidates = [(1.0 + index, 2.0 + index) for index in range(len(losses))]
    by_margins = dict(zip(candidates, losses, strict=True)) | {(1.0, 1.0): 0.2}

    choice = select_margins(candidates, by_margins.__getitem__)

    finite = [loss for loss in losses if math.isfinite(loss)]
    least = min([0.2, *finite])
    assert choice.best.loss == least
    if least == 0.2:
        assert choice.best.margins == (1.0, 1.0)
    else:
        assert choice.best == MarginTrial(margins=candidates[losses.index(least)], loss=least)


def test_each_candidate_is_trained_once():
    asked = []

    select_margins([(1.0, 1.0), (1.0, 3.0)], lambda margins: asked.append(margins) or 0.5)

    assert asked == [(1.0, 1.0), (1.0, 3.0)]


def test_nothing_to_choose_from_is_refused():
    with pytest.raises(ConfigError, match="no margins to choose from"):
        select_margins([], lambda _: 0.0)


def test_a_validation_that_never_gives_a_number_is_refused():
    with pytest.raises(DataError, match="none of 2 margins"):
        select_margins([(1.0, 2.0)], lambda _: math.nan)


def test_norms_for_other_examples_are_refused():
    with pytest.raises(DataError, match="for 2 examples"):
        theory_margins(torch.eye(2), feature_norms_B=torch.ones(3))


def test_a_mean_margin_of_0_is_refused():
    with pytest.raises(ConfigError, match="above 0"):
        theory_margins(torch.eye(2), scale=0.0)
