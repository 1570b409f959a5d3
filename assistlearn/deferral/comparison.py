"""All methods on one table of outcomes: split, fit, choose by validation, measure on a test set.

Rows are divided by a seed into three parts. Every method learns on the first, the second chooses
one of them, and then each is fitted again on both, with what was chosen inside it (margins) kept.
The third is for the report, and nothing is ever fitted or chosen on it. Chance is dealt the very
shares that the chosen method has on the test rows, so it asks everybody as often.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from assistlearn.deferral.arrays import Floats, Ints
from assistlearn.deferral.rejectors import (
    ConfidenceThreshold,
    FixedAgent,
    MildRejector,
    OneStageRejector,
    PlugInRejector,
    Rejector,
)
from assistlearn.deferral.rejectors.interface import RejectorBase
from assistlearn.deferral.report.metrics import picked
from assistlearn.deferral.report.trial import Trial, trial
from assistlearn.deferral.surrogates import named_surrogate, surrogate_names
from assistlearn.deferral.tables import Outcomes
from assistlearn.errors import DataError
from assistlearn.randomness import derive_seed

CHOSEN: Final = "chosen"
THEORY_RULE: Final = "theory rule"
PLUG_IN: Final = "plug-in"
THRESHOLD: Final = "confidence threshold"
BEST_AGENT: Final = "best agent"
SIMPLEST: Final = (BEST_AGENT, THRESHOLD, PLUG_IN)  # these first, on a tie
MILD: Final[Mapping[str, Literal["log", "hinge", "ramp"]]] = {
    "mild_log": "log",
    "mild_hinge": "hinge",
    "mild_ramp": "ramp",
}
OWN_CLASSIFIER: Final = "own classifier"
ONE_STAGE_ONE_VS_ALL: Final = "one-stage one-vs-all"
ONE_STAGE: Final[Mapping[str, Literal["cross_entropy", "one_vs_all", "realizable"]]] = {
    "one-stage cross-entropy": "cross_entropy",
    ONE_STAGE_ONE_VS_ALL: "one_vs_all",
    "one-stage realizable": "realizable",
}
SCALES: Final = (1.0,)  # of margins: linear scores stretch to any other
REST: Final = 0.2  # share of the rows for validation, and again for the test
FEWEST: Final = 10  # rows that can be divided in three


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Split:
    """Numbers of rows."""

    train: Ints
    validation: Ints
    test: Ints

    @property
    def overlap(self) -> float:
        """Rows to measure on over all that are learned from; see :func:`.spread`."""
        return len(self.test) / (len(self.train) + len(self.validation))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fitted:
    """A method that has learned."""

    name: str
    rejector: RejectorBase
    """Fitted on training and validation rows, and one that can be saved."""

    validation_costs: Floats
    """Cost of its choice on each validation row, when it was fitted on the training rows alone."""

    converged: bool
    """False if training stopped short of its optimum."""

    @property
    def validation_loss(self) -> float:
        """Deferral loss on the validation rows."""
        return float(self.validation_costs.mean())


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How much dearer one method is than another on the same rows, as a mean."""

    mean: float
    standard_error: float
    """Of the mean, from the differences row by row; NaN for a single row."""

    @classmethod
    def of(cls, one: Floats, other: Floats) -> "Difference":
        """Costs of two methods on the same rows, each of shape ``(n,)``."""
        each = one - other
        error = each.std(ddof=1) / np.sqrt(len(each)) if len(each) > 1 else np.nan
        return cls(mean=float(each.mean()), standard_error=float(error))

    def within(self, errors: float) -> bool:
        """Whether it is no more than this many standard errors."""
        return not abs(self.mean) > errors * self.standard_error


@dataclass(frozen=True, slots=True, kw_only=True)
class OneStageTrial:
    """A one-stage method on the test rows."""

    trial: Trial
    """Its agent 0 is the method's own classifier."""

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


def methods(
    surrogates: Sequence[str], *, seed: int, confidence: int | None = None
) -> dict[str, RejectorBase]:
    """Rejectors to fit: one for each surrogate, and the honest comparisons.

    MILD's reconstruction is there with margins chosen on held-out training rows, equal margins
    always among the candidates, and a second time with those of the theory rule.

    Args:
        surrogates: names.
        seed: of every method that draws.
        confidence: the feature that a confidence threshold goes by; None for no such method.

    Raises:
        ConfigError: a surrogate is unknown.
    """
    found: dict[str, RejectorBase] = {}
    for name in surrogates:
        named_surrogate(name)
        plain = Rejector(surrogate=name, random_state=seed)
        if name in MILD:
            found[name] = MildRejector(
                loss=MILD[name], rejector=plain, scales=SCALES, random_state=seed
            )
            found[f"{name} ({THEORY_RULE})"] = plain
        else:
            found[name] = plain
    found[PLUG_IN] = PlugInRejector()
    if confidence is not None:
        found[THRESHOLD] = ConfidenceThreshold(confidence=confidence)
    found[BEST_AGENT] = FixedAgent()
    return found


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


def usable_one_stage(outcomes: Outcomes) -> dict[str, OneStageRejector]:
    """One-stage methods that accept these costs, unfitted; none where the table has no labels."""
    if outcomes.labels is None:
        return {}
    largest = float(outcomes.costs[:, 1:].max())
    return {
        name: OneStageRejector(loss=loss)
        for name, loss in ONE_STAGE.items()
        if largest <= 1 or name != ONE_STAGE_ONE_VS_ALL
    }


