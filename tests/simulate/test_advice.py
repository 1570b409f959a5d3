"""What the advice says follows from the figures, and it does not say more."""

import pytest
from simulating import made_results, small_settings

from parties.simulate.advice import advice, gain_ceased
from parties.simulate.outcome import ASSISTED

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
