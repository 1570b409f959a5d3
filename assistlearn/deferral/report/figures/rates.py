"""Quality against the deferral rate, and against the price paid where asking has one.

A point is what a method does; its curve what it would do at other rates, with the same scores.
Where many methods are compared, intervals and curves are drawn for the best of them only. Points
that meet lie in each other, the first method's as a ring around and above all others. A number is
an agent alone.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from assistlearn.deferral.report.build import Curve, Method, Report
from assistlearn.deferral.report.curves import RATES, hull
from assistlearn.deferral.report.figures.canvas import (
    INK,
    PALE,
    Look,
    label,
    legend,
    looks,
    panels,
    percent,
)

ENOUGH_SEEDS: Final = 3  # with fewer an interval is too wide to say anything
CLEAR: Final = 5  # methods whose curves can still be told apart
WIDE: Final = 10.0  # ratio of the largest price to the smallest that asks for a log scale
CLOSE: Final = 0.04  # of a panel's height: where numbers of agents would overlap
POINTS: Final = (12.0, 6.0)  # sizes of the first method's point and the last one's
ORACLE: Final = Look(colour="black", marker="*", style="none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """What one panel shows."""

    across: Callable[[Any], float]
    """Of a method's metrics."""

    along: Callable[[Curve], Sequence[float]]
    """Of a method's curve."""

    upward: Callable[[Any], float]


def rates(report: Report) -> Figure:
    """Draw it."""
    enough = len(report.seeds) >= ENOUGH_SEEDS
    figure, axes = panels(
        report, 2 if report.has_prices else 1, width=5.4, height=4.8, intervals=enough
    )
    upward = attrgetter("accuracy" if report.has_accuracy else "error")
    _draw_rates(
        axes[0],
        report,
        Plane(across=lambda m: 1 - m.coverage, along=lambda _: RATES, upward=upward),
    )
    if report.has_prices:
        _draw_prices(
            axes[1],
            report,
            Plane(across=attrgetter("price"), along=attrgetter("prices"), upward=upward),
        )
    for axis in axes:
        axis.set_ylabel("system accuracy" if report.has_accuracy else "mean error")
        if report.has_accuracy:
            axis.yaxis.set_major_formatter(FuncFormatter(percent))
    legend(figure, axes[0])
    return figure


def _draw_rates(axis: Axes, report: Report, plane: Plane) -> None:
    oracle, chance = (np.mean(each, axis=0) for each in (report.oracle_curve, report.random_curve))
    axis.plot(RATES, oracle, color="black", linestyle=":", linewidth=1.8, label="oracle, each rate")
    axis.plot(RATES, chance, color=PALE, linewidth=1.4, label="agents mixed at random")
    axis.set_xlim(-0.02, 1.02)
    _draw_methods(axis, report, plane, more=[*oracle, *chance])
    _mark_agents(axis, report, plane)
    axis.set_title("How good, for how much deferral", loc="left", fontsize=11)
    axis.set_xlabel(f"deferral rate (1 - coverage of {label(report.agents[0].name)})")
    axis.xaxis.set_major_formatter(FuncFormatter(percent))


def _draw_prices(axis: Axes, report: Report, plane: Plane) -> None:
    sign = 1 if report.has_accuracy else -1
    prices = [agent.alone.spread(plane.across).mean for agent in report.agents]
    heights = [agent.alone.spread(plane.upward).mean for agent in report.agents]
    x, y = hull(prices, [sign * each for each in heights])
    dearest, cheapest = max(prices), min([*prices, report.oracle.spread(plane.across).mean])
    axis.set_xlabel("mean price paid for an example")
    axis.set_xlim(-0.04 * dearest, 1.04 * dearest)
    if cheapest > 0 and dearest > WIDE * cheapest:
        axis.set_xscale("log")
        axis.set_xlim(cheapest / 1.3, dearest * 1.3)
        axis.set_xlabel("mean price paid for an example (log scale)")
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_minor_locator(NullLocator())
    along = np.linspace(x[0], dearest, 400)
    mixed = sign * np.interp(along, x, y)
    axis.plot(along, mixed, color=PALE, linewidth=1.4)
    found = report.oracle
    _draw_point(axis, found, ORACLE, plane, size=POINTS[0], error=False)
    at = found.spread(plane.across).mean, found.spread(plane.upward).mean
    axis.annotate("oracle", at, xytext=(8, -3), textcoords="offset points", fontsize=7.5, color=INK)
    _draw_methods(axis, report, plane, more=[*mixed, at[1]])
    _mark_agents(axis, report, plane)
    axis.set_title("What the money buys", loc="left", fontsize=11)