def one_stage_trials(
    outcomes: Outcomes,
    unfitted: Mapping[str, OneStageRejector],
    split: Split,
    *,
    seed: int,
    told: Callable[[str], None] = lambda _: None,
) -> dict[str, OneStageTrial]:
    """What one-stage methods do on the test rows, one trial for each, as agent 0 differs.

    It is the method's own classifier in the place of the main model. Asking it is free, and an
    error of it costs 1. Nothing is chosen, so all other rows are learned from.

    Args:
        outcomes: a table with labels.
        unfitted: from :func:`usable_one_stage`.
        split: which rows to measure on.
        seed: which run this is; also of what draws.
        told: called with a method's name once it is fitted.
    """
    assert outcomes.labels is not None  # nothing is usable without
    both, rows = np.concatenate([split.train, split.validation]), split.test
    free = np.zeros_like(outcomes.prices[:, :1])
    prices = np.concatenate([free, outcomes.prices[:, 1:]], axis=1)[rows]
    found = {}
    for name, rejector in unfitted.items():
        features, labels, costs = outcomes.features, outcomes.labels, outcomes.costs[:, 1:]
        rejector.set_params(
            agents=[OWN_CLASSIFIER, *outcomes.agents[1:]], rejector=Rejector(random_state=seed)
        )
        with _converging() as caught:
            rejector.fit(features[both], labels[both], costs[both])
        own = rejector.costs(features[rows], labels[rows], costs[rows])
        correct = None
        if outcomes.correct is not None:
            correct = np.concatenate([own[:, :1] == 0, outcomes.correct[rows, 1:]], axis=1)
        measured = trial(
            own,
            {name: rejector.decide(features[rows])},
            prices=prices,
            correct_BA=correct,
            groups_B=None if outcomes.groups is None else outcomes.groups[rows],
            seed=seed,
        )
        found[name] = OneStageTrial(trial=measured, converged=not _stopped(caught))
        told(name)
    return found


def fit_methods(
    outcomes: Outcomes,
    unfitted: Mapping[str, RejectorBase],
    split: Split,
    *,
    told: Callable[[str], None] = lambda _: None,
) -> tuple[Fitted, ...]:
    """Fit every method on the training rows, score it on the validation rows, fit it on both.

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
    both = np.concatenate([split.train, split.validation])
    fitted = []
    for name, rejector in unfitted.items():
        rejector.set_params(
            agents=list(outcomes.agents), prices=None if prices is None else prices.tolist()
        )
        with _converging() as caught:
            rejector.fit(outcomes.features[split.train], costs[split.train])
            made = rejector.decide(outcomes.features[split.validation]).agents
            # Its margins are chosen: what is fitted again is the ordinary rejector that has them.
            chosen = rejector.rejector_ if isinstance(rejector, MildRejector) else rejector
            final = clone(chosen).fit(outcomes.features[both], costs[both])
        converged = not _stopped(caught)
        paid = picked(outcomes.costs[split.validation], made)
        fitted.append(Fitted(name=name, rejector=final, validation_costs=paid, converged=converged))
        told(name)
    return tuple(fitted)


def ranked(fitted: Sequence[Fitted]) -> list[Fitted]:
    """By validation loss, the least first; on a tie the simplest, then the first."""

    def rank(each: Fitted) -> tuple[float, int]:
        simple = SIMPLEST.index(each.name) if each.name in SIMPLEST else len(SIMPLEST)
        return each.validation_loss, simple

    return sorted(fitted, key=rank)


def choose(fitted: Sequence[Fitted]) -> Fitted:
    """The method with the least validation loss; on a tie the simplest, then the first."""
    return ranked(fitted)[0]


def random_as(name: str) -> str:
    """What chance is called that deals out the shares of the method ``name``."""
    return f"random as {name}"


def measured_trial(
    outcomes: Outcomes,
    fitted: Sequence[Fitted],
    split: Split,
    *,
    seed: int,
    with_choice: bool = True,
) -> Trial:
    """What every method does on the test rows, and chance with the shares of the one chosen.

    Args:
        outcomes: the table.
        fitted: methods that have learned on its other rows.
        split: which rows to measure on.
        seed: which run this is; also of the draw.
        with_choice: whether to add ``chosen``: what comes of choosing a method by validation.

    Raises:
        DataError: a method decides what is no agent.
    """
    rows = split.test
    made = {each.name: each.rejector.decide(outcomes.features[rows]) for each in fitted}
    # A constant has scores that rank nothing, and so no curve.
    decided: dict[str, Any] = {
        name: each.agents if name == BEST_AGENT else each for name, each in made.items()
    }
    chosen = choose(fitted).name
    agents = made[chosen].agents
    if with_choice:
        decided = {CHOSEN: agents, **decided}
    generator = np.random.default_rng(derive_seed(seed, "deferral", "shares"))
    decided[random_as(CHOSEN if with_choice else chosen)] = generator.permutation(agents)
    return trial(
        outcomes.costs[rows],
        decided,
        prices=outcomes.prices[rows],
        correct_BA=None if outcomes.correct is None else outcomes.correct[rows],
        groups_B=None if outcomes.groups is None else outcomes.groups[rows],
        seed=seed,
    )


def held_out_difference(trial: Trial, one: str, other: str) -> Difference:
    """How much dearer the method ``one`` is than ``other`` on the test rows."""
    paid = [picked(trial.costs, trial.methods[name].agents) for name in (one, other)]
    return Difference.of(*paid)


@contextmanager
def _converging() -> Iterator[list[warnings.WarningMessage]]:
    """Gives what is warned of inside, every time."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        yield caught


def _stopped(caught: Sequence[warnings.WarningMessage]) -> bool:
    return any(issubclass(each.category, ConvergenceWarning) for each in caught)
