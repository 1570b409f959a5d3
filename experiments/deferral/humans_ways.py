"""The methods of ``defer_humans``: two-stage rejectors by every loss, and one-stage ones.

A two-stage rejector chooses among the agents as they are. A one-stage one (``one_stage.py``)
chooses among the classes and the experts: where it names a class, that is its own answer, not the
main model's.

Letters: A agents.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from sklearn.ensemble import RandomForestRegressor

from assistlearn.deferral.margin_choice import EXPONENTS
from assistlearn.deferral.rejectors import ConfidenceThreshold, PlugInRejector, Rejector
from assistlearn.deferral.rejectors.minibatches import held_out_rows
from experiments.deferral.common import Candidate, Decided, Lesson, decided
from experiments.deferral.humans_data import Asked
from experiments.deferral.one_stage import one_stage as measured_one_stage

TWO_STAGE: Final = "two-stage"
THRESHOLD: Final = "confidence threshold"
FOREST: Final = "plug-in, forest"
NETWORK: Final = "two-stage, network"
ONE_STAGE: Final = "one-stage"
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
        labels=None if asked.labels is None else asked.labels[train],
        test_labels=None if asked.labels is None else asked.labels[test],
    )


def two_stage(asked: Asked, *, price: float, seed: int) -> Decided:
    """Every two-stage method, the best agent and chance on one division of the rows."""
    learned = lesson(asked, price=price, seed=seed)
    return decided(learned, two_stage_ways(seed), seed=seed, random_as=TWO_STAGE)


def one_stage(asked: Asked, name: str, *, price: float, seed: int) -> Decided:
    """One one-stage method. Agent 0 of its trial is its own classes, not the main model."""
    learned = lesson(asked, price=price, seed=seed)
    candidate = one_stage_ways()[name]
    return measured_one_stage(learned, candidate, name=name, classes=asked.classes, seed=seed)
