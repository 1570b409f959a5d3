"""The report itself: every method, every seed, beside each agent alone and the oracle."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from assistlearn.deferral.arrays import Floats, Ints
from assistlearn.deferral.report.curves import (
    RATES,
    average_quality,
    deferral_curve,
    scored_curve,
)
from assistlearn.deferral.report.metrics import Metrics, measured
from assistlearn.deferral.report.oracle import Oracle, effective_numbers
from assistlearn.deferral.report.spread import Spread, check_overlap, spread
from assistlearn.deferral.report.trial import ORACLE, Routing, Trial, same_agents
from assistlearn.errors import ConfigError, DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One method at every deferral rate of :data:`.RATES`, from its scores, for one seed."""

    quality: tuple[float, ...]
    """Accuracy, or the mean error where nothing is said to be correct."""

    prices: tuple[float, ...]
    """Mean price paid."""

    area: float
    """Mean quality over all rates."""

    average_quality: float
    """Mean quality over all prices from the cheapest agent's to the dearest's (AIQ), where the
    method may be mixed with the cheapest agent alone; NaN where all ask the same price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """What one method did, seed by seed."""

    name: str
    metrics: tuple[Metrics, ...]
    curves: tuple[Curve, ...]
    """Empty for a method without scores."""

    overlap: float = 0.0
    """Of its seeds; see :func:`.spread`."""

    def spread(self, figure: Callable[[Metrics], float]) -> Spread:
        """Mean and interval over seeds of what ``figure`` picks."""
        return spread([figure(each) for each in self.metrics], overlap=self.overlap)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """What there is to know of an agent before anything is deferred, seed by seed."""

    name: str
    alone: Method
    """Everything sent to this agent."""

    counts: tuple[int, ...]
    """Examples on which it is the only cheapest."""

    oracle_shares: tuple[float, ...]
    """Of the examples with one cheapest agent, how many are this one's."""

    effective_numbers: tuple[float, ...]
    """Of ``counts``; see :func:`.effective_numbers`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything measured. Values only: whoever shows it decides how."""

    agents: tuple[Agent, ...]
    methods: tuple[Method, ...]
    oracle: Method
    """The cheapest agent of each example: what no method undercuts."""

    oracle_curve: tuple[tuple[float, ...], ...]
    """Best quality at each rate of :data:`.RATES`, for each seed."""

    random_curve: tuple[tuple[float, ...], ...]
    """Quality when the best expert gets a random share, for each seed."""

    seeds: tuple[int, ...]
    examples: tuple[int, ...]
    """Held-out examples, seed by seed."""

    decided: tuple[float, ...]
    """Share of the examples with exactly one cheapest agent, seed by seed."""

    imbalance: tuple[float, ...]
    """Expert-imbalance ratio, seed by seed; see :attr:`.Oracle.imbalance`."""

    has_accuracy: bool
    has_prices: bool

    overlap: float = 0.0
    """How far the seeds share examples, by which all intervals are corrected; see :func:`.spread`.
    """

    def spread(self, values: Sequence[float]) -> Spread:
        """Mean and interval of one value for each seed."""
        return spread(values, overlap=self.overlap)

    def method(self, name: str) -> Method:
        """The method of this name.

        Raises:
            ConfigError: there is none.
        """
        for each in self.methods:
            if each.name == name:
                return each
        raise ConfigError(
            f"the report has no method {name!r}",
            hint=f"choose one of {[each.name for each in self.methods]}",
        )

    @property
    def best(self) -> Method:
        """The method with the least mean deferral loss, the first on a tie."""
        return min(self.methods, key=lambda each: each.spread(lambda m: m.deferral_loss).mean)

    @property
    def best_agent(self) -> Agent:
        """The agent that is best alone, by mean deferral loss: what any method has to beat."""
        return min(self.agents, key=lambda each: each.alone.spread(lambda m: m.deferral_loss).mean)

    def difference(self, method: str, other: str, figure: Callable[[Metrics], float]) -> Spread:
        """Mean and interval over seeds of ``method`` minus ``other``, seed by seed.

        Raises:
            ConfigError: there is no such method.
        """
        pairs = zip(self.method(method).metrics, self.method(other).metrics, strict=True)
        return self.spread([figure(one) - figure(two) for one, two in pairs])


