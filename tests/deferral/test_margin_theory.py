"""What margins and weights promise over a population, and what constant costs do not.

Beside arXiv:2604.27723 (its abstract) and its authors' earlier claims; see ``NOTES.md``.

Letters: X inputs of a finite distribution, N examples, F features, A agents.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from minimising import minimise, random_costs, random_scores

from assistlearn.deferral.consistency import conditional_minimizer, least_conditional_risk
from assistlearn.deferral.imbalance import class_balanced
from assistlearn.deferral.mao import mao_2023
from assistlearn.deferral.margin_choice import theory_margins
from assistlearn.deferral.margins import mild_log, mild_ramp, score_margins
from assistlearn.deferral.two_stage import deferral_loss, two_stage_surrogate
from assistlearn.deferral.weights import cost_weights

patient = settings(max_examples=60, deadline=None)  # the first torch call may be slow
SEEDS = st.integers(0, 2**31)


def weighing(weights_XA):
    """Costs whose weights under ``"one"`` are these: a conditional problem written down."""
    return 1 - torch.as_tensor(weights_XA, dtype=torch.float64)


def excess_of(scores_XA, weights_XA):
    """Of the log loss with margins of 1, at each input."""
    margins = [1.0] * scores_XA.shape[1]
    losses_X = mild_log(scores_XA, weighing(weights_XA), margins=margins, weights="one")
    return losses_X - least_conditional_risk(weights_XA)


@patient
@given(SEEDS, st.integers(2, 5))
def test_the_log_losss_excess_is_weight_times_the_divergence_of_softmax_from_shares(seed, agents):
    """T5: dS = Q KL(q / Q || softmax r)."""
    weights_XA = 0.01 + 0.99 * random_costs(seed, examples=6, agents=agents)
    scores_XA = random_scores(seed, examples=6, agents=agents)

    excess_X = excess_of(scores_XA, weights_XA)

    sums_X = weights_XA.sum(1)
    shares_XA = weights_XA / sums_X.unsqueeze(1)
    divergence_X = (shares_XA * (shares_XA.log() - scores_XA.log_softmax(1))).sum(1)
    torch.testing.assert_close(excess_X, sums_X * divergence_X, atol=1e-9, rtol=1e-9)


@patient
@given(SEEDS, st.integers(2, 5), st.floats(0.01, 2))
def test_mean_regret_is_at_most_the_root_of_twice_the_largest_weight_times_the_mean_excess(
    seed, agents, spread
):
    """T5 over a population: E[regret] <= sqrt(2 sup Q E[dS])."""
    generator = torch.Generator().manual_seed(seed + 5)
    inputs_X = torch.randn(8, generator=generator, dtype=torch.float64).softmax(0)
    weights_XA = random_costs(seed, examples=8, agents=agents)
    scores_XA = spread * random_scores(seed, examples=8, agents=agents)

    mean_excess = inputs_X @ excess_of(scores_XA, weights_XA).clamp(min=0)

    costs_XA = weighing(weights_XA)
    regret = inputs_X @ (deferral_loss(scores_XA, costs_XA) - costs_XA.amin(1))
    assert regret <= (2 * weights_XA.sum(1).max() * mean_excess).sqrt() + 1e-9


def test_and_nearly_attained_by_tied_scores_where_two_agents_nearly_tie():
    """So no smaller constant would do."""
    weights_XA = torch.tensor([[0.475, 0.525]] * 3, dtype=torch.float64)
    tied_XA = torch.zeros(3, 2, dtype=torch.float64)  # agent 0 is chosen

    bound = (2 * weights_XA.sum(1).max() * excess_of(tied_XA, weights_XA).mean()).sqrt()

    costs_XA = weighing(weights_XA)
    regret = (deferral_loss(tied_XA, costs_XA) - costs_XA.amin(1)).mean()
    assert 0.999 < regret / bound < 1


NORM = 3.0  # Lambda: of each agent's vector of coefficients
DELTA = 0.05
POPULATION, SAMPLE = 60, 400_000


def population(seed):
    """Inputs of norm <= 1, and costs of three agents that inputs tell something about."""
    generator = torch.Generator().manual_seed(seed)
    inputs_XF = torch.randn(POPULATION, 3, generator=generator, dtype=torch.float64)
    inputs_XF = inputs_XF / inputs_XF.norm(dim=1, keepdim=True).clamp(min=1)
    hidden_FA = 3 * torch.randn(3, 3, generator=generator, dtype=torch.float64)
    noise_XA = torch.randn(POPULATION, 3, generator=generator, dtype=torch.float64)
    return inputs_XF, (inputs_XF @ hidden_FA + noise_XA).sigmoid(), generator


def margin_bound(counts_X, inputs_XF, costs_XA, weights_FA, margins):
    """Empirical, complexity and confidence term, for linear scores with norms <= NORM."""
    size = counts_X.sum()
    ramp = (counts_X * mild_ramp(inputs_XF @ weights_FA, costs_XA, margins=margins)).sum() / size
    squares_XA = (cost_weights(costs_XA) * inputs_XF.norm(dim=1, keepdim=True)).square()
    sizes_A = (counts_X.unsqueeze(1) * squares_XA).sum(0).sqrt()
    rho_A = torch.tensor(margins, dtype=torch.float64)
    complexity = 2 * len(margins) * NORM / size * (sizes_A / rho_A).sum()
    largest = cost_weights(costs_XA).sum(1).max()
    return ramp, complexity, 3 * largest * (math.log(2 / DELTA) / (2 * size)).sqrt()


@pytest.mark.parametrize("seed", range(3))
def test_the_margin_bound_holds_for_rejectors_fitted_on_the_sample_and_says_something(seed):
    """Mean weight missed <= ramp on the sample + 2 A Lambda sum_k s_k / (rho_k m) + confidence."""
    inputs_XF, costs_XA, generator = population(seed)
    weights_XA, margins = cost_weights(costs_XA), theory_margins(costs_XA)
    for _ in range(2):
        drawn = torch.randint(POPULATION, (SAMPLE,), generator=generator)
        counts_X = torch.bincount(drawn, minlength=POPULATION).double()
        weights_FA = minimise(
            lambda w, counts_X=counts_X: (
                counts_X @ mild_log(inputs_XF @ w, costs_XA, margins=margins) / SAMPLE
                + 1e-3 * w.square().sum()
            ),
            torch.zeros(3, 3),
            steps=30,
        )
        weights_FA = weights_FA * (NORM / weights_FA.norm(dim=0)).clamp(max=1)

        bound = sum(margin_bound(counts_X, inputs_XF, costs_XA, weights_FA, margins))

        missed_XA = torch.ones_like(costs_XA).scatter(
            1, (inputs_XF @ weights_FA).argmax(1, keepdim=True), 0.0
        )
        assert (weights_XA * missed_XA).sum(1).mean() <= bound
        assert bound < weights_XA.sum(1).mean()  # what a rejector misses that chooses nobody


@patient
@given(SEEDS, st.integers(0, 2), st.floats(1.01, 5))
def test_as_a_margin_grows_the_bounds_complexity_falls_and_its_empirical_term_does_not(
    seed, agent, factor
):
    inputs_XF, costs_XA, generator = population(seed)
    weights_FA = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    counts_X = torch.ones(POPULATION, dtype=torch.float64)
    margins = [0.5, 1.0, 2.0]
    larger = [rho * factor if k == agent else rho for k, rho in enumerate(margins)]

    ramp, complexity, confidence = margin_bound(counts_X, inputs_XF, costs_XA, weights_FA, margins)

    more_ramp, less_complexity, same = margin_bound(
        counts_X, inputs_XF, costs_XA, weights_FA, larger
    )
    assert more_ramp >= ramp - 1e-12
    assert less_complexity < complexity
    assert same == confidence


def test_weights_by_class_move_the_minimiser_off_the_likeliest_class_and_cost_weights_do_not():
    """IMMAX's claim about plain classification (arXiv:2502.10381), with oracle agents as classes.

    Agent 0 is the oracle of nine examples in ten, and at this input of six in ten.
    """
    costs_XA = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).double()
    chances_X = torch.tensor([0.6, 0.4]).double()
    counts_A = torch.tensor([900, 100])

    def minimiser(loss):
        scores_1A = minimise(
            lambda r: chances_X @ loss(r.expand(2, 2), costs_XA), torch.zeros(1, 2)
        )
        return scores_1A[0].softmax(0)

    reweighted = minimiser(lambda r, c: class_balanced(r, c, counts_A=counts_A))
    by_costs = minimiser(two_stage_surrogate)

    assert reweighted.argmax() == 1
    assert by_costs.tolist() == pytest.approx([0.6, 0.4], abs=1e-6)
    assert costs_XA.T @ chances_X == pytest.approx([0.4, 0.6])  # agent 0 is the better one


PRICES = (0.05, 0.1, 0.2)


def test_where_all_agents_are_right_the_sum_weight_is_the_others_prices_only():
    weights_1A = cost_weights(torch.tensor([PRICES]))

    assert weights_1A[0].tolist() == pytest.approx([0.3, 0.25, 0.15])


def test_where_all_agents_are_wrong_every_sum_weight_is_the_number_of_others_and_pulls_to_uniform():
    """The largest weights of all, and nothing to learn from."""
    weights_1A = cost_weights(torch.ones(1, 3))

    assert weights_1A.tolist() == [[2, 2, 2]]
    assert conditional_minimizer(weights_1A)[0].tolist() == pytest.approx([1 / 3] * 3)


def test_the_gap_weights_leave_out_where_all_are_wrong_and_keep_the_prices_apart():
    weights_2A = cost_weights(torch.tensor([[1.0, 1.0, 1.0], PRICES]), "max")

    assert weights_2A[0].tolist() == [0, 0, 0]
    assert weights_2A[1].tolist() == pytest.approx([0.15, 0.1, 0])


def line_fit(points, costs_XA):
    """Scores of the linear rejector with the least 2023 surrogate; convex, so a global minimum."""
    inputs_XF = torch.tensor([[1.0, point] for point in points]).double()
    weights_FA = minimise(
        lambda w: mao_2023(inputs_XF @ w, costs_XA).mean() + 1e-9 * w.square().sum(),
        torch.zeros(2, costs_XA.shape[1]),
    )
    return inputs_XF @ weights_FA


@pytest.mark.parametrize("prices", [(0.1,), (0.3, 0.05), (0.9, 0.5, 0.2)])
def test_with_experts_of_constant_price_a_free_rule_is_found_where_it_is_never_to_defer(prices):
    """Realizable with all prices > 0: the main model is always right, and keeps everything."""
    costs_XA = torch.tensor([[0.0, *prices]] * 3).double()

    scores_XA = line_fit((-3.0, -1.0, 1.0), costs_XA)

    assert deferral_loss(scores_XA, costs_XA).sum() == 0
    assert (score_margins(scores_XA)[:, 0] > 0.02).all()


def test_with_a_free_expert_the_2023_surrogate_misses_a_free_rule_on_three_points():
    """Against realizable consistency for constant costs, which NeurIPS 2023's abstract claims.

    At -1, 0 and 1 the main model is wrong, right, wrong; the expert costs nothing, so that always
    deferring is free. Many examples at 0 are content with a tie, and the more at 1 tilt the line.
    """
    points = (-1.0, *[0.0] * 15, *[1.0] * 4)
    costs_XA = torch.tensor([[1.0, 0], *[[0.0, 0]] * 15, *[[1.0, 0]] * 4]).double()

    scores_XA = line_fit(points, costs_XA)

    losses_X = deferral_loss(scores_XA, costs_XA)
    assert losses_X[0] == 1
    assert scores_XA[0, 0] > scores_XA[0, 1] + 0.5
    assert losses_X[1:].sum() == 0


@pytest.mark.parametrize(("kappa", "price_paid"), [("one", True), ("max", False)])
def test_with_one_priced_expert_max_weights_part_what_weights_1_minus_c_do_not(kappa, price_paid):
    """Main model right at -3 and -1, wrong at 1, each price .3: a line parts them."""
    inputs_XF = torch.tensor([[1.0, -3.0], [1.0, -1.0], [1.0, 1.0]]).double()
    costs_XA = torch.tensor([[0.0, 0.3], [0.0, 0.3], [1.0, 0.3]]).double()

    weights_FA = minimise(
        lambda w: (
            two_stage_surrogate(inputs_XF @ w, costs_XA, weights=kappa).mean()
            + 1e-7 * w.square().sum()
        ),
        torch.zeros(2, 2),
    )

    losses_X = deferral_loss(inputs_XF @ weights_FA, costs_XA)
    assert losses_X.tolist() == pytest.approx([0, 0.3 if price_paid else 0, 0.3])
