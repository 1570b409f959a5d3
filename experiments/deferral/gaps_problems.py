"""Problems that the papers on deferral leave out, and what methods make of them.

*Realizable*: rules that a linear rejector follows at no cost. *Crowd*: experts that nobody needs.
*Shift*: examples that are not like those that a rejector was calibrated on.

Letters: B examples, A agents, F features.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import sub
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning

from assistlearn.deferral.arrays import Bools, Floats
from assistlearn.deferral.budgets import benefit_of_deferring, calibrate, threshold_at_rate
from assistlearn.deferral.consistency import conditional_minimizer
from assistlearn.deferral.rejectors import PlugInRejector, Rejector
from assistlearn.deferral.report import Spread, spread
from assistlearn.deferral.weights import Kappa, cost_weights
from assistlearn.randomness import derive_seed
from experiments.deferral.common import Candidate, Lesson, candidates, fitted
from experiments.deferral.llm_outcomes import routellm, word_components

Figures = Mapping[str, Mapping[Any, Spread]]
"""A spread over seeds, by method and by what is varied."""

EXPERTS: Final = (1, 2, 4, 8)
POINTS: Final = 600
SURROGATES: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "cross-entropy, tau": ("two_stage", {}),
    "cross-entropy, min-shift": ("two_stage", {"weights": "max"}),
    "cross-entropy, 1 - c": ("two_stage", {"weights": "one"}),
    "nu = 2": ("two_stage", {"nu": 2.0}),
    "log mass": ("log_mass", {}),
    "layered mass": ("layered_mass", {}),
}
BEST: Final = "best fixed agent"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gaps:
    """Everything that the study measured."""

    rules: Figures
    """From :func:`realizable`."""
    asked: Mapping[str, Mapping[int, tuple[float, float]]]
    """From :func:`targets`."""
    crowded: Figures
    """From :func:`dilution`."""
    ahead: Figures
    """Minus the plug-in's, from the same."""
    moved: Mapping[float, Sequence[Mapping[str, float]]]
    """From :func:`moving`."""
    texts: Mapping[str, Sequence[Mapping[str, float]]] | None
    """From :func:`from_mmlu`; None without the data."""


def realizable_problem(seed: int, experts: int) -> tuple[Floats, Floats]:
    """Costs of 0, 0.3 and 1 at random; the agent that a hidden linear rule asks costs 0."""
    generator = np.random.default_rng(derive_seed(seed, "realizable", str(experts)))
    features = generator.standard_normal((POINTS, 3))
    rule = generator.standard_normal((4, experts + 1))
    costs = generator.choice(np.array([0.0, 0.3, 1.0]), size=(POINTS, experts + 1))
    asked = (features @ rule[:3] + rule[3]).argmax(axis=1)
    costs[np.arange(POINTS), asked] = 0
    return features, costs


def realizable(seeds: range) -> Figures:
    """Deferral loss on the points fitted, by surrogate and number of experts; 0 is possible."""
    found: dict[str, dict[int, Spread]] = {each: {} for each in (*SURROGATES, BEST)}
    for experts in EXPERTS:
        problems = [realizable_problem(seed, experts) for seed in seeds]
        for label, (name, settings) in SURROGATES.items():
            losses = []
            for features, costs in problems:
                rejector = Rejector(
                    surrogate=name, surrogate_settings=settings, solver="lbfgs",
                    weight_decay=1e-7, max_iter=1000, tol=1e-6,
                )  # fmt: skip
                with warnings.catch_warnings():
                    # At no cost there is no minimum: scores grow until the iterations end.
                    warnings.simplefilter("ignore", ConvergenceWarning)
                    rejector.fit(features, costs)
                losses.append(-rejector.score(features, costs))
            found[label][experts] = spread(losses)
        found[BEST][experts] = spread([costs.mean(axis=0).min() for _, costs in problems])
    return found


CROWDS: Final = (1, 2, 4, 8, 16, 30)
PLUG_IN: Final = "plug-in"
KAPPAS: Final[tuple[Kappa, ...]] = ("sum", "max", "one")
LEARN, MEASURE = 400, 4000  # examples to learn from, and to measure on
GOOD, POOR, USELESS = 0.9, 0.3, 0.3  # how often an agent is right: on its side, off it, or anywhere


