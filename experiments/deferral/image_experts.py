"""CIFAR-10 with experts that know few classes or many: what margins do about the imbalance.

    python -m experiments.deferral.image_experts --data DIR [--seeds N] [--scale X] [--quick]

Agent 0 is a main model; each expert is right nine times out of ten on its own classes and guesses
elsewhere, as simulated experts in the literature do. How many classes an expert knows falls
exponentially or in a step, the two imbalances of class-imbalance studies; in the third setting
the classes are rare in the same order, in training and test alike. A rejector sees the main model's
probabilities and components of an encoding of the image. Each seed draws who knows which class,
their errors and the held-out rows; main model and images stay.

MILD (arXiv:2604.27723) has experiments on CIFAR-10. How its experts, costs and networks were made
is not known, so its published numbers are not comparable with these, and do not stand beside them.
"""

from collections.abc import Callable, Mapping
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Final

import click
import numpy as np
from matplotlib.axes import Axes

from assistlearn.deferral.rejectors import ConfidenceThreshold
from assistlearn.deferral.report import Report, deferral_report, spread
from experiments.deferral.common import (
    EQUAL,
    GAP,
    MILD,
    PAIRS,
    Candidate,
    Decided,
    Lesson,
    cache_option,
    candidates,
    data_option,
    decided,
    kept,
    one_thread,
)
from experiments.deferral.image_experts_agents import (
    PRICE,
    RIGHT,
    SETTINGS,
    lesson,
    names,
    pictures,
)
from experiments.deferral.tables import margins_chosen, paired, plain, shares, table
from experiments.study import RESULTS, new_figure, save, tidy, write_results

NAME: Final = "defer_image_experts"
THRESHOLD: Final = "confidence threshold"
SCALED: Final = (
    "linear rejectors on 59 features, a logistic regression on random patches as the main model and"
    " 6,000 images to learn deferral from, where published studies train ResNets on 50,000"
)
NOTE: Final = (
    f"deferral loss: error, and {PRICE:g} for asking an expert (right {100 * RIGHT:g} times out of"
    " 100 on its own classes); minus equal margins: paired by seed; recall: of the images where an"
    " agent is the only cheapest, how many it gets"
)
MILD_NOTE: Final = (
    "MILD is a reconstruction; its published numbers for CIFAR-10 (arXiv:2604.27723) have unknown"
    " experts, costs and networks: not comparable."
)
LINES: Final[Mapping[str, tuple[str, str]]] = {
    EQUAL: ("#000000", "o"),
    MILD: ("#D55E00", "s"),
    "MILD, theory rule": ("#E69F00", "^"),
    GAP: ("#0072B2", "D"),
    "log_mass": ("#56B4E9", "v"),
    "logit_adjusted": ("#CC79A7", "P"),
    "plug-in": ("#009E73", "X"),
}


def thinned(made: Lesson, scale: float) -> Lesson:
    """The first part of the training rows."""
    rows = round(scale * len(made.costs))
    return Lesson(
        **{each: getattr(made, each) for each in Lesson.__slots__}
        | {
            "features": made.features[:rows],
            "costs": made.costs[:rows],
            "held_out": made.held_out[made.held_out < rows],
        }
    )


def study(made: Lesson, seed: int) -> Decided:
    """All candidates, and the threshold on the main model's confidence, which is feature 0."""
    every = candidates() | {THRESHOLD: Candidate(rejector=ConfidenceThreshold(confidence=0))}
    return decided(made, every, seed=seed, random_as=EQUAL)


def run(
    data: Path, cache: Path, *, seeds: int, scale: float, told: Callable[[str], None]
) -> tuple[dict[str, Report], dict[str, str]]:
    """Reports by setting, and what validation chose for MILD."""
    parts = pictures(data / "cifar10", cache)
    reports: dict[str, Report] = {}
    chosen: dict[str, str] = {}
    for number, setting in enumerate(SETTINGS):
        found = []
        for seed in range(seeds):
            made = thinned(lesson(parts, setting, seed), scale)
            key = f"{NAME}_{number}_{scale:g}_{seed}"
            found.append(kept(cache, key, partial(study, made, seed)))
            told(f"{setting.label}, seed {seed}")
        trials = [each.trial for each in found]
        reports[setting.label] = deferral_report(trials, agents=names(setting))
        chosen[setting.label] = margins_chosen(found)
    return reports, chosen


