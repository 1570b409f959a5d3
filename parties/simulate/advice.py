"""Is the next round worth buying? What the measured gains say, and what they do not."""

import math
import statistics
from typing import Final

from parties.output import format_money
from parties.simulate.outcome import ASSISTED
from parties.simulate.results import Results, Spread, spread

ENOUGH_SEEDS: Final = 3  # below that an interval over seeds is too wide to say anything
ROUNDING: Final = 1e-12  # between differences that would be equal without floating point


def advice(results: Results) -> tuple[str, ...]:
    """Plain sentences for whoever decides. The first one answers the question."""
    sentences = [_next_round(results), *_ended_early(results)]
    ceased = gain_ceased(results)
    if ceased is not None and ceased < last_round(results, ASSISTED):
        sentences.append(f"The gain of a round fell below its standard error after round {ceased}.")
    return (*sentences, *_provider_alone(results), *_no_selection(results))


def last_round(results: Results, method: str) -> int:
    """The last round that any run of ``method`` made; what it then has, it has for good."""
    return max(run.rounds[-1].round for run in results.of(method))


def gain(results: Results, round_: int) -> Spread:
    """What one more round brought, seed by seed, where it was made; positive is better."""
    measure = results.main_measure
    sign = -1.0 if measure == "global_loss" else 1.0
    return spread(
        [
            sign * (results.value(run, round_, measure) - results.value(run, round_ - 1, measure))
            for run in results.of(ASSISTED)
            if run.rounds[-1].round >= round_
        ]
    )


def gain_ceased(results: Results) -> int | None:
    """The last round whose gain exceeded its standard error; None where nobody can tell."""
    gains = [gain(results, number) for number in range(1, last_round(results, ASSISTED) + 1)]
    if any(each.count < ENOUGH_SEEDS or math.isnan(each.error) or _same(each) for each in gains):
        return None
    worth = [number for number, each in enumerate(gains, 1) if each.mean > each.error]
    return worth[-1] if worth else 0


def _next_round(results: Results) -> str:
    last = last_round(results, ASSISTED)
    measured = gain(results, last)
    terms = results.settings.terms
    price = f" for {format_money(terms.price, terms.currency)}" if terms.price else ""
    what = f"Round {last} changed {_name(results)} by {_amount(results, measured.mean)}{price}"
    bought_up = _bought_up(results)
    judged = "that round was" if bought_up else f"round {last + 1} is"
    if measured.count < ENOUGH_SEEDS or math.isnan(measured.error):
        return (
            f"{what}, measured on {_seeds(measured.count)}: too few to say whether {judged} worth"
            " buying; take at least 5."
        )
    if _same(measured):
        if abs(measured.mean) <= ROUNDING:
            what = f"Round {last} did not change {_name(results)}{price} on any of"
        else:
            what = f"{what} on each of"
        return (
            f"{what} {_seeds(measured.count)}, which is too little to tell whether {judged} worth"
            " buying; take more seeds."
        )
    low, high = measured.interval
    between = f"{what}{_interval(results, measured)}"
    if high <= 0:
        return f"{between}: {judged} not worth buying."
    if low <= 0:
        return f"{between}: that may be chance, so there is no evidence that {judged} worth buying."
    if bought_up:
        return f"{between}: rounds still help."
    return (
        f"{between}: rounds still help. Gains mostly shrink from one to the next, so expect no"
        f" more than that of round {last + 1}, and hold it against its price."
    )


def _bought_up(results: Results) -> bool:
    """Whether it is the budget that ends the rounds."""
    paid = results.settings.terms.terms().affordable_rounds
    return paid < results.settings.terms.rounds and last_round(results, ASSISTED) >= paid


