"""MILD's reconstruction: what its margin losses bound, order and leave unchanged."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from minimising import minimise, random_costs, random_scores

from assistlearn.deferral.consistency import least_conditional_risk
from assistlearn.deferral.margins import mild_hinge, mild_log, mild_ramp, score_margins
from assistlearn.deferral.two_stage import deferral_loss, two_stage_surrogate
from assistlearn.deferral.weights import cost_weights
from assistlearn.errors import ConfigError, DataError

SEEDS = st.integers(0, 2**31)
KAPPAS = ["sum", "max", "one"]
LOSSES = [mild_log, mild_hinge, mild_ramp]


def random_margins(seed, agents):
    generator = torch.Generator().manual_seed(seed + 2)
    return (0.3 + 3 * torch.rand(agents, generator=generator, dtype=torch.float64)).tolist()


def case(seed, *, agents, examples=4):
    return (
        random_scores(seed, examples=examples, agents=agents),
        random_costs(seed, examples=examples, agents=agents),
        random_margins(seed, agents),
    )


def weighing(weights_BA):
    """Costs whose weights under ``"one"`` are these: a conditional problem written down."""
    return 1 - torch.as_tensor(weights_BA, dtype=torch.float64)


def term(kind, scores, margin, agent):
    """One agent's loss, by the definition and with floats."""
    rivals = [score for other, score in enumerate(scores) if other != agent]
    if kind is mild_log:
        return math.log1p(sum(math.exp((rival - scores[agent]) / margin) for rival in rivals))
    hinge = max(0.0, 1 - (scores[agent] - max(rivals)) / margin)
    return hinge if kind is mild_hinge else min(1.0, hinge)


@given(SEEDS, st.integers(2, 5), st.sampled_from(LOSSES), st.sampled_from(KAPPAS))
def test_every_loss_is_what_a_loop_over_examples_and_agents_adds_up(seed, agents, kind, kappa):
    scores_BA, costs_BA, margins = case(seed, agents=agents)

    losses_B = kind(scores_BA, costs_BA, margins=margins, weights=kappa)

    for loss, scores, costs in zip(losses_B, scores_BA.tolist(), costs_BA.tolist(), strict=True):
        top = {"sum": sum(costs), "max": max(costs), "one": 1.0}[kappa]
        expected = sum((top - costs[k]) * term(kind, scores, margins[k], k) for k in range(agents))
        assert loss.item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(SEEDS, st.integers(2, 6), st.sampled_from(KAPPAS))
def test_margins_of_1_make_the_log_loss_the_weighted_cross_entropy(seed, agents, kappa):
    scores_BA, costs_BA, _ = case(seed, agents=agents)

    losses_B = mild_log(scores_BA, costs_BA, margins=[1.0] * agents, weights=kappa)

    torch.testing.assert_close(
        losses_B, two_stage_surrogate(scores_BA, costs_BA, nu=1.0, weights=kappa)
    )


@given(SEEDS, st.sampled_from(LOSSES))
def test_two_agents_and_sum_weights_swap_the_costs(seed, kind):
    """T8: c_2 * loss of (r_1 - r_2) + c_1 * loss of (r_2 - r_1)."""
    scores_BA, costs_BA, _ = case(seed, agents=2)

    losses_B = kind(scores_BA, costs_BA, margins=[1.0, 1.0])

    lead_B = scores_BA[:, 0] - scores_BA[:, 1]
    phi = {
        mild_log: lambda t: torch.log1p(torch.exp(-t)),
        mild_hinge: lambda t: (1 - t).clamp(min=0),
        mild_ramp: lambda t: (1 - t).clamp(min=0, max=1),
    }[kind]
    torch.testing.assert_close(
        losses_B, costs_BA[:, 1] * phi(lead_B) + costs_BA[:, 0] * phi(-lead_B)
    )


@given(SEEDS, st.integers(2, 6), st.sampled_from(KAPPAS))
def test_the_true_loss_is_a_weighted_0_1_loss_up_to_what_no_rejector_changes(seed, agents, kappa):
    """T1: sum_k c_k 1[k chosen] = sum_k w_k 1[k not chosen] + a - sum_k w_k, for each shift a."""
    scores_BA, costs_BA, _ = case(seed, agents=agents)
    shift_B = {"sum": costs_BA.sum(1), "max": costs_BA.amax(1), "one": torch.ones(4).double()}[
        kappa
    ]
    weights_BA = cost_weights(costs_BA, kappa)
    missed_BA = torch.ones_like(scores_BA).scatter(1, scores_BA.argmax(1, keepdim=True), 0.0)

    rebuilt_B = (weights_BA * missed_BA).sum(1) + shift_B - weights_BA.sum(1)

    torch.testing.assert_close(rebuilt_B, deferral_loss(scores_BA, costs_BA))


