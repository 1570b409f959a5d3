"""Mao et al.'s two-stage surrogates by their own formulas, and what many experts do to each."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from minimising import minimise, random_costs, random_scores

from assistlearn.deferral.mao import mao_2023, mao_2024
from assistlearn.deferral.two_stage import two_stage_surrogate
from assistlearn.errors import DataError

SEEDS = st.integers(0, 2**31)
NUS = [0.0, 0.5, 1.0, 1.5, 2.0]


def phi(scores, agent, nu):
    u = sum(math.exp(score - scores[agent]) for score in scores)
    return math.log(u) if nu == 1 else (u ** (1 - nu) - 1) / (1 - nu)


@given(SEEDS, st.sampled_from(NUS), st.floats(0, 0.5))
def test_2023_weighs_the_model_by_being_right_and_experts_by_1_minus_their_cost(seed, nu, price):
    scores_BA = random_scores(seed, examples=4, agents=3)
    wrong_BA = random_costs(seed, examples=4, agents=3).round()
    prices_A = torch.tensor([0.0, price, price], dtype=torch.float64)
    costs_BA = wrong_BA * torch.tensor([1.0, 0.5, 0.5]) + prices_A

    losses_B = mao_2023(scores_BA, costs_BA, nu=nu)

    for loss, scores, wrong in zip(losses_B, scores_BA.tolist(), wrong_BA.tolist(), strict=True):
        expected = (wrong[0] == 0) * phi(scores, 0, nu)
        expected += sum((1 - 0.5 * wrong[j] - price) * phi(scores, j, nu) for j in (1, 2))
        assert loss.item() == pytest.approx(expected, rel=1e-8, abs=1e-8)


@given(SEEDS, st.sampled_from(NUS), st.floats(0, 5))
def test_2024_weighs_the_model_by_the_experts_costs_and_experts_by_the_others_and_the_models(
    seed, nu, price
):
    scores_BA = random_scores(seed, examples=4, agents=3)
    errors_BA = 3 * random_costs(seed, examples=4, agents=3)
    costs_BA = errors_BA + torch.tensor([0.0, price, price], dtype=torch.float64)

    losses_B = mao_2024(scores_BA, costs_BA, nu=nu)

    for loss, scores, (own, *experts) in zip(
        losses_B, scores_BA.tolist(), costs_BA.tolist(), strict=True
    ):
        expected = sum(experts) * phi(scores, 0, nu)
        for j in (1, 2):
            others = sum(cost for k, cost in enumerate(experts, start=1) if k != j)
            expected += (own + others) * phi(scores, j, nu)
        assert loss.item() == pytest.approx(expected, rel=1e-8)


@given(SEEDS, st.sampled_from(NUS))
def test_2024_is_the_multi_task_surrogate_with_another_cost(seed, nu):
    scores_BA = random_scores(seed, examples=4, agents=4)
    costs_BA = random_costs(seed, examples=4, agents=4)

    assert torch.equal(
        mao_2024(scores_BA, costs_BA, nu=nu), two_stage_surrogate(scores_BA, costs_BA, nu=nu)
    )


def test_2023_and_2024_train_alike_at_nu_2():
    """There the weights' shift only adds a constant."""
    scores_BA = random_scores(1, examples=4, agents=4).requires_grad_()
    costs_BA = random_costs(1, examples=4, agents=4)

    gradients = [
        torch.autograd.grad(loss(scores_BA, costs_BA, nu=2.0).sum(), scores_BA)[0]
        for loss in (mao_2023, mao_2024)
    ]

    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(
    ("experts", "right", "wrong"),
    [(1, 1.0, 0.0), (2, 0.5, 0.25), (4, 0.25, 0.1875), (10, 0.1, 0.09), (30, 0.0333, 0.0322)],
)
def test_many_wrong_experts_dilute_what_2024_is_fitted_to_and_not_2023(experts, right, wrong):
    """One right agent among J + 1: the softmax that each surrogate ends in, by fitting it."""
    costs_1A = torch.ones(1, experts + 1).double()
    costs_1A[0, 0] = 0.0

    def fitted(loss):
        start = torch.zeros(1, experts + 1)
        return minimise(lambda r: loss(r, costs_1A).sum(), start).softmax(1)[0]

    shares_A = fitted(mao_2024)
    assert shares_A[0].item() == pytest.approx(right, abs=1e-4)
    assert shares_A[1:].tolist() == pytest.approx([wrong] * experts, abs=1e-4)
    assert fitted(mao_2023)[0].item() > 0.9999


def test_2023_refuses_costs_above_1_and_2024_takes_them():
    costs_BA = torch.tensor([[0.5, 1.5]])

    assert mao_2024(torch.zeros(1, 2), costs_BA).isfinite().all()
    with pytest.raises(DataError, match=r"1\.5"):
        mao_2023(torch.zeros(1, 2), costs_BA)
