"""The stage-switching surrogate as a function: its formula, slope, curvature and routing."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from assistlearn.deferral.help import (
    LOCAL,
    HelpCosts,
    rejector_surrogate,
    stage_switching_surrogate,
)
from assistlearn.deferral.two_stage import two_stage_surrogate
from assistlearn.errors import DataError

patient = settings(max_examples=60, deadline=None)  # the first torch call may be slow
SEEDS = st.integers(0, 2**31)
UNIT = st.floats(0, 1)
COSTS = st.builds(HelpCosts, query_cost=st.floats(0, 1.5), server_error_cost=st.floats(0, 1.5))
PAPER = HelpCosts(query_cost=0.25, server_error_cost=1.25)  # of its table 1
CHEAP = HelpCosts(query_cost=0.25, server_error_cost=0.5)
YES, NO = torch.tensor([True]), torch.tensor([False])


def weight_of(costs, server_right):
    """w as the paper writes it."""
    return 1 - costs.query_cost - costs.server_error_cost + costs.server_error_cost * server_right


def batch(seed, *, examples=6, classes=3):
    generator = torch.Generator().manual_seed(seed)
    scores_B2 = 2 * torch.randn(examples, 2, generator=generator, dtype=torch.float64)
    server_BK = torch.randn(examples, classes, generator=generator, dtype=torch.float64)
    targets_B = torch.randint(classes, (examples,), generator=generator)
    client_B = torch.randint(classes, (examples,), generator=generator)
    return scores_B2, server_BK, targets_B, client_B


def pair(gap):
    """Scores whose LOCAL - REMOTE is ``gap``."""
    return torch.tensor([[gap, 0.0]], dtype=torch.float64)


def server_term(logits_BK, targets_B):
    """L_1 alone: at c_e = 1, c_1 = 0 and with a wrong client L_2 is 0."""
    return stage_switching_surrogate(
        torch.zeros(len(targets_B), 2, dtype=torch.float64),
        logits_BK,
        targets_B,
        client_labels_B=targets_B + 1,
        costs=HelpCosts(query_cost=1.0, server_error_cost=0.0),
    )


@patient
@given(SEEDS, COSTS)
def test_the_surrogate_is_what_the_papers_formula_gives_example_by_example(seed, costs):
    scores_B2, server_BK, targets_B, client_B = batch(seed)

    losses_B = stage_switching_surrogate(
        scores_B2, server_BK, targets_B, client_labels_B=client_B, costs=costs
    )

    for b, (local, remote) in enumerate(scores_B2.tolist()):
        logits, target = server_BK[b].tolist(), targets_B[b].item()
        right = logits.index(max(logits)) == target
        own = -math.log(math.exp(logits[target]) / sum(math.exp(logit) for logit in logits))
        both = math.exp(local) + math.exp(remote)
        switched = -weight_of(costs, right) * math.log(math.exp(remote) / both)
        if client_B[b].item() == target:
            switched -= math.log(math.exp(local) / both)
        assert losses_B[b].item() == pytest.approx(own + switched, abs=1e-9)


@patient
@given(SEEDS, COSTS, st.booleans(), st.booleans())
def test_the_gradient_in_the_rejectors_scores_is_the_closed_form_and_adds_up_to_0(
    seed, costs, client_right, server_right
):
    scores_B2 = batch(seed)[0].requires_grad_()
    client_B = torch.full((6,), client_right)
    server_B = torch.full((6,), server_right)

    rejector_surrogate(scores_B2, client_B, server_B, costs=costs).sum().backward()

    shares_B2 = scores_B2.detach().softmax(1)
    pull_B = weight_of(costs, server_right) * shares_B2[:, LOCAL] - client_right * shares_B2[:, 1]
    torch.testing.assert_close(scores_B2.grad, torch.stack([pull_B, -pull_B], dim=1))


@pytest.mark.parametrize("bounded", [False, True])
@pytest.mark.parametrize("costs", [PAPER, CHEAP])
def test_gradients_agree_with_finite_differences(costs, bounded):
    scores_B2, server_BK, targets_B, client_B = batch(3)

    assert torch.autograd.gradcheck(
        lambda scores, logits: stage_switching_surrogate(
            scores, logits, targets_B, client_labels_B=client_B, costs=costs, bounded=bounded
        ),
        (scores_B2.requires_grad_(), server_BK.requires_grad_()),
    )


@patient
@given(SEEDS, COSTS, st.booleans(), st.booleans())
def test_the_curvature_is_w_plus_a_times_the_softmax_variance(
    seed, costs, client_right, server_right
):
    """So T1's condition w > 0 is enough for convexity but not needed: w + 1[m right] >= 0 is."""
    scores_2 = batch(seed)[0][0]

    hessian = torch.autograd.functional.hessian(
        lambda scores: rejector_surrogate(
            scores.unsqueeze(0),
            torch.tensor([client_right]),
            torch.tensor([server_right]),
            costs=costs,
        ).sum(),
        scores_2,
    )

    shares = scores_2.softmax(0)
    curvature = (weight_of(costs, server_right) + client_right) * shares[0] * shares[1]
    torch.testing.assert_close(
        hessian, curvature * torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
    )