@given(SEEDS, st.integers(2, 6), st.sampled_from(KAPPAS))
def test_miss_is_below_ramp_is_below_hinge_and_below_log_in_bits(seed, agents, kappa):
    """T2. In nats the log loss would not bound the ramp."""
    scores_BA, costs_BA, margins = case(seed, agents=agents)
    missed_BA = torch.ones_like(scores_BA).scatter(1, scores_BA.argmax(1, keepdim=True), 0.0)

    ramp_B = mild_ramp(scores_BA, costs_BA, margins=margins, weights=kappa)

    miss_B = (cost_weights(costs_BA, kappa) * missed_BA).sum(1)
    log_B = mild_log(scores_BA, costs_BA, margins=margins, weights=kappa) / math.log(2)
    hinge_B = mild_hinge(scores_BA, costs_BA, margins=margins, weights=kappa)
    assert (miss_B <= ramp_B + 1e-9).all()
    assert (ramp_B <= log_B + 1e-9).all()
    assert (ramp_B <= hinge_B + 1e-9).all()


def test_in_nats_the_log_loss_does_not_bound_the_ramp():
    tied_BA = torch.zeros(1, 2)
    costs_BA = torch.tensor([[0.0, 1.0]])

    assert mild_log(tied_BA, costs_BA, margins=[1, 1]) < mild_ramp(
        tied_BA, costs_BA, margins=[1, 1]
    )


@pytest.mark.parametrize("agents", [2, 3, 5])
def test_with_unequal_margins_the_plain_log_loss_orders_agents_by_weight_over_margin(agents):
    """T3: so it does not choose as Bayes does, and no amount of data mends that."""
    weights_BA = 0.05 + 0.95 * random_costs(agents, examples=60, agents=agents)
    margins_A = torch.tensor(random_margins(agents, agents), dtype=torch.float64)

    scores_BA = minimise(
        lambda r: mild_log(
            r, weighing(weights_BA), margins=margins_A.tolist(), weights="one"
        ).sum(),
        torch.zeros(60, agents),
    )

    assert (scores_BA.argmax(1) == (weights_BA / margins_A).argmax(1)).all()
    order_BA = (weights_BA / margins_A).argsort(1)
    assert (scores_BA.gather(1, order_BA).diff(dim=1) > -1e-5).all()
    assert (scores_BA.argmax(1) != weights_BA.argmax(1)).any()


@pytest.mark.parametrize("agents", [2, 3, 5])
def test_with_unequal_margins_the_normalised_log_loss_orders_agents_by_weight(agents):
    """T3b: Bayes-consistent for every rho."""
    weights_BA = 0.05 + 0.95 * random_costs(agents, examples=60, agents=agents)
    margins = random_margins(agents, agents)

    scores_BA = minimise(
        lambda r: mild_log(
            r, weighing(weights_BA), margins=margins, weights="one", normalise=True
        ).sum(),
        torch.zeros(60, agents),
    )

    order_BA = weights_BA.argsort(1)
    assert (scores_BA.gather(1, order_BA).diff(dim=1) > -1e-5).all()


@pytest.mark.parametrize("kind", [mild_log, mild_hinge])
@pytest.mark.parametrize(("share", "chosen"), [(0.66, 1), (0.6733, 0)])
def test_two_agents_switch_where_their_weights_are_as_their_margins(kind, share, chosen):
    """T3: with rho = (2, 1) at q_1 = 2/3 instead of 1/2."""
    costs_BA = weighing([[share, 1 - share]])

    scores_BA = minimise(
        lambda r: (
            kind(r, costs_BA, margins=[2.0, 1.0], weights="one").sum() + 1e-6 * r.square().sum()
        ),
        torch.zeros(1, 2),
    )

    assert scores_BA.argmax().item() == chosen