def draw(path: Path, reports: Mapping[str, Report], note: str) -> None:
    """Each method's loss minus equal margins', and how often each agent is found.

    Raises:
        StorageError: the file cannot be written.
    """
    figure = new_figure(14.0, 9.6)
    upper, lower = figure.subplots(
        2, len(reports), height_ratios=(1.35, 1), sharey="row", squeeze=False
    )
    for above, below, (label, report) in zip(upper, lower, reports.items(), strict=True):
        ratio = spread(report.imbalance).mean
        tidy(above, f"{label} (oracle {ratio:.0f} : 1)")
        _differences(above, report)
        tidy(below, "")
        _recalls(below, report)
    compared = _compared(next(iter(reports.values())))
    upper[0].set_yticks(range(len(compared)), compared)
    upper[0].set_ylim(len(compared) - 0.4, -0.6)
    lower[0].set_ylabel("recall where it is the only cheapest, %")
    lower[0].legend(frameon=False, fontsize=8)
    figure.suptitle(note, fontsize=9, x=0.01, ha="left", color="#555555")
    save(figure, path)


def _compared(report: Report) -> list[str]:
    return [each.name for each in report.methods if each.name != EQUAL]


def _differences(axis: Axes, report: Report) -> None:
    """Two scales would hide it, so what is far behind is written at the edge."""
    found = [
        report.difference(each, EQUAL, attrgetter("deferral_loss")) for each in _compared(report)
    ]
    edge = 0.045
    for row, (name, each) in enumerate(zip(_compared(report), found, strict=True)):
        colour = "#D55E00" if name in PAIRS else "#0072B2"
        if each.mean > edge:
            axis.text(edge, row, f"+{each.mean:.3f} →", ha="right", va="center", fontsize=8.5)
            continue
        axis.errorbar(
            [each.mean], [row], xerr=[each.half_width], color=colour, marker="o", markersize=5,
            elinewidth=1.2,
        )  # fmt: skip
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set_xlim(-0.025, edge)
    axis.grid(visible=False, axis="y")
    axis.grid(axis="x", color="#DDDDDD", linewidth=0.8)
    axis.set_xlabel("deferral loss minus equal margins, left is better")


def _recalls(axis: Axes, report: Report) -> None:
    places = np.arange(len(report.agents))
    for number, (name, (colour, marker)) in enumerate(LINES.items()):
        by_agent = zip(*(each.recalls for each in report.method(name).metrics), strict=True)
        spreads = [spread(values) for values in by_agent]
        axis.errorbar(
            places + 0.09 * (number - 3),
            [100 * each.mean for each in spreads],
            [100 * each.half_width for each in spreads],
            color=colour, marker=marker, markersize=5, linestyle="none", elinewidth=1, label=name,
        )  # fmt: skip
    wanted = [spread(agent.oracle_shares).mean for agent in report.agents]
    labels = [
        f"{agent.name}\n{100 * share:.1f} %"
        for agent, share in zip(report.agents, wanted, strict=True)
    ]
    axis.set_xticks(places, labels, fontsize=8.5)
    axis.set_ylim(-3, 100)
    axis.set_xlabel("agent, and how often it is the only cheapest")


@click.command()
@data_option
@cache_option
@click.option("--seeds", type=click.IntRange(min=2), default=5, show_default=True)
@click.option("--scale", type=click.FloatRange(0.05, 1), default=1.0, help="Of training rows.")
@click.option(
    "--output", type=click.Path(path_type=Path), default=RESULTS, help="Folder for both files."
)
@click.option("--quick", is_flag=True, help="Two seeds, a tenth of the rows, nothing is written.")
def main(  # noqa: PLR0913  # a command's options
    data: Path, cache: Path, seeds: int, scale: float, output: Path, *, quick: bool
) -> None:
    """Compare MILD's reconstruction with every other loss where experts are imbalanced."""
    one_thread()
    seeds, scale = (2, min(scale, 0.1)) if quick else (seeds, scale)
    reports, chosen = run(
        data, cache, seeds=seeds, scale=scale, told=lambda what: click.echo(what, err=True)
    )
    scaled = SCALED + (f"; {100 * scale:g} % of the training rows" if scale < 1 else "")
    for label, report in reports.items():
        click.echo(f"\n{table(report, label, note=NOTE).text()}\n\n{shares(report).text()}")
        click.echo(f"{MILD}, chose {chosen[label]}")
    click.echo(f"\n{paired(reports).text()}\n\n{MILD_NOTE}\nscaled down: {scaled}")
    if quick:
        return
    findings = {
        "scaled_down": scaled,
        "unit": "costs in errors; a figure is its mean and the half-width of its 95 % interval over"
        " seeds (Student's t)",
        "seeds": seeds,
        "published": MILD_NOTE,
        "settings": {
            label: plain(report) | {f"{MILD}, chose": chosen[label]}
            for label, report in reports.items()
        },
    }
    write_results(
        output / f"{NAME}.json", module="experiments.deferral.image_experts", findings=findings
    )
    draw(output / f"{NAME}.png", reports, f"{seeds} seeds, 95 % intervals. Scaled down: {scaled}")
    click.echo(f"wrote {NAME}.json and {NAME}.png in {output}")


if __name__ == "__main__":
    main()
