"""Learning to help: closed forms and edges of arXiv:2501.13810, held against the library's losses.

Letters: X inputs of a finite distribution, K classes, N samples.
"""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from assistlearn.deferral.budgets import stochastic_rule
from assistlearn.deferral.help import (
    LOCAL,
    REMOTE,
    HelpCosts,
    bayes_rule,
    fixed_server_rule,
    rejector_surrogate,
    stage_switching_surrogate,
)
from assistlearn.deferral.two_stage import deferral_loss

patient = settings(max_examples=60, deadline=None)  # the first torch call may be slow
UNIT = st.floats(0, 1)
COSTS = st.builds(HelpCosts, query_cost=st.floats(0, 1.5), server_error_cost=st.floats(0, 1.5))


def risk_of(gap, client_posterior, server_posterior, costs):
    """L_2's mean at r_LOCAL - r_REMOTE = gap; answers independent, which the mean does not see."""
    scores_42 = torch.tensor([[gap, 0.0]] * 4, dtype=torch.float64)
    client_4 = torch.tensor([True, True, False, False])
    server_4 = torch.tensor([True, False, True, False])
    chances_4 = torch.where(client_4, client_posterior, 1 - client_posterior).double()
    chances_4 = chances_4 * torch.where(server_4, server_posterior, 1 - server_posterior)
    return (chances_4 * rejector_surrogate(scores_42, client_4, server_4, costs=costs)).sum().item()


def softplus(value):
    return max(value, 0.0) + math.log1p(math.exp(-abs(value)))


@patient
@given(st.floats(-20, 20), UNIT, UNIT, COSTS)
def test_the_conditional_risk_is_w_softplus_d_plus_eta_m_softplus_minus_d(
    gap, client_posterior, server_posterior, costs
):
    """Whatever the sign of w = 1 - c_e - c_1 + c_1 eta_e."""
    mean_weight = 1 - costs.query_cost - costs.server_error_cost * (1 - server_posterior)

    risk = risk_of(gap, client_posterior, server_posterior, costs)

    closed = mean_weight * softplus(gap) + client_posterior * softplus(-gap)
    assert risk == pytest.approx(closed, rel=1e-6, abs=1e-5)


@pytest.mark.parametrize(
    ("query_cost", "server_error_cost", "server_posterior"), [(0.25, 0.75, 0.0), (0.5, 1.0, 0.5)]
)
def test_at_w_0_the_risk_falls_towards_0_for_ever_and_never_gets_there(
    query_cost, server_error_cost, server_posterior
):
    """w = 0, eta_m > 0: the infimum is reached at no finite score, and is LOCAL as Bayes has it."""
    costs = HelpCosts(query_cost=query_cost, server_error_cost=server_error_cost)
    gaps = (-10.0, 0.0, 1.0, 5.0, 10.0, 20.0, 30.0)

    risks = [risk_of(gap, 0.5, server_posterior, costs) for gap in gaps]

    assert all(after < before for before, after in itertools.pairwise(risks))
    assert 0 < risks[-1] < 1e-12
    posteriors = torch.tensor([0.5]), torch.tensor([server_posterior])
    assert fixed_server_rule(*posteriors, costs).item() == LOCAL


def finite_problem(seed, *, inputs, classes=3):
    generator = torch.Generator().manual_seed(seed)
    posterior_XK = torch.randn(inputs, classes, generator=generator, dtype=torch.float64).softmax(1)
    return posterior_XK, torch.randint(classes, (inputs,), generator=generator)


def true_risk(posterior_XK, client_X, server_X, agents_X, costs):
    """Generalised 0-1 loss at each input, summed over the classes that may come. Shape ``(X,)``."""
    scores_X2 = functional.one_hot(agents_X, 2).double()
    return sum(
        posterior_XK[:, label]
        * deferral_loss(
            scores_X2, costs.agent_costs(client_X == label, server_X == label, dtype=torch.float64)
        )
        for label in range(posterior_XK.shape[1])
    )


@patient
@given(st.integers(0, 2**31), st.floats(0.1, 0.6), st.floats(0.1, 0.6))
def test_the_best_server_is_only_determined_where_it_is_asked(seed, query_cost, server_error_cost):
    costs = HelpCosts(query_cost=query_cost, server_error_cost=server_error_cost)
    posterior_XK, client_X = finite_problem(seed, inputs=12)
    server_X, agents_X = bayes_rule(posterior_XK, client_X, costs)
    other_X = (server_X + 1) % 3
    least_X = true_risk(posterior_XK, client_X, server_X, agents_X, costs)

    changed_X = true_risk(posterior_XK, client_X, other_X, agents_X, costs)

    asked_X = agents_X == REMOTE
    assert torch.equal(changed_X[~asked_X], least_X[~asked_X])
    assert (changed_X[asked_X] > least_X[asked_X]).all()


def surrogate_risk(posterior_XK, client_X, rejector_X2, server_XK, **settings):
    """The whole L_S at each input, summed over the classes that may come. Shape ``(X,)``."""
    return sum(
        posterior_XK[:, label]
        * stage_switching_surrogate(
            rejector_X2,
            server_XK,
            torch.full_like(client_X, label),
            client_labels_B=client_X,
            **settings,
        )
        for label in range(posterior_XK.shape[1])
    )


