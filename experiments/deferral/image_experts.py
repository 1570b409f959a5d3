"""CIFAR-10 with experts that know few classes or many: what margins do about the imbalance.

    python -m experiments.deferral.image_experts --data DIR [--seeds N] [--scale X] [--quick]

Agent 0 is a main model; each expert is right nine times out of ten on its own classes and guesses
elsewhere, as simulated experts in the literature do. How many classes an expert knows falls
exponentially or in a step, the two imbalances of class-imbalance studies; in the third setting
the classes are rare in the same order, in training and test alike. A rejector sees the main model's
probabilities and components of an encoding of the image. Each seed draws who knows which class,
their errors and the held-out rows; main model and images stay.

As images have labels, the one-stage cross-entropy of Mozannar and Sontag (arXiv:2006.01862), with
several experts as in arXiv:2210.16955, stands beside: it answers with classes of its own, so its
agent 0 is not the main model.

MILD (arXiv:2604.27723) has experiments on CIFAR-10. How its experts, costs and networks were made
is not known, so the two published numbers that were seen are not comparable with ours; they are
printed beside them nevertheless.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
from matplotlib.axes import Axes

from assistlearn.deferral.rejectors import ConfidenceThreshold, Rejector
from assistlearn.deferral.report import Report, Spread, deferral_report, spread
from assistlearn.deferral.report.build import Method
from assistlearn.deferral.report.tables import cell
from experiments.deferral.common import (
    DECAYS,
    EQUAL,
    FEW_EXPONENTS,
    GAP,
    HINGE,
    ITERATIONS,
    MILD,
    PAIRS,
    RAMP,
    Candidate,
    Decided,
    Lesson,
    cache_option,
    candidates,
    data_option,
    decided,
    joined,
    kept,
    kinked_candidates,
    one_thread,
)
from experiments.deferral.image_experts_agents import (
    CLASSES,
    PRICE,
    RIGHT,
    SETTINGS,
    lesson,
    names,
    pictures,
)
from experiments.deferral.one_stage import OWN_CLASSES, one_stage
from experiments.deferral.tables import LOSS, margins_chosen, paired, plain, shares, table
from experiments.study import RESULTS, new_figure, save, tidy, write_results

NAME: Final = "defer_image_experts"
THRESHOLD: Final = "confidence threshold"
ONE_STAGE: Final = "one-stage (Mozannar, Sontag)"
VALIDATED: Final = (MILD, HINGE, RAMP)
SCALED: Final = (
    "linear rejectors on 59 features, a logistic regression on random patches as the main model and"
    " 6,000 images to learn deferral from, where published studies train ResNets on 50,000"
)
NOTE: Final = (
    f"deferral loss: error, and {PRICE:g} for asking an expert (right {100 * RIGHT:g} times out of"
    " 100 on its own classes); minus equal margins: paired by seed; recall: of the images where an"
    " agent is the only cheapest, how many it gets. The one-stage method answers with classes of"
    " its own, so the oracle of these agents says nothing of it. Hinge and ramp: e from"
    f" {len(FEW_EXPONENTS)} exponents, best of at most 40 epochs from the log loss; without early"
    " stop all 40"
)
PUBLISHED_LOSS, PUBLISHED_SHARE = 0.106, 0.7001
MILD_NOTE: Final = (
    "MILD is a reconstruction. How its experts, costs, networks and imbalance were made is not"
    " known, and neither is the loss of any baseline: the levels cannot be compared. What margins"
    " change is measured here against equal margins."
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One setting, all seeds."""

    report: Report
    one_stage: Method
    """Its agent 0 is its own classes."""
    chosen: Mapping[str, str]
    """What validation chose, by method."""


def thinned(made: Lesson, scale: float) -> Lesson:
    """The first part of the training rows."""
    rows = round(scale * len(made.costs))
    return replace(
        made,
        features=made.features[:rows],
        costs=made.costs[:rows],
        held_out=made.held_out[made.held_out < rows],
        labels=None if made.labels is None else made.labels[:rows],
    )


def study(made: Lesson, seed: int) -> Decided:
    """All candidates, and the threshold on the main model's confidence, which is feature 0."""
    every = candidates() | {THRESHOLD: Candidate(rejector=ConfidenceThreshold(confidence=0))}
    return decided(made, every, seed=seed, random_as=EQUAL)


def study_kinked(made: Lesson, seed: int) -> Decided:
    """Hinge and ramp."""
    return decided(made, kinked_candidates(), seed=seed, random_as=None)


def study_one_stage(made: Lesson, seed: int) -> Decided:
    """Mozannar and Sontag's loss; weights ``max - c`` make it that also at a price for experts."""
    candidate = Candidate(
        rejector=Rejector(surrogate="two_stage", solver="lbfgs", max_iter=ITERATIONS),
        grid={"surrogate_settings": [{"weights": "max"}], "weight_decay": DECAYS},
    )
    return one_stage(made, candidate, name=ONE_STAGE, classes=CLASSES, seed=seed)


def run(
    data: Path, cache: Path, *, seeds: int, scale: float, told: Callable[[str], None]
) -> dict[str, Found]:
    """Everything that takes time, by setting; each part of a seed is kept by itself."""
    parts = pictures(data / "cifar10", cache)
    found: dict[str, Found] = {}
    for number, setting in enumerate(SETTINGS):
        made, alone = [], []
        for seed in range(seeds):
            learned = thinned(lesson(parts, setting, seed), scale)
            key = f"{NAME}_{number}_{scale:g}_{seed}"
            made.append(
                joined(
                    kept(cache, key, partial(study, learned, seed)),
                    kept(cache, f"{key}_kinked", partial(study_kinked, learned, seed)),
                )
            )
            alone.append(kept(cache, f"{key}_one_stage", partial(study_one_stage, learned, seed)))
            told(f"{setting.label}, seed {seed}")
        agents = names(setting)
        found[setting.label] = measured(made, alone, agents=agents)
    return found