@patient
@given(SEEDS, UNIT)
def test_l1_is_convex_in_the_servers_scores(seed, share):
    """T1 of arXiv:2501.13810."""
    one_BK, other_BK, targets_B = batch(seed)[1], batch(seed + 1)[1], batch(seed)[2]

    between_B = server_term(share * one_BK + (1 - share) * other_BK, targets_B)

    chord_B = share * server_term(one_BK, targets_B) + (1 - share) * server_term(
        other_BK, targets_B
    )
    assert (between_B <= chord_B + 1e-12).all()


@patient
@given(SEEDS, UNIT, st.booleans(), st.booleans())
def test_l2_is_convex_in_the_rejectors_scores_when_w_is_positive(
    seed, share, client_right, server_right
):
    """T1 of arXiv:2501.13810."""
    assert weight_of(CHEAP, server_right) > 0
    one_B2, other_B2 = batch(seed)[0], batch(seed + 1)[0]
    answers = torch.full((6,), client_right), torch.full((6,), server_right)

    def loss(scores_B2):
        return rejector_surrogate(scores_B2, *answers, costs=CHEAP)

    chord_B = share * loss(one_B2) + (1 - share) * loss(other_B2)
    assert (loss(share * one_B2 + (1 - share) * other_B2) <= chord_B + 1e-12).all()


def test_l2_is_still_convex_down_to_w_minus_1_when_the_client_is_right():
    costs = HelpCosts(query_cost=0.5, server_error_cost=1.4)  # w = -0.9 where the server is wrong
    gaps = torch.linspace(-8, 8, 33).tolist()

    losses = [rejector_surrogate(pair(gap), YES, NO, costs=costs).item() for gap in gaps]

    slopes = [after - before for before, after in itertools.pairwise(losses)]
    assert slopes == sorted(slopes)


@patient
@given(st.floats(-5, 5), st.floats(0.01, 3), st.floats(0, 2), st.booleans())
def test_l2_falls_in_the_local_score_and_rises_in_the_remote_one_when_w_is_negative(
    local, step, excess, client_right
):
    """T2 of arXiv:2501.13810; only weakly at w = 0 with a wrong client."""
    costs = HelpCosts(query_cost=1 + excess, server_error_cost=0.5)
    client_B = torch.tensor([client_right])

    def loss(local, remote):
        scores_B2 = torch.tensor([[local, remote]], dtype=torch.float64)
        return rejector_surrogate(scores_B2, client_B, NO, costs=costs).item()

    assert loss(local + step, 0.0) < loss(local, 0.0)
    assert loss(0.0, local + step) > loss(0.0, local)


def test_an_example_that_both_get_wrong_at_w_0_says_nothing():
    costs = HelpCosts(query_cost=0.25, server_error_cost=0.75)

    losses = [rejector_surrogate(pair(gap), NO, NO, costs=costs).item() for gap in (-5, 0, 5)]

    assert losses == [0.0, 0.0, 0.0]


