"""The comp-sum family against its definition, its named members, and what is said of it."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from assistlearn.deferral.comp_sum import comp_sum, comp_sum_normalizer
from assistlearn.errors import ConfigError, DataError

patient = settings(max_examples=60, deadline=None)  # the first torch call may be slow
NUS = [0.0, 0.3, 0.7, 1.0, 1.2, 1.5, 1.8, 2.0, 2.5, 3.0]
SEEDS = st.integers(0, 2**31)
FAMILY = st.sampled_from(NUS)


def random_scores(seed, *, examples=6, agents=4, spread=3.0):
    generator = torch.Generator().manual_seed(seed)
    return spread * torch.randn(examples, agents, generator=generator, dtype=torch.float64)


@patient
@given(SEEDS, FAMILY, st.integers(2, 6))
def test_the_safe_form_is_the_definition_looped_over(seed, nu, agents):
    scores_BA = random_scores(seed, agents=agents)

    losses_BA = comp_sum(scores_BA, nu)

    for row, scores in enumerate(scores_BA.tolist()):
        for agent, own in enumerate(scores):
            inverse = sum(math.exp(other - own) for other in scores)
            expected = math.log(inverse) if nu == 1 else (inverse ** (1 - nu) - 1) / (1 - nu)
            assert losses_BA[row, agent].item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@patient
@given(SEEDS)
def test_nu_0_is_the_sum_exponential_loss(seed):
    scores_BA = random_scores(seed)

    torch.testing.assert_close(comp_sum(scores_BA, 0.0), 1 / scores_BA.softmax(1) - 1)


@patient
@given(SEEDS)
def test_nu_1_is_cross_entropy(seed):
    scores_BA = random_scores(seed)
    expected_BA = torch.stack(
        [
            torch.nn.functional.cross_entropy(
                scores_BA, torch.full((len(scores_BA),), agent), reduction="none"
            )
            for agent in range(scores_BA.shape[1])
        ],
        dim=1,
    )

    torch.testing.assert_close(comp_sum(scores_BA, 1.0), expected_BA)


@patient
@given(SEEDS, st.floats(0.05, 0.95))
def test_nu_between_1_and_2_is_the_generalised_cross_entropy(seed, q):
    scores_BA = random_scores(seed)

    torch.testing.assert_close(comp_sum(scores_BA, 1 + q), (1 - scores_BA.softmax(1) ** q) / q)


@patient
@given(SEEDS)
def test_nu_2_is_the_mean_absolute_error(seed):
    scores_BA = random_scores(seed)

    torch.testing.assert_close(comp_sum(scores_BA, 2.0), 1 - scores_BA.softmax(1))


@patient
@given(SEEDS, st.sampled_from([1e-4, 1e-7, 1e-12]), st.sampled_from([-1, 1]))
def test_the_family_is_continuous_at_nu_1(seed, distance, sign):
    """Where the quotient of the definition would cancel to noise, the safe form does not."""
    scores_BA = random_scores(seed)
    losses_BA = comp_sum(scores_BA)

    beside_BA = comp_sum(scores_BA, 1 + sign * distance)

    # The derivative in nu at 1 is -(log u)^2 / 2.
    assert ((beside_BA - losses_BA).abs() <= distance * losses_BA.square() + 1e-13).all()


@patient
@given(SEEDS, FAMILY, st.floats(-50, 50))
def test_adding_a_constant_to_all_scores_changes_nothing(seed, nu, constant):
    scores_BA = random_scores(seed)

    torch.testing.assert_close(
        comp_sum(scores_BA + constant, nu), comp_sum(scores_BA, nu), rtol=1e-9, atol=1e-9
    )


@patient
@given(SEEDS, st.sampled_from([0.0, 0.3, 0.7, 1.0]), st.floats(0, 1))
def test_members_up_to_nu_1_are_convex_in_the_scores(seed, nu, share):
    one_BA, other_BA = random_scores(seed), random_scores(seed + 1)

    between_BA = comp_sum(share * one_BA + (1 - share) * other_BA, nu)

    chord_BA = share * comp_sum(one_BA, nu) + (1 - share) * comp_sum(other_BA, nu)
    assert (between_BA <= chord_BA * (1 + 1e-12) + 1e-12).all()


@pytest.mark.parametrize("nu", [1.05, 1.2, 1.5, 2.0, 3.0])
def test_members_beyond_nu_1_are_not_convex_though_the_paper_says_all_are(nu):
    """arXiv:2410.15729 calls the family convex; one midpoint above its chord refutes it."""
    right = torch.tensor([[0.0, 0.0]], dtype=torch.float64)
    wrong = torch.tensor([[-200.0, 0.0]], dtype=torch.float64)

    middle = comp_sum((right + wrong) / 2, nu)[0, 0]

    chord = (comp_sum(right, nu) + comp_sum(wrong, nu))[0, 0] / 2
    assert middle > chord + 0.05


@patient
@given(SEEDS, FAMILY)
def test_divided_by_its_normaliser_every_member_bounds_the_0_1_loss(seed, nu):
    scores_BA = random_scores(seed, spread=0.3)
    missed_BA = torch.ones_like(scores_BA).scatter(1, scores_BA.argmax(1, keepdim=True), 0.0)

    bounds_BA = comp_sum(scores_BA, nu) / comp_sum_normalizer(nu)

    assert (bounds_BA >= missed_BA - 1e-12).all()


@pytest.mark.parametrize("nu", [0.5, 1.0, 1.5, 2.0])
def test_undivided_only_the_sum_exponential_member_bounds_the_0_1_loss(nu):
    """The paper wants an upper bound of the 0-1 loss; cross-entropy in nats is 0.693 at a tie."""
    nearly_tied = torch.tensor([[0.0, 1e-6]], dtype=torch.float64)

    missed = comp_sum(nearly_tied, nu)[0, 0]

    assert missed < 1
    assert missed == pytest.approx(comp_sum_normalizer(nu), abs=1e-5)
    assert comp_sum(nearly_tied, 0.0)[0, 0] > 1


def test_the_normaliser_has_the_values_worked_out_by_hand():
    values = [comp_sum_normalizer(nu) for nu in (0.0, 0.5, 1.0, 1.5, 2.0)]

    root = math.sqrt(2)
    assert values == pytest.approx([1, 2 * (root - 1), math.log(2), 2 - root, 0.5])


@pytest.mark.parametrize("nu", NUS)
def test_gradients_agree_with_finite_differences(nu):
    scores_BA = random_scores(7, examples=3, spread=1.5).requires_grad_()

    assert torch.autograd.gradcheck(lambda scores: comp_sum(scores, nu), scores_BA)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("nu", [0.0, 0.5, 0.9])
def test_scores_too_far_apart_for_the_exponential_still_pull_back(dtype, nu):
    scores_BA = torch.tensor([[-3000.0, 3000.0]], dtype=dtype, requires_grad=True)

    loss = comp_sum(scores_BA, nu)[0, 0]
    loss.backward()

    assert loss.isfinite()
    assert scores_BA.grad.isfinite().all()
    assert scores_BA.grad[0, 0] < 0 < scores_BA.grad[0, 1]


def test_the_tangent_keeps_the_loss_convex_and_increasing_beyond_the_cap():
    gaps = torch.arange(0.0, 200.0, 0.5, dtype=torch.float32, requires_grad=True)
    scores_BA = torch.stack([-gaps, torch.zeros_like(gaps)], dim=1)

    comp_sum(scores_BA, 0.0)[:, 0].sum().backward()

    slopes = gaps.grad.double()
    assert (slopes > 0).all()
    assert (slopes.diff() >= -1e-5 * slopes[1:]).all()
    assert slopes[-1] == slopes[-2] == slopes.max()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("nu", [0.0, 1.0, 1.5, 2.0])
def test_short_floats_are_computed_in_float32(dtype, nu):
    scores_BA = random_scores(3).to(dtype).requires_grad_()

    losses_BA = comp_sum(scores_BA, nu)
    losses_BA.sum().backward()

    assert losses_BA.dtype == torch.float32
    torch.testing.assert_close(losses_BA, comp_sum(scores_BA.detach().float(), nu))
    assert scores_BA.grad.dtype == dtype


@pytest.mark.parametrize("nu", [-0.1, math.nan, math.inf])
def test_a_number_that_names_no_member_is_refused(nu):
    with pytest.raises(ConfigError, match="nu is"):
        comp_sum(torch.zeros(1, 2), nu)
    with pytest.raises(ConfigError, match="nu is"):
        comp_sum_normalizer(nu)


@pytest.mark.parametrize(
    ("scores", "complaint"),
    [
        (torch.zeros(3), "shape"),
        (torch.zeros(3, 1), "shape"),
        (torch.tensor([[0.0, math.nan]]), "not finite"),
        (torch.tensor([[0.0, math.inf]]), "not finite"),
        (torch.zeros(3, 2, dtype=torch.int64), "int64"),
    ],
)
def test_what_is_no_finite_matrix_of_scores_is_refused(scores, complaint):
    with pytest.raises(DataError, match=complaint):
        comp_sum(scores)
