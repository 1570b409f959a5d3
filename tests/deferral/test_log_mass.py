"""Mass on whoever will do: bounds, special cases, and where it is not Bayes-consistent."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from minimising import minimise, random_costs, random_scores

from assistlearn.deferral.comp_sum import comp_sum_normalizer
from assistlearn.deferral.log_mass import layered_mass, log_mass
from assistlearn.deferral.two_stage import deferral_loss, two_stage_surrogate
from assistlearn.errors import ConfigError, DataError

SEEDS = st.integers(0, 2**31)
NUS = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0]


def case(seed, *, agents, examples=4):
    """Costs rounded to tenths, so that some tie."""
    scores_BA = random_scores(seed, examples=examples, agents=agents)
    return scores_BA, (random_costs(seed, examples=examples, agents=agents) * 10).round() / 10


def phi(mass, nu):
    return -math.log(mass) if nu == 1 else (1 - mass ** (nu - 1)) / (nu - 1)


@given(SEEDS, st.integers(2, 5))
def test_log_mass_is_what_a_loop_over_the_cheapest_agents_finds(seed, agents):
    scores_BA, costs_BA = case(seed, agents=agents)

    losses_B = log_mass(scores_BA, costs_BA)

    for loss, scores, costs in zip(losses_B, scores_BA.tolist(), costs_BA.tolist(), strict=True):
        total = sum(math.exp(score) for score in scores)
        cheapest = [k for k in range(agents) if costs[k] == min(costs)]
        mass = sum(math.exp(scores[k]) for k in cheapest) / total
        assert loss.item() == pytest.approx(-math.log(mass), abs=1e-9)


@given(SEEDS, st.integers(2, 5), st.sampled_from(NUS))
def test_layered_mass_is_what_a_loop_up_the_costs_adds_up(seed, agents, nu):
    scores_BA, costs_BA = case(seed, agents=agents)

    losses_B = layered_mass(scores_BA, costs_BA, nu=nu)

    for loss, scores, costs in zip(losses_B, scores_BA.tolist(), costs_BA.tolist(), strict=True):
        total = sum(math.exp(score) for score in scores)
        levels = sorted(set(costs))
        expected = 0.0
        for level, next_level in pairwise(levels):
            below = sum(math.exp(s) for s, c in zip(scores, costs, strict=True) if c <= level)
            expected += (next_level - level) * phi(below / total, nu)
        assert loss.item() == pytest.approx(expected, rel=1e-8, abs=1e-10)


@given(SEEDS, st.integers(2, 5))
def test_with_costs_0_and_1_both_are_the_same(seed, agents):
    scores_BA, costs_BA = case(seed, agents=agents)
    costs_BA = costs_BA.round()

    torch.testing.assert_close(layered_mass(scores_BA, costs_BA), log_mass(scores_BA, costs_BA))


@given(SEEDS, st.sampled_from(NUS))
def test_with_two_agents_layered_mass_is_the_comp_sum_surrogate_under_max_weights(seed, nu):
    scores_BA, costs_BA = case(seed, agents=2)

    losses_B = layered_mass(scores_BA, costs_BA, nu=nu)

    torch.testing.assert_close(
        losses_B, two_stage_surrogate(scores_BA, costs_BA, nu=nu, weights="max")
    )


@given(SEEDS, st.integers(2, 6))
def test_at_nu_2_layered_mass_is_the_excess_cost_of_drawing_the_agent_from_the_softmax(
    seed, agents
):
    scores_BA, costs_BA = case(seed, agents=agents)

    losses_B = layered_mass(scores_BA, costs_BA, nu=2.0)

    expected_B = (scores_BA.softmax(1) * costs_BA).sum(1) - costs_BA.amin(1)
    torch.testing.assert_close(losses_B, expected_B)


@given(SEEDS, st.integers(2, 6), st.sampled_from(NUS))
def test_layered_mass_bounds_the_excess_cost_for_any_costs_and_number_of_agents(seed, agents, nu):
    """One half of realizable consistency: where it is 0, so is the excess."""
    scores_BA, costs_BA = case(seed, agents=agents)

    bounds_B = layered_mass(scores_BA, costs_BA, nu=nu) / phi(1 - 1 / agents, nu)

    excess_B = deferral_loss(scores_BA, costs_BA) - costs_BA.amin(1)
    assert (bounds_B >= excess_B - 1e-9).all()


def test_more_than_half_of_the_mass_on_good_agents_does_not_choose_one_of_them():
    """So comp_sum_normalizer, the loss at mass 1/2, would not make it a bound."""
    scores_1A = torch.tensor([[0.3, 0.3, 0.4]]).log()
    costs_1A = torch.tensor([[0.0, 0.0, 1.0]])

    assert log_mass(scores_1A, costs_1A) / comp_sum_normalizer(1.0) < 0.75
    assert deferral_loss(scores_1A, costs_1A) == 1
    assert log_mass(scores_1A, costs_1A) / phi(2 / 3, 1.0) > 1


@given(SEEDS, st.integers(2, 6), st.sampled_from(NUS))
def test_scaling_up_scores_that_choose_a_cheapest_agent_sends_both_to_0(seed, agents, nu):
    """The other half: a perfect rejector in a class closed under scaling has infimum 0."""
    scores_BA, costs_BA = case(seed, agents=agents)
    perfect_BA = scores_BA.clamp(max=4)
    perfect_BA = perfect_BA.scatter(1, costs_BA.argmin(1, keepdim=True), 5.0)

    scaled = [layered_mass(scale * perfect_BA, costs_BA, nu=nu) for scale in (1, 10, 60)]

    assert (scaled[0] >= scaled[1] - 1e-12).all()
    assert (scaled[2] < 1e-12).all()
    assert (log_mass(60 * perfect_BA, costs_BA) < 1e-12).all()


def three_agents():
    """Whoever is right: {0, 1} or {0, 2} (.3 each), {1} or {2} (.2 each). Agent 0: 60 %."""
    costs_XA = torch.tensor([[0, 0, 1], [0, 1, 0], [1, 0, 1], [1, 1, 0]]).double()
    return costs_XA, torch.tensor([0.3, 0.3, 0.2, 0.2]).double()


def conditional_choice(surrogate):
    costs_XA, probabilities_X = three_agents()
    scores_1A = minimise(
        lambda r: probabilities_X @ surrogate(r.expand_as(costs_XA), costs_XA), torch.zeros(1, 3)
    )
    return scores_1A.softmax(1)[0]


def test_log_mass_is_not_bayes_consistent_with_three_agents():
    """Its minimiser is (.2, .4, .4): it spares agent 0, whose cases the others cover."""
    shares_A = conditional_choice(log_mass)

    assert shares_A.tolist() == pytest.approx([0.2, 0.4, 0.4], abs=1e-6)


def test_cross_entropy_is_right_where_log_mass_is_not():
    shares_A = conditional_choice(two_stage_surrogate)

    assert shares_A.argmax().item() == 0


def test_layered_mass_at_nu_2_is_right_where_log_mass_is_not():
    shares_A = conditional_choice(lambda r, c: layered_mass(r, c, nu=2.0))

    assert shares_A.argmax().item() == 0
    assert shares_A.max().item() > 0.99


def test_log_mass_does_not_see_how_much_dearer_the_others_are():
    """Agent 0 is cheapest by a hair in 60 % of cases and costs 1 more in the others."""
    costs_XA = torch.tensor([[0.0, 0.01], [1.0, 0.0]]).double()
    probabilities_X = torch.tensor([0.6, 0.4]).double()

    choices = [
        minimise(
            lambda r, loss=loss: probabilities_X @ loss(r.expand_as(costs_XA), costs_XA),
            torch.zeros(1, 2),
        )
        .argmax()
        .item()
        for loss in (log_mass, layered_mass)
    ]

    assert choices == [0, 1]


@pytest.mark.parametrize("loss", [log_mass, layered_mass])
def test_neither_is_convex(loss):
    """Two agents that will do: between trusting the one and the other lies trusting none."""
    costs_1A = torch.tensor([[0.0, 0.0, 1.0]])
    one, other = torch.tensor([[4.0, -4.0, 0.0]]), torch.tensor([[-4.0, 4.0, 0.0]])

    between = loss((one + other) / 2, costs_1A)

    assert between > (loss(one, costs_1A) + loss(other, costs_1A)) / 2 + 0.3


@given(SEEDS, st.permutations(range(4)), st.sampled_from([log_mass, layered_mass]))
def test_renumbering_the_agents_changes_nothing(seed, order, loss):
    scores_BA, costs_BA = case(seed, agents=4)

    torch.testing.assert_close(
        loss(scores_BA[:, order], costs_BA[:, order]), loss(scores_BA, costs_BA)
    )


@given(SEEDS, st.floats(0, 5), st.sampled_from([log_mass, layered_mass]))
def test_a_price_that_all_agents_charge_changes_nothing(seed, price, loss):
    scores_BA, costs_BA = case(seed, agents=4)
    costs_BA = (costs_BA * 16).round()
    price = round(price * 16)  # whole numbers: ties stay ties

    torch.testing.assert_close(loss(scores_BA, costs_BA + price), loss(scores_BA, costs_BA))


@pytest.mark.parametrize("nu", NUS)
def test_gradients_agree_with_finite_differences(nu):
    scores_BA, costs_BA = case(8, agents=4)
    scores_BA.requires_grad_()

    assert torch.autograd.gradcheck(lambda r: layered_mass(r, costs_BA, nu=nu), scores_BA)
    assert torch.autograd.gradcheck(lambda r: log_mass(r, costs_BA), scores_BA)


@pytest.mark.parametrize("loss", [log_mass, layered_mass])
def test_scores_a_thousand_apart_give_finite_losses_and_gradients(loss):
    scores_BA = torch.tensor([[1000.0, 0.0, -1000.0]], requires_grad=True)

    loss(scores_BA, torch.tensor([[1.0, 0.5, 0.0]])).sum().backward()

    assert scores_BA.grad.isfinite().all()
    assert scores_BA.grad[0, 0] > 0


@pytest.mark.parametrize("loss", [log_mass, layered_mass])
def test_costs_are_constants_and_must_fit_the_scores(loss):
    costs_BA = torch.rand(2, 3, requires_grad=True)

    loss(torch.rand(2, 3, requires_grad=True), costs_BA).sum().backward()

    assert costs_BA.grad is None
    with pytest.raises(DataError, match="shape"):
        loss(torch.rand(2, 3), torch.rand(2, 2))


def test_a_number_that_names_no_member_is_refused():
    with pytest.raises(ConfigError, match="nu is -1"):
        layered_mass(torch.rand(2, 3), torch.rand(2, 3), nu=-1)
