"""Figures that benchmarks of language models report: the gap recovered, and quality for money."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from assistlearn.deferral.arrays import Floats
from assistlearn.deferral.report import RATES, Report, Table, Trial, average_quality, spread
from assistlearn.deferral.report.tables import cell

MIXED: Final = "models mixed"


def recovered(report: Report) -> dict[str, dict[str, Any]]:
    """RouteLLM's figures of each method with scores: the gap recovered at all shares of calls.

    APGR is the mean over all shares of (accuracy - weak) / (strong - weak), 1/2 for random calls;
    CPT is the share of calls that recovers 20, 50 or 80 % of the gap.
    """
    weak, strong = ([m.accuracy for m in agent.alone.metrics] for agent in report.agents)
    rows: dict[str, dict[str, Any]] = {}
    for method in report.methods:
        if not method.curves:
            continue
        ends = zip(method.curves, weak, strong, strict=True)
        gaps = [(np.array(curve.quality) - low) / (high - low) for curve, low, high in ends]
        rows[method.name] = {
            "APGR": spread(
                [float(np.trapezoid(each, RATES)) for each in gaps], overlap=report.overlap
            )
        }
        rows[method.name] |= {
            f"CPT({percent} %)": spread(
                [_first_share(each, percent / 100) for each in gaps], overlap=report.overlap
            )
            for percent in (20, 50, 80)
        }
    return rows


def _first_share(gap: Floats, wanted: float) -> float:
    """Least share of calls that recovers ``wanted``, with straight lines between rates."""
    at = int((gap >= wanted).argmax())
    if at == 0:
        return 0.0
    step = (wanted - gap[at - 1]) / (gap[at] - gap[at - 1])
    return float(RATES[at - 1] + step * (RATES[at] - RATES[at - 1]))


def cost_quality(
    trials: Mapping[float, Sequence[Trial]], methods: Sequence[str], *, overlap: float
) -> dict[str, dict[str, Any]]:
    """Points (dollars a call, accuracy) of each method by what a dollar is worth, and its AIQ.

    AIQ is the mean height of the hull from the cheapest model's price, which all may ask, to the
    dearest one's. :data:`MIXED` is RouterBench's zero router: the hull of the models alone.

    Args:
        trials: by what a dollar is worth, in errors, one for each seed.
        methods: of those in the trials.
        overlap: of the seeds' divisions; see :func:`.spread`.
    """
    by_seed = [
        _points(dict(zip(trials, made, strict=True)), methods)
        for made in zip(*trials.values(), strict=True)
    ]
    found: dict[str, dict[str, Any]] = {}
    for name in by_seed[0]:
        areas = []
        for points in by_seed:
            cheapest, dearest = min(points[MIXED]), max(points[MIXED])
            x, y = zip(cheapest, *points[name], strict=True)
            areas.append(average_quality(x, y, upto=dearest[0]))
        mean = np.mean([points[name] for points in by_seed], axis=0)
        found[name] = {"AIQ": spread(areas, overlap=overlap), "points": mean.tolist()}
    return found


def _points(
    trials: Mapping[float, Trial], methods: Sequence[str]
) -> dict[str, list[tuple[float, float]]]:
    """Of one seed: the models alone, then each method at every worth of a dollar."""

    def point(dollar: float, agents: Any) -> tuple[float, float]:
        made = trials[dollar]
        paid = np.take_along_axis(made.prices, agents[:, None], axis=1).mean() / dollar
        return float(paid), 1 - float(np.take_along_axis(made.errors, agents[:, None], 1).mean())

    first, made = next(iter(trials.items()))
    examples, agents = made.costs.shape
    found = {MIXED: [point(first, np.full(examples, agent)) for agent in range(agents)]}
    for name in methods:
        found[name] = [point(each, trials[each].methods[name].agents) for each in trials]
    found["oracle"] = [point(each, made.costs.argmin(axis=1)) for each, made in trials.items()]
    return found


def gap_table(title: str, rows: Mapping[str, Mapping[str, Any]], *, note: str) -> Table:
    """Spreads by name, in percent."""
    columns = [each for each in next(iter(rows.values())) if each != "points"]
    return Table(
        title=title,
        columns=("method", *(f"{each} %" for each in columns)),
        rows=tuple(
            (name, *(cell(row[each], percent=True) for each in columns))
            for name, row in rows.items()
        ),
        note=note,
    )
