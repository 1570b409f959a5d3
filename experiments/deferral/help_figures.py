"""Learning to help, its figures: the published failure, all costs, the bounded reject rate."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from assistlearn.deferral.help import HelpCosts
from assistlearn.deferral.report import Spread
from experiments.deferral.help_curves import BOUNDS, ORACLE, RANDOM, Bounded
from experiments.deferral.help_results import (
    ALL_LOCAL,
    ALL_REMOTE,
    CONFIDENCE,
    MOVED,
    OURS,
    PLUG_IN,
    PUBLISHED,
    SERVER_ERROR_COSTS,
    Row,
)
from experiments.deferral.help_tables import STANDS_FOR, TABLE_1_PUBLISHED, implied
from experiments.study import new_figure, save, tidy

BLUE, RED, GREEN, GREY, BLACK = "#0072B2", "#D55E00", "#009E73", "#8A8A8A", "#000000"


class Look(NamedTuple):
    """How a method is drawn."""

    colour: str
    style: str = "-"
    marker: str = ""


LOOKS: Final[Mapping[str, Look]] = {
    PUBLISHED: Look(RED, marker="s"),
    OURS: Look(BLUE, marker="o"),
    PLUG_IN: Look(GREEN, marker="^"),
    CONFIDENCE: Look(BLACK, style="--"),
    ALL_LOCAL: Look(GREY, style=":"),
    ALL_REMOTE: Look(GREY, style="-."),
    "oracle": Look("#CC79A7"),
}
RULES: Final[Mapping[str, Look]] = {
    f"stochastic rule, {PUBLISHED}": Look(RED, marker="s"),
    f"stochastic rule, {OURS}": Look(BLUE, style=":", marker="o"),
    f"threshold on the score, {OURS}": Look(BLUE, marker="o"),
    "threshold on the plug-in's gain": Look(GREEN, marker="^"),
    CONFIDENCE: Look(BLACK, style="--"),
    RANDOM: Look(GREY, style=":"),
}


def draw_failure(path: Path, found: Mapping[str, Mapping[str, Row]]) -> None:
    """Loss less that of never asking, from the published recipe to ours, a panel a data set."""
    figure: Figure = new_figure(12.5, 4.9)
    axes = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
    for axis, (data, rows) in zip(axes, found.items(), strict=True):
        shown = [name for name in rows if name not in {ALL_LOCAL, ALL_REMOTE, ORACLE}]
        tidy(axis, data)
        axis.grid(axis="x", color="#DDDDDD", linewidth=0.8)
        axis.grid(visible=False, axis="y")
        axis.axvline(0, color=BLACK, linewidth=1)
        for place, name in enumerate(shown):
            value = rows[name].minus_all_local
            look = LOOKS.get(name.removesuffix(MOVED), Look(GREY, marker="o"))
            axis.errorbar(
                value.mean, place, xerr=value.half_width, color=look.colour, capsize=3,
                marker=look.marker or "D", markersize=6, linestyle="",
                markerfacecolor="white" if name.endswith(MOVED) else look.colour,
            )  # fmt: skip
        source = STANDS_FOR.get(data, "")
        if source in TABLE_1_PUBLISHED:
            there = implied(TABLE_1_PUBLISHED[source])
            axis.plot(
                there.loss - there.all_local, len(shown), marker="*", markersize=13, color=RED,
                markeredgecolor="white", linestyle="", zorder=4,
            )  # fmt: skip
            axis.annotate(
                source, (there.loss - there.all_local, len(shown)), (9, 0),
                textcoords="offset points", va="center", fontsize=9,
            )  # fmt: skip
        axis.set_yticks(range(len(shown) + 1), [*shown, "what the paper's Table 1 implies"])
        axis.invert_yaxis()
        axis.set_xlabel(
            "generalised 0-1 loss less that of never asking\n(right of the line: worse)"
        )
    save(figure, path)


def draw_costs(path: Path, found: Mapping[str, Mapping[HelpCosts, Mapping[str, Row]]]) -> None:
    """Loss, accuracy and reject rate against c_e, a column for each data set and c_1."""
    columns = [(data, error) for data in found for error in SERVER_ERROR_COSTS]
    figure: Figure = new_figure(3.3 * len(columns) + 0.4, 8.4)
    axes = figure.subplots(3, len(columns), sharex=True, squeeze=False)
    lines: Sequence[tuple[str, Callable[[Row], Spread], bool]] = (
        ("generalised 0-1 loss", lambda row: row.loss, False),
        ("system accuracy", lambda row: row.accuracy, True),
        ("reject rate", lambda row: row.reject_rate, True),
    )
    for column, (data, error) in enumerate(columns):
        at = {
            costs.query_cost: rows
            for costs, rows in found[data].items()
            if costs.server_error_cost == error
        }
        for axis, (label, figure_of, percent) in zip(axes[:, column], lines, strict=True):
            tidy(axis, f"{data}, $c_1$ = {error:g}" if axis is axes[0, column] else "")
            for name, look in LOOKS.items():
                spreads = [figure_of(rows[name]) for rows in at.values()]
                _line(axis, [*at], spreads, look, name, share=percent)
            if percent:
                _percent(axis)
            if not column:
                axis.set_ylabel(label)
        axes[-1, column].set_ylim(-0.03, 1.03)
        axes[-1, column].set_xlabel("$c_e$, cost of asking")
    for row in axes[:2]:
        for data in found:
            _same_limits([axis for axis, at in zip(row, columns, strict=True) if at[0] == data])
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4,
        frameon=False, fontsize=9.5, handlelength=3,
    )  # fmt: skip
    save(figure, path)


def draw_rates(path: Path, found: Mapping[str, Mapping[str, Bounded]]) -> None:
    """Accuracy, and what is saved against asking at random, at every bound."""
    figure: Figure = new_figure(5.2 * len(found) + 0.4, 7.6)
    axes = figure.subplots(2, len(found), sharex=True, squeeze=False)
    for column, (data, rules) in enumerate(found.items()):
        above, below = axes[:, column]
        tidy(above, data)
        tidy(below, "")
        for name, look in RULES.items():
            _line(above, BOUNDS, rules[name].accuracy, look, name, share=True)
            if name != RANDOM:
                _line(below, BOUNDS, rules[name].gain, look, name)
        below.axhline(0, color=GREY, linestyle=":")
        _percent(above)
        below.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
        below.set_xlabel("bound on the reject rate")
    axes[0, 0].set_ylabel("system accuracy")
    axes[1, 0].set_ylabel("generalised 0-1 loss saved\nagainst asking at random")
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2,
        frameon=False, fontsize=9.5, handlelength=3,
    )  # fmt: skip
    save(figure, path)


def _line(  # noqa: PLR0913  (what is drawn, where and how)
    axis: Axes,
    places: Sequence[float],
    spreads: Sequence[Spread],
    look: Look,
    name: str,
    *,
    share: bool = False,
) -> None:
    """Means, and a band for the intervals, which a share cannot leave 0 to 1 by."""
    means = [each.mean for each in spreads]
    axis.plot(
        places, means, color=look.colour, linestyle=look.style, marker=look.marker,
        markersize=4, linewidth=1.6, label=name,
    )  # fmt: skip
    low, high = ([each.mean + sign * each.half_width for each in spreads] for sign in (-1.0, 1.0))
    if share:
        low, high = [max(each, 0.0) for each in low], [min(each, 1.0) for each in high]
    axis.fill_between(places, low, high, color=look.colour, alpha=0.12, linewidth=0)


def _same_limits(axes: Sequence[Axes]) -> None:
    limits = [axis.get_ylim() for axis in axes]
    for axis in axes:
        axis.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))


def _percent(axis: Axes) -> None:
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
