"""The figure of ``defer_detection``: what is paid for precision, whom it goes to, and the paper."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes

from experiments.deferral.common import BEST_AGENT, RANDOM
from experiments.deferral.detection_methods import (
    AGENTS,
    CONFIDENCE,
    MILD,
    ORACLE,
    PLUG_IN,
    PUBLISHED,
    TWO_STAGE,
    Point,
)
from experiments.study import new_figure, save, tidy

INK: Final = "#555555"
LOOKS: Final = {
    TWO_STAGE: ("#D55E00", "o", "-"),
    MILD: ("#0072B2", "s", "--"),
    PLUG_IN: ("#009E73", "^", "-."),
    CONFIDENCE: ("#CC79A7", "D", ":"),
}
SHADES: Final = ("#9FC5E8", "#F2B872", "#C0504D")  # the dearer, the darker
LABELLED: Final = 7.0  # percent of a bar from which a number fits into it


def draw(path: Path, points: Sequence[Point], *, seeds: int, note: str) -> None:
    """Write the figure.

    Raises:
        StorageError: the file cannot be written.
    """
    figure = new_figure(12.0, 8.6)
    (first, second), (third, fourth) = figure.subplots(2, 2)
    tidy(first, "Precision falls as the large detector gets dearer")
    _precision(first, points)
    tidy(second, "Choosing by image against the best single agent")
    _saved(second, points)
    tidy(third, "Who answers: two-stage, here")
    swept = [each for each in points if each.price in PUBLISHED]
    _bars(third, [[100 * share.mean for share in each.shares(TWO_STAGE)] for each in swept])
    tidy(fourth, "Who answers: the paper (Pascal VOC)")
    _bars(fourth, [row[1:] for row in PUBLISHED.values()])
    figure.legend(
        *third.get_legend_handles_labels(), loc="outside lower right", ncols=3, frameon=False
    )
    figure.suptitle(
        f"{seeds} seeds, 159 held-out images. Scaled down: {note}",
        fontsize=8.5, x=0.01, ha="left", color=INK, wrap=True,
    )  # fmt: skip
    save(figure, path)


def _precision(axis: Axes, points: Sequence[Point]) -> None:
    at = np.arange(len(points))
    for name in (TWO_STAGE, PLUG_IN, CONFIDENCE):
        colour, marker, style = LOOKS[name]
        found = [each.precision(name) for each in points]
        axis.errorbar(
            at, [100 * each.mean for each in found],
            [100 * each.half_width for each in found] if name == TWO_STAGE else None,
            color=colour, marker=marker, linestyle=style, capsize=3, label=name,
        )  # fmt: skip
    for name, colour, style in ((ORACLE, "black", ":"), (RANDOM, "#999999", "-")):
        means = [100 * each.precision(name).mean for each in points]
        axis.plot(at, means, color=colour, linestyle=style, label=name)
    paper = [PUBLISHED[each.price][0] if each.price in PUBLISHED else np.nan for each in points]
    axis.plot(at, paper, color=INK, marker="x", linestyle="none", label="paper")
    alone = [100 * points[0].precision(name).mean for name in AGENTS]
    for height in alone:
        axis.axhline(height, color="#BBBBBB", linewidth=0.8, zorder=0)
    beside = axis.secondary_yaxis("right")
    beside.set_yticks(alone, [f"{name}\nalone" for name in AGENTS], fontsize=8, color=INK)
    beside.tick_params(length=0)
    beside.spines["right"].set_visible(False)
    _prices(axis, [each.price for each in points])
    axis.set_ylabel("mAP of all images, %")
    axis.legend(frameon=False, fontsize=8.5, loc="lower left")


def _saved(axis: Axes, points: Sequence[Point]) -> None:
    for number, (name, (colour, marker, _)) in enumerate(LOOKS.items()):
        found = [each.against_best[name] for each in points]
        axis.errorbar(
            np.arange(len(points)) + 0.14 * (number - 1.5),
            [each.mean for each in found], [each.half_width for each in found],
            color=colour, marker=marker, linestyle="none", capsize=2, label=name, markersize=5,
        )  # fmt: skip
    bounds = [each.loss(ORACLE).mean - each.loss(BEST_AGENT).mean for each in points]
    axis.plot(range(len(points)), bounds, color="black", linestyle=":", label=ORACLE)
    axis.axhline(0, color="black", linewidth=0.8)
    _prices(axis, [each.price for each in points])
    axis.set_ylabel("deferral loss minus the best agent's\n(down is better, 95 % over images)")
    axis.legend(frameon=False, fontsize=8.5, loc="lower left")


def _bars(axis: Axes, rows: Sequence[Sequence[float]]) -> None:
    base = np.zeros(len(rows))
    for name, colour, shares in zip(AGENTS, SHADES, zip(*rows, strict=True), strict=True):
        axis.bar(range(len(rows)), shares, bottom=base, color=colour, width=0.8, label=name)
        for at, share in enumerate(shares):
            if share >= LABELLED:
                axis.text(
                    at, base[at] + share / 2, f"{share:.0f}", ha="center", va="center", fontsize=8.5
                )
        base += np.array(shares)
    _prices(axis, list(PUBLISHED))
    axis.grid(visible=False)
    axis.set_ylabel("share of the images, %")


def _prices(axis: Axes, prices: Sequence[float]) -> None:
    axis.set_xticks(range(len(prices)), [f"{price:g}" for price in prices])
    axis.set_xlabel("beta_2, price of asking expert 2")
