"""Asking k agents: the same scores, the k cheapest, the sum of their costs."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from assistlearn.deferral.top_k import top_k_agents, top_k_deferral_loss
from assistlearn.deferral.two_stage import chosen_agents, deferral_loss, two_stage_surrogate
from assistlearn.errors import ConfigError

patient = settings(max_examples=60, deadline=None)  # the first torch call may be slow
SEEDS = st.integers(0, 2**31)


def case(seed, *, examples=5, agents=4):
    generator = torch.Generator().manual_seed(seed)
    scores_BA = torch.randn(examples, agents, generator=generator, dtype=torch.float64)
    costs_BA = torch.rand(examples, agents, generator=generator, dtype=torch.float64)
    return scores_BA, costs_BA


@patient
@given(SEEDS)
def test_one_agent_is_ordinary_deferral(seed):
    scores_BA, costs_BA = case(seed)

    assert torch.equal(top_k_agents(scores_BA, 1).squeeze(1), chosen_agents(scores_BA))
    assert torch.equal(
        top_k_deferral_loss(scores_BA, costs_BA, 1), deferral_loss(scores_BA, costs_BA)
    )


@patient
@given(SEEDS, st.integers(1, 4))
def test_no_set_of_k_agents_costs_less_than_the_k_cheapest(seed, k):
    _, costs_BA = case(seed)

    losses = top_k_deferral_loss(-costs_BA, costs_BA, k).tolist()

    for loss, costs in zip(losses, costs_BA.tolist(), strict=True):
        sets = itertools.combinations(costs, k)
        assert loss == pytest.approx(min(sum(chosen) for chosen in sets))


@patient
@given(SEEDS, st.integers(1, 4))
def test_the_sets_loss_is_its_agents_costs_looped_over(seed, k):
    scores_BA, costs_BA = case(seed)

    losses = top_k_deferral_loss(scores_BA, costs_BA, k).tolist()

    for loss, scores, costs in zip(losses, scores_BA.tolist(), costs_BA.tolist(), strict=True):
        ranked = sorted(range(4), key=lambda agent: -scores[agent])
        assert loss == pytest.approx(sum(costs[agent] for agent in ranked[:k]))


@patient
@given(SEEDS, st.integers(1, 3))
def test_asking_one_more_adds_an_agent_and_removes_none(seed, k):
    scores_BA, _ = case(seed)

    assert torch.equal(top_k_agents(scores_BA, k + 1)[:, :k], top_k_agents(scores_BA, k))


def test_ties_go_to_the_lower_indices_in_order():
    scores_BA = torch.tensor([[1.0, 2.0, 1.0, 2.0, 1.0]])

    assert top_k_agents(scores_BA, 4).tolist() == [[1, 3, 0, 2]]
    assert top_k_agents(torch.zeros(1, 500), 9).tolist() == [list(range(9))]


@pytest.mark.parametrize("nu", [0.0, 0.5, 1.0, 1.5])
def test_trained_once_without_a_k_the_scores_give_the_k_cheapest_for_every_k(nu):
    costs_BA = torch.tensor([[0.9, 0.2, 0.5, 0.3], [0.1, 0.6, 0.4, 0.8]], dtype=torch.float64)
    scores_BA = torch.zeros_like(costs_BA, requires_grad=True)
    optimizer = torch.optim.Adam([scores_BA], lr=0.1)

    for _ in range(60):
        optimizer.zero_grad()
        two_stage_surrogate(scores_BA, costs_BA, nu=nu).sum().backward()
        optimizer.step()

    for k in (1, 2, 3, 4):
        chosen = top_k_agents(scores_BA.detach(), k).tolist()
        assert chosen == costs_BA.argsort(1)[:, :k].tolist()


@pytest.mark.parametrize("k", [0, 5, -1])
def test_more_agents_than_there_are_or_none_cannot_be_asked(k):
    with pytest.raises(ConfigError, match=f"k is {k}, must be from 1 to 4"):
        top_k_agents(torch.zeros(2, 4), k)