def _ended_early(results: Results) -> list[str]:
    """Why fewer rounds were made than the terms allow, by how many runs and at what price."""
    terms = results.settings.terms
    paid = terms.terms().affordable_rounds
    sentences = []
    if _bought_up(results):
        sentences.append(f"The budget ends after round {paid} of {terms.rounds}.")
    runs = results.of(ASSISTED)
    stopped = [run.rounds[-1].round for run in runs if run.rounds[-1].round < paid]
    if results.settings.minimum_gain is not None and stopped:
        first, last = min(stopped), max(stopped)
        who = "All runs" if len(stopped) == len(runs) else f"{len(stopped)} of {len(runs)} runs"
        when = f"round {last}" if first == last else f"rounds {first} to {last}"
        cost = statistics.fmean(stopped) * terms.price
        mean = "" if first == last else "on average "
        money = f" ({mean}{format_money(cost, terms.currency)})" if terms.price else ""
        sentences.append(f"{who} stopped after {when}, as minimum_gain says{money}.")
    return sentences


def _provider_alone(results: Results) -> list[str]:
    if "provider_only" not in results.methods:
        return []
    ahead = _ahead(results, "provider_only")
    low, high = ahead.interval
    amount = f"{_amount(results, ahead.mean)}{_interval(results, ahead)}"
    if ahead.count < ENOUGH_SEEDS or math.isnan(low):
        sentences = [
            f"Assisted learning against the provider alone: {amount}, on {_seeds(ahead.count)}."
        ]
    elif low > 0:
        sentences = [f"Assisted learning is ahead of the provider alone by {amount}."]
    elif high < 0:
        sentences = [f"The provider alone is better than assisted learning, which has {amount}."]
    else:
        sentence = (
            f"As far as these seeds can tell, the provider alone is as good: assisted learning has"
            f" {amount} against it. Ask whether its model is for sale."
        )
        sentences = [sentence]
    if results.settings.split.imbalance == 0:
        sentences.append(
            "With imbalance 0 the learner has a single class, and the provider alone is nearly the"
            " oracle: coming close to pooled data proves little here."
        )
    return sentences


def _no_selection(results: Results) -> list[str]:
    if "sequential_last" not in results.methods:
        return []
    ahead = _ahead(results, "sequential_last")
    low, high = ahead.interval
    amount = f"{_amount(results, ahead.mean)}{_interval(results, ahead)}"
    if ahead.count < ENOUGH_SEEDS:
        return []
    if low > 0:
        return [f"Selecting checkpoints helps: {amount} over always handing over the last one."]
    if high < 0:
        sentence = (
            f"Selecting checkpoints costs: {amount} against always handing over the last one."
            " Local training is still steep; make more steps in a round, or fewer rounds."
        )
        return [sentence]
    return []


def _ahead(results: Results, other: str) -> Spread:
    """How much better the assisted learner is than ``other`` in the end; positive is better."""
    measure = results.main_measure
    change = results.difference(ASSISTED, other, results.rounds, measure)
    sign = -1.0 if measure == "global_loss" else 1.0
    return Spread(mean=sign * change.mean, error=change.error, count=change.count)


def _interval(results: Results, value: Spread) -> str:
    """In brackets, or nothing where there are too few seeds for one."""
    low, high = value.interval
    if value.count < ENOUGH_SEEDS or math.isnan(low):
        return ""
    if _same(value):
        return f" (the same on all {_seeds(value.count)})"
    unit = _amount(results, high)
    return f" (95 % interval {_amount(results, low).split()[0]} to {unit}, {_seeds(value.count)})"


def _same(value: Spread) -> bool:
    """Whether all seeds agree, which makes the interval a point and says nothing of chance."""
    return value.error <= ROUNDING


def _seeds(count: int) -> str:
    return "one seed" if count == 1 else f"{count} seeds"


def _name(results: Results) -> str:
    return "accuracy" if results.main_measure == "accuracy" else "the global loss (lower is better)"


def _amount(results: Results, value: float) -> str:
    if results.main_measure == "accuracy":
        return f"{100 * value:+.2f} points"
    return f"{value:+.4f} nats in the right direction"
