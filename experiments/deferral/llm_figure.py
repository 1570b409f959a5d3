"""The figure of ``defer_llm_routing``: what margins change, what recall costs, who answers."""

from collections.abc import Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from assistlearn.deferral.report import Report, hull, spread
from experiments.deferral.common import BEST_AGENT, EQUAL, MILD, PAIRS
from experiments.study import new_figure, save, tidy

INK, GREY = "#555555", "#999999"
COLOURS: Final = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8B5A2B")
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X")
FAMILIES: Final[Mapping[str, tuple[str, ...]]] = {
    "MILD, any variant": tuple(PAIRS),
    "other cost-weighted losses": ("gap weights", "mao_2023", "one_vs_all", "plug-in"),
    "log mass, layered mass": ("log_mass", "layered_mass"),
    "focal, LDAM": ("focal", "ldam"),
    "class-balanced, logit-adjusted": ("class_balanced", "logit_adjusted"),
}
SHOWN: Final = (
    EQUAL, MILD, "MILD, theory rule", "gap weights", "log_mass", "class_balanced",
    "logit_adjusted", "plug-in",
)  # fmt: skip
LABELLED: Final = 0.08  # share of a bar from which a number fits into it


def draw(
    path: Path, reports: Mapping[str, Report], dollars: Mapping[str, Any], *, bars: str, note: str
) -> None:
    """Write the figure.

    Raises:
        StorageError: the file cannot be written.
    """
    figure = new_figure(14.0, 10.4)
    (first, second), (third, fourth) = figure.subplots(2, 2, width_ratios=(1.05, 1))
    tidy(first, "What unequal margins change: loss minus equal margins, paired")
    _forest(first, reports)
    tidy(second, "Recall of rare models is bought with loss")
    _bought(second, reports)
    tidy(third, f"Who answers: {bars}")
    _shares(third, reports[bars])
    tidy(fourth, "RouterBench, 3 tasks: what the money buys")
    _prices(fourth, dollars)
    seeds = len(next(iter(reports.values())).seeds)
    figure.suptitle(
        f"{seeds} divisions of the same rows, 95 % intervals corrected for that; MILD is a"
        f" reconstruction. Scaled down: {note}",
        fontsize=9, x=0.01, ha="left", color=INK, wrap=True,
    )  # fmt: skip
    save(figure, path)


def _forest(axis: Axes, reports: Mapping[str, Report]) -> None:
    for number, (name, against) in enumerate(PAIRS.items()):
        found = [
            report.difference(name, against, attrgetter("deferral_loss"))
            for report in reports.values()
        ]
        axis.errorbar(
            [each.mean for each in found],
            np.arange(len(found)) + 0.12 * (number - (len(PAIRS) - 1) / 2),
            xerr=[each.half_width for each in found],
            color=COLOURS[number], marker=MARKERS[number], markersize=4.5, linestyle="none",
            elinewidth=1.1, label=name + ("" if against == EQUAL else f", minus {against}"),
        )  # fmt: skip
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set_yticks(range(len(reports)), [*reports])
    axis.set_ylim(len(reports) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.grid(visible=False, axis="y")
    axis.grid(axis="x", color="#DDDDDD", linewidth=0.8)
    axis.set_xlabel("deferral loss, left is better")
    axis.legend(frameon=False, fontsize=8, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.12))


def _bought(axis: Axes, reports: Mapping[str, Report]) -> None:
    """Every loss on every set, relative to equal margins and to what there is to gain."""
    for number, (family, names) in enumerate(FAMILIES.items()):
        points = []
        for report in reports.values():
            best = report.method(BEST_AGENT).spread(attrgetter("regret")).mean
            points += [
                (
                    100 * report.difference(name, EQUAL, attrgetter("recall_mean")).mean,
                    100 * report.difference(name, EQUAL, attrgetter("deferral_loss")).mean / best,
                )
                for name in names
            ]
        axis.plot(
            *zip(*points, strict=True), color=COLOURS[number], marker=MARKERS[number],
            markersize=6, linestyle="none", alpha=0.8, label=family,
        )  # fmt: skip
    axis.axhline(0, color="black", linewidth=0.8)
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set_xlabel("mean recall of the only cheapest model, minus equal margins (points)")
    axis.set_ylabel("loss minus equal margins,\n% of the best agent's regret")
    axis.legend(frameon=False, fontsize=8)


def _shares(axis: Axes, report: Report) -> None:
    rows = {name: report.method(name) for name in SHOWN} | {"oracle": report.oracle}
    left = np.zeros(len(rows))
    for number, agent in enumerate(report.agents):
        shares = np.array(
            [spread([m.shares[number] for m in each.metrics]).mean for each in rows.values()]
        )
        axis.barh(
            range(len(rows)), shares, left=left, height=0.74, label=agent.name,
            color=COLOURS[number % len(COLOURS)], edgecolor="white", linewidth=0.5,
        )  # fmt: skip
        for row, share in enumerate(shares):
            if share >= LABELLED:
                axis.text(
                    left[row] + share / 2, row, f"{100 * share:.0f}", ha="center", va="center",
                    fontsize=8, color="white",
                )  # fmt: skip
        left += shares
    for row, each in enumerate(rows.values()):
        loss = each.spread(attrgetter("deferral_loss")).mean
        recall = each.spread(attrgetter("recall_mean")).mean
        axis.text(1.01, row, f"{loss:.3f}  {100 * recall:3.0f} %", va="center", fontsize=8.5)
    axis.text(1.01, -0.8, "loss   recall", fontsize=8.5, style="italic", color=INK)
    axis.set_yticks(range(len(rows)), [*rows])
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.set_xlim(0, 1)
    axis.tick_params(axis="y", length=0)
    axis.grid(visible=False)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    axis.legend(frameon=False, fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.06))


def _prices(axis: Axes, dollars: Mapping[str, Any]) -> None:
    """Thousandths of a dollar against accuracy; each method's points from dear to cheap."""
    alone = np.array(dollars["models mixed"]["points"])
    for number, (name, row) in enumerate(dollars.items()):
        points = np.array(row["points"])
        label = f"{name}, AIQ {100 * row['AIQ'].mean:.1f}"
        if name == "models mixed":
            axis.plot(*_hull(points), color=GREY, linewidth=1.6, label=label)
            continue
        axis.plot(
            1000 * points[:, 0], points[:, 1],
            color="black" if name == "oracle" else COLOURS[number - 1],
            marker="*" if name == "oracle" else MARKERS[number - 1], markersize=6,
            linewidth=1.1, label=label,
        )  # fmt: skip
    axis.plot(
        1000 * alone[:, 0], alone[:, 1], color="black", marker="_", markersize=12,
        markeredgewidth=1.6, linestyle="none", label="a model alone",
    )  # fmt: skip
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    axis.set_xlabel("dollars for a thousand calls (log scale)")
    axis.set_ylabel("accuracy")
    axis.legend(frameon=False, fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.12))


def _hull(points: Any) -> tuple[Any, Any]:
    """The line of models mixed at random, which is curved on a logarithmic scale."""
    x, y = hull(points[:, 0], points[:, 1])
    along = np.geomspace(x[0], points[:, 0].max(), 200)
    return 1000 * along, np.interp(along, x, y)
