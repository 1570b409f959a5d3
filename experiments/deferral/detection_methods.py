"""What ``defer_detection`` compares at each price, and what comes of it on the held-out images.

Rejectors see what the model found, not the image: BCCD's 127 images teach a network nothing.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Final

import numpy as np
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, KFold, ParameterGrid

from assistlearn.deferral.arrays import Floats, Ints
from assistlearn.deferral.costs import agent_costs, score_costs
from assistlearn.deferral.rejectors import (
    ConfidenceThreshold,
    FixedAgent,
    PlugInRejector,
    Rejector,
)
from assistlearn.deferral.rejectors.interface import RejectorBase
from assistlearn.deferral.report import (
    Metrics,
    Report,
    Spread,
    deferral_report,
    spread,
    trial,
)
from experiments.deferral.common import BEST_AGENT, DECAYS, ITERATIONS, RANDOM, Candidate
from experiments.deferral.detection_agents import SIZES, Answers, kept_answers
from experiments.deferral.detection_images import Images
from experiments.deferral.detection_metrics import JudgedImage, judge, mean_average_precision
from experiments.deferral.devices import CPU

NAME: Final = "defer_detection"
AGENTS: Final = tuple(size.name for size in SIZES)
PRICES: Final = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
"""beta_2: the paper's seven, and two more."""
PUBLISHED: Final[Mapping[float, tuple[float, float, float, float]]] = {
    0.01: (52.8, 0.0, 0.0, 100.0),
    0.05: (52.5, 7.3, 0.0, 92.7),
    0.1: (49.1, 48.0, 0.0, 52.0),
    0.15: (44.2, 68.1, 19.7, 12.2),
    0.2: (42.0, 77.5, 22.5, 0.0),
    0.3: (40.1, 98.1, 1.9, 0.0),
    0.5: (39.5, 100.0, 0.0, 0.0),
}
"""By beta_2: mAP, and the shares of model, expert 1 and expert 2, in percent."""
FOLDS: Final = 5
DRAWS: Final = 20  # of shares dealt out at random

