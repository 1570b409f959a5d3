"""What the advice says follows from the figures, and it does not say more."""

from io import StringIO

import pytest
from rich.console import Console
from simulating import made_results, small_settings

from parties.simulate.advice import advice, gain, gain_ceased
from parties.simulate.outcome import ASSISTED, METHODS
from parties.simulate.study import results_table

SEEDS = 5


def curves(*accuracies, spread=0.001):
    """One curve a seed: the same shape, a little apart."""
    return [
        [a + spread * (seed - 2) * (n % 2) for n, a in enumerate(accuracies)]
        for seed in range(SEEDS)
    ]


def text(**methods):
    imbalance = methods.pop("imbalance", 0.2)
    settings = small_settings(seeds=list(range(SEEDS)), imbalance=imbalance)
    return " ".join(advice(made_results(methods, settings=settings)))


def test_a_round_that_still_gains_is_worth_its_price_if_the_gain_is():
    said = text(assisted=curves(0.1, 0.6, 0.7))

    assert said.startswith("Round 2 changed accuracy by +10.00 points for 50.00 EUR (95 % interval")
    assert "5 seeds" in said
    assert "expect no more than that of round 3" in said


def test_a_gain_that_may_be_chance_is_called_so():
    said = text(assisted=curves(0.1, 0.8, 0.8005, spread=0.01))

    assert "that may be chance" in said
    assert "fell below its standard error after round 1" in said


def test_a_round_that_made_it_worse_is_not_worth_buying():
    assert "round 3 is not worth buying" in text(assisted=curves(0.1, 0.8, 0.7))


@pytest.mark.parametrize("seeds", [1, 2])
def test_too_few_seeds_give_no_advice(seeds):
    (first, *_) = advice(made_results({ASSISTED: [[0.1, 0.6, 0.7]] * seeds}))

    assert "too few to say" in first
    assert "take at least 5" in first
    assert "interval" not in first


def test_a_provider_alone_that_is_as_good_is_named():
    same = curves(0.1, 0.6, 0.7)

    assert "the provider alone is as good" in text(assisted=same, provider_only=same)
    worse = text(assisted=same, provider_only=curves(0.1, 0.5, 0.6))
    assert "ahead of the provider alone by +10.00 points" in worse
    better = text(assisted=same, provider_only=curves(0.1, 0.7, 0.8))
    assert "The provider alone is better" in better


def test_imbalance_0_is_said_to_prove_little():
    said = text(assisted=curves(0.1, 0.6), provider_only=curves(0.1, 0.6), imbalance=0)

    assert "the provider alone is nearly the oracle" in said


def test_selection_is_said_to_help_or_to_cost():
    high, low = curves(0.1, 0.6, 0.7), curves(0.1, 0.5, 0.6)

    assert "Selecting checkpoints helps" in text(assisted=high, sequential_last=low)
    assert "Selecting checkpoints costs" in text(assisted=low, sequential_last=high)
    assert "Selecting" not in text(assisted=high, sequential_last=high)


def test_gain_ceased_is_the_last_round_above_its_standard_error():
    results = made_results({ASSISTED: curves(0.1, 0.5, 0.8, 0.8001, spread=0.01)})

    assert gain_ceased(results) == 2
    assert gain_ceased(made_results({ASSISTED: [[0.1, 0.5]]})) is None


def stopped(*rounds, baseline_rounds=6):
    """Results where assisted runs stopped after so many rounds of six, and a baseline did not."""
    settings = small_settings(
        seeds=list(range(len(rounds))), rounds=6, budget=30_000, minimum_gain=0.01
    )
    curve = [0.1, 0.6, 0.65, 0.66, 0.67, 0.68, 0.69]
    apart = [[a + 0.001 * seed * (n % 2) for n, a in enumerate(curve)] for seed in range(9)]
    methods = {
        ASSISTED: [apart[seed][: last + 1] for seed, last in enumerate(rounds)],
        "learner_only": [apart[seed][: baseline_rounds + 1] for seed in range(len(rounds))],
    }
    return made_results(methods, settings=settings)


def test_advice_is_on_the_last_round_that_was_really_bought():
    first, second, *_ = advice(stopped(2, 2, 2))

    assert first.startswith("Round 2 changed accuracy by +4.90 points for 50.00 EUR")
    assert "of round 3" in first
    assert second == "All runs stopped after round 2, as minimum_gain says (100.00 EUR)."


def test_a_round_that_few_runs_bought_is_judged_by_these_alone():
    results = stopped(2, 3, 6, 6)

    first, second, *_ = advice(results)

    assert gain(results, 6).count == 2
    assert "Round 6" in first
    assert "measured on 2 seeds: too few to say" in first
    assert second == (
        "2 of 4 runs stopped after rounds 2 to 3, as minimum_gain says (on average 125.00 EUR)."
    )


def test_runs_that_made_all_rounds_did_not_stop_early():
    assert "stopped" not in " ".join(advice(stopped(6, 6, 6)))


def test_where_the_seeds_agree_there_is_no_interval_and_no_verdict():
    still, up = ([[0.1, 0.6, end]] * 3 for end in (0.6, 0.7))

    (same, *_) = advice(made_results({ASSISTED: still}))
    (alike, *_) = advice(made_results({ASSISTED: up}))

    assert same == (
        "Round 2 did not change accuracy for 50.00 EUR on any of 3 seeds, which is too little to"
        " tell whether round 3 is worth buying; take more seeds."
    )
    assert alike.startswith("Round 2 changed accuracy by +10.00 points for 50.00 EUR on each of 3")
    assert "too little to tell" in alike
    beside = " ".join(advice(made_results({ASSISTED: still, "provider_only": still})))
    assert "has +0.00 points (the same on all 3 seeds) against it" in beside
    assert "interval" not in same + alike + beside
    assert "standard error" not in beside


@pytest.mark.parametrize("end", [0.7, 0.6005, 0.5])
def test_a_round_that_the_budget_cannot_buy_is_not_advised_on(end):
    settings = small_settings(seeds=list(range(SEEDS)), rounds=6, budget=10_000)
    results = made_results({ASSISTED: curves(0.1, 0.6, end, spread=0.01)}, settings=settings)

    first, second, *rest = advice(results)

    assert second == "The budget ends after round 2 of 6."
    assert "round 3" not in " ".join([first, *rest])
    assert first.startswith("Round 2 changed accuracy")


@pytest.mark.parametrize(
    ("rounds", "heading"), [((2, 2, 6), "after round 6 or stop"), ((6, 6, 6), "after round 6")]
)
def test_the_table_says_that_some_runs_stopped_before_its_round(rounds, heading):
    assert results_table(stopped(*rounds)).columns[0].header == heading


@pytest.mark.parametrize(
    ("width", "last"), [(100, "seconds"), (80, "seconds"), (64, "global loss,"), (60, "vs learner")]
)
def test_a_table_leaves_out_columns_before_it_cuts_a_heading(width, last):
    results = made_results(dict.fromkeys(METHODS, curves(0.1, 0.6, 0.7)))
    console = Console(width=width, file=StringIO())

    console.print(results_table(results))

    lines = console.file.getvalue().splitlines()
    assert last in "".join(lines[:2])
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines)
