"""The figure of ``defer_gaps``: one panel for each thing that the papers do not say."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from assistlearn.deferral.report import spread
from experiments.deferral.gaps_problems import BEST, BUDGET, FEW, Figures, Gaps
from experiments.study import new_figure, save, tidy

COLOURS: Final = ("#0072B2", "#56B4E9", "#CC79A7", "#E69F00", "#009E73", "#000000", "#999999")
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "")
GREY: Final = "#999999"


def draw(path: Path, found: Gaps, note: str) -> None:
    """Write the figure.

    Raises:
        StorageError: the file cannot be written.
    """
    figure = new_figure(14.0, 8.4)
    (first, second, third), (fourth, fifth, sixth) = figure.subplots(2, 3)
    tidy(first, "Realizable: a linear rule costs nothing")
    _lines(first, found.rules, plain=(BEST,))
    first.set_ylabel("deferral loss on the points fitted")
    tidy(second, "Dilution: what the softmax is asked for")
    _targets(second, found.asked)
    tidy(third, "Dilution: experts that nobody needs")
    _lines(third, found.ahead)
    third.axhline(0, color="black", linewidth=0.8)
    third.set_ylabel("deferral loss minus the plug-in's, paired")
    for axis in (first, second, third):
        axis.set_xlabel("number of experts (log scale)")
    tidy(fourth, "Shift: expected and real costs")
    _costs(fourth, found.moved)
    tidy(fifth, f"Shift: a budget of {100 * BUDGET:g} %")
    _rates(fifth, found.moved)
    for axis in (fourth, fifth):
        axis.set_xlabel("shift of one feature's mean, in deviations")
    tidy(sixth, "Shift: fitted on MMLU, asked GSM8K")
    if found.texts is None:
        sixth.text(0.5, 0.5, "needs --data", ha="center", transform=sixth.transAxes)
    else:
        _texts(sixth, found.texts)
    figure.suptitle(note, fontsize=9, x=0.01, ha="left", color="#555555")
    save(figure, path)


def _lines(axis: Axes, found: Figures, *, plain: Sequence[str] = ()) -> None:
    for number, (name, row) in enumerate(found.items()):
        grey = name in plain
        axis.errorbar(
            [*row], [each.mean for each in row.values()],
            [each.half_width for each in row.values()],
            color=GREY if grey else COLOURS[number], marker=MARKERS[number], markersize=5,
            linestyle=":" if grey else "-", linewidth=1.5, elinewidth=0.8, label=name,
        )  # fmt: skip
    _experts(axis, [*next(iter(found.values()))])
    axis.set_ylim(bottom=min(0.0, axis.get_ylim()[0]) if plain else None)
    axis.legend(frameon=False, fontsize=8)


def _experts(axis: Axes, numbers: Sequence[int]) -> None:
    axis.set_xscale("log", base=2)
    axis.set_xticks(numbers, [str(each) for each in numbers])
    axis.xaxis.set_minor_locator(NullLocator())


def _targets(axis: Axes, asked: Mapping[str, Mapping[int, tuple[float, float]]]) -> None:
    numbers = [*asked["sum"]]
    for at, (label, style) in enumerate((("right", "-"), ("wrong", "--"))):
        axis.plot(
            numbers, [each[at] for each in asked["sum"].values()], color=COLOURS[0],
            linestyle=style, marker="o", markersize=4, label=f"sum weights: the {label} agent",
        )  # fmt: skip
        axis.plot(
            numbers, [each[at] for each in asked["max"].values()], color=COLOURS[1],
            linestyle=style, marker="s", markersize=4, label=f"max, 1 - c: the {label} agent",
        )  # fmt: skip
    _experts(axis, numbers)
    axis.set_ylabel("softmax, one agent alone being right")
    axis.legend(frameon=False, fontsize=8)


def _line(axis: Axes, moved: Any, figure: str, **look: Any) -> None:
    spreads = [spread([one[figure] for one in by_seed]) for by_seed in moved.values()]
    axis.errorbar(
        [*moved], [each.mean for each in spreads], [each.half_width for each in spreads],
        linewidth=1.5, elinewidth=0.8, **look,
    )  # fmt: skip


def _costs(axis: Axes, moved: Any) -> None:
    for real, expected, colour in (
        ("agent 0", "agent 0 expected", COLOURS[0]),
        ("expert", "expert expected", COLOURS[3]),
        ("deferral loss", "expected loss", "#000000"),
    ):
        label = "whoever was asked" if real == "deferral loss" else real
        _line(axis, moved, real, color=colour, linestyle="-", label=f"{label}: real")
        _line(axis, moved, expected, color=colour, linestyle="--", label=f"{label}: expected")
    axis.set_ylabel("mean cost")
    axis.set_ylim(bottom=0)
    axis.legend(frameon=False, fontsize=8)


def _rates(axis: Axes, moved: Any) -> None:
    axis.axhline(BUDGET, color=GREY, linewidth=1, linestyle=":")
    for figure, colour, style, label in (
        ("rate", COLOURS[0], "-", "deferral rate, threshold of the source"),
        ("rate, again", COLOURS[4], "-", f"deferral rate, threshold of {FEW} new examples"),
        ("deferral loss, again", COLOURS[4], "--", "deferral loss at that rate"),
        ("random at the budget", GREY, "--", "deferral loss, random at the budget"),
    ):
        _line(axis, moved, figure, color=colour, linestyle=style, label=label)
    axis.set_ylim(0, 1)
    axis.set_ylabel("share deferred, or mean cost")
    axis.legend(frameon=False, fontsize=8)


def _texts(axis: Axes, texts: Any) -> None:
    bars = (
        ("weak, expected", "agent 0 expected", "#BFD9EA"), ("weak, real", "agent 0", COLOURS[0]),
        ("strong, expected", "expert expected", "#F7DFB0"), ("strong, real", "expert", COLOURS[3]),
        ("deferral loss", "deferral loss", "#000000"), ("deferral rate", "rate", GREY),
    )  # fmt: skip
    places = np.arange(len(texts))
    for at, (label, figure, colour) in enumerate(bars):
        spreads = [spread([one[figure] for one in by_seed]) for by_seed in texts.values()]
        axis.bar(
            places + 0.14 * (at - 2.5), [each.mean for each in spreads], 0.13, color=colour,
            yerr=[each.half_width for each in spreads], label=label,
            error_kw={"elinewidth": 0.8},
        )  # fmt: skip
    axis.axhline(BUDGET, color=GREY, linewidth=1, linestyle=":")
    axis.set_xticks(places, [f"asked {each}" for each in texts])
    axis.set_ylabel("mean cost, or share deferred")
    axis.set_ylim(top=0.62)
    axis.legend(frameon=False, fontsize=8, ncols=3, loc="upper center")