def measured(made: list[Decided], alone: list[Decided], *, agents: tuple[str, ...]) -> Found:
    """All seeds of one setting.

    Args:
        made: two-stage methods, by seed.
        alone: the one-stage one, by seed.
        agents: names.
    """
    own = deferral_report([each.trial for each in alone], agents=(OWN_CLASSES, *agents[1:]))
    return Found(
        report=deferral_report([each.trial for each in made], agents=agents),
        one_stage=own.method(ONE_STAGE),
        chosen={name: margins_chosen(made, name) for name in VALIDATED},
    )


def published(found: Mapping[str, Found]) -> dict[str, Any]:
    """The two published numbers of MILD about CIFAR-10, ours beside, and why they differ."""

    def ours(figure: Callable[[Method], Spread], *, percent: bool) -> dict[str, str]:
        return {
            f"{label}, {name}": cell(figure(each.report.method(name)), percent=percent)
            for label, each in found.items()
            for name in (MILD, EQUAL)
        }

    return {
        "source": "MILD, arXiv:2604.27723, as listed by a leaderboard; the paper was not at hand",
        "deferral loss": {
            "published": PUBLISHED_LOSS,
            "ours": ours(lambda method: method.spread(LOSS.figure), percent=False),
        },
        "share of expert 1, %": {
            "published": 100 * PUBLISHED_SHARE,
            "ours": ours(lambda method: method.spread(lambda each: each.shares[1]), percent=True),
        },
        "difference": MILD_NOTE,
    }


def draw(path: Path, found: Mapping[str, Found], note: str) -> None:
    """Each method's loss minus equal margins', and how often each agent is found.

    Raises:
        StorageError: the file cannot be written.
    """
    figure = new_figure(14.0, 11.0)
    upper, lower = figure.subplots(
        2, len(found), height_ratios=(1.7, 1), sharey="row", squeeze=False
    )
    for above, below, (label, each) in zip(upper, lower, found.items(), strict=True):
        ratio = spread(each.report.imbalance).mean
        tidy(above, f"{label} (oracle {ratio:.0f} : 1)")
        _differences(above, each)
        tidy(below, "")
        _recalls(below, each.report)
    compared = [*_differing(next(iter(found.values())))]
    upper[0].set_yticks(range(len(compared)), compared)
    upper[0].set_ylim(len(compared) - 0.4, -0.6)
    lower[0].set_ylabel("recall where it is the only cheapest, %")
    lower[0].legend(frameon=False, fontsize=8)
    figure.suptitle(note, fontsize=9, x=0.01, ha="left", color="#555555")
    save(figure, path)


def _differing(found: Found) -> dict[str, Spread]:
    """Of every other method, the loss minus that of equal margins, paired by seed."""
    losses = [LOSS.figure(each) for each in found.report.method(EQUAL).metrics]
    methods = [each for each in found.report.methods if each.name != EQUAL]
    return {
        method.name: spread(
            [LOSS.figure(one) - two for one, two in zip(method.metrics, losses, strict=True)]
        )
        for method in (*methods, found.one_stage)
    }


def _differences(axis: Axes, found: Found) -> None:
    """Two scales would hide it, so what is far behind is written at the edge."""
    edge = 0.045
    for row, (name, each) in enumerate(_differing(found).items()):
        colour = "#D55E00" if name in PAIRS else "#009E73" if name == ONE_STAGE else "#0072B2"
        if abs(each.mean) > edge:
            low, text = each.mean < 0, f"{each.mean:+.3f}"
            axis.text(
                -0.025 if low else edge, row, f"← {text}" if low else f"{text} →",
                ha="left" if low else "right", va="center", fontsize=8.5, color=colour,
            )  # fmt: skip
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
    found = run(data, cache, seeds=seeds, scale=scale, told=lambda what: click.echo(what, err=True))
    scaled = SCALED + (f"; {100 * scale:g} % of the training rows" if scale < 1 else "")
    for label, each in found.items():
        shown = table(each.report, label, note=NOTE, beside=[each.one_stage])
        click.echo(f"\n{shown.text()}\n\n{shares(each.report).text()}")
        click.echo("\n".join(f"{name}, chose {text}" for name, text in each.chosen.items()))
    click.echo(f"\n{paired({label: each.report for label, each in found.items()}).text()}")
    beside = published(found)
    for figure in ("deferral loss", "share of expert 1, %"):
        ours = "; ".join(f"{label} {text}" for label, text in beside[figure]["ours"].items())
        click.echo(f"\n{figure}, CIFAR-10: published {beside[figure]['published']:g}; ours: {ours}")
    click.echo(f"\n{MILD_NOTE}\nscaled down: {scaled}")
    if quick:
        return
    findings = {
        "scaled_down": scaled,
        "unit": "costs in errors; a figure is its mean and the half-width of its 95 % interval over"
        " seeds (Student's t)",
        "seeds": seeds,
        "published and ours": beside,
        "settings": {
            label: plain(each.report, beside=[each.one_stage])
            | {f"{name}, chose": text for name, text in each.chosen.items()}
            for label, each in found.items()
        },
    }
    write_results(
        output / f"{NAME}.json", module="experiments.deferral.image_experts", findings=findings
    )
    draw(output / f"{NAME}.png", found, f"{seeds} seeds, 95 % intervals. Scaled down: {scaled}")
    click.echo(f"wrote {NAME}.json and {NAME}.png in {output}")


if __name__ == "__main__":
    main()
