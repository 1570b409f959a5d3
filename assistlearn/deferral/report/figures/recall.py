"""How often each agent is found where it is the only cheapest: a tile for each method and agent."""

from operator import attrgetter
from typing import Final

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from assistlearn.deferral.report.build import Report
from assistlearn.deferral.report.figures.canvas import INK, label, panels
from assistlearn.deferral.report.spread import Spread, spread

SHADES: Final = colormaps["Blues"]
DARK: Final = 0.55  # share from which a tile needs white letters
FITTING: Final = 14  # characters that fit under a tile
FEW: Final = 3  # tiles that leave room for any name


def recall(report: Report) -> Figure:
    """Draw it, the agents that are needed most on the left."""
    shares = [spread(agent.oracle_shares).mean for agent in report.agents]
    order = sorted(range(len(shares)), key=lambda index: -shares[index])
    found = [
        [
            *(spread([m.recalls[index] for m in method.metrics]) for index in order),
            method.spread(attrgetter("recall_mean")),
        ]
        for method in report.methods
    ]
    rows, columns = len(found), len(order) + 1
    figure, (axis,) = panels(
        report, 1, width=max(0.95 * columns + 2.6, 6.4), height=0.38 * rows + 2.6
    )
    places = [*range(columns - 1), columns - 0.75]  # the mean stands a little apart
    for row, values in enumerate(found):
        for place, value in zip(places, values, strict=True):
            _tile(axis, place, row, value)
    axis.set_xlim(-0.5, columns - 0.25)
    axis.set_ylim(rows - 0.5, -0.5)
    names = [f"{label(report.agents[index].name)}\n{100 * shares[index]:.1f} %" for index in order]
    axis.set_xticks(places, [*names, "mean"], fontsize=8.5)
    if max(len(line) for name in names for line in name.split("\n")) > FITTING and columns > FEW:
        axis.tick_params(axis="x", labelrotation=30)
        for each in axis.get_xticklabels():
            each.set(ha="right", rotation_mode="anchor")
    axis.set_yticks(range(rows), [label(each.name) for each in report.methods])
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.grid(visible=False)
    axis.set_title("Is the right agent found, also a rare one?", loc="left", fontsize=11)
    axis.set_xlabel(
        "tiles: how much it gets, in %, of the examples where it is the only cheapest agent;\n"
        "below the agents: their part of these examples, which are"
        f" {100 * spread(report.decided).mean:.1f} % of all",
        fontsize=8.5, color=INK, loc="left",
    )  # fmt: skip
    return figure


def _tile(axis: Axes, x: float, y: float, found: Spread) -> None:
    value, known = found.mean, found.count > 0
    colour = SHADES(0.08 + 0.82 * value) if known else "#F4F4F4"
    axis.add_patch(Rectangle((x - 0.48, y - 0.45), 0.96, 0.9, facecolor=colour, linewidth=0))
    ink = "white" if known and value > DARK else "black" if known else INK
    text = f"{100 * value:.0f}" if known else "never"
    axis.text(x, y, text, ha="center", va="center", fontsize=9, color=ink)
    if 0 < found.count < found.seeds:
        text = f"{found.count} of {found.seeds} seeds"
        axis.text(x, y + 0.3, text, ha="center", va="center", fontsize=6, color=ink)
