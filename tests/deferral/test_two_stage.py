"""The two-stage surrogate: golden values, identities with the true loss, gradients."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from assistlearn.deferral.comp_sum import comp_sum_normalizer
from assistlearn.deferral.two_stage import chosen_agents, deferral_loss, two_stage_surrogate
from assistlearn.deferral.weights import cost_weights
from assistlearn.errors import ConfigError, DataError

patient = settings(max_examples=60, deadline=None)  # the first torch call may be slow
NUS = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0]
SEEDS = st.integers(0, 2**31)
AGENTS = st.integers(2, 6)
KAPPAS = ["sum", "max", "one"]


def case(seed, *, agents=4, examples=5, dtype=torch.float64):
    """Scores of any sign and costs in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    scores_BA = 2 * torch.randn(examples, agents, generator=generator, dtype=torch.float64)
    costs_BA = torch.rand(examples, agents, generator=generator, dtype=torch.float64)
    return scores_BA.to(dtype), costs_BA.to(dtype)


@pytest.mark.parametrize(
    ("nu", "expected"),
    [(0.0, 10.5380914), (0.5, 6.1406364), (1.0, 3.9008127), (1.5, 2.6899253), (2.0, 1.9912855)],
)
def test_the_surrogate_has_the_values_worked_out_by_hand(nu, expected):
    costs_BA = torch.tensor([[0.9, 0.2, 0.5]], dtype=torch.float64)
    scores_BA = torch.tensor([[0.1, 1.2, -0.4]], dtype=torch.float64)

    losses_B = two_stage_surrogate(scores_BA, costs_BA, nu=nu)

    assert losses_B.tolist() == pytest.approx([expected], abs=5e-8)
    assert cost_weights(costs_BA)[0].tolist() == pytest.approx([0.7, 1.4, 1.1])
    assert deferral_loss(scores_BA, costs_BA).tolist() == [0.2]


@patient
@given(SEEDS, AGENTS, st.sampled_from(NUS), st.sampled_from(KAPPAS))
def test_the_surrogate_is_what_a_loop_over_agents_adds_up(seed, agents, nu, kappa):
    scores_BA, costs_BA = case(seed, agents=agents)

    losses_B = two_stage_surrogate(scores_BA, costs_BA, nu=nu, weights=kappa)

    for loss, scores, costs in zip(losses_B, scores_BA.tolist(), costs_BA.tolist(), strict=True):
        top = {"sum": sum(costs), "max": max(costs), "one": 1.0}[kappa]
        expected = 0.0
        for own, cost in zip(scores, costs, strict=True):
            probability = math.exp(own) / sum(math.exp(score) for score in scores)
            phi = -math.log(probability) if nu == 1 else (1 - probability ** (nu - 1)) / (nu - 1)
            expected += (top - cost) * phi
        assert loss.item() == pytest.approx(expected, rel=1e-9)


@patient
@given(SEEDS, AGENTS)
def test_the_true_loss_is_the_chosen_agents_cost_looped_over(seed, agents):
    scores_BA, costs_BA = case(seed, agents=agents)

    losses = deferral_loss(scores_BA, costs_BA).tolist()

    for loss, scores, costs in zip(losses, scores_BA.tolist(), costs_BA.tolist(), strict=True):
        assert loss == costs[scores.index(max(scores))]


@patient
@given(SEEDS, AGENTS)
def test_the_true_loss_is_the_taus_of_agents_not_chosen_less_j_minus_1_times_all_costs(
    seed, agents
):
    """The identity behind lemma 4.3 of arXiv:2410.15729; its last term vanishes for J = 1."""
    scores_BA, costs_BA = case(seed, agents=agents)
    missed_BA = torch.ones_like(scores_BA).scatter(1, scores_BA.argmax(1, keepdim=True), 0.0)

    rebuilt_B = (cost_weights(costs_BA) * missed_BA).sum(1) - (agents - 2) * costs_BA.sum(1)

    torch.testing.assert_close(rebuilt_B, deferral_loss(scores_BA, costs_BA))


@patient
@given(SEEDS, AGENTS, st.sampled_from(NUS))
def test_the_normalised_surrogate_bounds_the_true_loss(seed, agents, nu):
    scores_BA, costs_BA = case(seed, agents=agents)
    surrogate_B = two_stage_surrogate(scores_BA, costs_BA, nu=nu)

    bounds_B = surrogate_B / comp_sum_normalizer(nu) - (agents - 2) * costs_BA.sum(1)

    assert (bounds_B >= deferral_loss(scores_BA, costs_BA) - 1e-9).all()


def test_without_normalising_the_surrogate_does_not_bound_the_true_loss():
    """Nearly tied scores choose an agent of cost 1 for a cross-entropy of 0.693."""
    scores_BA = torch.tensor([[1e-6, 0.0]], dtype=torch.float64)
    costs_BA = torch.tensor([[1.0, 0.0]], dtype=torch.float64)

    assert two_stage_surrogate(scores_BA, costs_BA) < deferral_loss(scores_BA, costs_BA)


@patient
@given(SEEDS, AGENTS)
def test_at_nu_2_the_surrogate_is_the_softmax_policys_expected_cost_plus_a_constant(seed, agents):
    scores_BA, costs_BA = case(seed, agents=agents)

    losses_B = two_stage_surrogate(scores_BA, costs_BA, nu=2.0)

    policy_costs_B = (costs_BA * scores_BA.softmax(1)).sum(1)
    torch.testing.assert_close(losses_B, policy_costs_B + (agents - 2) * costs_BA.sum(1))


