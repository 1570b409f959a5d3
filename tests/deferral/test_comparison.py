"""Fitting, choosing and measuring on parts that do not overlap."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistlearn.deferral.comparison import (
    BEST_AGENT,
    CHOSEN,
    PLUG_IN,
    THRESHOLD,
    Difference,
    Fitted,
    choose,
    fit_methods,
    held_out_difference,
    measured_trial,
    methods,
    one_stage_trials,
    random_as,
    ranked,
    split_rows,
    usable_one_stage,
    usable_surrogates,
)
from assistlearn.deferral.rejectors import PlugInRejector, Rejector
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

    assert told == ["two_stage", PLUG_IN, BEST_AGENT]
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
    before = PlugInRejector().fit(data.features[split.train], data.costs[split.train])
    validation = data.features[split.validation], data.costs[split.validation]
    assert plug_in.validation_loss == pytest.approx(-before.score(*validation))


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


def test_every_method_is_fitted_again_on_the_rows_that_chose():
    data = outcomes()
    split = split_rows(len(data), 0)
    both = np.concatenate([split.train, split.validation])

    fitted = fit_methods(data, methods(["two_stage"], seed=0), split)

    again = Rejector(prices=[0, 0.1]).fit(data.features[both], data.errors[both])
    scores = fitted[0].rejector.decision_function(data.features)
    assert (scores == again.decision_function(data.features)).all()
    at_first = Rejector(prices=[0, 0.1]).fit(data.features[split.train], data.errors[split.train])
    assert (scores != at_first.decision_function(data.features)).any()


def test_mild_is_compared_with_validated_margins_and_once_more_by_the_theory_rule():
    data = outcomes()
    split = split_rows(len(data), 0)
    unfitted = methods(["mild_log"], seed=0)

    validated, theory, *_ = fit_methods(data, unfitted, split)

    choice = unfitted["mild_log"].choice_
    assert (1.0, 1.0) in [trial.margins for trial in choice.trials]
    assert len(choice.trials) == 6
    assert validated.rejector.surrogate_settings["margins"] == choice.best.margins
    assert validated.rejector.prices_.tolist() == [0, 0.1]  # what is saved knows them
    assert [*validated.rejector.agents_] == ["main", "expert"]
    assert theory.name == "mild_log (theory rule)"
    assert theory.rejector.surrogate_settings is None


def test_a_threshold_is_compared_where_agent_0_has_a_confidence():
    plain = outcomes()
    data = replace(plain, feature_names=("confidence:main", "noise"))
    split = split_rows(len(data), 0)

    fitted = fit_methods(data, methods([], seed=0, confidence=data.confidence), split)

    assert plain.confidence is None
    assert THRESHOLD not in methods([], seed=0, confidence=plain.confidence)
    assert [each.name for each in fitted] == [PLUG_IN, THRESHOLD, BEST_AGENT]
    threshold = fitted[1]
    assert abs(float(threshold.rejector.threshold_)) < 0.1  # where the main model begins to err
    assert choose(fitted) is threshold


def test_of_methods_that_do_alike_the_simplest_is_chosen_then_the_first():
    names = ["two_stage", "mild_log", PLUG_IN, THRESHOLD, BEST_AGENT]
    costs = np.array([0.0, 0.5])
    tied = [
        Fitted(name=name, rejector=Rejector(), validation_costs=costs, converged=True)
        for name in names
    ]

    assert choose(tied).name == BEST_AGENT
    assert choose(tied[:4]).name == THRESHOLD
    assert choose(tied[:2]).name == "two_stage"
    better = replace(tied[1], validation_costs=costs - 0.05)
    assert choose([tied[0], better, *tied[2:]]).name == "mild_log"
    assert [each.name for each in ranked([tied[0], better, *tied[2:]])] == [
        "mild_log", BEST_AGENT, THRESHOLD, PLUG_IN, "two_stage",
    ]  # fmt: skip


def test_a_difference_is_measured_row_by_row():
    one, other = np.array([1.0, 0, 1, 0]), np.array([0.0, 0, 1, 1])

    found = Difference.of(one, other)

    each = [1.0, 0, 0, -1]
    deviation = (sum(value**2 for value in each) / 3) ** 0.5
    assert found.mean == 0
    assert found.standard_error == pytest.approx(deviation / 4**0.5)
    assert found.within(1)
    assert not Difference(mean=-0.3, standard_error=0.1).within(2)
    assert Difference.of(one, one).within(1)


def test_the_held_out_difference_is_that_of_the_deferral_losses():
    data = outcomes()
    split = split_rows(len(data), 0)
    fitted = fit_methods(data, methods(["two_stage"], seed=0), split)
    made = measured_trial(data, fitted, split, seed=0)

    found = held_out_difference(made, "two_stage", BEST_AGENT)

    report = deferral_report(made)
    losses = [report.method(n).metrics[0].deferral_loss for n in ("two_stage", BEST_AGENT)]
    assert found.mean == pytest.approx(losses[0] - losses[1])
    assert found.standard_error > 0


def test_the_overlap_of_seeds_is_what_is_held_out_over_what_is_learned_from():
    assert split_rows(100, 0).overlap == 20 / 80


@pytest.mark.parametrize("with_choice", [True, False])
def test_chance_asks_every_agent_exactly_as_often_as_the_chosen_method(with_choice):
    data = outcomes(rows=1000)
    split = split_rows(len(data), 0)
    fitted = fit_methods(data, methods(["two_stage"], seed=0), split)

    made = measured_trial(data, fitted, split, seed=0, with_choice=with_choice)

    chosen = choose(fitted).name
    shares, chance = (
        np.bincount(made.methods[name].agents, minlength=2)
        for name in (chosen, random_as(CHOSEN if with_choice else chosen))
    )
    assert (shares == chance).all()
    assert shares.min() > 20  # both are asked
    report = deferral_report(made)
    by_chance = report.methods[-1].metrics[0]
    assert by_chance.deferral_loss > report.method(chosen).metrics[0].deferral_loss + 0.1
    assert abs(by_chance.over_random) < 0.1  # it knows nothing


def labelled(*, rows=400, prices=(0.3, 0.1)):
    """The class follows from the noise feature, where the expert is right."""
    data = outcomes(rows=rows, prices=prices)
    return replace(data, labels=np.where(data.features[:, 1] > 0, "yes", "no"))


def test_one_stage_methods_are_compared_where_the_table_has_labels():
    data = labelled(prices=(0.3, 0.0))

    assert not usable_one_stage(outcomes())
    assert [*usable_one_stage(data)] == [
        "one-stage cross-entropy",
        "one-stage one-vs-all",
        "one-stage realizable",
    ]
    dear = replace(data, prices=data.prices + np.array([0, 1.5]))
    assert [*usable_one_stage(dear)] == ["one-stage cross-entropy", "one-stage realizable"]


def test_agent_0_of_a_one_stage_trial_is_its_own_classifier_and_free_to_ask():
    data = labelled()
    split = split_rows(len(data), 0)

    trials = one_stage_trials(data, usable_one_stage(data), split, seed=0)

    for name, each in trials.items():
        made = each.trial
        assert made.prices[0].tolist() == [0, 0.1]  # not the main model's 0.3
        assert (made.costs[:, 0] == 1 - made.correct[:, 0]).all()
        assert (made.costs[:, 1] == data.costs[split.test, 1]).all()
        assert made.costs[:, 0].mean() < 0.1  # a line separates the classes
        assert made.methods[name].agents.mean() > 0  # and still the expert is asked


def test_one_stage_methods_learn_nothing_from_the_test_rows():
    data, changed = labelled(prices=(0, 0)), labelled(prices=(0, 0))
    split = split_rows(len(data), 1)
    changed.labels[split.test] = "no"
    changed.errors[split.test] = 1

    first, second = (
        one_stage_trials(each, usable_one_stage(each), split, seed=1) for each in (data, changed)
    )

    for name, each in first.items():
        again = second[name].trial.methods[name]
        assert (each.trial.methods[name].scores == again.scores).all()
