"""Fitting, choosing and measuring on parts that do not overlap."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistlearn.deferral.comparison import (
    BEST_AGENT,
    CHOSEN,
    PLUG_IN,
    RANDOM,
    choose,
    fit_methods,
    measured_trial,
    methods,
    split_rows,
    usable_surrogates,
)
from assistlearn.deferral.report import deferral_report
from assistlearn.deferral.tables import Outcomes
from assistlearn.errors import ConfigError, DataError


def outcomes(*, rows=240, prices=(0.0, 0.1), seed=0, by_row=False, judged=True):
    """The first agent is right where the feature is above 0, the second everywhere."""
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(rows, 2))
    correct = np.stack([features[:, 0] > 0, np.ones(rows, dtype=bool)], axis=1)
    charged = np.tile(np.array(prices), (rows, 1))
    if by_row:
        charged[0] *= 2
    return Outcomes(
        agents=("main", "expert"),
        features=features,
        feature_names=("x", "noise"),
        errors=1.0 - correct,
        prices=charged,
        correct=correct if judged else None,
        groups=np.where(features[:, 1] > 0, "up", "down"),
        left_out=(),
    )


@given(st.integers(10, 500), st.integers(0, 5))
def test_the_three_parts_are_all_rows_once_and_follow_from_the_seed(rows, seed):
    split = split_rows(rows, seed)

    parts = (split.train, split.validation, split.test)
    assert sorted(np.concatenate(parts).tolist()) == list(range(rows))
    assert len(split.validation) == len(split.test) == round(0.2 * rows)
    assert (split_rows(rows, seed).test == split.test).all()


def test_other_seeds_divide_otherwise():
    assert (split_rows(100, 0).test != split_rows(100, 1).test).any()


def test_too_few_rows_are_refused():
    with pytest.raises(DataError, match="9 rows are too few"):
        split_rows(9, 0)


def test_a_learned_rejector_is_chosen_where_the_features_tell_and_beats_every_agent():
    data = outcomes()
    split = split_rows(len(data), 0)
    told = []

    fitted = fit_methods(data, methods(["two_stage"], seed=0), split, told=told.append)
    report = deferral_report(measured_trial(data, fitted, split, seed=0), agents=data.agents)

    assert told == ["two_stage", PLUG_IN, BEST_AGENT, RANDOM]
    assert choose(fitted).name == "two_stage"
    assert all(each.converged for each in fitted)
    best = report.best_agent.alone.metrics[0].deferral_loss
    assert report.method(CHOSEN).metrics[0].deferral_loss < best - 0.02
    assert report.method(CHOSEN).metrics[0].accuracy > 0.95
    assert {each.label for each in report.methods[0].metrics[0].groups} == {"down", "up"}


def test_the_best_agent_is_chosen_where_no_expert_is_worth_its_price():
    data = outcomes(prices=(0.0, 5.0))
    split = split_rows(len(data), 0)

    fitted = fit_methods(data, methods(["two_stage"], seed=0), split)

    losses = {each.name: each.validation_loss for each in fitted}
    assert losses["two_stage"] == losses[BEST_AGENT]  # a tie, as both keep everything
    assert choose(fitted).name == BEST_AGENT


@pytest.mark.parametrize("by_row", [False, True])
def test_rejectors_are_told_prices_that_are_the_same_in_every_row(by_row):
    data = outcomes(by_row=by_row)
    split = split_rows(len(data), 0)

    plug_in = fit_methods(data, methods([], seed=0), split)[0]

    assert plug_in.rejector.prices_.tolist() == ([0, 0] if by_row else [0, 0.1])
    costs = data.costs[split.validation]
    chosen = plug_in.rejector.decide(data.features[split.validation]).agents
    assert plug_in.validation_loss == pytest.approx(costs[np.arange(len(costs)), chosen].mean())


def test_nothing_is_learned_or_chosen_on_the_test_rows():
    """Other outcomes there change no decision."""
    data = outcomes()
    split = split_rows(len(data), 3)
    changed = outcomes()
    changed.errors[split.test] = 1 - changed.errors[split.test]

    first, second = (
        fit_methods(each, methods(["two_stage"], seed=3), split) for each in (data, changed)
    )

    assert choose(first).name == choose(second).name
    for one, two in zip(first, second, strict=True):
        decided = one.rejector.decide(data.features).agents
        assert (decided == two.rejector.decide(data.features).agents).all()


def test_only_methods_with_scores_that_rank_have_a_curve():
    data = outcomes()
    split = split_rows(len(data), 0)
    fitted = fit_methods(data, methods(["two_stage"], seed=0), split)

    report = deferral_report(measured_trial(data, fitted, split, seed=0))

    assert [each.name for each in report.methods if each.curves] == ["two_stage", PLUG_IN]
    without = measured_trial(data, fitted, split, seed=0, with_choice=False)
    assert CHOSEN not in without.methods


def test_surrogates_for_costs_up_to_one_are_set_aside_where_costs_are_larger():
    wanted = ["two_stage", "mao_2023"]

    dear = outcomes(prices=(0.1, 0.2))

    assert usable_surrogates(dear, wanted) == (("two_stage",), ("mao_2023",))
    assert usable_surrogates(outcomes(), wanted) == (tuple(wanted), ())
    usable, unusable = usable_surrogates(dear)
    assert "layered_mass" in usable
    assert "one_vs_all" in unusable


def test_an_unknown_surrogate_is_refused():
    with pytest.raises(ConfigError, match="no surrogate 'two_stag'") as caught:
        methods(["two_stag"], seed=0)

    assert "two_stage" in caught.value.hint
