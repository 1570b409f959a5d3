"""The Bayes rejector on finite distributions, where everything can be enumerated."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from assistlearn.deferral.bayes import bayes_agents, deferral_regret
from assistlearn.deferral.costs import agent_costs
from assistlearn.deferral.weights import cost_weights
from assistlearn.errors import DataError

patient = settings(max_examples=60, deadline=None)  # the first torch call may be slow
SEEDS = st.integers(0, 2**31)


def mean_costs(seed, *, inputs=5, agents=4):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(inputs, agents, generator=generator, dtype=torch.float64)


def risk(agents_X, costs_XA):
    return costs_XA.gather(1, agents_X.unsqueeze(1)).mean().item()


@patient
@given(SEEDS)
def test_no_rejector_at_all_has_less_risk_than_the_bayes_rejector(seed):
    costs_XA = mean_costs(seed, inputs=3, agents=3)

    least = min(
        risk(torch.tensor(rejector), costs_XA) for rejector in itertools.product(range(3), repeat=3)
    )

    assert risk(bayes_agents(costs_XA), costs_XA) == pytest.approx(least, abs=1e-15)
    assert costs_XA.amin(1).mean().item() == pytest.approx(least, abs=1e-15)


@patient
@given(SEEDS)
def test_with_a_main_model_to_choose_its_best_answer_takes_part(seed):
    """Lemma 4.2 of arXiv:2410.15729 with its infimum over models, here three of them."""
    models_XG = mean_costs(seed, inputs=2, agents=3)
    experts_XJ = mean_costs(seed + 1, inputs=2, agents=2)
    least = min(
        risk(torch.tensor(rejector), torch.cat([models_XG[x, choice].unsqueeze(1), experts_XJ], 1))
        for choice in itertools.product(range(3), repeat=2)
        for x in [torch.arange(2)]
        for rejector in itertools.product(range(3), repeat=2)
    )

    costs_XA = torch.cat([models_XG.amin(1, keepdim=True), experts_XJ], dim=1)

    assert risk(bayes_agents(costs_XA), costs_XA) == pytest.approx(least, abs=1e-15)


@patient
@given(SEEDS, st.floats(0, 2), st.floats(0, 2))
def test_the_model_answers_iff_its_weighted_errors_are_no_more_than_the_best_experts(
    seed, cla, reg
):
    """The separable form of lemma 4.2, written out with probabilities of error."""
    wrong_XA, gaps_XA = mean_costs(seed), mean_costs(seed + 1)
    prices = [0.0, 0.1, 0.2, 0.3]

    agents = bayes_agents(
        agent_costs([wrong_XA, gaps_XA], lambdas_T=[cla, reg], prices_A=prices)
    ).tolist()

    for x, agent in enumerate(agents):
        costs = [(cla * wrong_XA[x, j] + reg * gaps_XA[x, j] + prices[j]).item() for j in range(4)]
        assert (agent == 0) == (costs[0] <= min(costs[1:]))


def test_a_tie_with_the_model_stays_with_the_model():
    costs_XA = torch.tensor([[0.5, 0.5, 0.5], [0.7, 0.5, 0.5]])

    assert bayes_agents(costs_XA).tolist() == [0, 1]


@patient
@given(SEEDS)
def test_where_experts_are_dear_enough_nobody_defers(seed):
    costs_XA = agent_costs([mean_costs(seed)], prices_A=[0.0, 1.01, 1.01, 1.01])

    assert bayes_agents(costs_XA).tolist() == [0] * 5


@patient
@given(SEEDS)
def test_a_free_and_perfect_expert_always_answers(seed):
    errors_XA = mean_costs(seed) + 1e-6
    errors_XA[:, 2] = 0.0

    assert bayes_agents(agent_costs([errors_XA])).tolist() == [2] * 5


@patient
@given(SEEDS, st.integers(1, 3))
def test_an_expert_is_asked_no_more_often_when_its_own_price_rises(seed, expert):
    errors_XA = mean_costs(seed, inputs=40)
    shares = []
    for price in torch.linspace(0, 1, 11).tolist():
        prices = [0.0] * 4
        prices[expert] = price
        chosen_X = bayes_agents(agent_costs([errors_XA], prices_A=prices))
        shares.append((chosen_X == expert).double().mean().item())

    assert shares == sorted(shares, reverse=True)
    assert shares[-1] == 0


@patient
@given(SEEDS)
def test_another_expert_never_raises_the_least_risk_and_a_duplicate_leaves_it(seed):
    costs_XA, expert_X1 = mean_costs(seed), mean_costs(seed + 1, agents=1)

    least = risk(bayes_agents(costs_XA), costs_XA)
    more_XA = torch.cat([costs_XA, expert_X1], dim=1)
    twice_XA = torch.cat([costs_XA, costs_XA[:, 1:2]], dim=1)

    assert risk(bayes_agents(more_XA), more_XA) <= least
    assert risk(bayes_agents(twice_XA), twice_XA) == least
    assert torch.equal(bayes_agents(twice_XA), bayes_agents(costs_XA))


@patient
@given(SEEDS, st.permutations(range(4)))
def test_renumbering_the_agents_renumbers_the_choice(seed, order):
    costs_XA = mean_costs(seed)

    chosen = bayes_agents(costs_XA[:, order]).tolist()

    assert [order[agent] for agent in chosen] == bayes_agents(costs_XA).tolist()


@patient
@given(SEEDS, st.floats(0, 5))
def test_a_constant_added_to_all_costs_changes_neither_choice_nor_regret(seed, constant):
    costs_XA = mean_costs(seed)
    scores_XA = -mean_costs(seed + 1)

    torch.testing.assert_close(
        deferral_regret(scores_XA, costs_XA + constant), deferral_regret(scores_XA, costs_XA)
    )
    assert deferral_regret(-costs_XA, costs_XA + constant).abs().max() < 1e-12


@patient
@given(SEEDS)
def test_regret_in_costs_is_regret_in_taus(seed):
    costs_XA, scores_XA = mean_costs(seed), mean_costs(seed + 1)
    taus_XA = cost_weights(costs_XA)

    regrets_X = deferral_regret(scores_XA, costs_XA)

    chosen_X1 = scores_XA.argmax(1, keepdim=True)
    torch.testing.assert_close(regrets_X, taus_XA.amax(1) - taus_XA.gather(1, chosen_X1).squeeze(1))
    assert (regrets_X >= 0).all()


@patient
@given(SEEDS, st.floats(0.05, 0.95))
def test_one_expert_of_constant_cost_is_chows_rule_for_abstaining(seed, price):
    """c_0 = 1[h wrong], c_1 = c: the taus are (c, P(h wrong)), the answer is kept iff P <= c."""
    error_X = mean_costs(seed, agents=1).squeeze(1)
    costs_XA = torch.stack([error_X, torch.full_like(error_X, price)], dim=1)

    taus_XA = cost_weights(costs_XA)

    torch.testing.assert_close(taus_XA, costs_XA.flip(1))
    assert bayes_agents(costs_XA).tolist() == [int(error > price) for error in error_X.tolist()]


def test_costs_that_are_none_are_refused():
    with pytest.raises(DataError, match="a cost is -1"):
        bayes_agents(torch.tensor([[0.0, -1.0]]))