@patient
@given(SEEDS, st.sampled_from(KAPPAS), st.floats(0, 0.4))
def test_at_nu_2_neither_kappa_nor_a_constant_added_to_all_costs_changes_the_gradient(
    seed, kappa, constant
):
    scores_BA, costs_BA = case(seed)
    costs_BA = costs_BA / 2
    scores_BA.requires_grad_()

    losses_B = two_stage_surrogate(scores_BA, costs_BA + constant, nu=2.0, weights=kappa)

    (gradient_BA,) = torch.autograd.grad(losses_B.sum(), scores_BA)
    policy_cost = (costs_BA * scores_BA.softmax(1)).sum()
    (expected_BA,) = torch.autograd.grad(policy_cost, scores_BA)
    torch.testing.assert_close(gradient_BA, expected_BA)


@patient
@given(SEEDS, st.sampled_from(NUS), st.permutations(range(4)))
def test_renumbering_the_agents_changes_no_loss(seed, nu, order):
    scores_BA, costs_BA = case(seed)

    losses_B = two_stage_surrogate(scores_BA[:, order], costs_BA[:, order], nu=nu)

    torch.testing.assert_close(losses_B, two_stage_surrogate(scores_BA, costs_BA, nu=nu))
    torch.testing.assert_close(
        deferral_loss(scores_BA[:, order], costs_BA[:, order]), deferral_loss(scores_BA, costs_BA)
    )


@pytest.mark.parametrize("kappa", KAPPAS)
@pytest.mark.parametrize("nu", NUS)
def test_gradients_agree_with_finite_differences(nu, kappa):
    scores_BA, costs_BA = case(11, examples=3)
    scores_BA.requires_grad_()

    assert torch.autograd.gradcheck(
        lambda scores: two_stage_surrogate(scores, costs_BA, nu=nu, weights=kappa), scores_BA
    )


@patient
@given(SEEDS, AGENTS)
def test_at_nu_1_the_gradient_is_norm_times_softmax_minus_weights(seed, agents):
    scores_BA, costs_BA = case(seed, agents=agents)
    scores_BA.requires_grad_()

    two_stage_surrogate(scores_BA, costs_BA).sum().backward()

    weights_BA = cost_weights(costs_BA)
    expected_BA = weights_BA.sum(1, keepdim=True) * scores_BA.softmax(1) - weights_BA
    torch.testing.assert_close(scores_BA.grad, expected_BA)


@pytest.mark.parametrize("kappa", KAPPAS)
def test_no_gradient_flows_into_the_costs(kappa):
    scores_BA, costs_BA = case(5)
    scores_BA.requires_grad_()
    costs_BA.requires_grad_()

    two_stage_surrogate(scores_BA, costs_BA, weights=kappa).sum().backward()

    assert scores_BA.grad.abs().sum() > 0
    assert costs_BA.grad is None
    assert not deferral_loss(scores_BA, costs_BA).requires_grad


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("nu", NUS)
def test_losses_are_at_least_float32_and_close_to_those_in_float64(dtype, nu):
    scores_BA, costs_BA = case(9, dtype=dtype)

    losses_B = two_stage_surrogate(scores_BA, costs_BA.float(), nu=nu)

    exact_B = two_stage_surrogate(scores_BA.double(), costs_BA.float().double(), nu=nu)
    assert losses_B.dtype == torch.promote_types(dtype, torch.float32)
    torch.testing.assert_close(losses_B.double(), exact_B, rtol=1e-5, atol=1e-6)


def test_costs_in_float64_do_not_make_the_gradient_of_float32_scores_another_type():
    scores_BA, costs_BA = case(4)
    scores_BA = scores_BA.float().requires_grad_()

    two_stage_surrogate(scores_BA, costs_BA).sum().backward()

    assert scores_BA.grad.dtype == torch.float32


def test_a_tie_goes_to_the_lowest_index_so_the_main_model_keeps_it():
    scores_BA = torch.tensor([[1.0, 1.0, 1.0], [0.0, 2.0, 2.0], [-1.0, -2.0, -1.0]])

    assert chosen_agents(scores_BA).tolist() == [0, 1, 0]


def test_an_empty_batch_has_no_losses():
    empty_BA = torch.zeros(0, 3)

    assert two_stage_surrogate(empty_BA, empty_BA).shape == (0,)
    assert deferral_loss(empty_BA, empty_BA).shape == (0,)


@pytest.mark.parametrize("loss", [deferral_loss, two_stage_surrogate])
def test_costs_of_another_shape_than_the_scores_are_refused(loss):
    """Without the check (B, A) and (1, A) would broadcast to a plausible number."""
    with pytest.raises(DataError, match=r"shape \(1, 3\), must have \(2, 3\)"):
        loss(torch.zeros(2, 3), torch.zeros(1, 3))


@pytest.mark.parametrize("loss", [deferral_loss, two_stage_surrogate])
def test_scores_or_costs_that_are_not_finite_are_refused(loss):
    spoilt = torch.tensor([[0.0, float("nan")]])

    with pytest.raises(DataError, match="scores are not finite"):
        loss(spoilt, torch.zeros(1, 2))
    with pytest.raises(DataError, match="costs are not finite"):
        loss(torch.zeros(1, 2), spoilt)


def test_a_member_or_kappa_that_does_not_exist_is_refused():
    scores_BA, costs_BA = case(1)

    with pytest.raises(ConfigError, match="nu is -1"):
        two_stage_surrogate(scores_BA, costs_BA, nu=-1)
    with pytest.raises(ConfigError, match="unknown"):
        two_stage_surrogate(scores_BA, costs_BA, weights="none")