TWO_STAGE: Final = "two-stage"
MILD: Final = "MILD"
PLUG_IN: Final = "plug-in"
CONFIDENCE: Final = "confidence"
ORACLE: Final = "oracle"
METHODS: Final[Mapping[str, Candidate]] = {
    TWO_STAGE: Candidate(
        rejector=Rejector(surrogate="two_stage", max_iter=ITERATIONS),
        grid={"weight_decay": DECAYS},
    ),
    MILD: Candidate(
        rejector=Rejector(surrogate="mild_log", max_iter=ITERATIONS),
        grid={
            "surrogate_settings": [{"exponent": each} for each in (0.0, -1 / 2, 1 / 3, 2 / 3)],
            "weight_decay": DECAYS,
        },
    ),
    PLUG_IN: Candidate(rejector=PlugInRejector()),
    CONFIDENCE: Candidate(rejector=ConfidenceThreshold(confidence=0)),
    BEST_AGENT: Candidate(rejector=FixedAgent()),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Held:
    """What the detectors of one seed do on the held-out images. B images, A agents, F features."""

    features: Floats
    """From the image and what the model found on it. ``(B, F)``."""
    judged: tuple[tuple[JudgedImage, ...], ...]
    """By agent and image."""
    quality: Floats
    """Average precision of each answer, mean over classes and thresholds. ``(B, A)``."""
    gflops: tuple[float, ...]
    """Of each agent."""
    seconds: tuple[float, ...]
    """Of training."""

    def precision(self, agents_B: Ints) -> Floats:
        """Mean average precision of all images, each answered by its agent. Shape ``(T,)``."""
        return mean_average_precision(
            [self.judged[agent][image] for image, agent in enumerate(agents_B)]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """All methods at one price."""

    price: float
    report: Report
    precisions: Mapping[str, Sequence[Floats]]
    """Mean average precision at each threshold, by method and seed."""
    against_best: Mapping[str, Spread]
    """Deferral loss minus the best agent's, by method: over images, of the mean over seeds."""

    def figure(self, name: str, figure: Callable[[Metrics], float]) -> Spread:
        """Over seeds, for a method, an agent alone or the oracle."""
        return spread([figure(each) for each in self._metrics(name)])

    def precision(self, name: str, threshold: int | None = None) -> Spread:
        """Of all images, at one threshold or (None) in the mean over all of them."""
        at = slice(None) if threshold is None else threshold
        return spread([float(each[at].mean()) for each in self.precisions[name]])

    def loss(self, name: str) -> Spread:
        """Mean cost of the agents that were chosen."""
        if name == RANDOM:  # exact: no draw is needed for a mean
            return self.figure(TWO_STAGE, lambda m: m.deferral_loss + m.over_random)
        return self.figure(name, attrgetter("deferral_loss"))

    def shares(self, name: str) -> tuple[Spread, ...]:
        """Of the images, for each agent."""
        shares = [each.shares for each in self._metrics(TWO_STAGE if name == RANDOM else name)]
        return tuple(map(spread, zip(*shares, strict=True)))

    def _metrics(self, name: str) -> Sequence[Metrics]:
        alone = {agent.name: agent.alone for agent in self.report.agents}
        alone[ORACLE] = self.report.oracle
        return (alone.get(name) or self.report.method(name)).metrics


def held(images: Images, answers: Sequence[Answers]) -> Held:
    """Judge the agents' answers and describe the images."""
    rows = np.flatnonzero(~images.train)
    judged = tuple(
        tuple(
            judge(boxes, scores, images.truth[row], classes=len(images.subject.classes))
            for row, boxes, scores in zip(rows, each.boxes, each.scores, strict=True)
        )
        for each in answers
    )
    quality = [[mean_average_precision([image]).mean() for image in agent] for agent in judged]
    return Held(
        features=described(images, answers[0]),
        judged=judged,
        quality=np.array(quality).T,
        gflops=tuple(each.gflops for each in answers),
        seconds=tuple(each.seconds for each in answers),
    )


def described(images: Images, answers: Answers) -> Floats:
    """Features of the held-out images; the first is the model's confidence. Shape ``(B, F)``.

    Mean score of all that the model found; for each class, the sum of scores, which is how many it
    expects, and the largest; mean and deviation of each colour.
    """
    pixels = images.pixels[torch.from_numpy(~images.train)].double().flatten(2)
    colours = torch.cat([pixels.mean(dim=2), pixels.std(dim=2)], dim=1).numpy()
    found = []
    for boxes, scores in zip(answers.boxes, answers.scores, strict=True):
        row = [scores.sum() / max(len(scores), 1)]
        for number in range(len(images.subject.classes)):
            mine = scores[boxes.classes == number]
            row += [mine.sum(), mine.max(initial=0)]
        found.append(row)
    return np.concatenate([np.array(found), colours], axis=1)


def decided(
    features: Floats, costs: Floats, *, seed: int, methods: Mapping[str, Candidate] = METHODS
) -> dict[str, Ints]:
    """Whom each method asks about each image, fitted on the other folds' images."""
    chosen = {name: np.empty(len(costs), dtype=np.int64) for name in methods}
    for train, rest in KFold(FOLDS, shuffle=True, random_state=seed).split(features):
        for name, candidate in methods.items():
            rejector = tuned(candidate, features[train], costs[train])
            chosen[name][rest] = rejector.decide(features[rest]).agents
    return chosen


def tuned(candidate: Candidate, features: Floats, costs: Floats) -> RejectorBase:
    """Fitted with the settings of the least deferral loss in cross-validation."""
    choices = [*ParameterGrid(dict(candidate.grid))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # ITERATIONS are as good for all
        if len(choices) > 1:
            search = GridSearchCV(
                candidate.rejector, dict(candidate.grid), cv=FOLDS, error_score="raise", refit=False
            )
            choices = [search.fit(features, costs).best_params_]
        best: RejectorBase = clone(candidate.rejector).set_params(**choices[0])
        return best.fit(features, costs)


def point(
    price: float,
    ratio: float,
    seeds: Sequence[Held],
    *,
    methods: Mapping[str, Candidate] = METHODS,
) -> Point:
    """All methods at one price of expert 2, expert 1 costing ``ratio`` times as much."""
    trials = []
    precisions: dict[str, list[Floats]] = {}
    gaps: dict[str, list[Floats]] = {}
    prices = [0.0, ratio * price, price]
    for seed, each in enumerate(seeds):
        quality_BA = torch.from_numpy(each.quality)
        costs = agent_costs([score_costs(quality_BA)], prices_A=prices).numpy()
        made = decided(each.features, costs, seed=seed, methods=methods)
        trials.append(trial(costs, made, prices=prices, seed=seed))
        paid = {name: costs[np.arange(len(costs)), chosen] for name, chosen in made.items()}
        for name in made:
            gaps.setdefault(name, []).append(paid[name] - paid[BEST_AGENT])
        alone = {name: np.full(len(costs), agent) for agent, name in enumerate(AGENTS)}
        for name, agents_B in (made | alone | {ORACLE: costs.argmin(axis=1)}).items():
            precisions.setdefault(name, []).append(each.precision(agents_B))
        draw = np.random.default_rng(seed).permutation
        dealt = [each.precision(draw(made[TWO_STAGE])) for _ in range(DRAWS)]
        precisions.setdefault(RANDOM, []).append(np.mean(dealt, axis=0))
    return Point(
        price=price,
        report=deferral_report(trials, agents=AGENTS),
        precisions=precisions,
        against_best={name: spread(np.mean(each, axis=0).tolist()) for name, each in gaps.items()},
    )


def by_seed(  # noqa: PLR0913  # what is trained, where, and who is told
    images: Images,
    cache: Path,
    *,
    seeds: int,
    epochs: int,
    told: Callable[[str], None],
    device: torch.device = CPU,
) -> list[Held]:
    """Detectors of every seed, trained or read, and judged."""
    found = []
    for seed in range(seeds):
        answers = []
        for size in SIZES:
            made = kept_answers(cache, size, images, epochs=epochs, seed=seed, device=device)
            answers.append(made)
            told(f"{size.name}, seed {seed}: {answers[-1].seconds:.0f} s of one core")
        found.append(held(images, answers))
    return found
