"""Two-stage multi-task deferral, arXiv:2410.15729: the whole bound, its parts, its single stage.

Letters: X inputs of a finite distribution, O outcomes of each, A agents, G main models to choose
from, R rejectors to choose from, B examples.
"""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from minimising import random_costs, random_scores

from assistlearn.deferral.bayes import deferral_regret
from assistlearn.deferral.comp_sum import comp_sum
from assistlearn.deferral.consistency import (
    least_conditional_risk,
    minimizability_gap,
    regret_bound,
)
from assistlearn.deferral.costs import agent_costs, classification_costs, regression_costs
from assistlearn.deferral.mao import mao_2024
from assistlearn.deferral.two_stage import deferral_loss, two_stage_surrogate

patient = settings(max_examples=40, deadline=None)  # the first torch call may be slow
SEEDS = st.integers(0, 2**31)
NUS = st.sampled_from([0.0, 0.5, 1.0, 1.4, 1.8, 2.0, 2.5])
INPUTS, OUTCOMES, MODELS, REJECTORS = 4, 3, 4, 5


class Choice:
    """Main models and rejectors to choose from, beside two fixed experts."""

    def __init__(self, seed):
        generator = torch.Generator().manual_seed(seed)

        def uniform(*shape):
            return torch.rand(*shape, generator=generator, dtype=torch.float64)

        self.inputs_X = (3 * uniform(INPUTS)).softmax(0)
        self.chances_XO = (3 * uniform(INPUTS, OUTCOMES)).softmax(1)
        self.model_GXO = uniform(MODELS, INPUTS, OUTCOMES)
        self.experts_XOJ = uniform(INPUTS, OUTCOMES, 2)
        self.scores_RXA = 4 * uniform(REJECTORS, INPUTS, 3) - 2

    def costs(self, g):
        """One row for each input and outcome. Shape ``(X * O, A)``."""
        return torch.cat((self.model_GXO[g].unsqueeze(2), self.experts_XOJ), dim=2).flatten(0, 1)

    def at_inputs(self, values_N):
        """Expected values given the input. Shape ``(X, ...)``."""
        chances_N = self.chances_XO.flatten().reshape(-1, *[1] * (values_N.ndim - 1))
        return (chances_N * values_N).unflatten(0, (INPUTS, OUTCOMES)).sum(1)

    def mean(self, values_X):
        return (self.inputs_X * values_X).sum().item()

    def risk(self, loss, g, r, **settings):
        scores_NA = self.scores_RXA[r].repeat_interleave(OUTCOMES, dim=0)
        return self.mean(self.at_inputs(loss(scores_NA, self.costs(g), **settings)))


@settings(max_examples=20, deadline=None)
@given(SEEDS, NUS)
def test_theorem_4_4_holds_for_a_finite_class_of_main_models_with_the_models_own_excess(seed, nu):
    """Every pair of 4 models and 5 rejectors.

    An excess plus its gap is the risk less the mean of what is least at each input; the surrogate's
    is put together from the least risk of the 5 rejectors and the library's gap.
    """
    problem = Choice(seed)
    model_GX = torch.stack([problem.at_inputs(each.flatten()) for each in problem.model_GXO])
    experts_XJ = problem.at_inputs(problem.experts_XOJ.flatten(0, 1))
    least_true = problem.mean(torch.minimum(model_GX.amin(0), experts_XJ.amin(1)))

    for g, r in itertools.product(range(MODELS), range(REJECTORS)):
        costs_NA = problem.costs(g)
        weights_XA = problem.at_inputs(costs_NA.sum(1, keepdim=True) - costs_NA)
        least = min(problem.risk(two_stage_surrogate, g, k, nu=nu) for k in range(REJECTORS))
        gap = minimizability_gap(least, weights_XA, problem.inputs_X, nu=nu)
        routing = regret_bound(
            problem.risk(two_stage_surrogate, g, r, nu=nu) - least + gap,
            weight_norm=problem.mean(weights_XA.sum(1)),
            nu=nu,
            agents=3,
        )
        bracket = problem.mean(model_GX[g] - model_GX.amin(0))

        assert problem.risk(deferral_loss, g, r) - least_true <= routing + bracket + 1e-9


def test_without_the_last_bracket_the_bound_of_theorem_4_4_does_not_hold():
    """A rejector that is best for a bad model has no surrogate excess left to pay with."""
    model_GX = torch.tensor([[0.0, 0.0], [0.6, 0.6]]).double()
    expert_X = torch.tensor([0.5, 0.9]).double()
    costs_XA = torch.stack([model_GX[1], expert_X], dim=1)

    scores_XA = costs_XA.flip(1).log()  # softmax = taus' shares: least surrogate risk

    surrogate = two_stage_surrogate(scores_XA, costs_XA).mean()
    assert surrogate.item() == pytest.approx(least_conditional_risk(costs_XA.flip(1)).mean().item())
    excess = deferral_loss(scores_XA, costs_XA).mean() - model_GX.amin(0).mean()
    assert excess.item() == pytest.approx(0.55)
    assert excess <= (model_GX[1] - model_GX.amin(0)).mean()  # the bracket


