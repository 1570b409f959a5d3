"""Learning to help, its curves: all figures against c_e, and against a bound on the reject rate.

The bounded reject rate compares the paper's stochastic rule (arXiv:2501.13810) with thresholds,
which are the best rules for a bounded rate, and with chance. No lots are drawn: what is shown is
the expectation over them, exactly.

Letters: B, C calibration, T test examples; P bounds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from torch import Tensor

from assistlearn.deferral.arrays import Floats
from assistlearn.deferral.budgets import benefit_of_deferring, stochastic_rule, threshold_at_rate
from assistlearn.deferral.help import REMOTE, HelpCosts
from assistlearn.deferral.report import Spread, spread
from experiments.deferral.help_rejectors import Arm, Scores, decisions
from experiments.deferral.help_results import (
    BOUNDED_RATE,
    CONFIDENCE,
    OURS,
    PLUG_IN,
    PUBLISHED,
    SWEPT,
    Row,
    Trained,
    agent_costs,
    at_costs,
    confidence,
    lead,
    rows,
    swept_costs,
    trials_at,
)
from experiments.deferral.help_setup import Scale

BOUNDS: Final = tuple(step / 10 for step in range(11))
RANDOM: Final = "random"
ORACLE: Final = "oracle"


def swept(seeds: Sequence[Trained], scale: Scale) -> dict[HelpCosts, dict[str, Row]]:
    """Every method at every c_e of the grid, for both c_1."""
    return {
        costs: rows(
            trials_at(seeds, {name: at_costs(arm, costs) for name, arm in SWEPT.items()}, costs)
        )
        for costs in swept_costs(scale)
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounded:
    """One rule at every one of :data:`BOUNDS`. On test images, in expectation over the lots."""

    rate: tuple[Spread, ...]
    """Share asked. The rule was fitted on calibration images, so it may miss the bound."""
    accuracy: tuple[Spread, ...]
    loss: tuple[Spread, ...]
    """Generalised 0-1 loss."""
    gain: tuple[Spread, ...]
    """Loss of asking at random, at the rule's own rate, less that of the rule; paired by seed."""


def bounded(seeds: Sequence[Trained]) -> dict[str, Bounded]:
    """The paper's rule on its rejector and on ours, thresholds on several scores, chance, oracle.

    The gain of the plug-in is the expected cost of the client less that of the server.
    """
    by_seed = [_rules(each) for each in seeds]
    return {name: _measured(seeds, [each[name] for each in by_seed]) for name in by_seed[0]}


Rule: TypeAlias = Callable[[float], Floats]
"""From a bound to the probability that each test image is asked about. Shape ``(T,)``."""


def _rules(made: Trained) -> dict[str, Rule]:
    arms = {name: at_costs(arm, BOUNDED_RATE) for name, arm in SWEPT.items()}
    scores = {name: made.scores[arm] for name, arm in arms.items()}
    gains = [
        benefit_of_deferring(_expected_costs(each)).gain
        for each in (scores[PLUG_IN].calibration, scores[PLUG_IN].test)
    ]
    client = made.world.client
    best = benefit_of_deferring(agent_costs(made.test_right(), BOUNDED_RATE)).gain
    ours = scores[OURS]
    return {
        RANDOM: lambda bound: np.full(len(best), bound),
        f"stochastic rule, {PUBLISHED}": _stochastic(arms[PUBLISHED], scores[PUBLISHED]),
        f"stochastic rule, {OURS}": _stochastic(arms[OURS], ours),
        f"threshold on the score, {PUBLISHED}": _threshold(
            -lead(scores[PUBLISHED].calibration), -lead(scores[PUBLISHED].test)
        ),
        f"threshold on the score, {OURS}": _threshold(-lead(ours.calibration), -lead(ours.test)),
        "threshold on the plug-in's gain": _threshold(*gains),
        CONFIDENCE: _threshold(-confidence(client.calibration), -confidence(client.test)),
        ORACLE: _threshold(best, best),
    }


def _stochastic(arm: Arm, scores: Scores) -> Rule:
    """The paper's rule, with both branches: it uses up every bound."""
    asked_C, asked_T = (
        (decisions(arm, each) == REMOTE).numpy() for each in (scores.calibration, scores.test)
    )
    own = float(asked_C.mean())
    return lambda bound: stochastic_rule(own, bound, fill=True).probabilities(asked_T)


def _threshold(scores_C: Any, scores_T: Any) -> Rule:
    """Ask where the score is largest, at a threshold that meets the bound on calibration images."""
    return lambda bound: threshold_at_rate(scores_C, bound).probabilities(scores_T)


def _expected_costs(scores_B2: Tensor) -> Floats:
    """What the plug-in expects of either agent. Shape ``(B, 2)``."""
    client_B, server_B = scores_B2.double().sigmoid().numpy().T
    asking_B = BOUNDED_RATE.query_cost + BOUNDED_RATE.server_error_cost * (1 - server_B)
    return np.stack([1 - client_B, asking_B], axis=1)


def _measured(seeds: Sequence[Trained], by_seed: Sequence[Rule]) -> Bounded:
    figures = np.array(
        [
            [_expected(rule(bound), each) for bound in BOUNDS]
            for each, rule in zip(seeds, by_seed, strict=True)
        ]
    )  # seeds, bounds, figures
    rate, accuracy, loss, gain = (
        tuple(spread(own.tolist()) for own in figures[:, :, number].T) for number in range(4)
    )
    return Bounded(rate=rate, accuracy=accuracy, loss=loss, gain=gain)


def _expected(asked_T: Floats, made: Trained) -> tuple[float, float, float, float]:
    """Rate, accuracy, loss and gain when each image is asked about with these probabilities."""
    right_T2 = made.test_right().double().numpy()
    costs_T2 = agent_costs(made.test_right(), BOUNDED_RATE)
    chances_T2 = np.stack([1 - asked_T, asked_T], axis=1)
    accuracy, loss = ((chances_T2 * each_T2).sum(1).mean() for each_T2 in (right_T2, costs_T2))
    random = chances_T2.mean(axis=0) @ costs_T2.mean(axis=0)
    return float(asked_T.mean()), float(accuracy), float(loss), float(random - loss)
