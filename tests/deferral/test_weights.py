"""Weights kappa - cost: identities of tau, and what each kappa does to the target."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from assistlearn.deferral.consistency import conditional_minimizer
from assistlearn.deferral.two_stage import two_stage_surrogate
from assistlearn.deferral.weights import cost_weights
from assistlearn.errors import ConfigError, DataError

patient = settings(max_examples=60, deadline=None)  # the first torch call may be slow
COSTS = st.integers(2, 6).flatmap(
    lambda agents: st.lists(
        st.lists(st.floats(0, 10), min_size=agents, max_size=agents), min_size=1, max_size=5
    )
)


def tensor(rows):
    return torch.tensor(rows, dtype=torch.float64)


@patient
@given(COSTS)
def test_tau_is_the_sum_of_the_other_agents_costs(rows):
    weights_BA = cost_weights(tensor(rows))

    for weights, costs in zip(weights_BA.tolist(), rows, strict=True):
        for agent, weight in enumerate(weights):
            others = sum(cost for other, cost in enumerate(costs) if other != agent)
            assert weight == pytest.approx(others, abs=1e-12)


@patient
@given(COSTS)
def test_the_taus_add_up_to_j_times_all_costs(rows):
    costs_BA = tensor(rows)

    sums_B = cost_weights(costs_BA).sum(1)

    torch.testing.assert_close(sums_B, (costs_BA.shape[1] - 1) * costs_BA.sum(1))


def test_with_one_expert_tau_is_the_costs_swapped():
    costs_BA = tensor([[0.3, 0.8], [0.0, 2.0]])

    torch.testing.assert_close(cost_weights(costs_BA), costs_BA.flip(1))


@patient
@given(COSTS, st.sampled_from(["sum", "max"]))
def test_every_kappa_prefers_the_cheapest_agent_by_what_it_saves(rows, kappa):
    """Regret in costs is regret in weights, so argmax of weights is argmin of costs."""
    costs_BA = tensor(rows)

    weights_BA = cost_weights(costs_BA, kappa)

    regrets_BA = costs_BA - costs_BA.amin(1, keepdim=True)
    torch.testing.assert_close(weights_BA.amax(1, keepdim=True) - weights_BA, regrets_BA)


@patient
@given(COSTS)
def test_max_is_the_least_kappa_without_negative_weights(rows):
    costs_BA = tensor(rows)

    weights_BA = cost_weights(costs_BA, "max")

    assert (weights_BA.amin(1) == 0).all()
    assert (weights_BA.sum(1) <= cost_weights(costs_BA, "sum").sum(1) + 1e-12).all()


def test_one_gives_what_is_left_of_1():
    costs_BA = tensor([[0.0, 0.25], [1.0, 0.5]])

    torch.testing.assert_close(cost_weights(costs_BA, "one"), tensor([[1.0, 0.75], [0.0, 0.5]]))


def test_one_refuses_costs_above_1_and_says_what_to_do():
    with pytest.raises(DataError, match=r"a cost is 1\.2, but weights 1 - cost") as refused:
        cost_weights(tensor([[0.0, 1.2]]), "one")

    assert refused.value.hint.startswith("divide")


def test_one_forgives_costs_that_exceed_1_by_rounding():
    costs_BA = tensor([[1 + 4e-16, 0.0]])
    assert costs_BA.max() > 1

    weights_BA = cost_weights(costs_BA, "one")

    assert (weights_BA >= 0).all()


@pytest.mark.parametrize(
    ("experts", "right", "wrong"),
    [(1, 1.0, 0.0), (2, 0.5, 0.25), (4, 0.25, 0.1875), (10, 0.1, 0.09), (30, 1 / 30, 29 / 900)],
)
def test_with_tau_more_experts_flatten_the_target_until_the_right_one_hardly_stands_out(
    experts, right, wrong
):
    """One right agent of J + 1, cross-entropy: the "more experts hurt" effect, in closed form."""
    costs_BA = torch.ones(1, experts + 1, dtype=torch.float64)
    costs_BA[0, 0] = 0

    target = conditional_minimizer(cost_weights(costs_BA))[0]

    assert target[0].item() == pytest.approx(right)
    assert target[1:].tolist() == pytest.approx([wrong] * experts)


@pytest.mark.parametrize("kappa", ["one", "max"])
def test_with_the_other_kappas_the_target_stays_sharp_however_many_experts(kappa):
    costs_BA = torch.ones(1, 31, dtype=torch.float64)
    costs_BA[0, 0] = 0

    target = conditional_minimizer(cost_weights(costs_BA, kappa))[0]

    assert target.tolist() == [1.0] + [0.0] * 30


def test_adding_a_constant_to_all_costs_changes_tau_but_not_the_shift_free_weights():
    costs_BA = tensor([[0.1, 0.7, 0.4]])

    shifted_BA = costs_BA + 5

    torch.testing.assert_close(cost_weights(shifted_BA), cost_weights(costs_BA) + 10)
    torch.testing.assert_close(cost_weights(shifted_BA, "max"), cost_weights(costs_BA, "max"))
    flat, sharp = conditional_minimizer(cost_weights(torch.cat([shifted_BA, costs_BA])))
    assert flat.argmax() == sharp.argmax() == 0
    assert flat.max() < sharp.max()


@pytest.mark.parametrize("kappa", ["sum", "max", "one"])
def test_costs_are_constants(kappa):
    costs_BA = torch.rand(3, 4, requires_grad=True)

    assert not cost_weights(costs_BA, kappa).requires_grad


@pytest.mark.parametrize("kappa", ["sum", "max", "one"])
def test_whole_numbers_are_taken_as_costs(kappa):
    weights_BA = cost_weights(torch.tensor([[0, 1, 1]]), kappa)

    assert weights_BA.dtype == torch.get_default_dtype()
    assert weights_BA.argmax() == 0


@pytest.mark.parametrize(
    ("costs", "complaint"),
    [
        (torch.zeros(3), "shape"),
        (torch.tensor([[0.0, float("nan")]]), "not finite"),
        (torch.tensor([[0.0, -0.5]]), r"a cost is -0\.5, must be >= 0"),
    ],
)
def test_what_is_no_matrix_of_costs_is_refused(costs, complaint):
    with pytest.raises(DataError, match=complaint):
        cost_weights(costs)


def test_an_unknown_kappa_is_refused():
    with pytest.raises(ConfigError, match="'mean' are unknown"):
        cost_weights(torch.ones(1, 2), "mean")


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kappa", ["sum", "max"])
def test_costs_in_half_precision_weigh_as_the_same_costs_in_full(half, kappa):
    """31 sums of costs near 4000 leave float16's range, and bfloat16 has three digits."""
    costs_BA = torch.tensor([[0.9] + [0.95] * 31, [4000.0] * 31 + [3900.0]]).to(half)

    weights_BA = cost_weights(costs_BA, kappa)

    assert weights_BA.dtype == torch.float32
    assert torch.equal(weights_BA, cost_weights(costs_BA.float(), kappa))
    scores_BA = torch.zeros(2, 32)
    losses_B = two_stage_surrogate(scores_BA, costs_BA)
    torch.testing.assert_close(losses_B, two_stage_surrogate(scores_BA, costs_BA.float()))
