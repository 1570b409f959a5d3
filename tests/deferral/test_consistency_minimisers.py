"""Minimisers, least risks, gaps and the whole bound on finite distributions."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from assistlearn.deferral.bayes import deferral_regret
from assistlearn.deferral.comp_sum import comp_sum
from assistlearn.deferral.consistency import (
    conditional_minimizer,
    least_conditional_risk,
    minimizability_gap,
    regret_bound,
)
from assistlearn.deferral.two_stage import two_stage_surrogate
from assistlearn.deferral.weights import cost_weights
from assistlearn.errors import ConfigError, DataError

patient = settings(max_examples=60, deadline=None)  # the first torch call may be slow
BELOW_2 = [0.0, 0.3, 0.7, 1 - 1e-5, 1.0, 1 + 1e-5, 1.2, 1.5, 1.8]
NUS = [*BELOW_2, 2.0, 2.5, 3.0]
FAMILY = st.sampled_from(NUS)
SEEDS = st.integers(0, 2**31)
AGENTS = st.integers(2, 6)


def generator_of(seed):
    return torch.Generator().manual_seed(seed)


def random_weights(seed, *, inputs=5, agents=4):
    return torch.rand(inputs, agents, generator=generator_of(seed), dtype=torch.float64)


def risks(scores_XA, weights_XA, nu):
    return (weights_XA * comp_sum(scores_XA, nu)).sum(1)


class FiniteProblem:
    """8 inputs, 5 outcomes each, costs of J + 1 agents in [0, 1]."""

    def __init__(self, seed, agents):
        generator = generator_of(seed)
        chances_XO = torch.randn(8, 5, generator=generator, dtype=torch.float64).softmax(1)
        costs_XOA = torch.rand(8, 5, agents, generator=generator, dtype=torch.float64)
        self.chances_XO, self.costs_XOA = chances_XO, costs_XOA
        self.inputs_X = torch.randn(8, generator=generator, dtype=torch.float64).softmax(0)
        self.mean_costs_XA = (chances_XO.unsqueeze(2) * costs_XOA).sum(1)
        self.scores_XA = 2 * torch.randn(8, agents, generator=generator, dtype=torch.float64)

    def mean_weights(self, kappa):
        flat = cost_weights(self.costs_XOA.flatten(0, 1), kappa).view_as(self.costs_XOA)
        return (self.chances_XO.unsqueeze(2) * flat).sum(1)

    def mean(self, values_X):
        return (self.inputs_X * values_X).sum().item()


@patient
@given(SEEDS, AGENTS, FAMILY)
def test_no_scores_have_less_risk_than_the_closed_form(seed, agents, nu):
    weights_XA = random_weights(seed, agents=agents)
    scores_XA = 3 * torch.randn(5, agents, generator=generator_of(seed + 1), dtype=torch.float64)

    least_X = least_conditional_risk(weights_XA, nu)

    assert (risks(scores_XA, weights_XA, nu) >= least_X - 1e-10).all()


@patient
@given(SEEDS, AGENTS, st.sampled_from(BELOW_2))
def test_below_nu_2_the_minimiser_is_a_power_of_the_weights_and_attains_the_least_risk(
    seed, agents, nu
):
    weights_XA = random_weights(seed, agents=agents) + 1e-3

    target_XA = conditional_minimizer(weights_XA, nu)

    power_XA = weights_XA ** (1 / (2 - nu))
    torch.testing.assert_close(target_XA, power_XA / power_XA.sum(1, keepdim=True))
    attained_X = risks(target_XA.log(), weights_XA, nu)
    torch.testing.assert_close(attained_X, least_conditional_risk(weights_XA, nu))


@patient
@given(SEEDS, AGENTS, st.sampled_from([2.0, 2.5, 3.0]))
def test_from_nu_2_on_the_minimiser_is_one_agent_approached_but_not_attained(seed, agents, nu):
    weights_XA = random_weights(seed, agents=agents) + 1e-3

    target_XA = conditional_minimizer(weights_XA, nu)

    least_X = least_conditional_risk(weights_XA, nu)
    assert torch.equal(target_XA.argmax(1), weights_XA.argmax(1))
    assert (target_XA.amax(1) == 1).all()
    torch.testing.assert_close(risks(40 * target_XA, weights_XA, nu), least_X)
    assert (risks(9 * target_XA, weights_XA, nu) > least_X).all()


@pytest.mark.parametrize("nu", [0.0, 0.5, 1.0, 1.5])
def test_an_optimiser_that_knows_no_formula_ends_at_the_minimiser(nu):
    weights_XA = random_weights(3, agents=3) + 0.05
    scores_XA = torch.zeros_like(weights_XA, requires_grad=True)
    optimizer = torch.optim.LBFGS([scores_XA], max_iter=200, tolerance_change=1e-14)

    def closure():
        optimizer.zero_grad()
        total = risks(scores_XA, weights_XA, nu).sum()
        total.backward()
        return total

    for _ in range(3):
        optimizer.step(closure)

    found_XA = scores_XA.detach()
    torch.testing.assert_close(
        found_XA.softmax(1), conditional_minimizer(weights_XA, nu), rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(
        risks(found_XA, weights_XA, nu), least_conditional_risk(weights_XA, nu), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize(
    ("nu", "expected"),
    [(0.0, 6.2168266), (0.5, 4.5449771), (1.0, 3.3958527), (1.5, 2.5737747), (2.0, 1.8)],
)
def test_the_least_risk_has_the_values_worked_out_by_hand(nu, expected):
    taus_XA = torch.tensor([[0.7, 1.4, 1.1]], dtype=torch.float64)

    assert least_conditional_risk(taus_XA, nu).tolist() == pytest.approx([expected], abs=5e-8)


def test_at_nu_1_the_least_risk_is_the_norm_times_the_entropy():
    weights_XA = random_weights(2)
    shares_XA = weights_XA / weights_XA.sum(1, keepdim=True)

    entropy_X = torch.special.entr(shares_XA).sum(1)

    torch.testing.assert_close(least_conditional_risk(weights_XA), weights_XA.sum(1) * entropy_X)


def test_beyond_nu_2_the_papers_expression_is_not_the_infimum():
    """arXiv:2410.15729, theorem 4.6's discussion: nu = 3, weights (1, 1) gives 3/4, not 1/2."""
    weights_XA = torch.ones(1, 2, dtype=torch.float64)
    exponent = 1 / (2 - 3.0)
    papers = (2 - (weights_XA**exponent).sum() ** (1 / exponent)).item() / (3 - 1)

    stationary = risks(torch.zeros(1, 2, dtype=torch.float64), weights_XA, 3.0).item()
    approached = risks(torch.tensor([[30.0, 0.0]], dtype=torch.float64), weights_XA, 3.0).item()

    assert papers == stationary == 0.75
    assert approached == pytest.approx(0.5)
    assert least_conditional_risk(weights_XA, 3.0).tolist() == [0.5]