def _draw_methods(axis: Axes, report: Report, plane: Plane, *, more: Sequence[float]) -> None:
    """Points and curves; the scale is set by them and ``more``, not by wide intervals."""
    by_loss = sorted(report.methods, key=lambda m: m.spread(attrgetter("deferral_loss")).mean)
    clear = {each.name for each in by_loss[:CLEAR]}
    heights = [*more, *(agent.alone.spread(plane.upward).mean for agent in report.agents)]
    sizes = np.linspace(*POINTS, len(report.methods))
    for method, size in zip(report.methods, sizes, strict=True):
        look = looks(report)[method.name]
        if method.curves and method.name in clear:
            along = np.mean([plane.along(each) for each in method.curves], axis=0)
            upward = np.mean([each.quality for each in method.curves], axis=0)
            axis.plot(
                along, upward, color=look.colour, linestyle=look.style, linewidth=1.3, alpha=0.75
            )
            heights.extend(upward)
        first = method is report.methods[0]
        _draw_point(axis, method, look, plane, size=size, error=method.name in clear, first=first)
        heights.append(method.spread(plane.upward).mean)
    margin = 0.06 * (max(heights) - min(heights)) or 0.01
    axis.set_ylim(min(heights) - margin, max(heights) + margin)


def _draw_point(  # noqa: PLR0913  # what, where and how
    axis: Axes,
    method: Method,
    look: Look,
    plane: Plane,
    *,
    size: float,
    error: bool,
    first: bool = False,
) -> None:
    x, y = method.spread(plane.across), method.spread(plane.upward)
    known = [error and each.count >= ENOUGH_SEEDS for each in (x, y)]
    widths = np.nan_to_num(np.where(known, [x.half_width, y.half_width], 0))
    edge: dict[str, Any] = {"markeredgecolor": "white", "markeredgewidth": 0.6}
    if first:  # open, so that it hides nothing below it
        edge = {"markeredgecolor": look.colour, "markeredgewidth": 2.2, "markerfacecolor": "none"}
    axis.errorbar(
        [x.mean], [y.mean], xerr=widths[:1], yerr=widths[1:], color=look.colour,
        marker=look.marker, markersize=size, elinewidth=0.9, zorder=4.5 if first else 4,
        label=label(method.name), linestyle=look.style if method.curves and error else "none",
        **edge,
    )  # fmt: skip


def _mark_agents(axis: Axes, report: Report, plane: Plane) -> None:
    """Each agent alone, as a short bar beside its number, which the legend explains.

    Where two bars nearly meet, the upper one's number stands farther off.
    """
    places = [
        (agent.alone.spread(plane.across).mean, agent.alone.spread(plane.upward).mean)
        for agent in report.agents
    ]
    by_height = sorted(range(len(places)), key=lambda index: places[index][1])
    bottom, top = axis.get_ylim()
    beside, near = (math.nan, math.nan), False  # the bar below, and whether its number is near it
    for index in by_height:
        x, y = places[index]
        near = not (near and x == beside[0] and y - beside[1] < CLOSE * (top - bottom))
        beside = x, y
        axis.plot(
            *places[index], linestyle="none", marker="_", markersize=13, color="black", zorder=3,
            markeredgewidth=1.6,
        )  # fmt: skip
        axis.annotate(
            str(index), places[index], xytext=(8 if near else 20, 0), fontsize=8, va="center",
            textcoords="offset points", zorder=5,
        )  # fmt: skip
    for index, agent in enumerate(report.agents):
        axis.plot(
            [], [], linestyle="none", marker=f"${index}$", color="black", markeredgewidth=0.3,
            markersize=7 if index < 10 else 10, label=f"always {label(agent.name)}",  # noqa: PLR2004  # two digits
        )  # fmt: skip