@pytest.mark.parametrize("kind", [mild_log, mild_hinge])
@pytest.mark.parametrize(("share", "chosen"), [(0.49, 1), (0.51, 0)])
def test_normalised_two_agents_switch_at_equal_weights_whatever_the_margins(kind, share, chosen):
    costs_BA = weighing([[share, 1 - share]])

    scores_BA = minimise(
        lambda r: (
            kind(r, costs_BA, margins=[2.0, 1.0], weights="one", normalise=True).sum()
            + 1e-6 * r.square().sum()
        ),
        torch.zeros(1, 2),
    )

    assert scores_BA.argmax().item() == chosen


@pytest.mark.parametrize("margin", [0.5, 1.0, 3.0])
def test_with_equal_margins_the_softmax_of_scores_over_margin_is_the_share_of_weight(margin):
    """T4: Bayes-consistent, and its scores mean something."""
    weights_BA = 0.05 + 0.95 * random_costs(3, examples=40, agents=4)

    scores_BA = minimise(
        lambda r: mild_log(r, weighing(weights_BA), margins=[margin] * 4, weights="one").sum(),
        torch.zeros(40, 4),
    )

    shares_BA = weights_BA / weights_BA.sum(1, keepdim=True)
    torch.testing.assert_close((scores_BA / margin).softmax(1), shares_BA, atol=1e-6, rtol=0)


@given(SEEDS, st.integers(2, 6))
def test_with_margins_of_1_regret_is_at_most_the_root_of_twice_weight_times_excess(seed, agents):
    """T5: max q - q_chosen <= sqrt(2 Q excess)."""
    scores_BA, costs_BA, _ = case(seed, agents=agents)
    scores_BA = scores_BA / 10  # where choices are wrong and excesses small
    weights_BA = cost_weights(costs_BA, "one")

    losses_B = mild_log(scores_BA, costs_BA, margins=[1.0] * agents, weights="one")

    excess_B = (losses_B - least_conditional_risk(weights_BA)).clamp(min=0)
    chosen_B1 = scores_BA.argmax(1, keepdim=True)
    regret_B = weights_BA.amax(1) - weights_BA.gather(1, chosen_B1).squeeze(1)
    assert (regret_B <= (2 * weights_BA.sum(1) * excess_B).sqrt() + 1e-7).all()


@given(SEEDS, st.integers(2, 6), st.floats(0.01, 30))
def test_regret_is_at_most_the_ramps_excess_whatever_the_margins(seed, agents, spread):
    """T7: H-consistency of the ramp with the identity as transform, all functions allowed."""
    scores_BA, costs_BA, margins = case(seed, agents=agents)
    scores_BA = scores_BA * spread
    weights_BA = cost_weights(costs_BA, "one")

    ramp_B = mild_ramp(scores_BA, costs_BA, margins=margins, weights="one")

    least_B = weights_BA.sum(1) - weights_BA.amax(1)
    regret_B = deferral_loss(scores_BA, costs_BA) - costs_BA.amin(1)
    assert (regret_B <= ramp_B - least_B + 1e-9).all()


@given(SEEDS, st.integers(2, 6))
def test_the_ramps_least_value_is_all_weight_but_the_largest(seed, agents):
    """T7: attained where the Bayes agent leads by its margin."""
    _, costs_BA, margins = case(seed, agents=agents)
    leading_BA = torch.zeros_like(costs_BA).scatter(1, costs_BA.argmin(1, keepdim=True), 10.0)

    losses_B = mild_ramp(leading_BA, costs_BA, margins=margins, weights="one")

    weights_BA = cost_weights(costs_BA, "one")
    torch.testing.assert_close(losses_B, weights_BA.sum(1) - weights_BA.amax(1))


@given(SEEDS, st.floats(0.1, 20))
def test_with_three_agents_and_none_with_half_the_weight_the_hinge_prefers_a_tie(seed, spread):
    """Which is why it is Bayes-consistent for two agents only."""
    costs_BA = weighing([[0.40, 0.35, 0.25]])
    scores_BA = spread * random_scores(seed, examples=1, agents=3)

    away = mild_hinge(scores_BA, costs_BA, margins=[1.0] * 3, weights="one")

    tied = mild_hinge(torch.zeros(1, 3).double(), costs_BA, margins=[1.0] * 3, weights="one")
    assert away >= tied - 1e-9
    assert tied.item() == pytest.approx(1.0)


@given(SEEDS, st.sampled_from(LOSSES), st.floats(0.1, 10))
def test_scores_and_margins_in_another_unit_change_nothing(seed, kind, unit):
    """T9."""
    scores_BA, costs_BA, margins = case(seed, agents=4)

    losses_B = kind(unit * scores_BA, costs_BA, margins=[unit * margin for margin in margins])

    torch.testing.assert_close(losses_B, kind(scores_BA, costs_BA, margins=margins))


