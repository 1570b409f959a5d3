"""One-stage losses against their papers' formulas, and what their scores mean."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from minimising import minimise, random_costs, random_scores

from assistlearn.deferral.log_mass import log_mass
from assistlearn.deferral.one_stage import (
    action_costs,
    one_stage_cross_entropy,
    one_stage_one_vs_all,
    one_stage_realizable,
    one_vs_all,
)
from assistlearn.deferral.two_stage import deferral_loss
from assistlearn.errors import DataError

SEEDS = st.integers(0, 2**31)
LOSSES = [one_stage_cross_entropy, one_stage_one_vs_all, one_stage_realizable]


def case(seed, *, classes=3, experts=2, examples=4, whole=False):
    scores_BN = random_scores(seed, examples=examples, agents=classes + experts)
    labels_B = torch.randint(classes, (examples,), generator=torch.Generator().manual_seed(seed))
    costs_BJ = random_costs(seed, examples=examples, agents=experts)
    return scores_BN, labels_B, costs_BJ.round() if whole else costs_BJ


def softmax(scores):
    total = sum(math.exp(score) for score in scores)
    return [math.exp(score) / total for score in scores]


def rows(scores_BN, labels_B, costs_BJ):
    return zip(scores_BN.tolist(), labels_B.tolist(), costs_BJ.tolist(), strict=True)


@given(SEEDS, st.integers(1, 4), st.integers(1, 3))
def test_cross_entropy_is_the_papers_sum_over_the_label_and_the_right_experts(
    seed, classes, experts
):
    scores_BN, labels_B, costs_BJ = case(seed, classes=classes, experts=experts, whole=True)

    losses_B = one_stage_cross_entropy(scores_BN, labels_B, costs_BJ)

    for loss, (scores, label, costs) in zip(
        losses_B, rows(scores_BN, labels_B, costs_BJ), strict=True
    ):
        p = softmax(scores)
        expected = -math.log(p[label])
        for expert, cost in enumerate(costs):
            if cost == 0:
                expected -= math.log(p[classes + expert])
        assert loss.item() == pytest.approx(expected)


@given(SEEDS, st.integers(1, 4), st.integers(1, 3))
def test_one_vs_all_is_the_papers_sum_of_logistic_losses(seed, classes, experts):
    scores_BN, labels_B, costs_BJ = case(seed, classes=classes, experts=experts)

    losses_B = one_stage_one_vs_all(scores_BN, labels_B, costs_BJ)

    def psi(score):
        return math.log1p(math.exp(-score))

    for loss, (scores, label, costs) in zip(
        losses_B, rows(scores_BN, labels_B, costs_BJ), strict=True
    ):
        expected = sum(psi(s if k == label else -s) for k, s in enumerate(scores[:classes]))
        for score, cost in zip(scores[classes:], costs, strict=True):
            expected += psi(-score) + (1 - cost) * (psi(score) - psi(-score))
        assert loss.item() == pytest.approx(expected)


@given(SEEDS)
def test_with_one_expert_and_psi_minus_log_the_realizable_family_is_mozannars_surrogate(seed):
    """-log of (e^h_y + 1[expert right] e^h_defer) over the sum of all."""
    scores_BN, labels_B, costs_BJ = case(seed, experts=1, whole=True)

    losses_B = one_stage_realizable(scores_BN, labels_B, costs_BJ)

    for loss, (scores, label, (cost,)) in zip(
        losses_B, rows(scores_BN, labels_B, costs_BJ), strict=True
    ):
        numerator = math.exp(scores[label]) + (cost == 0) * math.exp(scores[-1])
        assert loss.item() == pytest.approx(
            -math.log(numerator / sum(math.exp(score) for score in scores)), abs=1e-9
        )


@pytest.mark.parametrize("nu", [1.0, 1.3, 1.7, 2.0])
def test_with_one_expert_of_any_cost_it_is_the_family_of_maos_paper(nu):
    """c Psi(p_y) + (1 - c) Psi(p_y + p_defer), with Psi(t) = (1 - t^q) / q and q = nu - 1."""
    scores_BN, labels_B, costs_BJ = case(5, experts=1, examples=30)

    losses_B = one_stage_realizable(scores_BN, labels_B, costs_BJ, nu=nu)

    def psi(mass):
        return -math.log(mass) if nu == 1 else (1 - mass ** (nu - 1)) / (nu - 1)

    for loss, (scores, label, (cost,)) in zip(
        losses_B, rows(scores_BN, labels_B, costs_BJ), strict=True
    ):
        p = softmax(scores)
        assert loss.item() == pytest.approx(
            cost * psi(p[label]) + (1 - cost) * psi(p[label] + p[-1])
        )


@given(SEEDS, st.integers(1, 3))
def test_with_costs_0_and_1_the_realizable_surrogate_is_log_mass_on_actions(seed, experts):
    scores_BN, labels_B, costs_BJ = case(seed, experts=experts, whole=True)

    losses_B = one_stage_realizable(scores_BN, labels_B, costs_BJ)

    costs_BN = action_costs(labels_B, costs_BJ, classes=3)
    torch.testing.assert_close(losses_B, log_mass(scores_BN, costs_BN))


@given(SEEDS, st.integers(1, 3))
def test_twice_the_realizable_surrogate_in_bits_bounds_the_system_error_of_one_expert(
    seed, experts
):
    """The factor 2 of Mozannar et al.: an action may lose to two good ones of 2/3 together.

    With J experts, good actions may hold (J + 1) / (J + 2) and the factor has to be larger.
    """
    scores_BN, labels_B, costs_BJ = case(seed, experts=experts, whole=True)
    error_B = deferral_loss(scores_BN, action_costs(labels_B, costs_BJ, classes=3))

    losses_B = one_stage_realizable(scores_BN, labels_B, costs_BJ)

    assert (losses_B / math.log((experts + 2) / (experts + 1)) >= error_B - 1e-9).all()
    if experts == 1:
        assert (2 * losses_B / math.log(2) >= error_B).all()


def test_once_in_bits_it_does_not_bound_it():
    scores_BN = torch.tensor([[0.3, 0.4, 0.3]]).log()  # two classes, the second wrong; an expert

    loss = one_stage_realizable(scores_BN, torch.tensor([0]), torch.tensor([[0.0]]))

    assert loss / math.log(2) < 0.75


def test_the_right_class_costs_nothing_a_wrong_one_1_and_an_expert_its_cost():
    labels_B = torch.tensor([1, 0])

    costs_BN = action_costs(labels_B, torch.tensor([[0.25, 1.0], [0.0, 0.5]]), classes=3)

    assert costs_BN.tolist() == [[1, 0, 1, 0.25, 1], [0, 1, 1, 0, 0.5]]


def problem():
    """P(y) = (.5, .3, .2); expert 1 is right with .6, expert 2 with .4, given anything."""
    outcomes = [
        (p_y * (0.6 if m1 else 0.4) * (0.4 if m2 else 0.6), y, 1.0 - m1, 1.0 - m2)
        for y, p_y in enumerate((0.5, 0.3, 0.2))
        for m1 in (0, 1)
        for m2 in (0, 1)
    ]
    probabilities_X, labels_X, *costs = map(torch.tensor, zip(*outcomes, strict=True))
    return probabilities_X.double(), labels_X, torch.stack(costs, dim=1).double()


def population_scores(loss):
    probabilities_X, labels_X, costs_XJ = problem()
    scores_1N = minimise(
        lambda s: probabilities_X @ loss(s.expand(len(labels_X), 5), labels_X, costs_XJ),
        torch.zeros(1, 5),
    )
    return scores_1N[0]


def test_at_the_cross_entropys_minimum_the_softmax_is_probabilities_over_their_sum():
    """eta_k and a_j over 1 + sum a; a_j comes back as p_j / (1 - all defer shares)."""
    shares_N = population_scores(one_stage_cross_entropy).softmax(0)

    expected_N = torch.tensor([0.5, 0.3, 0.2, 0.6, 0.4]).double() / 2
    torch.testing.assert_close(shares_N, expected_N, atol=1e-6, rtol=0)
    rights_J = shares_N[3:] / (1 - shares_N[3:].sum())
    torch.testing.assert_close(rights_J, torch.tensor([0.6, 0.4]).double(), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("right", "cross_entropy_exceeds"), [(0.95, True), (0.6, False)])
def test_before_the_minimum_the_cross_entropys_estimate_of_an_expert_can_exceed_1(
    right, cross_entropy_exceeds
):
    """Why one-vs-all was proposed: its estimates are probabilities wherever training stops.

    Ten equal classes and one expert, trained with long steps that still converge: on its way the
    estimate p_j / (1 - p_j) of an expert who is nearly always right passes 1; a sigmoid cannot.
    """
    labels_X = torch.arange(10).repeat(2)
    wrong_XJ = torch.tensor([0.0, 1.0], dtype=torch.float64).repeat_interleave(10).unsqueeze(1)
    chances_X = torch.where(wrong_XJ[:, 0] == 0, right, 1 - right).double() / 10

    def estimates(loss, read):
        scores_1N = torch.zeros(1, 11, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.SGD([scores_1N], lr=3.0)
        found = []
        for _ in range(60):
            optimizer.zero_grad()
            (chances_X @ loss(scores_1N.expand(20, 11), labels_X, wrong_XJ)).backward()
            optimizer.step()
            found.append(read(scores_1N.detach()[0]))
        return found

    def ratio(scores_N):
        share = scores_N.softmax(0)[-1].item()
        return share / (1 - share)

    by_softmax = estimates(one_stage_cross_entropy, ratio)
    by_sigmoid = estimates(one_stage_one_vs_all, lambda s: s[-1].sigmoid().item())

    assert by_softmax[-1] == pytest.approx(right, abs=1e-3)
    assert by_sigmoid[-1] == pytest.approx(right, abs=1e-3)
    assert (max(by_softmax) > 1) is cross_entropy_exceeds
    assert max(by_sigmoid) < 1


def test_at_one_vs_alls_minimum_each_sigmoid_is_a_probability_of_being_right():
    rights_N = population_scores(one_stage_one_vs_all).sigmoid()

    expected_N = torch.tensor([0.5, 0.3, 0.2, 0.6, 0.4]).double()
    torch.testing.assert_close(rights_N, expected_N, atol=1e-6, rtol=0)


@pytest.mark.parametrize("loss", [one_stage_cross_entropy, one_stage_one_vs_all])
def test_the_minimiser_defers_to_the_expert_that_is_right_most_often(loss):
    """Bayes: defer iff a_j > max eta, to the best j. Here .6 > .5."""
    assert population_scores(loss).argmax().item() == 3


@pytest.mark.parametrize(
    ("nu", "chosen", "shares"), [(1.0, "a class", [0.4, 0.4, 0.2]), (2.0, "the expert", [0, 0, 1])]
)
def test_minus_log_is_not_bayes_consistent_with_one_expert_and_nu_2_is(nu, chosen, shares):
    """Two equal classes; the expert is right in 60 % of cases, whatever the class.

    Deferring errs in 40 %, either class in 50 %. -log gives a class twice the expert's share.
    """
    labels_X, wrong_XJ = torch.tensor([0, 1, 0, 1]), torch.tensor([[0.0], [0.0], [1.0], [1.0]])
    probabilities_X = torch.tensor([0.3, 0.3, 0.2, 0.2]).double()

    scores_1N = minimise(
        lambda s: (
            probabilities_X
            @ one_stage_realizable(s.expand(4, 3), labels_X, wrong_XJ.double(), nu=nu)
        ),
        torch.zeros(1, 3),
    )

    assert scores_1N.softmax(1)[0].tolist() == pytest.approx(shares, abs=1e-2)
    assert (scores_1N.argmax().item() == 2) is (chosen == "the expert")


def test_nor_is_minus_log_with_an_expert_that_always_says_the_likeliest_class():
    """P(y) = (.5, .4, .1), the expert says class 0: both share its .5, and class 1 leads."""
    labels_X, wrong_XJ = torch.tensor([0, 1, 2]), torch.tensor([[0.0], [1.0], [1.0]])
    probabilities_X = torch.tensor([0.5, 0.4, 0.1]).double()

    scores_1N = minimise(
        lambda s: (
            probabilities_X @ one_stage_realizable(s.expand(3, 4), labels_X, wrong_XJ.double())
        ),
        torch.zeros(1, 4),
    )

    shares_N = scores_1N.softmax(1)[0]
    assert shares_N.tolist() == pytest.approx([0.25, 0.4, 0.1, 0.25], abs=1e-4)


@given(SEEDS)
def test_two_stage_one_vs_all_is_one_logistic_regression_for_each_agent(seed):
    scores_BA, costs_BA = (
        random_scores(seed, examples=4, agents=3),
        random_costs(seed, examples=4, agents=3),
    )

    losses_B = one_vs_all(scores_BA, costs_BA)

    expected_BA = (
        -(1 - costs_BA) * scores_BA.sigmoid().log() - costs_BA * (-scores_BA).sigmoid().log()
    )
    torch.testing.assert_close(losses_B, expected_BA.sum(1))


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_agree_with_finite_differences(loss):
    scores_BN, labels_B, costs_BJ = case(2)

    assert torch.autograd.gradcheck(
        lambda s: loss(s, labels_B, costs_BJ), scores_BN.requires_grad_()
    )


@pytest.mark.parametrize("loss", LOSSES)
def test_labels_that_are_no_class_are_refused(loss):
    with pytest.raises(DataError, match="there are 3 class scores"):
        loss(torch.zeros(2, 5), torch.tensor([0, 3]), torch.zeros(2, 2))


@pytest.mark.parametrize("loss", LOSSES)
def test_labels_and_costs_of_different_length_are_refused(loss):
    with pytest.raises(DataError, match="the labels have shape"):
        loss(torch.zeros(2, 5), torch.tensor([0]), torch.zeros(2, 2))


@pytest.mark.parametrize("loss", [one_stage_cross_entropy, one_stage_one_vs_all])
def test_costs_above_1_are_refused_where_1_minus_cost_is_a_weight(loss):
    with pytest.raises(DataError, match=r"1\.2"):
        loss(torch.zeros(1, 4), torch.tensor([0]), torch.tensor([[1.2]]))
