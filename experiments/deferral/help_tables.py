"""Learning to help, Tables 1 to 6: both models on both sides, stale views, a class never seen.

Source of the published numbers: arXiv:2501.13810. Its Tables 2 to 5 (several S) are not at hand,
so those rows stand alone.

Letters: T test examples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np

from assistlearn.deferral.arrays import Bools, Floats, Ints
from assistlearn.deferral.help import LOCAL, REMOTE, HelpCosts
from assistlearn.deferral.report import Spread, Trial, spread
from assistlearn.deferral.report.metrics import picked
from experiments.deferral.help_results import (
    PUBLISHED,
    STALE,
    STEPS,
    SWEPT,
    Row,
    Trained,
    rows,
    trials_at,
)
from experiments.deferral.help_setup import CLASSES, MISSING_CLASS, Scale
from experiments.deferral.help_world import TABLE_1, Interval, views


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """The images that one agent answers, as shares: how many, and how well either answers them."""

    ratio: Any
    client: Any
    server: Any
    difference: Any


def _published(ratio: float, client: float, server: float, difference: float) -> Side:
    return Side(ratio=ratio, client=client, server=server, difference=difference)


TABLE_1_PUBLISHED: Final[Mapping[str, tuple[Side, Side]]] = {
    "CIFAR-10": (_published(0.4411, 0.739, 0.819, 0.080), _published(0.559, 0.545, 0.677, 0.132)),
    "SVHN": (_published(0.9171, 0.906, 0.933, 0.027), _published(0.0829, 0.612, 0.728, 0.116)),
}
"""LOCAL and REMOTE, at c_1 = 1.25 and c_e = 0.25."""

STANDS_FOR: Final[Mapping[str, str]] = {
    "CIFAR-10": "CIFAR-10",
    "SVHN": "SVHN",
    "Fashion-MNIST": "SVHN",
}
"""The published data set beside which ours is shown."""

GROUPS: Final = (f'"{MISSING_CLASS}"', "others", "all, macro", "all, micro")
TABLE_6_PUBLISHED: Final[Mapping[str, Mapping[str, float]]] = {
    "only local": dict(zip(GROUPS, (0.0, 0.922, 0.830), strict=False)),
    "only remote": dict(zip(GROUPS, (0.945, 0.895, 0.900), strict=False)),
    "jointly": dict(zip(GROUPS, (0.900, 0.889, 0.890), strict=False)),
    "reject rate": dict(zip(GROUPS, (0.935, 0.120, 0.178), strict=False)),
}
"""SVHN; its costs are not known. "all" is the mean over classes, but for the reject rate, which
is neither the mean over classes (0.2015) nor over images (0.170)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Implied:
    """What a contrastive table says without saying so."""

    client: float
    """Accuracy of the client alone; next, that of the server and of the system."""
    server: float
    system: float
    random: float
    """Accuracy when as many images, chosen at random, go to the server."""
    loss: float
    """Generalised 0-1 loss of the system; next, of never and of always asking."""
    all_local: float
    all_remote: float


def implied(sides: tuple[Side, Side], costs: HelpCosts = TABLE_1) -> Implied:
    """Work it out from both sides' shares and accuracies."""
    local, remote = sides
    asked = remote.ratio / (local.ratio + remote.ratio)  # printed ratios miss 1 by rounding
    client = (1 - asked) * local.client + asked * remote.client
    server = (1 - asked) * local.server + asked * remote.server

    def asking(accuracy: float) -> float:
        return costs.query_cost + costs.server_error_cost * (1 - accuracy)

    return Implied(
        client=client,
        server=server,
        system=(1 - asked) * local.client + asked * remote.server,
        random=(1 - asked) * client + asked * server,
        loss=(1 - asked) * (1 - local.client) + asked * asking(remote.server),
        all_local=1 - client,
        all_remote=asking(server),
    )


