"""The figure of ``defer_humans``: accuracy against how often a person is asked, set by set."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from assistlearn.deferral.report import RATES
from assistlearn.deferral.report.build import Method
from assistlearn.deferral.report.figures.canvas import COLOURS, INK, PALE, percent
from experiments.deferral.humans_tables import ACCURACY, Found
from experiments.deferral.humans_ways import FOREST, NETWORK, ONE_STAGE, THRESHOLD, TWO_STAGE
from experiments.study import new_figure, save, tidy

SHOWN: Final = (NETWORK, TWO_STAGE, FOREST, THRESHOLD, ONE_STAGE)
MARKERS: Final = "osD^v"
HEADROOM: Final = 0.06  # of an axis, above the oracle and below the worst


def draw(path: Path, found: Mapping[str, Mapping[float, Found]], *, note: str) -> None:
    """Write it.

    Raises:
        StorageError: the file cannot be written.
    """
    figure = new_figure(3.75 * len(found), 4.6)
    axes = np.atleast_1d(figure.subplots(1, len(found)))
    for axis, (label, by_price) in zip(axes, found.items(), strict=True):
        _draw(axis, label, by_price)
    axes[0].set_ylabel("system accuracy")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9
    )
    figure.suptitle(note, fontsize=7.5, color=INK, x=0.01, ha="left")
    save(figure, path)


def _draw(axis: Axes, label: str, by_price: Mapping[float, Found]) -> None:
    """Curves with people for nothing, and where each method stops when they cost."""
    free, priced = by_price[min(by_price)], by_price[max(by_price)]
    oracle = np.mean(free.report.oracle_curve, axis=0)
    chance = np.mean(free.report.random_curve, axis=0)
    axis.plot(RATES, oracle, color="black", linestyle=":", linewidth=1.6, label="oracle")
    axis.plot(RATES, chance, color=PALE, linewidth=1.4, label="at random")
    known = {each.name for each in free.methods}
    for name, colour, marker in zip(SHOWN, COLOURS, MARKERS, strict=False):
        if name not in known:  # one-stage, where an answer is no class
            continue
        curve = np.mean([each.quality for each in free.method(name).curves], axis=0)
        axis.plot(RATES, curve, color=colour, linewidth=1.3, alpha=0.85)
        _point(axis, priced.method(name), colour, marker)
    tidy(axis, label)
    lowest, highest = min(chance.min(), oracle.min()), oracle.max()
    room = HEADROOM * (highest - lowest)
    axis.set_ylim(lowest - room, highest + room)
    axis.set_xlim(-0.03, 1.05)
    axis.set_xlabel(f"share asked; marks: at {max(by_price):g} an answer")
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_formatter(FuncFormatter(percent))


def _point(axis: Axes, method: Method, colour: str, marker: str) -> None:
    x, y = method.spread(lambda each: 1 - each.coverage), method.spread(ACCURACY)
    axis.errorbar(
        [x.mean], [y.mean], xerr=[x.half_width], yerr=[y.half_width], color=colour, marker=marker,
        markersize=6, elinewidth=0.8, markeredgecolor="white", markeredgewidth=0.6, zorder=4,
        linestyle="-", label=method.name,
    )  # fmt: skip