@given(SEEDS, st.sampled_from(LOSSES), st.permutations(range(4)))
def test_renumbering_agents_with_their_margins_changes_nothing(seed, kind, order):
    """T9."""
    scores_BA, costs_BA, margins = case(seed, agents=4)

    losses_B = kind(
        scores_BA[:, order], costs_BA[:, order], margins=[margins[agent] for agent in order]
    )

    torch.testing.assert_close(losses_B, kind(scores_BA, costs_BA, margins=margins))


@given(SEEDS, st.integers(0, 3), st.floats(1, 5))
def test_a_larger_margin_never_lowers_the_ramp(seed, agent, factor):
    """The empirical term of the margin bound; its complexity term falls instead."""
    scores_BA, costs_BA, margins = case(seed, agents=4)
    larger = [m * factor if k == agent else m for k, m in enumerate(margins)]

    losses_B = mild_ramp(scores_BA, costs_BA, margins=larger)

    assert (losses_B >= mild_ramp(scores_BA, costs_BA, margins=margins) - 1e-12).all()


@given(SEEDS, st.sampled_from([mild_log, mild_hinge]), st.floats(0, 1), st.booleans())
def test_log_and_hinge_are_convex_in_the_scores(seed, kind, share, normalise):
    scores_BA, costs_BA, margins = case(seed, agents=4)
    other_BA = random_scores(seed + 7, examples=4, agents=4)

    def loss(r):
        return kind(r, costs_BA, margins=margins, normalise=normalise)

    between_B = loss(share * scores_BA + (1 - share) * other_BA)
    assert (between_B <= share * loss(scores_BA) + (1 - share) * loss(other_BA) + 1e-9).all()


@given(SEEDS, st.integers(2, 5))
def test_a_score_margin_is_the_lead_over_the_best_rival(seed, agents):
    scores_BA = random_scores(seed, examples=4, agents=agents).round()  # so that some tie

    margins_BA = score_margins(scores_BA)

    for margins, scores in zip(margins_BA.tolist(), scores_BA.tolist(), strict=True):
        for k, margin in enumerate(margins):
            assert margin == scores[k] - max(scores[:k] + scores[k + 1 :])


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("kind", LOSSES)
def test_gradients_agree_with_finite_differences(kind, normalise):
    scores_BA, costs_BA, margins = case(11, agents=4, examples=3)
    switch = {} if kind is mild_ramp else {"normalise": normalise}

    assert torch.autograd.gradcheck(
        lambda r: kind(r, costs_BA, margins=margins, **switch), scores_BA.requires_grad_()
    )


@pytest.mark.parametrize("kind", LOSSES)
def test_costs_are_constants_to_the_gradient(kind):
    scores_BA, costs_BA, margins = case(3, agents=3)
    costs_BA.requires_grad_()

    kind(scores_BA.requires_grad_(), costs_BA, margins=margins).sum().backward()

    assert costs_BA.grad is None
    assert scores_BA.grad.isfinite().all()


@pytest.mark.parametrize("kind", LOSSES)
def test_max_weights_ignore_examples_on_which_all_agents_cost_the_same(kind):
    scores_BA = random_scores(1, examples=3, agents=3)

    same_B = kind(scores_BA, torch.full((3, 3), 0.7), margins=[1, 2, 3], weights="max")

    assert same_B.tolist() == [0, 0, 0]


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize(
    "margins", [[1.0], [1.0, 0.0], [1.0, -2.0], [1.0, math.inf], [math.nan, 1]]
)
def test_margins_that_are_not_one_positive_number_for_each_agent_are_refused(kind, margins):
    with pytest.raises(ConfigError, match="margins"):
        kind(torch.zeros(1, 2), torch.ones(1, 2), margins=margins)


@pytest.mark.parametrize("kind", LOSSES)
def test_costs_above_1_are_refused_by_accuracy_weights_only(kind):
    costs_BA = torch.tensor([[0.2, 1.5]])

    assert kind(torch.zeros(1, 2), costs_BA, margins=[1, 1], weights="max").isfinite().all()
    with pytest.raises(DataError, match=r"1\.5"):
        kind(torch.zeros(1, 2), costs_BA, margins=[1, 1], weights="one")