@patient
@given(SEEDS, st.sampled_from([1 - 1e-6, 1 + 1e-6, 2 - 1e-6]))
def test_the_least_risk_is_continuous_in_nu_where_its_formula_changes(seed, nu):
    weights_XA = random_weights(seed)

    torch.testing.assert_close(
        least_conditional_risk(weights_XA, nu),
        least_conditional_risk(weights_XA, float(round(nu))),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("nu", NUS)
def test_weights_of_0_neither_cost_nor_attract(nu):
    weights_XA = torch.tensor([[0.0, 2.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)

    assert least_conditional_risk(weights_XA, nu).tolist() == pytest.approx([0, 0], abs=1e-12)
    target_XA = conditional_minimizer(weights_XA, nu)
    torch.testing.assert_close(
        target_XA, torch.tensor([[0.0, 1.0, 0.0], [1 / 3] * 3], dtype=torch.float64)
    )


@patient
@given(SEEDS, AGENTS, FAMILY, st.sampled_from(["sum", "max", "one"]))
def test_the_consistency_bound_holds_on_every_finite_problem(seed, agents, nu, kappa):
    """Theorem 4.4 of arXiv:2410.15729 with fixed agents, for every weight family."""
    problem = FiniteProblem(seed, agents)
    weights_XA = problem.mean_weights(kappa)
    risk_X = risks(problem.scores_XA, weights_XA, nu)

    excess = problem.mean(risk_X - least_conditional_risk(weights_XA, nu))

    regret = problem.mean(deferral_regret(problem.scores_XA, problem.mean_costs_XA))
    norm = problem.mean(weights_XA.sum(1))
    assert regret <= regret_bound(excess, weight_norm=norm, nu=nu, agents=agents) + 1e-9


@patient
@given(SEEDS, AGENTS, FAMILY)
def test_scores_of_least_risk_choose_as_the_bayes_rejector(seed, agents, nu):
    """Bayes-consistency: the surrogate's minimiser has no regret."""
    problem = FiniteProblem(seed, agents)

    target_XA = conditional_minimizer(problem.mean_weights("sum"), nu)

    assert deferral_regret(target_XA, problem.mean_costs_XA).max() < 1e-12


@patient
@given(SEEDS, FAMILY)
def test_a_rejector_blind_to_the_input_has_a_gap_and_the_bound_holds_with_it(seed, nu):
    problem = FiniteProblem(seed, 3)
    weights_XA = problem.mean_weights("sum")
    mean_1A = (problem.inputs_X.unsqueeze(1) * weights_XA).sum(0, keepdim=True)
    least = least_conditional_risk(mean_1A, nu).item()
    blind_XA = problem.scores_XA[:1].expand(8, 3)

    gap = minimizability_gap(least, weights_XA, problem.inputs_X, nu=nu)

    assert gap >= -1e-12
    excess = problem.mean(risks(blind_XA, weights_XA, nu)) - least + gap
    regret = problem.mean(deferral_regret(blind_XA, problem.mean_costs_XA))
    norm = mean_1A.sum().item()
    assert regret <= regret_bound(excess, weight_norm=norm, nu=nu, agents=3) + 1e-9


def test_the_class_of_all_functions_has_no_gap():
    """A table of scores, one row for each input, trained on outcomes as they occur."""
    problem = FiniteProblem(1, 3)
    chances_XO = problem.inputs_X.unsqueeze(1) * problem.chances_XO
    table_XA = torch.zeros(8, 3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([table_XA], max_iter=300, tolerance_change=1e-14)

    def risk():
        scores_NA = table_XA.repeat_interleave(5, dim=0)
        losses_N = two_stage_surrogate(scores_NA, problem.costs_XOA.flatten(0, 1))
        return (chances_XO.flatten() * losses_N).sum()

    def closure():
        optimizer.zero_grad()
        total = risk()
        total.backward()
        return total

    optimizer.step(closure)

    gap = minimizability_gap(risk().item(), problem.mean_weights("sum"), problem.inputs_X)
    assert gap == pytest.approx(0, abs=1e-6)
    assert deferral_regret(table_XA.detach(), problem.mean_costs_XA).max() == 0


def test_with_one_expert_of_constant_cost_the_gap_is_that_of_abstaining():
    """J = 1: the expected taus are (c, P(err|x)), whose entropy the class must follow."""
    error_X = torch.tensor([0.1, 0.6], dtype=torch.float64)
    taus_XA = torch.stack([torch.full_like(error_X, 0.3), error_X], dim=1)

    least_X = least_conditional_risk(taus_XA)

    shares_X = error_X / (0.3 + error_X)
    entropy_X = torch.special.entr(shares_X) + torch.special.entr(1 - shares_X)
    torch.testing.assert_close(least_X, (0.3 + error_X) * entropy_X)


def test_what_is_no_distribution_or_no_weights_is_refused():
    weights_XA = torch.ones(2, 2)

    with pytest.raises(DataError, match=r"add up to 1\.5"):
        minimizability_gap(1.0, weights_XA, torch.tensor([1.0, 0.5]))
    with pytest.raises(DataError, match="negative or not finite"):
        least_conditional_risk(-weights_XA)
    with pytest.raises(ConfigError, match="1 agents"):
        conditional_minimizer(weights_XA[:, :1])


@pytest.mark.parametrize("nu", [1 - 1e-7, 1 - 1e-5, 1 + 1e-6, 1 + 1e-4, 0.5, 1.0, 1.5, 2.0])
def test_the_least_risk_of_float32_weights_is_that_of_the_same_numbers_in_float64(nu):
    weights_XA = random_weights(3).float()

    found_X = least_conditional_risk(weights_XA, nu)

    assert found_X.dtype == torch.float32
    exact_X = least_conditional_risk(weights_XA.double(), nu)
    torch.testing.assert_close(found_X.double(), exact_X, rtol=1e-6, atol=0)
    near_X = least_conditional_risk(weights_XA.double(), 1.0)
    if abs(nu - 1) < 1e-3:
        torch.testing.assert_close(exact_X, near_X, rtol=1e-3, atol=0)
