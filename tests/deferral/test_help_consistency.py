"""What minimising the stage-switching surrogate decides: as written, bounded, and as released."""

import itertools
import math
from functools import partial

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from minimising import minimise

from assistlearn.deferral.help import (
    LOCAL,
    REMOTE,
    HelpCosts,
    bayes_rule,
    fixed_server_rule,
    rejector_surrogate,
    released_code_surrogate,
    stage_switching_surrogate,
)
from assistlearn.deferral.two_stage import deferral_loss, two_stage_surrogate

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


ANSWERS = torch.tensor(list(itertools.product([False, True], repeat=2)))  # (4, 2): client, server


def minimised(loss, client_X, server_X):
    """Scores of least expected loss at each input, where client and server are right by chance."""

    def mean_loss(scores_X2):
        total = 0.0
        for client_right, server_right in ANSWERS:
            chances_X = torch.where(client_right, client_X, 1 - client_X)
            chances_X = chances_X * torch.where(server_right, server_X, 1 - server_X)
            answers = client_right.expand(len(client_X)), server_right.expand(len(client_X))
            total = total + (chances_X * loss(scores_X2, *answers)).sum()
        return total

    return minimise(mean_loss, torch.zeros(len(client_X), 2))


@pytest.mark.parametrize("seed", range(3))
def test_at_the_minimiser_the_softmax_tells_how_the_posteriors_compare(seed):
    """softmax(r)_LOCAL = eta_m / (eta_m + w): the rejector's confidence has a meaning."""
    generator = torch.Generator().manual_seed(seed)
    client_X, server_X = 0.05 + 0.95 * torch.rand(2, 20, generator=generator, dtype=torch.float64)

    scores_X2 = minimised(partial(rejector_surrogate, costs=CHEAP), client_X, server_X)

    expected_X = client_X / (client_X + weight_of(CHEAP, server_X))
    torch.testing.assert_close(scores_X2.softmax(1)[:, LOCAL], expected_X, atol=1e-5, rtol=0)


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


@pytest.mark.parametrize("costs", [PAPER, CHEAP], ids=["c_e + c_1 > 1", "c_e + c_1 < 1"])
def test_two_stage_taus_are_another_bounded_form_with_the_same_decisions(costs):
    """Minimised: the surrogate of arXiv:2410.15729 on the agent costs of learning to help."""
    generator = torch.Generator().manual_seed(4)
    client_X, server_X = torch.rand(2, 60, generator=generator, dtype=torch.float64)

    def two_stage(scores_X2, *answers):
        return two_stage_surrogate(scores_X2, costs.agent_costs(*answers, dtype=torch.float64))

    scores_X2 = minimised(two_stage, client_X, server_X)

    clear_X = (client_X - weight_of(costs, server_X)).abs() > 1e-3
    rule_X = fixed_server_rule(client_X, server_X, costs)
    assert clear_X.sum() > 50
    assert 5 < rule_X.sum() < 55  # both decisions occur
    assert torch.equal(scores_X2.argmax(1)[clear_X], rule_X[clear_X])


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


@pytest.mark.parametrize("bounded", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_minimising_the_whole_surrogate_by_its_gradient_minimises_the_generalised_0_1_loss(
    seed, bounded
):
    """T3, stage by stage: no gradient flows through 1[e = y]. 400 inputs, a score for each."""
    costs = HelpCosts(query_cost=0.1, server_error_cost=0.7)
    generator = torch.Generator().manual_seed(seed)
    posterior_XK = torch.randn(400, 3, generator=generator, dtype=torch.float64).softmax(1)
    client_X = torch.randint(3, (400,), generator=generator)
    rejector_X2 = torch.zeros(400, 2, dtype=torch.float64, requires_grad=True)
    server_XK = torch.zeros(400, 3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([rejector_X2, server_XK], lr=2.0, momentum=0.8)

    for _ in range(300):
        optimizer.zero_grad()
        total = sum(
            posterior_XK[:, label]
            @ stage_switching_surrogate(
                rejector_X2,
                server_XK,
                torch.full_like(client_X, label),
                client_labels_B=client_X,
                costs=costs,
                bounded=bounded,
            )
            for label in range(3)
        )
        total.backward()
        optimizer.step()

    found = true_risk(posterior_XK, client_X, server_XK.argmax(1), rejector_X2.argmax(1), costs)
    best = bayes_rule(posterior_XK, client_X, costs)
    least = true_risk(posterior_XK, client_X, *best, costs)
    assert 20 < best[1].sum() < 380  # both decisions occur
    assert (found >= least - 1e-12).all()
    assert (found - least).max() < 1e-3


def true_risk(posterior_XK, client_X, server_X, agents_X, costs):
    """Generalised 0-1 loss at each input, summed over the classes that may come. Shape ``(X,)``."""
    scores_X2 = torch.nn.functional.one_hot(agents_X, 2).double()
    return sum(
        posterior_XK[:, label]
        * deferral_loss(
            scores_X2, costs.agent_costs(client_X == label, server_X == label, dtype=torch.float64)
        )
        for label in range(3)
    )