def test_each_term_alone_pushes_one_way():
    """w = 0, client right: only LOCAL. w > 0, client wrong: only REMOTE."""
    at_0 = HelpCosts(query_cost=0.25, server_error_cost=0.75)
    gaps = (-2.0, 0.0, 2.0)

    local = [rejector_surrogate(pair(gap), YES, NO, costs=at_0).item() for gap in gaps]
    remote = [rejector_surrogate(pair(gap), NO, YES, costs=at_0).item() for gap in gaps]

    assert local == sorted(local, reverse=True)
    assert remote == sorted(remote)
    assert min(local) > 0
    assert min(remote) > 0


@patient
@given(SEEDS, UNIT, UNIT)
def test_l2_is_never_negative_when_both_costs_add_up_to_at_most_1(seed, query_cost, share):
    costs = HelpCosts(query_cost=query_cost, server_error_cost=share * (1 - query_cost))
    scores_B2, server_BK, targets_B, client_B = batch(seed)

    losses_B = rejector_surrogate(
        scores_B2, client_B == targets_B, server_BK.argmax(1) == targets_B, costs=costs
    )

    assert (losses_B >= -1e-12).all()


@patient
@given(SEEDS)
def test_it_is_two_stage_deferral_with_one_expert_and_weights_1_minus_cost(seed):
    scores_B2, server_BK, targets_B, client_B = batch(seed)
    answers = client_B == targets_B, server_BK.argmax(1) == targets_B

    deferral_B = two_stage_surrogate(
        scores_B2, CHEAP.agent_costs(*answers, dtype=torch.float64), weights="one"
    )

    torch.testing.assert_close(rejector_surrogate(scores_B2, *answers, costs=CHEAP), deferral_B)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_scores_at_which_the_written_formula_overflows_give_finite_losses_and_gradients(dtype):
    scores_B2 = torch.tensor([[800.0, -800.0], [-800.0, 800.0]], dtype=dtype, requires_grad=True)
    yes_B = torch.tensor([True, True])

    losses_B = rejector_surrogate(scores_B2, yes_B, yes_B, costs=PAPER)
    losses_B.sum().backward()

    naive_B2 = scores_B2.exp() / scores_B2.exp().sum(1, keepdim=True)
    assert naive_B2.log().isfinite().logical_not().any()
    assert losses_B.isfinite().all()
    assert scores_B2.grad.isfinite().all()


def test_l1_alone_moves_the_server_and_l2_alone_the_rejector():
    """The switch 1[e(x) = y] is a constant, so neither sees the other's loss."""
    scores_B2, server_BK, targets_B, client_B = batch(8)
    scores_B2.requires_grad_()
    server_BK.requires_grad_()

    stage_switching_surrogate(
        scores_B2, server_BK, targets_B, client_labels_B=client_B, costs=PAPER
    ).sum().backward()

    own = functional.cross_entropy(server_BK, targets_B, reduction="sum")
    (server_alone_BK,) = torch.autograd.grad(own, server_BK)
    switched = rejector_surrogate(
        scores_B2, client_B == targets_B, server_BK.argmax(1) == targets_B, costs=PAPER
    )
    (rejector_alone_B2,) = torch.autograd.grad(switched.sum(), scores_B2, retain_graph=True)
    assert torch.equal(server_BK.grad, server_alone_BK)
    assert torch.equal(scores_B2.grad, rejector_alone_B2)
    assert torch.autograd.grad(switched.sum(), server_BK, allow_unused=True) == (None,)


@patient
@given(SEEDS)
def test_l1_is_least_where_the_servers_softmax_is_the_posterior(seed):
    generator = torch.Generator().manual_seed(seed)
    posterior_XK = torch.randn(4, 3, generator=generator, dtype=torch.float64).softmax(1)
    other_XK = torch.randn(4, 3, generator=generator, dtype=torch.float64)

    def risk(logits_XK):
        terms = [server_term(logits_XK, torch.full((4,), target)) for target in range(3)]
        return (posterior_XK * torch.stack(terms, dim=1)).sum(1)

    assert (risk(posterior_XK.log()) <= risk(other_XK) + 1e-12).all()


def test_a_rejector_without_two_outputs_is_refused():
    with pytest.raises(DataError, match=r"shape \(1, 3\), must have \(1, 2\)"):
        rejector_surrogate(torch.zeros(1, 3), YES, NO, costs=PAPER)
