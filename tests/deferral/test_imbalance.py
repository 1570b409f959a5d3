"""Imbalance losses over oracle agents: their papers' numbers, and what they are consistent for."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from minimising import minimise, random_costs, random_scores

from assistlearn.deferral.imbalance import (
    class_balanced,
    class_balanced_weights,
    focal,
    ldam,
    ldam_margins,
    logit_adjusted,
    oracle_agents,
    oracle_counts,
)
from assistlearn.errors import ConfigError, DataError

SEEDS = st.integers(0, 2**31)
COUNTS = torch.tensor([1000, 100, 10])
WITH_COUNTS = [class_balanced, ldam, logit_adjusted]


def case(seed, *, examples=4):
    return (
        random_scores(seed, examples=examples, agents=3),
        random_costs(seed, examples=examples, agents=3),
    )


def log_softmax(scores, agent):
    return scores[agent] - math.log(sum(math.exp(score) for score in scores))


def looped(scores_BA, costs_BA, loss):
    """``loss(scores, oracle)`` of each example, with floats."""
    return [
        loss(scores, costs.index(min(costs)))
        for scores, costs in zip(scores_BA.tolist(), costs_BA.tolist(), strict=True)
    ]


def cross_entropy(scores_BA, costs_BA):
    return torch.nn.functional.cross_entropy(scores_BA, oracle_agents(costs_BA), reduction="none")


def test_the_oracle_agent_is_the_cheapest_and_the_lowest_index_on_a_tie():
    costs_BA = torch.tensor([[0.5, 0.2, 0.2], [0.1, 0.1, 0.1], [0.9, 0.8, 0.0]])

    assert oracle_agents(costs_BA).tolist() == [1, 0, 2]
    assert oracle_counts(costs_BA).tolist() == [1, 1, 1]


def test_agents_that_are_never_the_oracle_are_counted_as_0():
    assert oracle_counts(torch.tensor([[0.0, 1.0, 1.0]] * 3)).tolist() == [3, 0, 0]


def test_weights_are_inverse_effective_numbers_scaled_to_sum_to_the_agents():
    """E_n = (1 - beta^n) / (1 - beta): for beta .99, 99.9957, 63.3968 and 9.5618."""
    weights_A = class_balanced_weights(COUNTS, beta=0.99)

    effective = [99.99568, 63.39677, 9.56179]
    inverse = [1 / number for number in effective]
    assert weights_A.tolist() == pytest.approx([3 * i / sum(inverse) for i in inverse], rel=1e-6)
    assert weights_A.sum().item() == pytest.approx(3)


def test_beta_0_weighs_all_alike_and_beta_near_1_by_inverse_frequency():
    assert class_balanced_weights(COUNTS, beta=0.0).tolist() == pytest.approx([1, 1, 1])
    assert class_balanced_weights(COUNTS, beta=1 - 1e-9).tolist() == pytest.approx(
        [3 / 111, 30 / 111, 300 / 111], rel=1e-5
    )


@given(st.lists(st.integers(1, 10**6), min_size=2, max_size=6), st.floats(0.5, 0.9999))
def test_a_rarer_agent_never_weighs_less(counts, beta):
    weights = class_balanced_weights(torch.tensor(sorted(counts)), beta=beta).tolist()

    assert weights == sorted(weights, reverse=True)


def test_ldam_margins_are_the_fourth_root_rule_with_the_rarest_at_the_maximum():
    margins_A = ldam_margins(COUNTS, max_margin=0.5)

    assert margins_A.tolist() == pytest.approx([0.5 * 0.01**0.25, 0.5 * 0.1**0.25, 0.5])
    assert margins_A[0].item() == pytest.approx(0.158114, abs=1e-6)


@given(SEEDS, st.floats(0, 0.999))
def test_class_balanced_is_weighted_cross_entropy_looped_over(seed, beta):
    scores_BA, costs_BA = case(seed)

    losses_B = class_balanced(scores_BA, costs_BA, counts_A=COUNTS, beta=beta)

    raw = [(1 - beta) / (1 - beta**count) for count in COUNTS.tolist()]
    expected = looped(scores_BA, costs_BA, lambda r, o: -3 * raw[o] / sum(raw) * log_softmax(r, o))
    assert losses_B.tolist() == pytest.approx(expected)


@given(SEEDS, st.floats(0, 5))
def test_focal_is_cross_entropy_times_a_power_of_the_miss_looped_over(seed, gamma):
    scores_BA, costs_BA = case(seed)

    losses_B = focal(scores_BA, costs_BA, gamma=gamma)

    def loss(scores, oracle):
        log_p = log_softmax(scores, oracle)
        return (-math.expm1(log_p)) ** gamma * -log_p

    assert losses_B.tolist() == pytest.approx(looped(scores_BA, costs_BA, loss), rel=1e-6)


@given(SEEDS, st.floats(0, 2), st.floats(0.1, 30))
def test_ldam_takes_the_margin_off_the_oracles_score_looped_over(seed, max_margin, scale):
    scores_BA, costs_BA = case(seed)

    losses_B = ldam(scores_BA, costs_BA, counts_A=COUNTS, max_margin=max_margin, scale=scale)

    def loss(scores, oracle):
        margin = max_margin * (10 / COUNTS[oracle].item()) ** 0.25
        shifted = [scale * (s - margin * (k == oracle)) for k, s in enumerate(scores)]
        return -log_softmax(shifted, oracle)

    assert losses_B.tolist() == pytest.approx(looped(scores_BA, costs_BA, loss), rel=1e-6, abs=1e-9)


@given(SEEDS, st.floats(0, 2))
def test_logit_adjustment_adds_log_frequencies_looped_over(seed, tau):
    scores_BA, costs_BA = case(seed)

    losses_B = logit_adjusted(scores_BA, costs_BA, counts_A=COUNTS, tau=tau)

    shifts = [tau * math.log(count / 1110) for count in COUNTS.tolist()]
    expected = looped(
        scores_BA,
        costs_BA,
        lambda r, o: -log_softmax([s + t for s, t in zip(r, shifts, strict=True)], o),
    )
    assert losses_B.tolist() == pytest.approx(expected)


@given(SEEDS)
def test_with_nothing_to_balance_all_four_are_cross_entropy(seed):
    scores_BA, costs_BA = case(seed)
    expected_B = cross_entropy(scores_BA, costs_BA)

    for losses_B in (
        class_balanced(scores_BA, costs_BA, counts_A=COUNTS, beta=0.0),
        focal(scores_BA, costs_BA, gamma=0.0),
        ldam(scores_BA, costs_BA, counts_A=COUNTS, max_margin=0.0),
        logit_adjusted(scores_BA, costs_BA, counts_A=COUNTS, tau=0.0),
    ):
        torch.testing.assert_close(losses_B, expected_B)


def oracle_problem():
    """Two inputs, three agents: P(x), P(oracle = j | x), and P(oracle = j)."""
    inputs_X = torch.tensor([0.7, 0.3]).double()
    oracles_XA = torch.tensor([[0.80, 0.15, 0.05], [0.50, 0.30, 0.20]]).double()
    return inputs_X, oracles_XA, inputs_X @ oracles_XA


def population_scores(loss):
    inputs_X, oracles_XA, priors_A = oracle_problem()
    costs_AA = 1 - torch.eye(3).double()  # row o: agent o alone is right

    def risk(scores_XA):
        losses_XA = torch.stack(
            [loss(scores_XA, costs_AA[o].expand(2, 3), priors_A) for o in range(3)], dim=1
        )
        return (inputs_X[:, None] * oracles_XA * losses_XA).sum()

    return minimise(risk, torch.zeros(2, 3))


def test_logit_adjustment_is_bayes_consistent_for_the_balanced_error():
    """Its scores order agents by P(x | oracle = j), i.e. P(oracle = j | x) / P(oracle = j)."""
    _, oracles_XA, priors_A = oracle_problem()

    scores_XA = population_scores(
        lambda r, c, priors_A: logit_adjusted(r, c, counts_A=10_000 * priors_A)
    )

    expected_XA = (oracles_XA / priors_A).log()
    gaps_XA = scores_XA - scores_XA.mean(1, keepdim=True)
    torch.testing.assert_close(
        gaps_XA, expected_XA - expected_XA.mean(1, keepdim=True), atol=1e-5, rtol=0
    )
    assert scores_XA.argmax(1).tolist() == [0, 2]  # plain frequencies would give 0 twice


def test_cross_entropy_at_the_same_problem_never_finds_a_minority_agent():
    scores_XA = population_scores(lambda r, c, _: cross_entropy(r, c))

    assert scores_XA.argmax(1).tolist() == [0, 0]


def test_focal_keeps_the_order_of_the_probabilities_though_not_their_values():
    scores_XA = population_scores(lambda r, c, _: focal(r, c, gamma=2.0))

    _, oracles_XA, _ = oracle_problem()
    assert (scores_XA.argsort(1) == oracles_XA.argsort(1)).all()
    assert (scores_XA.softmax(1).amax(1) < oracles_XA.amax(1) - 0.02).all()  # less certain


def test_none_of_them_is_bayes_consistent_for_the_deferral_loss():
    """Agent 0 is cheapest by .01 in 60 % of cases and dearer by 1 in the others."""
    costs_XA = torch.tensor([[0.0, 0.01], [1.0, 0.0]]).double()
    probabilities_X = torch.tensor([0.6, 0.4]).double()
    counts_A = torch.tensor([600, 400])

    for loss in (
        cross_entropy,
        focal,
        lambda r, c: ldam(r, c, counts_A=counts_A),
    ):
        scores_1A = minimise(
            lambda r, loss=loss: probabilities_X @ loss(r.expand(2, 2), costs_XA),
            torch.zeros(1, 2),
        )
        assert scores_1A.argmax().item() == 0
    assert (probabilities_X @ costs_XA).argmin().item() == 1


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("certainty", [0.0, 50.0, 2000.0])
def test_focals_gradient_is_finite_however_certain_the_scores(gamma, certainty):
    scores_BA = torch.tensor([[certainty, 0.0, 0.0], [-certainty, 0.0, 0.0]], requires_grad=True)

    focal(scores_BA, torch.tensor([[0.0, 1.0, 1.0]] * 2), gamma=gamma).sum().backward()

    assert scores_BA.grad.isfinite().all()
    assert scores_BA.grad[1, 0] < 0


@pytest.mark.parametrize("loss", [*WITH_COUNTS, focal])
def test_gradients_agree_with_finite_differences(loss):
    scores_BA, costs_BA = case(3)
    counts = {"counts_A": COUNTS} if loss in WITH_COUNTS else {}

    assert torch.autograd.gradcheck(
        lambda r: loss(r, costs_BA, **counts), scores_BA.requires_grad_()
    )


@pytest.mark.parametrize("loss", WITH_COUNTS)
def test_an_agent_that_never_was_the_oracle_makes_nothing_infinite(loss):
    counts_A = torch.tensor([5, 0, 7])

    losses_B = loss(torch.zeros(3, 3), 1 - torch.eye(3), counts_A=counts_A)

    assert losses_B.isfinite().all()
    torch.testing.assert_close(
        losses_B, loss(torch.zeros(3, 3), 1 - torch.eye(3), counts_A=torch.tensor([5, 1, 7]))
    )


@pytest.mark.parametrize("loss", WITH_COUNTS)
def test_counts_for_other_agents_are_refused(loss):
    with pytest.raises(DataError, match="for 3 agents"):
        loss(torch.zeros(1, 3), torch.zeros(1, 3), counts_A=torch.tensor([1, 2]))


@pytest.mark.parametrize(
    ("loss", "setting"),
    [
        (class_balanced, {"beta": 1.0}),
        (class_balanced, {"beta": -0.1}),
        (focal, {"gamma": -1.0}),
        (focal, {"gamma": math.nan}),
        (ldam, {"max_margin": -0.5}),
        (ldam, {"scale": 0.0}),
        (logit_adjusted, {"tau": -1.0}),
    ],
)
def test_settings_out_of_range_are_refused_by_name(loss, setting):
    counts = {"counts_A": COUNTS} if loss in WITH_COUNTS else {}

    with pytest.raises(ConfigError, match=f"^{next(iter(setting))} is"):
        loss(torch.zeros(1, 3), torch.zeros(1, 3), **counts, **setting)
