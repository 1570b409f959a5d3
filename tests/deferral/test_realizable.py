"""Problems that a linear rejector solves at no cost, and which surrogates find it."""

from functools import cache

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from minimising import minimise, random_costs, random_scores

from assistlearn.deferral.consistency import least_conditional_risk
from assistlearn.deferral.log_mass import layered_mass, log_mass
from assistlearn.deferral.surrogates import named_surrogate
from assistlearn.deferral.two_stage import deferral_loss, two_stage_surrogate
from assistlearn.deferral.weights import cost_weights

KAPPAS = ["sum", "max", "one"]


def three_points():
    """x = -1: agents 0 and 1 are right; x = 0: only 1; x = 1: 0 and 2. Costs 0 and 1.

    Agent 1 up to x = 0 and agent 2 beyond costs nothing, with scores (0, 1, 2x).
    """
    inputs_XF = torch.tensor([[1.0, -1.0], [1.0, 0.0], [1.0, 1.0]]).double()
    costs_XA = torch.tensor([[0, 0, 1], [1, 0, 1], [0, 1, 0]]).double()
    perfect_FA = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 2.0]]).double()
    return inputs_XF, costs_XA, perfect_FA


def fitted(surrogate, inputs_XF, costs_XA, *, steps=500):
    return minimise(
        lambda weights_FA: (
            surrogate(inputs_XF @ weights_FA, costs_XA).mean() + 1e-7 * weights_FA.square().sum()
        ),
        torch.zeros(inputs_XF.shape[1], costs_XA.shape[1]),
        steps=steps,
    )


def test_a_linear_rejector_solves_the_three_points():
    inputs_XF, costs_XA, perfect_FA = three_points()

    assert deferral_loss(inputs_XF @ perfect_FA, costs_XA).sum() == 0


@pytest.mark.parametrize("kappa", KAPPAS)
def test_cross_entropy_misses_three_points_that_a_linear_rejector_solves(kappa):
    """Not realizable consistent with J = 2, under any kappa: the minimum is global, being convex.

    Agent 0, right at both ends, gets a share at each of them, and with it the middle.
    """
    inputs_XF, costs_XA, _ = three_points()

    weights_FA = fitted(lambda r, c: two_stage_surrogate(r, c, weights=kappa), inputs_XF, costs_XA)

    scores_XA = inputs_XF @ weights_FA
    assert deferral_loss(scores_XA, costs_XA).tolist() == [0, 1, 0]
    assert scores_XA[1, 0] > scores_XA[1, 1] + 0.1


@pytest.mark.parametrize("kappa", KAPPAS)
def test_at_the_perfect_rejector_cross_entropy_is_worse_than_at_one_that_errs(kappa):
    inputs_XF, costs_XA, perfect_FA = three_points()
    weights_FA = fitted(lambda r, c: two_stage_surrogate(r, c, weights=kappa), inputs_XF, costs_XA)

    losses = [
        two_stage_surrogate(inputs_XF @ each_FA, costs_XA, weights=kappa).mean()
        for each_FA in (weights_FA, perfect_FA, 10 * perfect_FA)
    ]

    assert losses[0] < min(losses[1:]) - 0.05


@pytest.mark.parametrize(
    "surrogate",
    [
        log_mass,
        layered_mass,
        lambda r, c: layered_mass(r, c, nu=1.5),
        lambda r, c: two_stage_surrogate(r, c, nu=2.0, weights="max"),
    ],
    ids=["log_mass", "layered_mass", "layered_mass nu=1.5", "two_stage nu=2"],
)
def test_the_realizable_surrogates_solve_the_three_points(surrogate):
    inputs_XF, costs_XA, perfect_FA = three_points()

    weights_FA = fitted(surrogate, inputs_XF, costs_XA)

    scores_XA = inputs_XF @ weights_FA
    assert deferral_loss(scores_XA, costs_XA).tolist() == [0, 0, 0]
    least = surrogate(inputs_XF @ (100 * perfect_FA), costs_XA).mean()  # what scaling up leads to
    assert surrogate(scores_XA, costs_XA).mean() < least + 0.02


@given(st.integers(0, 2**31), st.sampled_from([2.0, 2.5, 3.0]), st.sampled_from(KAPPAS))
def test_from_nu_2_on_the_excess_bounds_the_regret_and_scaling_up_a_perfect_rejector_has_none(
    seed, nu, kappa
):
    """Together: realizable consistent for any number of agents."""
    costs_BA = random_costs(seed, examples=4, agents=5)
    scores_BA = random_scores(seed, examples=4, agents=5)
    perfect_BA = scores_BA.clamp(max=4).scatter(1, costs_BA.argmin(1, keepdim=True), 5.0)
    least_B = least_conditional_risk(cost_weights(costs_BA, kappa), nu)

    excess_B, scaled_B = (
        two_stage_surrogate(r, costs_BA, nu=nu, weights=kappa) - least_B
        for r in (scores_BA, 60 * perfect_BA)
    )

    regret_B = deferral_loss(scores_BA, costs_BA) - costs_BA.amin(1)
    assert (excess_B >= regret_B / ((nu - 1) * 5 ** (nu - 1)) - 1e-9).all()
    assert (scaled_B.abs() < 1e-9).all()


def realizable_problem(seed, *, experts, examples=150, features=3):
    """Costs of 0, .3 and 1; a hidden linear rejector always finds a cost of 0."""
    generator = torch.Generator().manual_seed(seed)
    inputs_BF = torch.randn(examples, features, generator=generator, dtype=torch.float64)
    inputs_BF = torch.cat((inputs_BF, torch.ones(examples, 1)), dim=1)
    hidden_FA = torch.randn(features + 1, experts + 1, generator=generator, dtype=torch.float64)
    levels = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
    costs_BA = levels[torch.randint(3, (examples, experts + 1), generator=generator)]
    return inputs_BF, costs_BA.scatter(1, (inputs_BF @ hidden_FA).argmax(1, keepdim=True), 0.0)


@cache
def residual_cost(name, *, experts, **settings):
    """Mean deferral loss over three problems, on the examples that were fitted."""
    losses = []
    for seed in range(3):
        inputs_BF, costs_BA = realizable_problem(seed, experts=experts)
        surrogate = named_surrogate(name, **settings).prepare(costs_BA)
        weights_FA = fitted(surrogate, inputs_BF, costs_BA, steps=100)
        losses.append(deferral_loss(inputs_BF @ weights_FA, costs_BA).mean().item())
    return sum(losses) / len(losses)


def test_with_one_expert_and_max_weights_cross_entropy_misses_nothing():
    assert residual_cost("two_stage", weights="max", experts=1) < 0.005


@pytest.mark.parametrize("kappa", KAPPAS)
def test_with_four_experts_cross_entropy_keeps_a_cost_that_log_mass_and_nu_2_shed(kappa):
    plain = residual_cost("two_stage", weights=kappa, experts=4)

    assert plain > 0.04
    assert residual_cost("log_mass", experts=4) < plain / 4
    assert residual_cost("layered_mass", experts=4) < plain / 4
    assert residual_cost("two_stage", nu=2.0, experts=4) < plain / 2
