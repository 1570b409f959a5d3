"""T^nu and its inverse: golden values, tightness, the pointwise inequality, closed bounds."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from assistlearn.deferral.comp_sum import comp_sum
from assistlearn.deferral.consistency import (
    consistency_transform,
    inverse_bound,
    inverse_transform,
    least_conditional_risk,
    regret_bound,
)
from assistlearn.errors import ConfigError

patient = settings(max_examples=60, deadline=None)  # the first torch call may be slow
NUS = [0.0, 0.3, 0.7, 1 - 1e-5, 1.0, 1 + 1e-5, 1.2, 1.5, 1.8, 1.99, 2.0, 2.5]
FAMILY = st.sampled_from(NUS)
AGENTS = st.integers(2, 6)
SHARE = st.floats(0, 1)
ROUNDING = 1e-10  # some 1e-16, divided by the smallest |nu - 1| in the family

GOLDEN = {
    0.0: ([0.083485] * 3, [0.312250] * 3),
    0.5: ([0.078453] * 3, [0.321650] * 3),
    1.0: ([0.082283] * 3, [0.313563] * 3),
    1.5: ([0.108941, 0.088950, 0.077033], [0.268255, 0.297452, 0.320156]),
    2.0: ([0.2, 0.133333, 0.1], [0.1, 0.15, 0.2]),
}


@pytest.mark.parametrize("nu", GOLDEN)
def test_the_transform_and_its_inverse_have_the_values_worked_out_by_hand(nu):
    transforms, inverses = GOLDEN[nu]

    assert [consistency_transform(0.4, nu=nu, agents=n) for n in (2, 3, 4)] == pytest.approx(
        transforms, abs=6e-7
    )
    assert [inverse_transform(0.05, nu=nu, agents=n) for n in (2, 3, 4)] == pytest.approx(
        inverses, abs=6e-7
    )


@patient
@given(SHARE)
def test_at_nu_0_the_transform_is_1_minus_a_circle_and_the_inverse_that_circle(regret):
    excess = consistency_transform(regret, nu=0.0, agents=3)

    assert excess == pytest.approx(1 - math.sqrt(1 - regret**2), abs=1e-14)
    assert inverse_transform(regret, nu=0.0, agents=3) == pytest.approx(
        math.sqrt(regret * (2 - regret)), abs=1e-9
    )


@patient
@given(FAMILY, AGENTS, st.integers(0, 2**31))
def test_no_scores_have_less_excess_than_the_transform_of_their_regret(nu, agents, seed):
    """Theorem 4.4 at one input, whose weights add up to 1: random, skewed and nearly tied."""
    generator = torch.Generator().manual_seed(seed)
    weights_XA = torch.randn(40, agents, generator=generator, dtype=torch.float64)
    weights_XA = (torch.tensor([0.1, 1.0, 4.0]).repeat(14)[:40, None] * weights_XA).softmax(1)
    scores_XA = torch.randn(40, agents, generator=generator, dtype=torch.float64)
    scores_XA = torch.tensor([1e-3, 1.0, 8.0, 0.3]).repeat(10)[:, None] * scores_XA
    excess_X = (weights_XA * comp_sum(scores_XA, nu)).sum(1) - least_conditional_risk(
        weights_XA, nu
    )
    chosen_X1 = scores_XA.argmax(1, keepdim=True)
    regret_X = weights_XA.amax(1) - weights_XA.gather(1, chosen_X1).squeeze(1)

    for excess, regret in zip(excess_X.tolist(), regret_X.tolist(), strict=True):
        assert excess >= consistency_transform(regret, nu=nu, agents=agents) - 1e-10


@patient
@given(st.sampled_from([nu for nu in NUS if nu <= 2]), SHARE)
def test_with_two_agents_and_tied_scores_the_transform_is_attained(nu, regret):
    """So the bound is tight: no larger transform could hold."""
    weights_XA = torch.tensor([[(1 + regret) / 2, (1 - regret) / 2]], dtype=torch.float64)
    tied_XA = torch.zeros(1, 2, dtype=torch.float64)

    excess = (weights_XA * comp_sum(tied_XA, nu)).sum() - least_conditional_risk(weights_XA, nu)

    assert excess.item() == pytest.approx(consistency_transform(regret, nu=nu, agents=2), abs=1e-10)


@pytest.mark.parametrize("regret", [1e-3, 1e-9, 1e-40, 1e-135])
@pytest.mark.parametrize("nu", [0.0, 0.5, 1.2, 1.8])
def test_a_tiny_regret_costs_its_square_without_rounding_below_0(nu, regret):
    """T(b) = c b^2 + O(b^4); the terms of first order cancel and must not leave their rounding."""
    found = consistency_transform(regret, nu=nu, agents=3)

    power = 1 / (2 - nu)
    scale = 2 ** (1 - nu) / (1 - nu) if nu < 1 else -1 / ((nu - 1) * 3 ** (nu - 1))
    assert found == pytest.approx(scale * (1 - power) / 2 * regret**2, rel=2e-5, abs=0)


@patient
@given(FAMILY, AGENTS, SHARE)
def test_the_inverse_undoes_the_transform(nu, agents, regret):
    excess = consistency_transform(regret, nu=nu, agents=agents)

    again = inverse_transform(excess, nu=nu, agents=agents)

    # Flat at 0, where many regrets cost the same, and vertical at 1, where a digit costs all.
    below = consistency_transform(max(again - 1e-13, 0.0), nu=nu, agents=agents)
    above = consistency_transform(min(again + 1e-13, 1.0), nu=nu, agents=agents)
    assert below - ROUNDING <= excess <= above + ROUNDING


@patient
@given(FAMILY, AGENTS, SHARE, SHARE, SHARE)
def test_the_transform_is_convex_increasing_and_0_at_0(nu, agents, one, other, share):
    def transform(regret):
        return consistency_transform(regret, nu=nu, agents=agents)

    low, high = sorted([one, other])
    between = share * one + (1 - share) * other

    assert transform(0.0) == 0
    assert transform(low) <= transform(high) + ROUNDING
    mean = share * transform(one) + (1 - share) * transform(other)
    assert transform(between) <= mean + ROUNDING


@patient
@given(FAMILY, AGENTS, st.floats(0, 2), st.floats(0, 2), SHARE)
def test_the_inverse_is_concave_increasing_0_at_0_and_at_most_1(nu, agents, one, other, share):
    def inverse(excess):
        return inverse_transform(excess, nu=nu, agents=agents)

    low, high = sorted([one, other])
    between = share * one + (1 - share) * other

    assert inverse(0.0) == 0
    assert inverse(low) <= inverse(high) + 1e-12 <= 1 + 1e-12
    assert inverse(between) >= share * inverse(one) + (1 - share) * inverse(other) - 1e-9
    assert inverse(1e9) == 1


@patient
@given(FAMILY, AGENTS, st.floats(0, 2))
def test_the_closed_bounds_are_never_below_the_inverse(nu, agents, excess):
    closed = inverse_bound(excess, nu=nu, agents=agents)

    assert inverse_transform(excess, nu=nu, agents=agents) <= closed + 1e-9
    assert closed <= 1


@patient
@given(st.floats(2, 4), AGENTS, st.floats(0, 0.01))
def test_from_nu_2_on_the_bound_is_linear_and_the_closed_form_exact(nu, agents, excess):
    slope = (nu - 1) * agents ** (nu - 1)

    inverse = inverse_transform(excess, nu=nu, agents=agents)

    assert inverse == pytest.approx(min(1.0, slope * excess), abs=1e-12)
    assert inverse == pytest.approx(inverse_bound(excess, nu=nu, agents=agents), abs=1e-12)


@pytest.mark.parametrize("agents", [2, 4])
@pytest.mark.parametrize("boundary", [1.0, 2.0])
def test_the_formulas_of_neighbouring_ranges_meet(boundary, agents):
    at = consistency_transform(0.6, nu=boundary, agents=agents)

    for beside in (boundary - 1e-6, boundary + 1e-6):
        # Just above 1 the factor A^(1-nu) is 1 as well.
        assert consistency_transform(0.6, nu=beside, agents=agents) == pytest.approx(at, rel=1e-4)


def test_tiny_regrets_are_not_lost_to_rounding():
    """T is about regret^2 / 2 at nu = 1: naive formulas give 0 or noise here."""
    for nu in (0.0, 0.5, 1.0):
        small = consistency_transform(1e-6, nu=nu, agents=2)
        curvature = 1 / (2**nu * (2 - nu))

        assert small == pytest.approx(curvature * 1e-12, rel=1e-3)


@patient
@given(FAMILY, AGENTS, st.floats(0, 5), st.floats(0.01, 5), st.floats(1, 10))
def test_a_larger_norm_only_loosens_the_bound(nu, agents, excess, norm, factor):
    """Why any upper bound of the weights' norm will do."""
    tight = regret_bound(excess, weight_norm=norm, nu=nu, agents=agents)
    loose = regret_bound(excess, weight_norm=factor * norm, nu=nu, agents=agents)

    assert tight <= loose + 1e-9
    assert tight <= norm


def test_at_nu_2_the_bound_loosens_linearly_with_the_number_of_agents():
    bounds = [regret_bound(0.01, weight_norm=1.0, nu=2.0, agents=n) for n in (2, 4, 8)]

    assert bounds == pytest.approx([0.02, 0.04, 0.08])


def test_where_every_agent_is_free_there_is_nothing_to_regret():
    assert regret_bound(0.0, weight_norm=0.0, nu=1.0, agents=3) == 0


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: consistency_transform(1.5, nu=1.0, agents=2), "regret is 1.5"),
        (lambda: consistency_transform(math.nan, nu=1.0, agents=2), "regret is nan"),
        (lambda: consistency_transform(0.5, nu=-1.0, agents=2), "nu is -1"),
        (lambda: inverse_transform(-0.1, nu=1.0, agents=2), "excess is -0.1"),
        (lambda: inverse_bound(0.1, nu=1.0, agents=1), "1 agents"),
    ],
)
def test_arguments_outside_their_range_are_refused(call, complaint):
    with pytest.raises(ConfigError, match=complaint):
        call()
