"""Learning to help, measured: which rejectors are trained, and what each of them comes to.

Every figure is on held-out images, beside never asking, always asking, the confidence threshold,
chance at the same rate and the oracle of each single image. Thresholds and reject rates are chosen
on calibration images, which no model trained on.

Letters: B, C calibration, T test examples.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from assistlearn.deferral.arrays import Floats, Ints
from assistlearn.deferral.help import LOCAL, REMOTE, HelpCosts
from assistlearn.deferral.rejectors import ConfidenceThreshold
from assistlearn.deferral.report import Spread, Trial, deferral_report, spread, trial
from assistlearn.deferral.report.build import Method
from experiments.deferral.help_rejectors import UNSEEN, Arm, Scores, decisions
from experiments.deferral.help_setup import Scale
from experiments.deferral.help_world import TABLE_1, Client, World, views

ALL_LOCAL: Final = "never ask (ALL-LOCAL)"
ALL_REMOTE: Final = "always ask (ALL-REMOTE)"
CONFIDENCE: Final = "client's confidence, threshold"
PUBLISHED: Final = "published recipe"
OURS: Final = "ours"
PLUG_IN: Final = "plug-in, told the same as ours"
MOVED: Final = ", threshold moved"

SERVER_ERROR_COSTS: Final = (1.0, 1.25)
BOUNDED_RATE: Final = HelpCosts(query_cost=0.25, server_error_cost=1.12)
STALE: Final = tuple(
    HelpCosts(query_cost=query, server_error_cost=error)
    for error, query in ((1.0, 0.25), (1.25, 0.0), (1.25, 0.25))
)

_AS_PUBLISHED: Final = Arm(form="literal", costs=TABLE_1)
_OURS: Final = Arm(form="bounded", costs=TABLE_1, view=UNSEEN, sees_logits=True)
STEPS: Final[Mapping[str, Arm]] = {
    PUBLISHED: _AS_PUBLISHED,
    "  sign of c_1 as in its released code": replace(_AS_PUBLISHED, form="released code"),
    "  bounded surrogate": replace(_AS_PUBLISHED, form="bounded"),
    "  sees the client's logits": replace(_AS_PUBLISHED, sees_logits=True),
    "  cross-fitted server bits": replace(_AS_PUBLISHED, view=UNSEEN),
    "  bounded and cross-fitted": replace(_OURS, sees_logits=False),
    OURS: _OURS,
    "  cross-fitted clients too": replace(_OURS, unseen_client=True),
    PLUG_IN: replace(_OURS, form="plug-in"),
}
"""From the published recipe to ours, what changes: the surrogate, the bits, what the rejector sees.

Ours is all three of the changes. The client's own bits are nearly honest, as it fits little."""

SWEPT: Final[Mapping[str, Arm]] = {name: STEPS[name] for name in (PUBLISHED, OURS, PLUG_IN)}


def at_costs(arm: Arm, costs: HelpCosts) -> Arm:
    """The same rejector trained for other costs. The plug-in's training knows none."""
    return arm if arm.form == "plug-in" else replace(arm, costs=costs)


def swept_costs(scale: Scale) -> Iterator[HelpCosts]:
    """The grid of c_e for either c_1."""
    for error in SERVER_ERROR_COSTS:
        for query in scale.query_costs:
            yield HelpCosts(query_cost=query, server_error_cost=error)


def all_arms(scale: Scale) -> tuple[Arm, ...]:
    """Every rejector that the results need, once each."""
    arms = [
        *STEPS.values(),
        *(at_costs(arm, costs) for costs in swept_costs(scale) for arm in SWEPT.values()),
        *(
            replace(_AS_PUBLISHED, costs=costs, view=view)
            for costs in STALE
            for view in views(scale)
        ),
        *(at_costs(arm, BOUNDED_RATE) for arm in SWEPT.values()),
        *(replace(arm, lacks_class=True) for arm in SWEPT.values()),
    ]  # fmt: skip
    return tuple(dict.fromkeys(arms))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trained:
    """One seed, ready to be measured."""

    seed: int
    training_labels: Tensor
    calibration_labels: Tensor
    test_labels: Tensor
    world: World
    scores: Mapping[Arm, Scores]

    def client(self, *, lacks_class: bool) -> Client:
        """The client, or the one that never saw a class."""
        return self.world.lacking if lacks_class else self.world.client

    def calibration_right(self, *, lacks_class: bool = False) -> Tensor:
        """Whether client and server are right on calibration images. ``(C, 2)``."""
        own = self.client(lacks_class=lacks_class).calibration.argmax(1) == self.calibration_labels
        return torch.stack([own, self.world.server.calibration], dim=1)

    def test_right(self, *, lacks_class: bool = False) -> Tensor:
        """Whether client and server are right on test images. ``(T, 2)``."""
        own = self.client(lacks_class=lacks_class).test.argmax(1) == self.test_labels
        return torch.stack([own, self.world.server.test], dim=1)


