"""What minimising the stage-switching surrogate decides: as written, bounded, and as released."""

import math
from functools import partial

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from assistlearn.deferral.consistency import conditional_minimizer
from assistlearn.deferral.help import (
    LOCAL,
    REMOTE,
    HelpCosts,
    bayes_rule,
    fixed_server_rule,
    rejector_surrogate,
    released_code_surrogate,
)

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


def conditional_risk(loss, gap, client_posterior, server_posterior):
    """Expected loss where client and server are right with these chances, in any joint law.

    The loss is a sum of a term in 1[m right] and one in 1[e right], so independence loses nothing.
    """
    total = 0.0
    for client, client_chance in ((YES, client_posterior), (NO, 1 - client_posterior)):
        for server, server_chance in ((YES, server_posterior), (NO, 1 - server_posterior)):
            total += client_chance * server_chance * loss(pair(gap), client, server).item()
    return total


@patient
@given(UNIT, UNIT, COSTS)
def test_where_w_is_positive_on_average_the_minimiser_is_the_log_odds_and_decides_as_bayes(
    client_posterior, server_posterior, costs
):
    """T3 of arXiv:2501.13810, input by input: d* = ln(eta_m / w)."""
    mean_weight = weight_of(costs, server_posterior)
    assume(mean_weight > 1e-3 and client_posterior > 1e-3)
    assume(abs(client_posterior - mean_weight) > 1e-6)
    best = math.log(client_posterior / mean_weight)
    loss = partial(rejector_surrogate, costs=costs)

    least = conditional_risk(loss, best, client_posterior, server_posterior)

    for gap in (best - 1, best - 0.01, best + 0.01, best + 1):
        assert conditional_risk(loss, gap, client_posterior, server_posterior) > least
    rule = fixed_server_rule(
        torch.tensor([client_posterior], dtype=torch.float64),
        torch.tensor([server_posterior], dtype=torch.float64),
        costs,
    )
    assert rule.item() == (LOCAL if best > 0 else REMOTE)


@patient
@given(st.floats(0.05, 1), UNIT)
def test_at_the_minimiser_the_softmax_tells_how_the_posteriors_compare(
    client_posterior, server_posterior
):
    """softmax(r)_LOCAL = eta_m / (eta_m + w): the rejector's confidence has a meaning."""
    mean_weight = weight_of(CHEAP, server_posterior)
    share = client_posterior / (client_posterior + mean_weight)

    target_X2 = conditional_minimizer(
        torch.tensor([[client_posterior, mean_weight]], dtype=torch.float64)
    )

    assert target_X2[0, LOCAL].item() == pytest.approx(share)


def test_as_the_paper_has_it_the_loss_is_unbounded_below_where_w_is_negative():
    """Client and server both wrong, c_e + c_1 > 1: concave, and no minimiser exists."""
    losses = [rejector_surrogate(pair(gap), NO, NO, costs=PAPER).item() for gap in (0, 100, 10_000)]

    assert losses[0] == pytest.approx(-0.5 * math.log(2))
    assert losses[1:] == pytest.approx([-50.0, -5000.0])


def test_unbounded_or_not_it_falls_towards_the_bayes_decision():
    """w < 0 on average: LOCAL, as eta_m >= 0 > w."""
    chances = (0.1, 0.2)  # w = 1 - 0.25 - 1.25 * 0.8 < 0
    loss = partial(rejector_surrogate, costs=PAPER)

    risks = [conditional_risk(loss, gap, *chances) for gap in (0.0, 10.0, 1000.0)]

    assert risks == sorted(risks, reverse=True)
    assert risks[-1] < -200
    assert fixed_server_rule(torch.tensor([0.1]), torch.tensor([0.2]), PAPER).item() == LOCAL


@patient
@given(SEEDS, COSTS)
def test_bounded_the_loss_is_never_negative_and_convex(seed, costs):
    scores_B2, server_BK, targets_B, client_B = batch(seed)
    other_B2 = batch(seed + 1)[0]
    answers = client_B == targets_B, server_BK.argmax(1) == targets_B

    def loss(scores):
        return rejector_surrogate(scores, *answers, costs=costs, bounded=True)

    assert (loss(scores_B2) >= 0).all()
    assert (
        loss((scores_B2 + other_B2) / 2) <= (loss(scores_B2) + loss(other_B2)) / 2 + 1e-12
    ).all()


