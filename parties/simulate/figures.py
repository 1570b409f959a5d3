"""Figures of a simulation, for people who have to decide.

Colours are those of Okabe and Ito, which colour-blind readers tell apart; line styles repeat the
distinction for those who print in grey.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from assistlearn.durable import disk_errors
from parties.output import format_bytes
from parties.simulate.advice import last_round
from parties.simulate.outcome import ASSISTED, LABELS
from parties.simulate.results import Results

DPI: Final = 150
WIDE: Final = 10.0  # ratio of the largest loss to the smallest
CHARACTER: Final = 0.075  # inches, in the heading
THIN: Final = 0.8  # points; a line that nobody measured
FEW: Final = 300.0  # below this ratio there is room for labels between powers of ten


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """How one method is drawn, the same in every figure."""

    colour: str
    style: str = "-"
    marker: str = "o"
    width: float = 1.6


LINES: Final[Mapping[str, Line]] = {
    ASSISTED: Line(colour="#D55E00", width=2.6),
    "learner_only": Line(colour="#0072B2", style="--", marker="s"),
    "provider_only": Line(colour="#009E73", style="--", marker="^"),
    "pooled": Line(colour="#000000", style=":", marker="", width=2.0),
    "sequential_last": Line(colour="#CC79A7", style="-.", marker="D"),
    "fedavg": Line(colour="#7F7F7F", style="-.", marker="v"),
}
NAMES: Final = {"global_loss": "loss over both parties' data (nats)", "accuracy": "accuracy"}


def draw_rounds(path: Path, results: Results) -> None:
    """Loss and the main metric against rounds, all methods, mean and standard error over seeds.

    Raises:
        StorageError: the file cannot be written.
    """
    panels = list(dict.fromkeys([results.main_measure, "global_loss"]))
    figure, axes = _panels(len(panels))
    for axis, measure in zip(axes, panels, strict=True):
        for method in results.methods:
            _draw_against_rounds(axis, results, method, measure)
        axis.set_xlabel("assistance rounds")
        axis.set_ylabel(NAMES.get(measure, measure))
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        if measure == "accuracy":
            axis.yaxis.set_major_formatter(FuncFormatter(_percent))
        if measure == "global_loss":
            _draw_wide(axis, results, measure)
    titles = {"accuracy": "How good the model gets", "global_loss": "What selection looks at"}
    for axis, measure in zip(axes, panels, strict=True):
        axis.set_title(titles.get(measure, measure), loc="left", fontsize=11)
    _finish(figure, axes, path, note=_note(results, "mean and standard error"))


def draw_costs(path: Path, results: Results) -> None:
    """The main measure against money and against bytes: what a round buys.

    Raises:
        StorageError: the file cannot be written.
    """
    measure = results.main_measure
    priced = results.settings.terms.price > 0
    figure, axes = _panels(2 if priced else 1)
    costs = ["money", "bytes"] if priced else ["bytes"]
    for axis, cost in zip(axes, costs, strict=True):
        for method in results.methods:
            _draw_against_cost(axis, results, method, measure, cost)
        axis.set_ylabel(NAMES.get(measure, measure))
        if measure == "accuracy":
            axis.yaxis.set_major_formatter(FuncFormatter(_percent))
        if cost == "money":
            axis.set_xlim(left=0)
            axis.set_title("What the money buys", loc="left", fontsize=11)
            axis.set_xlabel(f"paid so far ({results.settings.terms.currency})")
            axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 100:,.0f}"))
        else:
            axis.set_title("What the transfer buys", loc="left", fontsize=11)
            axis.set_xlabel("sent and received so far (log scale)")
            axis.set_xscale("log")  # a round of checkpoints against two models: powers apart
            axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: format_bytes(value)))
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.xaxis.set_minor_locator(NullLocator())
    _finish(figure, axes, path, note=_note(results, "mean"))


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(5.2 * count + 0.6, 4.4), layout="constrained")
    FigureCanvasAgg(figure)  # no window system is ever asked
    axes = [figure.add_subplot(1, count, number + 1) for number in range(count)]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", color="#DDDDDD", linewidth=0.8)
        axis.set_axisbelow(True)
    return figure, axes


def _draw_against_rounds(axis: Axes, results: Results, method: str, measure: str) -> None:
    rounds = list(range(1, last_round(results, method) + 1))
    spreads = [results.spread(method, round_, measure) for round_ in rounds]
    means = np.array([each.mean for each in spreads])
    errors = np.nan_to_num(np.array([each.error for each in spreads]))
    line = LINES[method]
    axis.plot(rounds, means, **_look(line, method))
    if rounds[-1] < results.rounds:  # nothing was made there: what it had stays what it has
        look = _look(line, method) | {"marker": "", "linewidth": THIN, "label": None}
        axis.plot([rounds[-1], results.rounds], [means[-1], means[-1]], **look)
    if method == ASSISTED:  # one band only: several hide each other
        axis.fill_between(
            rounds, means - errors, means + errors, color=line.colour, alpha=0.18, linewidth=0
        )
    elif errors.any():
        axis.errorbar(rounds, means, errors, fmt="none", ecolor=line.colour, elinewidth=0.9)


def _draw_wide(axis: Axes, results: Results, measure: str) -> None:
    """A log scale where one method's loss is so large that it hides all the others."""
    means = [
        results.spread(method, round_, measure).mean
        for method in results.methods
        for round_ in range(1, results.rounds + 1)
    ]
    if min(means) > 0 and max(means) > WIDE * min(means):
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        few = max(means) < FEW * min(means)
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,), numticks=9))
        axis.yaxis.set_minor_locator(NullLocator())
        axis.set_ylabel(f"{NAMES[measure]}, log scale")