def deferral_report(
    trials: Trial | Sequence[Trial], *, agents: Sequence[str] | None = None, overlap: float = 0.0
) -> Report:
    """Measure every method in every trial.

    Args:
        trials: one, or one for each seed, with the same agents and methods.
        agents: names, agent 0 first; numbers if not given.
        overlap: held-out rows over training rows where the seeds divide one table anew, for
            intervals that say so (:func:`.spread`); 0 where each seed has examples of its own.

    Raises:
        DataError: there are no trials, or they do not fit each other.
        ConfigError: there are not as many names as agents, or the overlap is below 0.
    """
    check_overlap(overlap)
    trials = [trials] if isinstance(trials, Trial) else list(trials)
    if not trials:
        raise DataError("there are no trials to report on", hint="give one at least")
    same_agents(trials)
    number = trials[0].costs.shape[1]
    names = tuple(agents or (f"agent {index}" for index in range(number)))
    if len(names) != number or len(set(names)) != number:
        raise ConfigError(
            f"the names are {list(names)} for {number} agents",
            hint="give each agent a name of its own, agent 0 first",
        )
    oracles = [Oracle.of(each.costs) for each in trials]
    needed = np.any([each.counts > 0 for each in oracles], axis=0)
    pairs = list(zip(trials, oracles, strict=True))

    def method(
        name: str, choose: Callable[[Trial, Oracle], Ints], curves: tuple[Curve, ...] = ()
    ) -> Method:
        metrics = (measured(t, o, choose(t, o), needed=needed) for t, o in pairs)
        return Method(name=name, metrics=tuple(metrics), curves=curves, overlap=overlap)

    def agent(index: int, name: str) -> Agent:
        return Agent(
            name=name,
            alone=method(f"always {name}", lambda t, _: np.full(len(t.costs), index)),
            counts=tuple(int(oracle.counts[index]) for oracle in oracles),
            oracle_shares=tuple(float(oracle.shares[index]) for oracle in oracles),
            effective_numbers=tuple(
                float(effective_numbers(oracle.counts)[index]) for oracle in oracles
            ),
        )

    return Report(
        agents=tuple(agent(index, name) for index, name in enumerate(names)),
        methods=tuple(
            method(
                name,
                lambda t, _, name=name: t.methods[name].agents,  # type: ignore[misc]
                _curves(trials, [each.methods[name] for each in trials]),
            )
            for name in trials[0].methods
        ),
        oracle=method(ORACLE, lambda _, o: o.agents),
        oracle_curve=tuple(_floats(_oracle_curve(each)) for each in trials),
        random_curve=tuple(_floats(_random_curve(each)) for each in trials),
        seeds=tuple(each.seed for each in trials),
        examples=tuple(len(each.costs) for each in trials),
        decided=tuple(float(each.decided.mean()) for each in oracles),
        imbalance=tuple(each.imbalance for each in oracles),
        has_accuracy=trials[0].correct is not None,
        has_prices=any(bool(each.prices.any()) for each in trials),
        overlap=overlap,
    )


def _quality(trial: Trial) -> Floats:
    """What the curves show: accuracy, or error where nothing is said to be correct."""
    return trial.errors if trial.correct is None else trial.correct.astype(np.float64)


def _curves(trials: Sequence[Trial], made: Sequence[Routing]) -> tuple[Curve, ...]:
    if any(each.scores is None for each in made):
        return ()
    curves = []
    for trial, routing in zip(trials, made, strict=True):
        assert routing.scores is not None
        quality = scored_curve(routing.scores, _quality(trial))
        prices = scored_curve(routing.scores, trial.prices)
        average = _average(trial, prices, quality)
        curves.append(
            Curve(
                quality=_floats(quality),
                prices=_floats(prices),
                area=float(np.trapezoid(quality, dx=1 / (len(quality) - 1))),
                average_quality=average,
            )
        )
    return tuple(curves)


def _average(trial: Trial, prices: Floats, quality: Floats) -> float:
    """Between the same prices for all methods, and each with the cheapest agent's point."""
    alone, qualities = trial.prices.mean(axis=0), _quality(trial).mean(axis=0)
    if alone.max() == alone.min():
        return math.nan
    cheapest = alone.argmin()
    x, y = np.append(prices, alone[cheapest]), np.append(quality, qualities[cheapest])
    # A hull wants more to be better.
    sign = 1.0 if trial.correct is not None else -1.0
    return sign * average_quality(x, sign * y, start=float(alone.min()), upto=float(alone.max()))


def _oracle_curve(trial: Trial) -> Floats:
    """Defer first where the best expert is most better, by quality alone."""
    quality = _quality(trial)
    if trial.correct is None:
        best = quality[:, 1:].min(axis=1)
        return deferral_curve(quality[:, 0] - best, quality[:, 0], best)
    best = quality[:, 1:].max(axis=1)
    return deferral_curve(best - quality[:, 0], quality[:, 0], best)


def _random_curve(trial: Trial) -> Floats:
    """From agent 0 alone straight to the expert that is best alone."""
    quality = _quality(trial).mean(axis=0)
    best = quality[1:].min() if trial.correct is None else quality[1:].max()
    return np.linspace(quality[0], best, len(RATES))


def _floats(values: Floats) -> tuple[float, ...]:
    return tuple(values.tolist())
