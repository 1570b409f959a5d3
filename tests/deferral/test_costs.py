"""Agent costs against loops, and what prices, lambdas and bounds do to them."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from assistlearn.deferral.bayes import bayes_agents
from assistlearn.deferral.costs import (
    agent_costs,
    classification_costs,
    regression_costs,
    score_costs,
)
from assistlearn.errors import ConfigError, DataError

patient = settings(max_examples=60, deadline=None)  # the first torch call may be slow
SEEDS = st.integers(0, 2**31)


def answers(seed, *, examples=6, agents=3, classes=3):
    """Labels (B, A), classes (B,), values (B, A), right values (B,)."""
    generator = torch.Generator().manual_seed(seed)
    labels_BA = torch.randint(classes, (examples, agents), generator=generator)
    classes_B = torch.randint(classes, (examples,), generator=generator)
    values_BA = 2 * torch.randn(examples, agents, generator=generator, dtype=torch.float64)
    values_B = 2 * torch.randn(examples, generator=generator, dtype=torch.float64)
    return labels_BA, classes_B, values_BA, values_B


@patient
@given(SEEDS)
def test_a_wrong_class_costs_1_and_the_right_one_nothing(seed):
    labels_BA, targets_B, _, _ = answers(seed)

    costs = classification_costs(labels_BA, targets_B).tolist()

    for row, labels in enumerate(labels_BA.tolist()):
        for agent, label in enumerate(labels):
            assert costs[row][agent] == (label != targets_B[row].item())


def naive_error(gap, error):
    if error == "squared":
        return gap * gap
    if error == "smooth_l1" and abs(gap) < 1:
        return 0.5 * gap * gap
    return abs(gap) - (0.5 if error == "smooth_l1" else 0.0)


@patient
@given(
    SEEDS,
    st.sampled_from(["smooth_l1", "squared", "absolute"]),
    st.one_of(st.none(), st.floats(0.1, 5)),
)
def test_regression_errors_are_what_a_loop_finds_clamped_or_not(seed, error, clamp):
    _, _, values_BA, targets_B = answers(seed)

    costs = regression_costs(values_BA, targets_B, error, clamp=clamp).tolist()

    for row, values in enumerate(values_BA.tolist()):
        for agent, value in enumerate(values):
            expected = naive_error(value - targets_B[row].item(), error)
            bounded = expected if clamp is None else min(expected, clamp)
            assert costs[row][agent] == pytest.approx(bounded, abs=1e-12)


def test_a_joint_score_becomes_the_cost_of_what_it_lacks():
    """Detection by average precision: higher is better, so it must be turned round."""
    precision_BA = torch.tensor([[0.395, 0.43, 0.528], [1.0, 0.0, 0.5]])

    costs_BA = score_costs(precision_BA)

    torch.testing.assert_close(costs_BA, torch.tensor([[0.605, 0.57, 0.472], [0.0, 1.0, 0.5]]))


@patient
@given(SEEDS, st.floats(0, 2), st.floats(0, 2), st.floats(0, 1), st.floats(0, 1))
def test_joint_costs_are_weighted_errors_plus_prices_looped_over(seed, cla, reg, price_1, price_2):
    labels_BA, classes_B, values_BA, values_B = answers(seed)
    wrong_BA = classification_costs(labels_BA, classes_B).double()
    gaps_BA = regression_costs(values_BA, values_B, clamp=5.0)

    costs = agent_costs(
        [wrong_BA, gaps_BA], lambdas_T=[cla, reg], prices_A=[0.0, price_1, price_2]
    ).tolist()

    for row in range(len(costs)):
        for agent, price in enumerate([0.0, price_1, price_2]):
            wrong = labels_BA[row, agent].item() != classes_B[row].item()
            error = min(
                5.0, naive_error((values_BA[row, agent] - values_B[row]).item(), "smooth_l1")
            )
            assert costs[row][agent] == pytest.approx(cla * wrong + reg * error + price, abs=1e-9)


@patient
@given(SEEDS)
def test_without_lambdas_or_prices_all_tasks_count_alike_and_asking_is_free(seed):
    labels_BA, classes_B, values_BA, values_B = answers(seed)
    wrong_BA = classification_costs(labels_BA, classes_B).double()
    gaps_BA = regression_costs(values_BA, values_B)

    torch.testing.assert_close(agent_costs([wrong_BA, gaps_BA]), wrong_BA + gaps_BA)
    torch.testing.assert_close(agent_costs([wrong_BA]), wrong_BA)


@patient
@given(SEEDS)
def test_a_lambda_of_0_leaves_the_rejector_of_the_other_task_alone(seed):
    """Class-only and regression-only deferral are the two ends of the joint cost."""
    labels_BA, classes_B, values_BA, values_B = answers(seed)
    wrong_BA = classification_costs(labels_BA, classes_B).double()
    gaps_BA = regression_costs(values_BA, values_B)

    class_only_BA = agent_costs([wrong_BA, gaps_BA], lambdas_T=[1.0, 0.0])
    value_only_BA = agent_costs([wrong_BA, gaps_BA], lambdas_T=[0.0, 1.0])

    torch.testing.assert_close(class_only_BA, wrong_BA)
    torch.testing.assert_close(value_only_BA, gaps_BA)
    assert bayes_agents(value_only_BA).tolist() == gaps_BA.argmin(1).tolist()


def test_prices_may_differ_by_example_as_those_of_long_questions_do():
    errors_BA = torch.zeros(2, 2)
    prices_BA = torch.tensor([[0.0, 0.1], [0.0, 0.7]])

    torch.testing.assert_close(agent_costs([errors_BA], prices_A=prices_BA), prices_BA)


def test_no_gradient_flows_back_to_the_agents():
    values_BA = torch.randn(4, 3, requires_grad=True)
    quality_BA = torch.rand(4, 3, requires_grad=True)

    errors_BA = regression_costs(values_BA, torch.randn(4))

    assert not errors_BA.requires_grad
    assert not agent_costs([errors_BA, score_costs(quality_BA)]).requires_grad


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: classification_costs(torch.zeros(3), torch.zeros(3)), r"shape \(3,\)"),
        (lambda: classification_costs(torch.zeros(3, 2), torch.zeros(2)), r"targets \(2,\)"),
        (lambda: regression_costs(torch.zeros(3, 2), torch.zeros(3, 1)), r"targets \(3, 1\)"),
        (lambda: regression_costs(torch.full((1, 2), math.nan), torch.zeros(1)), "not finite"),
        (lambda: score_costs(torch.tensor([[0.5, 1.5]])), "not from 0 to 1"),
        (lambda: score_costs(torch.tensor([[0.5, math.nan]])), "not from 0 to 1"),
        (lambda: agent_costs([torch.zeros(3, 2), torch.zeros(1, 2)]), r"must have \(3, 2\)"),
        (lambda: agent_costs([torch.tensor([[0.0, -1.0]])]), "a cost is -1"),
        (lambda: agent_costs([torch.zeros(3, 2)], prices_A=[0.5]), "prices have shape"),
        (lambda: agent_costs([torch.zeros(3, 2)], prices_A=[0.0, -0.5]), r"a cost is -0\.5"),
    ],
)
def test_data_that_do_not_fit_are_refused(make, complaint):
    with pytest.raises(DataError, match=complaint):
        make()


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: regression_costs(torch.zeros(1, 2), torch.zeros(1), "cubic"), "'cubic'"),
        (lambda: regression_costs(torch.zeros(1, 2), torch.zeros(1), clamp=0.0), "clamp is 0"),
        (lambda: agent_costs([]), "for 0 tasks"),
        (lambda: agent_costs([torch.zeros(1, 2)], lambdas_T=[1.0, 1.0]), "for 1 tasks"),
        (lambda: agent_costs([torch.zeros(1, 2)], lambdas_T=[-1.0]), r"\[-1.0\]"),
    ],
)
def test_settings_that_do_not_exist_are_refused(make, complaint):
    with pytest.raises(ConfigError, match=complaint):
        make()