def _draw_against_cost(axis: Axes, results: Results, method: str, measure: str, cost: str) -> None:
    rounds = list(range(1, results.rounds + 1))
    means = [results.spread(method, round_, measure).mean for round_ in rounds]
    costs = [results.spread(method, round_, cost).mean for round_ in rounds]
    if costs[-1] == 0:  # costs nothing: a level to compare with, not a curve
        look = _look(LINES[method], method) | {"marker": ""}
        axis.axhline(means[-1], **look)
    else:
        axis.plot(costs, means, **_look(LINES[method], method))


def _look(line: Line, method: str) -> dict[str, Any]:
    return {
        "color": line.colour,
        "linestyle": line.style,
        "marker": line.marker,
        "markersize": 5 if method == ASSISTED else 4,
        "linewidth": line.width,
        "label": LABELS[method],
        "zorder": 3 if method == ASSISTED else 2,
    }


def _percent(value: float, _: object) -> str:
    return f"{round(100 * value, 1):g} %"


def _note(results: Results, drawn: str) -> str:
    """What the figure shows; ``drawn`` names the statistics over seeds."""
    seeds = len({run.seed for run in results.runs})
    task = results.settings.terms.task
    gamma = results.settings.split.imbalance
    spread_text = "one seed" if seeds == 1 else f"{drawn} of {seeds} seeds"
    scale = results.scale
    scaled = "" if scale == 1 else f", scaled to {scale:g}: not the study's figures"
    return f"{task}, imbalance {gamma:g}, {spread_text}{scaled}"


def _finish(figure: Figure, axes: list[Axes], path: Path, *, note: str) -> None:
    handles, labels = axes[0].get_legend_handles_labels()
    rows = math.ceil(len(labels) / (2 + len(axes)))  # so many names fit side by side
    figure.legend(
        handles, labels, loc="outside lower center", ncols=math.ceil(len(labels) / rows),
        frameon=False, fontsize=9, handlelength=3.2,
    )  # fmt: skip
    note = fill(note, int(figure.get_figwidth() / CHARACTER))
    figure.suptitle(note, fontsize=9, color="#555555", x=0.01, ha="left")
    with disk_errors(f"write {path}"):
        figure.savefig(path, dpi=DPI)