def test_the_brackets_gap_is_needed_where_a_model_complements_the_expert():
    """Corollary 4.11's Delta terms are 0 for a model as good as any, and still not enough.

    Both models err in half of the cases. One errs everywhere half the time; the other only where
    the expert knows, and with it there would be no error at all.
    """
    model_GX = torch.tensor([[0.5, 0.5], [0.0, 1.0]]).double()
    expert_X = torch.tensor([1.0, 0.0]).double()
    own_XA, other_XA = (torch.stack([each, expert_X], dim=1) for each in model_GX)

    excess = own_XA.amin(1).mean() - other_XA.amin(1).mean()  # each with its Bayes rejector

    assert deferral_regret(-own_XA, own_XA).tolist() == [0, 0]
    assert model_GX.mean(1).tolist() == [0.5, 0.5]  # no excess of the model in its class
    assert excess == 0.25
    gap = model_GX.mean(1).min() - model_GX.amin(0).mean()
    assert gap == 0.25


@patient
@given(SEEDS, st.integers(1, 4))
def test_what_the_single_stage_subtracts_changes_the_model_and_not_the_rejector(seed, experts):
    """arXiv:2403.19494: (J - 1) (L + sum c_j) holds no score, but the model's loss L."""
    scores_BA = random_scores(seed, examples=5, agents=experts + 1).requires_grad_()
    costs_BA = random_costs(seed, examples=5, agents=experts + 1)
    model_B = costs_BA[:, 0].clone().requires_grad_()
    every_BA = torch.cat((model_B.unsqueeze(1), costs_BA[:, 1:]), dim=1)
    taus_BA = every_BA.sum(1, keepdim=True) - every_BA
    single_B = (taus_BA * comp_sum(scores_BA)).sum(1) - (experts - 1) * every_BA.sum(1)

    towards_scores, towards_model = torch.autograd.grad(single_B.sum(), [scores_BA, model_B])

    (two_stage,) = torch.autograd.grad(mao_2024(scores_BA, costs_BA).sum(), scores_BA)
    torch.testing.assert_close(towards_scores, two_stage)
    pull_B = comp_sum(scores_BA.detach())[:, 1:].sum(1) - (experts - 1)
    torch.testing.assert_close(towards_model, pull_B)


@pytest.mark.parametrize(("nu", "limit"), [(1.2, 2.5), (1.5, 1.0), (2.0, 0.5), (3.0, 0.25)])
def test_beyond_nu_1_a_midpoint_can_be_above_its_chord_by_half_of_the_losss_range(nu, limit):
    """Up to 1 / (2 (nu - 1)): 0.5 at nu = 2, and 2.5 at nu = 1.2, of which searches find 1.69."""
    excesses = []
    for far in (8.0, 80.0, 800.0):
        ends_2A = torch.tensor([[-far, 0.0], [far**0.5, 0.0]], dtype=torch.float64)
        middle = comp_sum(ends_2A.mean(0, keepdim=True), nu)[0, 0]
        excesses.append((middle - comp_sum(ends_2A, nu)[:, 0].mean()).item())

    assert excesses == sorted(excesses)
    assert excesses[0] > 0
    assert excesses[-1] == pytest.approx(limit, abs=1e-9)


@patient
@given(SEEDS, st.floats(1.05, 4), st.floats(0.1, 100))
def test_and_never_by_more(seed, nu, spread):
    one_BA, other_BA = (spread * random_scores(seed + k, examples=8, agents=3) for k in (0, 9))

    middle_BA = comp_sum((one_BA + other_BA) / 2, nu)

    chord_BA = (comp_sum(one_BA, nu) + comp_sum(other_BA, nu)) / 2
    assert (middle_BA - chord_BA <= 1 / (2 * (nu - 1)) + 1e-9).all()


@patient
@given(SEEDS, st.floats(0, 9), st.floats(0, 9))
def test_clamped_at_5_and_weighed_by_a_fifth_a_stays_error_counts_as_much_as_a_class(
    seed, value, target
):
    """The released code's lambda_2 = 1 / clamp: both tasks' costs lie in [0, 1]."""
    values_BA = torch.tensor([[value, 0.0, 100.0]], dtype=torch.float64)
    targets_B = torch.tensor([target], dtype=torch.float64)
    wrong_BA = classification_costs(torch.tensor([[0, 1, 1]]), torch.tensor([0])).double()

    off_BA = agent_costs(
        [wrong_BA, regression_costs(values_BA, targets_B, clamp=5.0)], lambdas_T=[0.0, 0.2]
    )
    both_BA = agent_costs(
        [wrong_BA, regression_costs(values_BA, targets_B, clamp=5.0)], lambdas_T=[1.0, 0.2]
    )

    gap = abs(value - target)
    expected = min(gap - 0.5 if gap >= 1 else gap**2 / 2, 5.0) / 5
    assert off_BA[0, 0].item() == pytest.approx(expected, abs=1e-9)
    assert off_BA[0, 2] == 1
    assert both_BA[0, 2] == 2
