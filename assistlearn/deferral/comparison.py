"""All methods on one table of outcomes: split, fit, choose by validation, measure on a test set.

Rows are divided by a seed into three parts. Every method learns on the first; the second chooses
one of them; the third is for the report, and nothing is ever fitted or chosen on it.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from assistlearn.deferral.arrays import Ints
from assistlearn.deferral.rejectors import FixedAgent, PlugInRejector, RandomRejector, Rejector
from assistlearn.deferral.rejectors.interface import RejectorBase
from assistlearn.deferral.report.trial import Trial, trial
from assistlearn.deferral.surrogates import named_surrogate, surrogate_names
from assistlearn.deferral.tables import Outcomes
from assistlearn.errors import DataError
from assistlearn.randomness import derive_seed

CHOSEN: Final = "chosen"
PLUG_IN: Final = "plug-in"
BEST_AGENT: Final = "best agent"
RANDOM: Final = "random"
REST: Final = 0.2  # share of the rows for validation, and again for the test
FEWEST: Final = 10  # rows that can be divided in three


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Split:
    """Numbers of rows."""

    train: Ints
    validation: Ints
    test: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A method that has learned."""

    name: str
    rejector: RejectorBase
    validation_loss: float
    """Deferral loss on the validation rows."""

    converged: bool
    """False if training stopped short of its optimum."""


def split_rows(rows: int, seed: int) -> Split:
    """Divide row numbers at random: three fifths, one, and one.

    Raises:
        DataError: there are too few.
    """
    if rows < FEWEST:
        raise DataError(
            f"{rows} rows are too few to learn, choose and measure on",
            hint=f"give at least {FEWEST}; hundreds, to learn anything",
        )
    generator = np.random.default_rng(derive_seed(seed, "deferral", "split"))
    order = generator.permutation(rows)
    part = max(1, round(REST * rows))
    return Split(train=order[2 * part :], validation=order[:part], test=order[part : 2 * part])


def methods(surrogates: Sequence[str], *, seed: int) -> dict[str, RejectorBase]:
    """Rejectors to fit: one for each surrogate, and the honest comparisons.

    Raises:
        ConfigError: a surrogate is unknown.
    """
    for name in surrogates:
        named_surrogate(name)
    return {
        **{name: Rejector(surrogate=name, random_state=seed) for name in surrogates},
        PLUG_IN: PlugInRejector(),
        BEST_AGENT: FixedAgent(),
        RANDOM: RandomRejector(random_state=seed),
    }


def usable_surrogates(
    outcomes: Outcomes, wanted: Sequence[str] = ()
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Surrogates that accept costs as large as these, and those that do not.

    Args:
        outcomes: the table.
        wanted: names of surrogates; all if empty.

    Raises:
        ConfigError: a surrogate is unknown.
    """
    largest = float(outcomes.costs.max())
    names = wanted or surrogate_names()
    usable = tuple(name for name in names if largest <= named_surrogate(name).largest_cost)
    return usable, tuple(name for name in names if name not in usable)


def fit_methods(
    outcomes: Outcomes,
    unfitted: Mapping[str, RejectorBase],
    split: Split,
    *,
    told: Callable[[str], None] = lambda _: None,
) -> tuple[Fitted, ...]:
    """Fit every method on the training rows and score it on the validation rows.

    Prices that do not change from row to row are told to the rejectors, which keep them.

    Args:
        outcomes: the table.
        unfitted: from :func:`methods`, or any rejectors.
        split: which rows to learn and to choose on.
        told: called with a method's name once it is fitted.

    Raises:
        DataError: a method does not accept these costs.
    """
    prices = outcomes.fixed_prices
    costs = outcomes.costs if prices is None else outcomes.errors
    fitted = []
    for name, rejector in unfitted.items():
        rejector.set_params(
            agents=list(outcomes.agents), prices=None if prices is None else prices.tolist()
        )
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            rejector.fit(outcomes.features[split.train], costs[split.train])
        loss = -rejector.score(outcomes.features[split.validation], costs[split.validation])
        stopped = any(issubclass(each.category, ConvergenceWarning) for each in caught)
        fitted.append(
            Fitted(name=name, rejector=rejector, validation_loss=loss, converged=not stopped)
        )
        told(name)
    return tuple(fitted)


def choose(fitted: Sequence[Fitted]) -> Fitted:
    """The method with the least validation loss, the simplest on a tie; never a random one."""
    simplest_first = [each for each in reversed(fitted) if each.name != RANDOM]
    return min(simplest_first, key=lambda each: each.validation_loss)


def measured_trial(
    outcomes: Outcomes,
    fitted: Sequence[Fitted],
    split: Split,
    *,
    seed: int,
    with_choice: bool = True,
) -> Trial:
    """What every method does on the test rows.

    Args:
        outcomes: the table.
        fitted: methods that have learned on its training rows.
        split: which rows to measure on.
        seed: which run this is.
        with_choice: whether to add ``chosen``: what comes of choosing a method by validation.

    Raises:
        DataError: a method decides what is no agent.
    """
    rows = split.test
    decided: dict[str, Any] = {}
    if with_choice:
        decided[CHOSEN] = choose(fitted).rejector.decide(outcomes.features[rows]).agents
    for each in fitted:
        made = each.rejector.decide(outcomes.features[rows])
        # A constant or a lottery has scores that rank nothing, and so no curve.
        decided[each.name] = made.agents if each.name in {BEST_AGENT, RANDOM} else made
    return trial(
        outcomes.costs[rows],
        decided,
        prices=outcomes.prices[rows],
        correct_BA=None if outcomes.correct is None else outcomes.correct[rows],
        groups_B=None if outcomes.groups is None else outcomes.groups[rows],
        seed=seed,
    )
