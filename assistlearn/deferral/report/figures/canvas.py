"""What all figures of a report share: panels, legends, colours.

Colours are those of Okabe and Ito, which colour-blind readers tell apart; shapes and line styles
repeat the distinction for those who print in grey.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle, islice
from textwrap import fill
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from assistlearn.deferral.report.build import Report
from assistlearn.deferral.report.names import plain
from assistlearn.deferral.report.spread import interval_words, spread

INK: Final = "#555555"
PALE: Final = "#AAAAAA"
COLOURS: Final = (
    "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#8B5A2B",
)  # fmt: skip
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p")
STYLES: Final = ("-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)))
CHARACTER: Final = 0.085  # inches, in a legend
SMALL: Final = 0.075  # inches, in the heading
LINE: Final = 0.21  # inches, in a legend
LINES: Final = 3  # of a legend, that a figure's height allows for
LONGEST: Final = 40  # characters of a name
SHOWN_END: Final = 12  # of them from its end, where long names differ


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How one method is drawn."""

    colour: str
    marker: str
    style: Any


def looks(report: Report) -> Mapping[str, Look]:
    """How each method is drawn, by its name."""
    names = [each.name for each in report.methods]
    found = islice(zip(cycle(COLOURS), cycle(MARKERS), cycle(STYLES), strict=False), len(names))
    return {
        name: Look(colour=colour, marker=marker, style=style)
        for name, (colour, marker, style) in zip(names, found, strict=True)
    }


def label(name: str) -> str:
    """A name as matplotlib shows it: no formula, on one line, not hidden from the legend."""
    text = plain(name)
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - SHOWN_END - 1]}…{text[-SHOWN_END:]}"
    text = text.replace("$", r"\$")
    return f"\u200b{text}" if text.startswith("_") else text  # legends leave out "_..."


def panels(
    report: Report, count: int, *, width: float, height: float, intervals: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure with ``count`` panels side by side, each ``width`` by ``height`` inches.

    ``intervals`` says that it shows the intervals of means too.
    """
    figure = Figure(figsize=(width * count + 0.6, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(1, count, number + 1) for number in range(count)]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", color="#DDDDDD", linewidth=0.8)
        axis.set_axisbelow(True)
    note = fill(
        _note(report, intervals=intervals),
        int(figure.get_figwidth() / SMALL),
        break_on_hyphens=False,
    )
    figure.suptitle(note, fontsize=9, color=INK, x=0.01, ha="left")
    return figure, axes


def legend(figure: Figure, axis: Axes) -> None:
    """One legend below all panels, in as many columns as fit; many lines make the figure taller."""
    handles, labels = axis.get_legend_handles_labels()
    each = CHARACTER * max(map(len, labels), default=1) + 0.7
    columns = max(1, min(int(figure.get_figwidth() / each), len(labels)))
    lines = math.ceil(len(labels) / columns)
    figure.set_figheight(figure.get_figheight() + LINE * max(lines - LINES, 0))
    figure.legend(
        handles, labels, loc="outside lower center", frameon=False, fontsize=9, ncols=columns
    )


def percent(value: float, _: object) -> str:
    """A share, as a tick shows it."""
    return f"{round(100 * value, 1):g} %"


def _note(report: Report, *, intervals: bool) -> str:
    examples = f"{spread(report.examples).mean:.0f} held-out examples"
    if len(report.seeds) == 1:
        return f"{examples}, one seed"
    if not intervals:
        return f"{examples}, mean over {len(report.seeds)} seeds"
    return f"{examples}, mean and {interval_words(len(report.seeds), overlap=report.overlap)}"