@patient
@given(UNIT, UNIT, COSTS)
def test_bounded_the_minimiser_always_exists_and_decides_as_the_paper_does(
    client_posterior, server_posterior, costs
):
    shift = max(0.0, costs.query_cost + costs.server_error_cost - 1)
    local, remote = client_posterior + shift, weight_of(costs, server_posterior) + shift
    assume(min(local, remote) > 1e-3 and abs(local - remote) > 1e-6)
    best = math.log(local / remote)
    loss = partial(rejector_surrogate, costs=costs, bounded=True)

    least = conditional_risk(loss, best, client_posterior, server_posterior)

    for gap in (best - 0.1, best + 0.1):
        assert conditional_risk(loss, gap, client_posterior, server_posterior) > least
    rule = fixed_server_rule(
        torch.tensor([client_posterior], dtype=torch.float64),
        torch.tensor([server_posterior], dtype=torch.float64),
        costs,
    )
    assert rule.item() == (LOCAL if best > 0 else REMOTE)


@patient
@given(SEEDS)
def test_where_nothing_is_negative_bounding_changes_nothing(seed):
    scores_B2, server_BK, targets_B, client_B = batch(seed)
    answers = client_B == targets_B, server_BK.argmax(1) == targets_B

    assert torch.equal(
        rejector_surrogate(scores_B2, *answers, costs=CHEAP, bounded=True),
        rejector_surrogate(scores_B2, *answers, costs=CHEAP),
    )


@patient
@given(SEEDS, COSTS)
def test_two_stage_taus_are_another_bounded_form_with_the_same_decisions(seed, costs):
    generator = torch.Generator().manual_seed(seed)
    posteriors = torch.rand(2, 20, generator=generator, dtype=torch.float64)
    rule_X = fixed_server_rule(*posteriors, costs)
    remote_X = costs.query_cost + costs.server_error_cost * (1 - posteriors[1])

    taus_X2 = torch.stack([remote_X, 1 - posteriors[0]], dim=1)

    tied_X = (taus_X2[:, LOCAL] - taus_X2[:, REMOTE]).abs() < 1e-12
    assert (tied_X | (conditional_minimizer(taus_X2).argmax(1) == rule_X)).all()


def test_the_released_codes_sign_is_not_consistent():
    """eta_m = .9, eta_e = .5: asking costs .75 and answering .1, but the code's minimiser asks."""
    client_posterior, server_posterior = 0.9, 0.5
    costs = HelpCosts(query_cost=0.25, server_error_cost=1.0)
    loss = partial(released_code_surrogate, costs=costs)
    gaps = torch.linspace(-3, 3, 601).tolist()

    best = min(
        gaps, key=lambda gap: conditional_risk(loss, gap, client_posterior, server_posterior)
    )

    assert best == pytest.approx(math.log(0.9 / (0.75 + 0.5)), abs=0.01)
    assert best < 0  # REMOTE
    rule = fixed_server_rule(
        torch.tensor([client_posterior]), torch.tensor([server_posterior]), costs
    )
    assert rule.item() == LOCAL
    correct = partial(rejector_surrogate, costs=costs)
    assert (
        min(
            gaps,
            key=lambda gap: conditional_risk(correct, gap, client_posterior, server_posterior),
        )
        > 0
    )


def test_the_released_code_prefers_a_server_that_is_wrong_to_one_that_is_right():
    pull = []
    for server in (YES, NO):
        scores_B2 = pair(0.0).requires_grad_()
        released_code_surrogate(scores_B2, NO, server, costs=PAPER).sum().backward()
        pull.append(-scores_B2.grad[0, REMOTE].item())

    assert pull == pytest.approx([0.375, 1.0])


@patient
@given(SEEDS, COSTS)
def test_beside_a_server_that_is_always_right_both_signs_agree(seed, costs):
    """So a server that has memorised the training set hides the difference."""
    scores_B2, _, targets_B, client_B = batch(seed)
    right_B = torch.ones(6, dtype=torch.bool)

    torch.testing.assert_close(
        released_code_surrogate(scores_B2, client_B == targets_B, right_B, costs=costs),
        rejector_surrogate(scores_B2, client_B == targets_B, right_B, costs=costs),
    )


@patient
@given(SEEDS)
def test_minimising_the_whole_surrogate_minimises_the_generalised_0_1_loss(seed):
    """T3 for a pair: server softmax = posterior, rejector = log-odds, decisions = Bayes pair's."""
    generator = torch.Generator().manual_seed(seed)
    posterior_XK = torch.randn(20, 3, generator=generator, dtype=torch.float64).softmax(1)
    client_X = torch.randint(3, (20,), generator=generator)
    best_X, agents_X = bayes_rule(posterior_XK, client_X, CHEAP)

    server_X = posterior_XK.log().argmax(1)
    eta_X2 = posterior_XK.gather(1, torch.stack([client_X, server_X], dim=1))
    weights_X2 = torch.stack([eta_X2[:, 0], weight_of(CHEAP, eta_X2[:, 1])], dim=1)

    assert torch.equal(server_X, best_X)
    assert torch.equal(conditional_minimizer(weights_X2).argmax(1), agents_X)
