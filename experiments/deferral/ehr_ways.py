"""The methods of ``defer_ehr``: which costs each learns from, and how it is fitted.

Letters: B patients, A agents.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning

from assistlearn.deferral.margin_choice import EXPONENTS
from assistlearn.deferral.rejectors import (
    ConfidenceThreshold,
    FixedAgent,
    PlugInRejector,
    RandomRejector,
    Rejector,
)
from assistlearn.deferral.rejectors.minibatches import held_out_rows
from assistlearn.deferral.report import trial
from experiments.deferral.common import BEST_AGENT, RANDOM, Candidate, Decided, Lesson, fitted
from experiments.deferral.ehr_agents import OWN, Answers, Case

JOINT: Final = "joint"
CLASS: Final = "class only"
VALUE: Final = "regression only"
LINEAR: Final = ", linear"
BOTH: Final = (1.0, 1.0)
LAMBDAS: Final[Mapping[str, tuple[float, float]]] = {  # of the class, of the value
    CLASS: (1.0, 0.0),
    "joint, 1 : 1/4": (1.0, 0.25),
    JOINT: BOTH,
    "joint, 1 : 4": (1.0, 4.0),
    VALUE: (0.0, 1.0),
}
DECAYS: Final = (1e-3, 1e-2, 1e-1)
HELD_OUT: Final = 0.2  # of the training patients, where settings are chosen
CONFIDENCE: Final = 1 - OWN  # |p - 1/2|, second of the main model's features, from the end


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A method: which costs it learns from, and how."""

    candidate: Candidate
    lambdas: tuple[float, float] = BOTH


def ways(seed: int) -> dict[str, Way]:
    """Every method that learns from costs."""
    network = Rejector(hidden=(64,), learning_rate=1e-3, weight_decay=1e-3, random_state=seed)
    forest = RandomForestRegressor(40, min_samples_leaf=20, max_features=0.3, random_state=seed)

    def linear(surrogate: str = "two_stage", **grid: Any) -> Candidate:
        rejector = Rejector(surrogate=surrogate, solver="lbfgs", max_iter=300)
        return Candidate(rejector=rejector, grid={**grid, "weight_decay": DECAYS})

    margins = [{"exponent": each} for each in EXPONENTS]
    gap = clone(network).set_params(surrogate_settings={"weights": "max"})
    alone = {
        "joint, gap weights": gap,
        "plug-in, ridge": PlugInRejector(),
        "plug-in, forest": PlugInRejector(regressor=forest),
        "confidence threshold": ConfidenceThreshold(confidence=CONFIDENCE),
    }
    return {
        **{
            name: Way(candidate=Candidate(rejector=network), lambdas=lambdas)
            for name, lambdas in LAMBDAS.items()
        },
        **{
            name + LINEAR: Way(candidate=linear(), lambdas=LAMBDAS[name])
            for name in (CLASS, JOINT, VALUE)
        },
        "joint, layered mass, linear": Way(candidate=linear("layered_mass")),
        "MILD, linear": Way(candidate=linear("mild_log", surrogate_settings=margins)),
        **{name: Way(candidate=Candidate(rejector=each)) for name, each in alone.items()},
    }


def study(case: Case, answers: Answers, seed: int) -> Decided:
    """Fit every method on the training patients, and let it decide about the others."""
    errors = answers.errors(case.error)
    train, test = np.flatnonzero(~answers.test), np.flatnonzero(answers.test)
    _, held_out = held_out_rows(len(train), fraction=HELD_OUT, seed=seed)
    costs = errors[0] + errors[1]
    lesson = Lesson(
        agents=case.agents,
        features=answers.features[train],
        costs=costs[train],
        held_out=held_out,
        test_features=answers.features[test],
        test_costs=costs[test],
        test_prices=np.zeros(costs[test].shape),
        test_correct=errors[0][test] == 0,
    )
    made: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    for name, way in ways(seed).items():
        for_class, for_value = way.lambdas
        weighted = for_class * errors[0][train] + for_value * errors[1][train]
        rejector, settings[name] = _fit(way.candidate, replace(lesson, costs=weighted))
        made[name] = rejector.decide(lesson.test_features)
    shares = made[JOINT].shares.tolist()
    for name, rejector in {
        BEST_AGENT: FixedAgent(),
        RANDOM: RandomRejector(shares=shares, random_state=seed),
    }.items():
        made[name] = rejector.fit(lesson.features, lesson.costs).decide(lesson.test_features).agents
    measured = trial(lesson.test_costs, made, correct_BA=lesson.test_correct, seed=seed)
    return Decided(trial=measured, settings=settings)


def _fit(candidate: Candidate, lesson: Lesson) -> tuple[Any, dict[str, Any]]:
    if candidate.grid:
        return fitted(candidate, lesson)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        # The same unit as in a search: the dearest answer costs 1.
        costs = lesson.costs / lesson.costs.max()
        return clone(candidate.rejector).fit(lesson.features, costs), {}