@pytest.mark.parametrize(("server_error_cost", "bounded"), [(0.5, False), (1.2, True)])
def test_a_server_made_wrong_on_purpose_can_have_less_surrogate_risk_than_the_bayes_pair(
    server_error_cost, bounded
):
    """T3 holds stage by stage; over both at once, with 1[e = y] free to move, it does not.

    eta = (.45, .4, .15), the client says class 2. Of all pairs whose server says class 0 the first
    below has the least risk. A server that says class 1 by a hair pays .0015 in L_1 and, at
    c_1 = .5, saves .0055 in L_2, whose weight w falls with the server's chance of being right.
    """
    costs = HelpCosts(query_cost=0.1, server_error_cost=server_error_cost)
    shift = max(0.0, 0.1 + server_error_cost - 1) if bounded else 0.0
    posterior_XK, client_X = torch.tensor([[0.45, 0.4, 0.15]]).double(), torch.tensor([2])

    def pair(shares, server_posterior):
        weight = 1 - 0.1 - server_error_cost * (1 - server_posterior)
        rejector = torch.tensor([[0.15 + shift, weight + shift]]).double().log()
        return rejector, torch.tensor([shares]).double().log()

    staged, wrong = pair([0.45, 0.4, 0.15], 0.45), pair([0.4249, 0.4251, 0.15], 0.4)

    risks = [
        surrogate_risk(posterior_XK, client_X, *pair, costs=costs, bounded=bounded).item()
        for pair in (staged, wrong)
    ]

    losses = [
        true_risk(posterior_XK, client_X, server_XK.argmax(1), rejector_X2.argmax(1), costs).item()
        for rejector_X2, server_XK in (staged, wrong)
    ]
    assert risks[1] < risks[0] - 0.003
    assert losses == pytest.approx([0.1 + server_error_cost * 0.55, 0.1 + server_error_cost * 0.6])


@pytest.mark.parametrize("bound", [0.2, 0.3, 0.6])
def test_a_rate_measured_where_it_is_reported_looks_exact_and_misses_on_other_data(bound):
    """The released code takes the reject rate from its test set. Here all samples of 5 at once."""
    true_rate, examples = 0.5, 5
    counts = np.arange(examples + 1)
    chances = np.array([math.comb(examples, k) / 2**examples for k in counts])
    rules = [stochastic_rule(k / examples, bound, fill=True) for k in counts]

    same = [
        rule.probabilities(np.arange(examples) < k).mean()
        for k, rule in zip(counts, rules, strict=True)
    ]
    other = np.array(
        [true_rate * rule.if_deferred + (1 - true_rate) * rule.if_kept for rule in rules]
    )

    assert same == pytest.approx([bound] * len(counts))
    assert other.max() > bound + 0.15
    assert abs(chances @ other - bound) > 0.01


@patient
@given(st.floats(0.02, 0.48), st.floats(0.05, 0.5), UNIT, st.floats(0.5, 1))
def test_the_binary_predecessors_exponential_surrogate_decides_as_bayes_at_its_own_alpha(
    client_error, server_error_cost, share, likelier
):
    """arXiv:2409.16253 at beta = 2, where P(m wrong) is the number v that alpha was made for.

    min over e of the inner part is 2 c_1 sqrt(eta (1 - eta)) exp(-r); what is left,
    v exp(alpha r) + (2 c_1 sqrt(eta (1 - eta)) + c_e) exp(-r), is least at r > 0 (LOCAL) iff its
    slope at 0 is negative.
    """
    query_cost = max(client_error - server_error_cost / 2, 0.0) * (1 - share) + share * client_error
    costs = HelpCosts(query_cost=query_cost, server_error_cost=server_error_cost)
    v, c_e, c_1 = client_error, query_cost, server_error_cost
    alpha = (c_e + math.sqrt(4 * c_1 * (v - c_e) - 4 * v**2 + 8 * c_e * v - 4 * c_e**2)) / v

    slope = alpha * v - 2 * c_1 * math.sqrt(likelier * (1 - likelier)) - c_e

    best = fixed_server_rule(
        torch.tensor([1 - v]).double(), torch.tensor([likelier]).double(), costs
    )
    expected = LOCAL if slope < 0 else REMOTE
    margin = abs(v - c_e - c_1 * (1 - likelier))
    assert margin < 1e-6 or best.item() == expected


def test_with_alpha_for_an_error_rate_of_18_percent_it_errs_where_the_rate_is_20():
    """So P(m wrong) must be known, and constant: what multi-class learning to help does without."""
    v, assumed, c_e, c_1, likelier = 0.2, 0.18, 0.05, 0.5, 0.68
    alpha = (c_e + math.sqrt(4 * c_1 * (assumed - c_e) - 4 * (assumed - c_e) ** 2)) / assumed

    slope = alpha * v - 2 * c_1 * math.sqrt(likelier * (1 - likelier)) - c_e

    costs = HelpCosts(query_cost=c_e, server_error_cost=c_1)
    rule = fixed_server_rule(torch.tensor([1 - v]), torch.tensor([likelier]), costs)
    assert slope > 0  # REMOTE
    assert rule.item() == LOCAL