def measured(
    made: Trained, arms: Mapping[str, Arm], costs: HelpCosts, *, lacks_class: bool = False
) -> Trial:
    """Everybody's decisions on the test images at these costs."""
    calibration_C2 = agent_costs(made.calibration_right(lacks_class=lacks_class), costs)
    right_T2 = made.test_right(lacks_class=lacks_class)
    client = made.client(lacks_class=lacks_class)

    def threshold(leads_C: Tensor, leads_T: Tensor) -> Ints:
        """Ask below a threshold that is best on calibration images."""
        rule = ConfidenceThreshold().fit(leads_C.numpy()[:, None], calibration_C2)
        chosen: Ints = rule.decide(leads_T.numpy()[:, None]).agents
        return chosen

    methods: dict[str, Any] = {
        ALL_LOCAL: np.full(len(right_T2), LOCAL),
        ALL_REMOTE: np.full(len(right_T2), REMOTE),
        CONFIDENCE: threshold(confidence(client.calibration), confidence(client.test)),
    }
    for name, arm in arms.items():
        own = replace(arm, lacks_class=lacks_class)
        scores = made.scores[own]
        methods[name] = decisions(own, scores.test, costs).numpy()
        if name in {PUBLISHED, OURS}:
            methods[name + MOVED] = threshold(lead(scores.calibration), lead(scores.test))
    return trial(
        agent_costs(right_T2, costs),
        methods,
        prices=(0.0, costs.query_cost),
        correct_BA=right_T2,
        seed=made.seed,
    )


def trials_at(
    seeds: Sequence[Trained],
    arms: Mapping[str, Arm],
    costs: HelpCosts,
    *,
    lacks_class: bool = False,
) -> tuple[Trial, ...]:
    """All seeds at these costs; ``arms`` must have been trained for them."""
    return tuple(measured(each, arms, costs, lacks_class=lacks_class) for each in seeds)


def agent_costs(right_B2: Tensor, costs: HelpCosts) -> Floats:
    """What either answer costs. ``(B, 2)``."""
    found: Floats = costs.agent_costs(right_B2[:, 0], right_B2[:, 1], dtype=torch.float64).numpy()
    return found


def confidence(logits_BK: Tensor) -> Tensor:
    """The largest class probability. ``(B,)``."""
    return logits_BK.double().softmax(1).amax(1)


def lead(scores_B2: Tensor) -> Tensor:
    """By how much LOCAL is ahead. ``(B,)``."""
    return (scores_B2[:, LOCAL] - scores_B2[:, REMOTE]).double()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One method. Accuracies and rates are shares; intervals are over seeds."""

    loss: Spread
    """Generalised 0-1 loss."""
    minus_all_local: Spread
    """The same, less that of never asking, paired by seed."""
    minus_random: Spread
    """The same, less that of asking about as many images chosen at random."""
    accuracy: Spread
    """Of the system."""
    accuracy_over_random: Spread
    reject_rate: Spread


def rows(trials: Sequence[Trial]) -> dict[str, Row]:
    """Every method and the oracle."""
    report = deferral_report(trials, agents=("client", "server"))
    never = [each.deferral_loss for each in report.method(ALL_LOCAL).metrics]
    alone = list(zip(*(each.alone.metrics for each in report.agents), strict=True))

    def row(method: Method) -> Row:
        losses = [each.deferral_loss for each in method.metrics]
        by_chance = [
            sum(share * each.accuracy for share, each in zip(own.shares, agents, strict=True))
            for own, agents in zip(method.metrics, alone, strict=True)
        ]
        return Row(
            loss=spread(losses),
            minus_all_local=spread([one - two for one, two in zip(losses, never, strict=True)]),
            minus_random=spread([-each.over_random for each in method.metrics]),
            accuracy=method.spread(attrgetter("accuracy")),
            accuracy_over_random=spread(
                [one.accuracy - two for one, two in zip(method.metrics, by_chance, strict=True)]
            ),
            reject_rate=method.spread(lambda each: 1 - each.coverage),
        )

    return {each.name: row(each) for each in (*report.methods, report.oracle)}
