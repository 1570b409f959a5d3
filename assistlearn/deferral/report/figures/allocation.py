"""Who answers how much: a bar for each method, with what it achieves beside it."""

from operator import attrgetter
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from assistlearn.deferral.report.build import Method, Report
from assistlearn.deferral.report.figures.canvas import INK, label, legend, panels, percent
from assistlearn.deferral.report.spread import spread

COLOURS: Final = (
    "#BBBBBB", "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442",
)  # fmt: skip
DEEP: Final = frozenset({1, 3, 4})  # of these, the ones that need white letters
HATCHES: Final = ("", "//", "..")  # when colours begin again
LABELLED: Final = 0.06  # share of a bar from which a number fits into it
BESIDE: Final = 1.015  # where the figures beside the bars begin


def allocation(report: Report) -> Figure:
    """Draw it."""
    methods = [*report.methods, report.oracle]
    figure, (axis,) = panels(report, 1, width=8.4, height=0.36 * len(methods) + 2.1)
    left = np.zeros(len(methods))
    for index, agent in enumerate(report.agents):
        shares = [spread([m.shares[index] for m in each.metrics]).mean for each in methods]
        axis.barh(
            range(len(methods)), shares, left=left, height=0.72, label=label(agent.name),
            **_fill(index),
        )  # fmt: skip
        for row, share in enumerate(shares):
            if share >= LABELLED:
                axis.text(
                    left[row] + share / 2, row, f"{100 * share:.0f}", ha="center", va="center",
                    fontsize=8, color="white" if index % len(COLOURS) in DEEP else "black",
                )  # fmt: skip
        left += shares
    for row, method in enumerate(methods):
        axis.text(BESIDE, row, _beside(report, method), va="center", fontsize=8.5, color=INK)
    heading = "accuracy   loss" if report.has_accuracy else "loss"
    axis.text(BESIDE, -0.85, heading, va="center", fontsize=8.5, color=INK, style="italic")
    axis.set_yticks(range(len(methods)), [label(each.name) for each in methods])
    axis.set_ylim(len(methods) - 0.5, -0.5)
    axis.set_xlim(0, 1)
    axis.xaxis.set_major_formatter(FuncFormatter(percent))
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    axis.grid(visible=False)
    axis.set_xlabel("share of the examples that each agent answers")
    legend(figure, axis)
    return figure


def _fill(index: int) -> dict[str, Any]:
    turns, at = divmod(index, len(COLOURS))
    return {
        "color": COLOURS[at],
        "hatch": HATCHES[turns % len(HATCHES)],
        "edgecolor": "white",
        "linewidth": 0.6,
    }


def _beside(report: Report, method: Method) -> str:
    loss = f"{method.spread(attrgetter('deferral_loss')).mean:.3f}"
    if not report.has_accuracy:
        return loss
    return f"{100 * method.spread(attrgetter('accuracy')).mean:5.1f} %   {loss}"
