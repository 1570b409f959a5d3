"""Every surrogate by its name: what it promises of itself holds."""

import re
from dataclasses import asdict
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from minimising import minimise, random_costs, random_scores

import assistlearn.deferral
from assistlearn.deferral.imbalance import class_balanced
from assistlearn.deferral.margin_choice import theory_margins
from assistlearn.deferral.margins import mild_log
from assistlearn.deferral.surrogates import named_surrogate, surrogate_names
from assistlearn.errors import ConfigError, DataError

SEEDS = st.integers(0, 2**31)
NAMES = surrogate_names()
MILD = ["mild_log", "mild_hinge", "mild_ramp"]


@cache
def prepared(name, **settings):
    """On costs that leave the agents unequally often cheapest."""
    costs_BA = random_costs(0, examples=50, agents=4) ** torch.tensor([0.5, 1.0, 2.0, 4.0])
    return named_surrogate(name, **settings).prepare(costs_BA)


def test_every_name_has_its_row_in_the_notes():
    notes = Path(assistlearn.deferral.__file__).with_name("NOTES.md").read_text(encoding="utf-8")
    table, _, _ = notes.partition("One-stage losses")

    assert tuple(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_settings_come_back_from_their_name_and_fields(name):
    settings = named_surrogate(name)

    assert named_surrogate(settings.name, **asdict(settings)) == settings
    assert settings.name == name


@pytest.mark.parametrize("name", NAMES)
def test_a_prepared_surrogate_gives_one_loss_for_each_example_and_a_gradient(name):
    scores_BA = random_scores(1, examples=5, agents=4).requires_grad_()

    losses_B = prepared(name)(scores_BA, random_costs(1, examples=5, agents=4))

    losses_B.sum().backward()
    assert losses_B.shape == (5,)
    assert (losses_B >= 0).all()
    assert scores_BA.grad.abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", NAMES)
def test_scores_in_16_bits_give_losses_in_float32(name, dtype):
    scores_BA = random_scores(2, examples=5, agents=4).to(dtype)
    costs_BA = random_costs(2, examples=5, agents=4)

    losses_B = prepared(name)(scores_BA, costs_BA.float())

    assert losses_B.dtype == torch.float32
    exact_B = prepared(name)(scores_BA.double(), costs_BA)
    torch.testing.assert_close(losses_B.double(), exact_B, rtol=1e-4, atol=1e-4)


@given(SEEDS, st.sampled_from([n for n in NAMES if named_surrogate(n).convex]), st.floats(0, 1))
def test_what_calls_itself_convex_is(seed, name, share):
    one_BA, other_BA = (random_scores(seed + i, examples=3, agents=4) for i in (0, 5))
    costs_BA = random_costs(seed, examples=3, agents=4)
    surrogate = prepared(name)

    between_B = surrogate(share * one_BA + (1 - share) * other_BA, costs_BA)

    ends_B = share * surrogate(one_BA, costs_BA) + (1 - share) * surrogate(other_BA, costs_BA)
    assert (between_B <= ends_B + 1e-9).all()


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        *[(name, {}) for name in NAMES if not named_surrogate(name).convex],
        *[(name, {"nu": 1.2}) for name in ("two_stage", "mao_2023", "mao_2024")],
    ],
)
def test_what_does_not_call_itself_convex_is_not(name, settings):
    costs_BA = random_costs(3, examples=2000, agents=4).round()
    one_BA, other_BA = (2 * random_scores(i, examples=2000, agents=4) for i in (3, 9))
    surrogate = prepared(name, **settings)

    between_B = surrogate((one_BA + other_BA) / 2, costs_BA)

    ends_B = (surrogate(one_BA, costs_BA) + surrogate(other_BA, costs_BA)) / 2
    assert not named_surrogate(name, **settings).convex
    assert (between_B > ends_B + 0.01).any()


@pytest.mark.parametrize("name", NAMES)
def test_costs_beyond_the_largest_that_it_names_are_refused_and_others_are_not(name):
    settings = named_surrogate(name)
    costs_BA = torch.tensor([[0.5, 1.5], [1.0, 0.0]])

    assert settings.prepare(costs_BA.clamp(max=1.0)) is not None
    if settings.largest_cost == 1:
        with pytest.raises(DataError, match=r"1\.5"):
            settings.prepare(costs_BA)
    else:
        assert settings.prepare(costs_BA)(torch.zeros(2, 2), costs_BA).isfinite().all()


@pytest.mark.parametrize("name", ["two_stage", *MILD])
def test_accuracy_weights_lower_the_largest_cost_to_1(name):
    assert named_surrogate(name, weights="one").largest_cost == 1
    assert named_surrogate(name, weights="max").largest_cost == float("inf")


@given(SEEDS, st.sampled_from([n for n in NAMES if n != "one_vs_all"]), st.floats(-9, 9))
def test_only_differences_of_scores_count_except_to_one_vs_all(seed, name, constant):
    scores_BA = random_scores(seed, examples=3, agents=4)
    costs_BA = random_costs(seed, examples=3, agents=4)

    losses_B = prepared(name)(scores_BA + constant, costs_BA)

    torch.testing.assert_close(losses_B, prepared(name)(scores_BA, costs_BA))


CONSISTENT = {
    "two_stage": ("two_stage", {}),
    "two_stage nu=0": ("two_stage", {"nu": 0.0}),
    "two_stage nu=1.5": ("two_stage", {"nu": 1.5}),
    "two_stage max": ("two_stage", {"weights": "max"}),
    "mao_2023": ("mao_2023", {}),
    "mao_2024": ("mao_2024", {}),
    "mild_log equal": ("mild_log", {"exponent": 0.0, "scale": 2.0}),
    "mild_log normalised": ("mild_log", {"margins": (0.5, 1, 2, 4), "normalise": True}),
    "one_vs_all": ("one_vs_all", {}),
    "layered_mass nu=2": ("layered_mass", {"nu": 2.0}),
}


