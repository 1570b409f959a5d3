"""The figure of ``defer_ehr``: both tasks traded, the joint rejector compared, real experts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from assistlearn.deferral.report import Spread
from assistlearn.deferral.report.figures.canvas import COLOURS, INK, percent
from experiments.deferral.common import BEST_AGENT, RANDOM
from experiments.deferral.ehr_tables import ACCURACY, Found, value_error
from experiments.deferral.ehr_ways import CLASS, JOINT, LAMBDAS, LINEAR, VALUE
from experiments.study import new_figure, save, tidy

SIMULATED: Final = ("clusters, all seen", "clusters, not seen")
REAL: Final = ("learned experts", "physicians")
SHOWN: Final = {  # methods beside the best agent, from the top, and what they are called
    JOINT: "joint",
    CLASS: "class only",
    VALUE: "regression only",
    "joint" + LINEAR: "joint, linear",
    "MILD, linear": "MILD, linear",
    "plug-in, forest": "plug-in, forest",
    "confidence threshold": "threshold",
    RANDOM: "random",
}
ROWS: Final = 4.2  # from one case to the next
APART: Final = 0.16  # rows, between two marks of one row


def draw(path: Path, found: Mapping[str, Found], *, note: str) -> None:
    """Write it.

    Raises:
        StorageError: the file cannot be written.
    """
    figure = new_figure(15.0, 5.4)
    traded, compared, real = figure.subplots(1, 3, width_ratios=(1.0, 1.05, 1.0))
    for name, colour in zip(SIMULATED, COLOURS, strict=False):
        _trade(traded, found[name], name, colour)
    tidy(traded, "One task traded for the other")
    traded.set_xlabel("smooth L1 of the length of stay (log days)")
    traded.set_ylabel("accuracy of death in hospital")
    traded.yaxis.set_major_formatter(FuncFormatter(percent))
    traded.legend(loc="lower right", fontsize=8.5, frameon=False)
    _compare(compared, found)
    _beside_the_best(real, found)
    figure.supxlabel(note, fontsize=7.5, color=INK, x=0.01, ha="left")
    save(figure, path)


def _trade(axis: Axes, found: Found, name: str, colour: str) -> None:
    """The path of the lambdas from class to regression, the agents alone, the oracle."""
    points = {
        each: (
            found.report.method(each).spread(value_error),
            found.report.method(each).spread(ACCURACY),
        )
        for each in LAMBDAS
    }
    axis.errorbar(
        [x.mean for x, _ in points.values()], [y.mean for _, y in points.values()],
        xerr=[x.half_width for x, _ in points.values()],
        yerr=[y.half_width for _, y in points.values()],
        color=colour, marker="o", markersize=5, linewidth=1.2, elinewidth=0.8, label=name,
    )  # fmt: skip
    if name == SIMULATED[0]:
        for each, (x, y) in points.items():
            axis.annotate(
                each, (x.mean, y.mean), xytext=(-4, 6) if each == CLASS else (7, -11),
                textcoords="offset points", fontsize=7.5, color=INK,
                ha="right" if each == CLASS else "left",
            )  # fmt: skip
        alone = [found.report.agents[0].alone, found.report.oracle]
        texts = ("model alone", "oracle")
        for method, marker, text in zip(alone, "s*", texts, strict=True):
            at = method.spread(value_error).mean, method.spread(ACCURACY).mean
            axis.plot(*at, color="black", marker=marker, markersize=8, linestyle="", zorder=5)
            axis.annotate(
                text, at, xytext=(14, -3), textcoords="offset points", fontsize=7.5, color=INK
            )


def _compare(axis: Axes, found: Mapping[str, Found]) -> None:
    """Joint cost of the joint rejector minus that of others, case by case."""
    labels = []
    for case, (name, each) in enumerate(found.items()):
        top = ROWS * case
        axis.text(
            0.02, top - 0.75, name, transform=axis.get_yaxis_transform(), va="center", fontsize=8.5,
            fontweight="bold", color=INK,
        )  # fmt: skip
        for row, other in enumerate((CLASS, VALUE, BEST_AGENT)):
            labels.append((top + row, f"minus {other}"))
            for kind, shift, filled in (("", -APART, True), (LINEAR, APART, False)):
                opponent = other if other == BEST_AGENT else other + kind
                ahead = each.ahead(JOINT + kind, opponent)
                _mark(axis, ahead, top + row + shift, COLOURS[row], filled=filled)
    _rows(axis, labels, "Joint cost: the joint rejector ...")
    axis.set_ylim(ROWS * len(found) - 1.4, -1.2)
    for filled, text in ((True, "network"), (False, "linear")):
        axis.plot([], [], color=INK, marker="o", linestyle="", label=text,
                  fillstyle="full" if filled else "none")  # fmt: skip
    axis.legend(loc="lower left", fontsize=8.5, frameon=False)


def _beside_the_best(axis: Axes, found: Mapping[str, Found]) -> None:
    """Joint cost minus that of the best agent, where experts are real."""
    for number, name in enumerate(REAL):
        each, shift, colour = found[name], (2 * number - 1) * APART, COLOURS[number + 3]
        for row, method in enumerate(SHOWN):
            _mark(axis, each.ahead(method, BEST_AGENT), row + shift, colour)
        _mark(axis, each.reference_ahead(BEST_AGENT), len(SHOWN) + shift, colour)
        axis.plot([], [], color=colour, marker="o", linestyle="", label=name)
    labels = [*enumerate(SHOWN.values()), (len(SHOWN), "no agent: all features,\nor mean of two")]
    _rows(axis, labels, "Joint cost minus the best agent's")
    axis.legend(loc="center right", fontsize=8, frameon=False, handletextpad=0.2, borderpad=0)


def _mark(axis: Axes, value: Spread, place: float, colour: str, *, filled: bool = True) -> None:
    axis.errorbar(
        [value.mean], [place], xerr=[value.half_width], color=colour, marker="o", markersize=5,
        elinewidth=1.0, fillstyle="full" if filled else "none", linestyle="",
    )  # fmt: skip


def _rows(axis: Axes, labels: Sequence[tuple[float, str]], title: str) -> None:
    places, texts = zip(*labels, strict=True)
    tidy(axis, title)
    axis.axvline(0, color="black", linewidth=0.9)
    axis.set_yticks(places, texts, fontsize=8.5)
    axis.set_ylim(max(places) + 0.7, min(places) - 0.7)
    axis.grid(axis="y", visible=False)
    axis.set_xlabel("paired by seed, 95 %; left of 0 is better")