def targets(crowds: Sequence[int]) -> dict[str, dict[int, tuple[float, float]]]:
    """Softmax that the cross-entropy asks for where one agent alone is right, and of the others.

    Exactly; see ``conditional_minimizer``.
    """
    found: dict[str, dict[int, tuple[float, float]]] = {each: {} for each in KAPPAS}
    for kappa in KAPPAS:
        for experts in crowds:
            costs_1A = torch.ones(1, experts + 1, dtype=torch.float64)
            costs_1A[0, 0] = 0
            right, wrong, *_ = conditional_minimizer(cost_weights(costs_1A, kappa))[0].tolist()
            found[kappa][experts] = (right, wrong)
    return found


def crowd(seed: int, experts: int) -> Lesson:
    """Two agents that know one half of the space each, and experts that know little anywhere.

    The best rule asks the first two only, and so costs the same for any number of experts.
    """
    generator = np.random.default_rng(derive_seed(seed, "crowd"))  # the same first agents for all
    features = generator.standard_normal((LEARN + MEASURE, 6))
    draws = generator.random((LEARN + MEASURE, CROWDS[-1] + 1))[:, : experts + 1]
    skill = np.full(draws.shape, USELESS)
    for agent, side in ((0, features[:, 0] < 0), (1, features[:, 0] >= 0)):
        skill[:, agent] = np.where(side, GOOD, POOR)
    costs = (draws >= skill).astype(float)
    return Lesson(
        agents=tuple(map(str, range(experts + 1))),
        features=features[:LEARN],
        costs=costs[:LEARN],
        held_out=np.arange(LEARN // 4),
        test_features=features[LEARN:],
        test_costs=costs[LEARN:],
        test_prices=np.zeros_like(costs[LEARN:]),
    )


def dilution(seeds: range, crowds: Sequence[int]) -> tuple[Figures, Figures]:
    """Deferral loss on new points, and minus the plug-in's, by method and number of experts.

    Linear rejectors are trained to their optimum, networks for 20 passes.
    """
    every = candidates()
    compared: dict[str, Candidate] = {
        PLUG_IN: every[PLUG_IN],
        "sum weights": every["two_stage = mao_2024"],
        "max weights": every["gap weights"],
        "weights 1 - c": every["mao_2023"],
        "log mass": every["log_mass"],
        "network, sum weights": _network("sum"),
        "network, max weights": _network("max"),
    }
    losses: dict[str, dict[int, list[float]]] = {each: {} for each in compared}
    for experts in crowds:
        lessons = [crowd(seed, experts) for seed in seeds]
        for label, candidate in compared.items():
            losses[label][experts] = [
                -fitted(candidate, each)[0].score(each.test_features, each.test_costs)
                for each in lessons
            ]
    found = {
        label: {experts: spread(each) for experts, each in row.items()}
        for label, row in losses.items()
    }
    ahead = {
        label: {
            experts: spread([*map(sub, each, losses[PLUG_IN][experts])])
            for experts, each in row.items()
        }
        for label, row in losses.items()
        if label != PLUG_IN
    }
    return found, ahead


def _network(kappa: Kappa) -> Candidate:
    return Candidate(
        rejector=Rejector(
            surrogate_settings={"weights": kappa}, hidden=(32,), max_iter=20, validation_fraction=0
        )
    )


SHIFTS: Final = (0.0, 0.5, 1.0, 1.5, 2.0)
BUDGET: Final = 0.3  # share that may be deferred
FEW: Final = 200  # unlabelled examples of the new kind
PRICE: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """A rejector and what it was calibrated on."""

    rejector: PlugInRejector
    choose: Floats
    """Features that choose the threshold."""
    hold: Floats
    """Features that tell how well it holds."""


def under_shift(source: Source, features: Floats, costs: Floats, *, seed: int) -> dict[str, float]:
    """What was promised, and what came of it on these examples.

    The rejector expects a cost of every agent. Deferred is where the gain is above the threshold
    that defers :data:`BUDGET` of the source; *again* with the threshold chosen on the first
    :data:`FEW` of the new examples, which needs no labels, and measured on the others.
    """
    generator = np.random.default_rng(derive_seed(seed, "ties"))
    gains = [
        benefit_of_deferring(source.rejector.decide(each).expected_costs)
        for each in (source.choose, source.hold, features)
    ]
    chosen = calibrate(
        gains[0].gain, BUDGET, held_out_B=gains[1].gain, requests=len(features),
        generator=generator,
    )  # fmt: skip
    here = gains[2]
    expected = source.rejector.decide(features).expected_costs

    def outcome(deferred: Bools, first: int = 0) -> tuple[float, float, float]:
        agents = here.agents(deferred)[first:]
        rows = np.arange(first, len(features))
        rate = float((agents != 0).mean())
        return rate, float(expected[rows, agents].mean()), float(costs[rows, agents].mean())

    rate, promised, paid = outcome(chosen.threshold.deferred(here.gain, generator))
    again = threshold_at_rate(here.gain[:FEW], BUDGET)
    rate_again, _, paid_again = outcome(again.deferred(here.gain, generator), FEW)
    mine, experts = costs[:, 0].mean(), costs[:, 1].mean()
    inside = chosen.deployed.lower <= rate <= chosen.deployed.upper
    return {
        "rate": rate,
        "rate as promised": float(inside),
        "expected loss": promised,
        "deferral loss": paid,
        "rate, again": rate_again,
        "deferral loss, again": paid_again,
        "random at the budget": float(BUDGET * experts + (1 - BUDGET) * mine),
        "agent 0 expected": float(expected[:, 0].mean()),
        "agent 0": float(mine),
        "expert expected": float(expected[:, 1].mean()),
        "expert": float(experts),
        "oracle": float(costs.min(axis=1).mean()),
    }


def moving(seeds: range) -> dict[float, list[dict[str, float]]]:
    """Gaussian features whose first mean moves by each of :data:`SHIFTS`."""
    found: dict[float, list[dict[str, float]]] = {each: [] for each in SHIFTS}
    for seed in seeds:
        generator = np.random.default_rng(derive_seed(seed, "moving"))
        source = Source(
            rejector=PlugInRejector().fit(*_moved(generator, 2000)),
            choose=_moved(generator, 1000)[0],
            hold=_moved(generator, 1000)[0],
        )
        for shift, outcomes in found.items():
            outcomes.append(under_shift(source, *_moved(generator, 4000, shift), seed=seed))
    return found


def _moved(generator: np.random.Generator, count: int, shift: float = 0.0) -> tuple[Floats, Floats]:
    """Features and costs of two agents; the first feature makes agent 0 err, along a sigmoid."""
    features = generator.standard_normal((count, 4))
    features[:, 0] += shift
    errs = expit(np.stack([1.5 * features[:, 0] - 1, 0.5 * features[:, 1] - 2], axis=1))
    return features, (generator.random(errs.shape) < errs) + np.array([0.0, PRICE])


def from_mmlu(folder: Path, seeds: range) -> dict[str, list[dict[str, float]]]:
    """RouteLLM's two models: fitted and calibrated on questions of MMLU, asked others and GSM8K's.

    The rejector sees components of words alone: GSM8K is no subject of MMLU.
    """
    mmlu, gsm8k = routellm(folder, "mmlu"), routellm(folder, "gsm8k")
    found: dict[str, list[dict[str, float]]] = {"MMLU": [], "GSM8K": []}
    for seed in seeds:
        generator = np.random.default_rng(derive_seed(seed, "from mmlu"))
        rows = generator.permutation(len(mmlu.texts))
        fit, choose, hold, test = np.split(rows, [8000, 10000, 12000])
        components = word_components(mmlu.texts[fit], seed=seed)
        source = Source(
            rejector=PlugInRejector().fit(components(mmlu.texts[fit]), mmlu.costs[fit]),
            choose=components(mmlu.texts[choose]),
            hold=components(mmlu.texts[hold]),
        )
        other = generator.permutation(len(gsm8k.texts))
        for label, prompts in (("MMLU", mmlu.at(test)), ("GSM8K", gsm8k.at(other))):
            features = components(prompts.texts)
            found[label].append(under_shift(source, features, prompts.costs, seed=seed))
    return found
