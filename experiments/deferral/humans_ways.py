"""The methods of ``defer_humans``: two-stage rejectors by every loss, and one-stage ones.

A two-stage rejector chooses among the agents as they are. A one-stage one chooses among the classes
and the experts: where it names a class, that is its own answer, not the main model's. Put so, the
literature's one-stage losses are two-stage surrogates with actions in place of agents
(:mod:`assistlearn.deferral.one_stage`), here linear on the same features.

Letters: B examples, A agents, K classes, J experts.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import torch
from sklearn.ensemble import RandomForestRegressor

from assistlearn.deferral.arrays import Floats
from assistlearn.deferral.margin_choice import EXPONENTS
from assistlearn.deferral.one_stage import action_costs
from assistlearn.deferral.rejectors import ConfidenceThreshold, PlugInRejector, Rejector
from assistlearn.deferral.rejectors.minibatches import held_out_rows
from assistlearn.deferral.report import Routing, trial
from experiments.deferral.common import Candidate, Decided, Lesson, decided, fitted
from experiments.deferral.humans_data import Asked

TWO_STAGE: Final = "two-stage"
THRESHOLD: Final = "confidence threshold"
FOREST: Final = "plug-in, forest"
NETWORK: Final = "two-stage, network"
ONE_STAGE: Final = "one-stage"
OWN_CLASSES: Final = "one-stage model"
DECAYS: Final = (1e-2, 1e-1, 1.0)
HELD_OUT: Final = 0.2  # of the training rows, where settings are chosen


def _linear(surrogate: str, *settings: Mapping[str, Any]) -> Candidate:
    return Candidate(
        rejector=Rejector(surrogate=surrogate, solver="lbfgs", max_iter=100),
        grid={"surrogate_settings": settings or ({},), "weight_decay": DECAYS},
    )


def two_stage_ways(seed: int) -> dict[str, Candidate]:
    """Methods that choose among the agents."""
    network = Rejector(hidden=(64,), learning_rate=1e-3, weight_decay=1e-3, random_state=seed)
    forest = RandomForestRegressor(40, min_samples_leaf=20, max_features=0.3, random_state=seed)
    return {
        TWO_STAGE: _linear("two_stage"),
        "two-stage, gap weights": _linear("two_stage", {"weights": "max"}),
        NETWORK: Candidate(rejector=network),
        "MILD, validated": _linear("mild_log", *({"exponent": each} for each in EXPONENTS)),
        "one-vs-all": _linear("one_vs_all"),
        "log mass": _linear("log_mass"),
        "plug-in, ridge": Candidate(rejector=PlugInRejector()),
        FOREST: Candidate(rejector=PlugInRejector(regressor=forest)),
        THRESHOLD: Candidate(rejector=ConfidenceThreshold(confidence=-1)),
    }


def one_stage_ways() -> dict[str, Candidate]:
    """Methods that choose among classes and experts.

    Weights ``max - c`` make the first Mozannar and Sontag's loss (arXiv:2006.01862) also where an
    expert has a price.
    """
    return {
        ONE_STAGE: _linear("two_stage", {"weights": "max"}),
        "one-stage, one-vs-all": _linear("one_vs_all"),
    }


def lesson(asked: Asked, *, price: float, seed: int) -> Lesson:
    """What there is to learn from and to be measured on, at a price for each person's answer."""
    train, test = np.flatnonzero(~asked.test), np.flatnonzero(asked.test)
    prices_A = price * np.array(asked.answers)
    _, held_out = held_out_rows(len(train), fraction=HELD_OUT, seed=seed)
    return Lesson(
        agents=asked.agents,
        features=asked.features[train],
        costs=asked.errors[train] + prices_A,
        held_out=held_out,
        test_features=asked.features[test],
        test_costs=asked.errors[test] + prices_A,
        test_prices=np.broadcast_to(prices_A, asked.errors[test].shape),
        test_correct=asked.errors[test] == 0,
    )


def two_stage(asked: Asked, *, price: float, seed: int) -> Decided:
    """Every two-stage method, the best agent and chance on one division of the rows."""
    learned = lesson(asked, price=price, seed=seed)
    return decided(learned, two_stage_ways(seed), seed=seed, random_as=TWO_STAGE)


def one_stage(asked: Asked, name: str, *, price: float, seed: int) -> Decided:
    """One one-stage method. Agent 0 of its trial is its own classes, not the main model."""
    assert asked.labels is not None  # only where an answer is one class
    learned = lesson(asked, price=price, seed=seed)
    labels_B = asked.labels[~asked.test]
    actions = Lesson(
        agents=(),
        features=learned.features,
        costs=_action_costs(labels_B, learned.costs[:, 1:], classes=asked.classes),
        held_out=learned.held_out,
        test_features=learned.test_features,
        test_costs=learned.test_costs,
        test_prices=learned.test_prices,
    )
    rejector, settings = fitted(one_stage_ways()[name], actions)
    scores_BN = rejector.decision_function(learned.test_features).astype(np.float64)
    classes_BK, experts_BJ = np.split(scores_BN, [asked.classes], axis=1)
    scores_BA = np.concatenate([classes_BK.max(axis=1, keepdims=True), experts_BJ], axis=1)
    wrong_B = classes_BK.argmax(axis=1) != asked.labels[asked.test]
    errors_BA = np.concatenate([wrong_B[:, None], asked.errors[asked.test][:, 1:]], axis=1)
    measured = trial(
        errors_BA + learned.test_prices,
        {name: Routing(agents=scores_BA.argmax(axis=1), scores=scores_BA)},
        prices=learned.test_prices,
        correct_BA=errors_BA == 0,
        seed=seed,
    )
    return Decided(trial=measured, settings=settings)


def _action_costs(labels_B: Any, costs_BJ: Floats, *, classes: int) -> Floats:
    found: Floats = action_costs(
        torch.from_numpy(labels_B), torch.from_numpy(costs_BJ), classes=classes
    ).numpy()
    return found