def contrast(right_T2: Bools, agents_T: Ints) -> tuple[Side, Side]:
    """The paper's contrastive evaluation of one seed: its LOCAL and its REMOTE images.

    NaN on a side without images.
    """
    sides = []
    for agent in (LOCAL, REMOTE):
        inside = agents_T == agent
        client, server = right_T2[inside].mean(axis=0) if inside.any() else (np.nan, np.nan)
        sides.append(
            Side(ratio=inside.mean(), client=client, server=server, difference=server - client)
        )
    return sides[0], sides[1]


def contrasts(trials: Sequence[Trial], method: str) -> tuple[Side, Side]:
    """The contrastive evaluation of one method, with intervals over seeds."""
    by_seed = [contrast(_correct(each), each.methods[method].agents) for each in trials]

    def over_seeds(sides: Sequence[Side]) -> Side:
        return Side(
            **{
                each.name: spread([float(getattr(side, each.name)) for side in sides])
                for each in fields(Side)
            }
        )

    local, remote = (over_seeds(sides) for sides in zip(*by_seed, strict=True))
    return local, remote


@dataclass(frozen=True, slots=True, kw_only=True)
class Stale:
    """The published recipe with a server that is seen every S iterations only."""

    row: Row
    minus_synchronous: Spread
    """Generalised 0-1 loss less that with S = 1, paired by seed."""
    local: Side
    remote: Side


def stale_views(seeds: Sequence[Trained], scale: Scale) -> dict[HelpCosts, dict[Interval, Stale]]:
    """Each of the paper's three pairs of costs, each S."""
    found = {}
    for costs in STALE:
        arms = {
            str(view): replace(STEPS[PUBLISHED], costs=costs, view=view) for view in views(scale)
        }
        trials = trials_at(seeds, arms, costs)
        by_name = rows(trials)
        losses = {name: _losses(trials, name) for name in arms}
        found[costs] = {
            view: Stale(
                row=by_name[str(view)],
                minus_synchronous=spread((losses[str(view)] - losses["1"]).tolist()),
                local=local,
                remote=remote,
            )
            for view in views(scale)
            for local, remote in [contrasts(trials, str(view))]
        }
    return found


def _losses(trials: Sequence[Trial], method: str) -> Floats:
    return np.array([picked(each.costs, each.methods[method].agents).mean() for each in trials])


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """One method where the client never saw a class, by :data:`GROUPS`."""

    accuracy: Mapping[str, Spread]
    reject_rate: Mapping[str, Spread]
    loss: Mapping[str, Spread]


def missing_class(seeds: Sequence[Trained]) -> dict[str, Missing]:
    """Table 6: what happens to the images of a class that the client never saw."""
    trials = trials_at(seeds, SWEPT, TABLE_1, lacks_class=True)
    labels = [each.test_labels.numpy() for each in seeds]
    return {name: _missing(trials, name, labels) for name in trials[0].methods}


def _missing(trials: Sequence[Trial], method: str, labels: Sequence[Ints]) -> Missing:
    agents = [each.methods[method].agents for each in trials]
    pairs = list(zip(trials, agents, strict=True))
    return Missing(
        accuracy=_grouped([picked(_correct(each), own) for each, own in pairs], labels),
        reject_rate=_grouped([(own == REMOTE).astype(float) for own in agents], labels),
        loss=_grouped([picked(each.costs, own) for each, own in pairs], labels),
    )


def grouped(values_T: Floats, labels_T: Ints) -> tuple[float, float, float, float]:
    """Means by :data:`GROUPS`: the missing class, the other images, over classes, over images."""
    missing = labels_T == MISSING_CLASS
    macro = np.mean([values_T[labels_T == label].mean() for label in range(CLASSES)])
    means = (values_T[missing].mean(), values_T[~missing].mean(), macro, values_T.mean())
    first, others, over_classes, over_images = map(float, means)
    return first, others, over_classes, over_images


def _grouped(values: Sequence[Floats], labels: Sequence[Ints]) -> dict[str, Spread]:
    by_seed = [grouped(*each) for each in zip(values, labels, strict=True)]
    return {
        group: spread(own) for group, own in zip(GROUPS, zip(*by_seed, strict=True), strict=True)
    }


def _correct(made: Trial) -> Bools:
    assert made.correct is not None  # trials_at gives it
    return made.correct