@pytest.mark.parametrize("which", CONSISTENT)
def test_bayes_consistent_surrogates_choose_the_least_expected_cost_at_every_input(which):
    """20 inputs, six outcomes each, and a score for every input and agent."""
    name, settings = CONSISTENT[which]
    costs_OXA = random_costs(2, examples=120, agents=4).view(6, 20, 4).square()
    surrogate = prepared(name, **settings)

    scores_XA = minimise(
        lambda r: sum(surrogate(r, costs_XA).sum() for costs_XA in costs_OXA),
        torch.zeros(20, 4),
        steps=200,
    )

    assert (scores_XA.argmax(1) == costs_OXA.mean(0).argmin(1)).all()


@pytest.mark.parametrize("name", ["class_balanced", "focal", "ldam", "logit_adjusted", "log_mass"])
def test_surrogates_that_only_see_who_is_cheapest_do_not(name):
    costs_OXA = random_costs(2, examples=120, agents=4).view(6, 20, 4).square()

    scores_XA = minimise(
        lambda r: sum(prepared(name)(r, costs_XA).sum() for costs_XA in costs_OXA),
        torch.zeros(20, 4),
        steps=200,
    )

    assert (scores_XA.argmax(1) != costs_OXA.mean(0).argmin(1)).any()


def test_counts_are_those_of_the_training_set_and_not_of_the_batch():
    training_BA = torch.tensor([[0.0, 1.0]] * 9 + [[1.0, 0.0]])
    batch_BA = torch.tensor([[0.0, 1.0], [1.0, 0.0]])

    losses_B = named_surrogate("class_balanced").prepare(training_BA)(torch.zeros(2, 2), batch_BA)

    torch.testing.assert_close(
        losses_B, class_balanced(torch.zeros(2, 2), batch_BA, counts_A=torch.tensor([9, 1]))
    )


def test_margins_follow_the_rule_on_the_training_set_unless_they_are_given():
    training_BA = torch.tensor([[0.0, 1.0]] * 9 + [[1.0, 0.0]])
    batch_BA = torch.tensor([[0.2, 0.5]])
    scores_BA = torch.tensor([[0.4, -0.3]])

    by_rule = named_surrogate("mild_log", exponent=0.5).prepare(training_BA)
    given = named_surrogate("mild_log", margins=[3, 0.5]).prepare(training_BA)

    rule = theory_margins(training_BA, exponent=0.5)
    torch.testing.assert_close(
        by_rule(scores_BA, batch_BA), mild_log(scores_BA, batch_BA, margins=rule)
    )
    torch.testing.assert_close(
        given(scores_BA, batch_BA), mild_log(scores_BA, batch_BA, margins=[3.0, 0.5])
    )


def test_no_costs_are_refused():
    with pytest.raises(DataError, match="no costs to prepare"):
        named_surrogate("two_stage").prepare(torch.zeros(0, 3))


@pytest.mark.parametrize(
    ("name", "meant"), [("mild_lgo", "mild_log"), ("two-stage", "two_stage"), ("FOCAL", "focal")]
)
def test_a_misspelt_name_is_refused_with_the_one_that_was_meant(name, meant):
    with pytest.raises(ConfigError, match=f"no surrogate '{name}'") as refused:
        named_surrogate(name)

    assert refused.value.hint == f"did you mean {meant!r}?"


def test_a_name_like_no_other_is_refused_with_all_of_them():
    with pytest.raises(ConfigError, match="no surrogate 'zzz'") as refused:
        named_surrogate("zzz")

    assert all(name in refused.value.hint for name in NAMES)


def test_a_misspelt_setting_is_refused_with_the_one_that_was_meant():
    with pytest.raises(ConfigError, match="'focal' has no setting 'gama'") as refused:
        named_surrogate("focal", gama=2.0)

    assert refused.value.hint == "did you mean 'gamma'?"


def test_a_setting_for_a_surrogate_without_any_is_refused():
    with pytest.raises(ConfigError, match="no setting 'nu'") as refused:
        named_surrogate("log_mass", nu=1.0)

    assert refused.value.hint == "remove it: there are none"


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("two_stage", {"nu": "1"}),
        ("two_stage", {"nu": True}),
        ("two_stage", {"weights": 1}),
        ("mild_log", {"normalise": 1}),
        ("mild_log", {"margins": 2.0}),
        ("mild_log", {"margins": ["1", "2"]}),
    ],
)
def test_a_setting_of_the_wrong_type_is_refused(name, settings):
    with pytest.raises(ConfigError, match=f"setting '{next(iter(settings))}'"):
        named_surrogate(name, **settings)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("two_stage", {"nu": -1.0}),
        ("two_stage", {"weights": "mean"}),
        ("mao_2023", {"nu": -1.0}),
        ("mao_2024", {"nu": -1.0}),
        ("layered_mass", {"nu": -1.0}),
        ("mild_log", {"margins": [1.0]}),
        ("mild_hinge", {"margins": [1.0, 0.0]}),
        ("mild_ramp", {"scale": -1.0}),
        ("class_balanced", {"beta": 1.0}),
        ("focal", {"gamma": -1.0}),
        ("ldam", {"scale": 0.0}),
        ("logit_adjusted", {"tau": -1.0}),
    ],
)
def test_a_setting_out_of_range_is_refused_before_training_begins(name, settings):
    with pytest.raises(ConfigError):
        named_surrogate(name, **settings).prepare(torch.eye(2))
