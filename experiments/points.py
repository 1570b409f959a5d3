"""Accuracies in percent, their differences in points, and a line of them with error bars."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from parties.simulate.figures import LINES
from parties.simulate.outcome import ASSISTED, LABELS
from parties.simulate.results import Results, Spread


def accuracy(results: Results, method: str, round_: int | None = None) -> Spread:
    """Accuracy of ``method`` after a round, or after the last one, in percent."""
    after = results.rounds if round_ is None else round_
    return _hundredfold(results.spread(method, after, "accuracy"))


def difference(results: Results, other: str) -> Spread:
    """Accuracy of assisted minus ``other`` after the last round, in points, paired by seed."""
    return _hundredfold(results.difference(ASSISTED, other, results.rounds, "accuracy"))


def draw_line(axis: Axes, method: str, places: Sequence[float], found: Sequence[Spread]) -> None:
    """A method's means and standard errors, in its own colour and style."""
    line = LINES[method]
    axis.errorbar(
        places,
        [each.mean for each in found],
        np.nan_to_num([each.error for each in found]),
        color=line.colour, linestyle=line.style, marker=line.marker, linewidth=line.width,
        markersize=4, elinewidth=0.9, capsize=2, label=LABELS[method],
        zorder=3 if method == ASSISTED else 2,
    )  # fmt: skip


def name_lines(figure: Figure) -> None:
    """A legend below ``figure`` of the lines that all its panels have."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9,
        handlelength=3.2,
    )  # fmt: skip


def _hundredfold(found: Spread) -> Spread:
    return Spread(mean=100 * found.mean, error=100 * found.error, count=found.count)
