"""Doubling steps between checkpoints against even ones: the same accuracy with fewer bytes?

    python -m experiments.sampling_ablation [--root DIR] [--seeds N]

The paper (Chen, Zhou, Ding, Zhou, arXiv:2109.09307, Algorithm 1) samples evenly: 40 checkpoints in
a round of 2,000 updates. What matters of a handed-over model may happen in its first updates, so
sampling steps 0, 1, 2, 4, 8, ... could give selection what it needs with a quarter of the models.
Four arms on the same splits, initial models and batches, paired by seed: even as in the paper;
doubling from the same first step; doubling from the first update; and, as a control, an even grid
of as few checkpoints as the latter. Finished runs are kept, one small file each.

Writes ``experiments/results/sampling_ablation.json`` and ``.png``.
"""

import math
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import click
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from experiments.cifar10_updates import RECIPE as CIFAR10_RECIPE
from experiments.fashion_mnist import DEBIAN
from experiments.study import RESULTS, new_figure, save, tidy, write_results
from parties.output import format_bytes
from parties.settings import SimulationSettings
from parties.settings_file import check_settings
from parties.simulate.outcome import ASSISTED, MethodRun
from parties.simulate.results import Results, Spread, spread
from parties.simulate.runs import run_all
from parties.simulate.sites import Sites
from protocols.sampling import Sampling, sampled_steps

MODULE: Final = "experiments.sampling_ablation"
PAPER_CHECKPOINTS: Final = 40  # of both parties in a round: 2,000 updates, one every 50
EVEN: Final = "even"
DOUBLING: Final = "doubling from step 1"
CONTROL: Final = "even, as few"
COLOURS: Final = ("#000000", "#0072B2", "#D55E00", "#7F7F7F")
MARKERS: Final = "so^D"


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """One data set at one imbalance."""

    name: str
    imbalance: float
    rounds: int
    total_steps: int
    """T + T', 40 of the even sampling periods."""
    seeds: int
    factory: str
    settings: Mapping[str, Any]

    @property
    def period(self) -> int:
        """The even sampling period."""
        return self.total_steps // PAPER_CHECKPOINTS


def studies(root: Path, *, seeds: int) -> Iterator[Study]:
    """Digits; where their files are there, also Fashion-MNIST and part of CIFAR-10."""
    for imbalance in (0.0, 0.1):
        yield Study(
            name=f"digits, gamma {imbalance:g}",
            imbalance=imbalance,
            rounds=5,
            total_steps=120,
            seeds=seeds,
            factory="assistlearn.tasks:digits",
            settings={"model": "mlp", "model_settings": {"hidden": [32]}},
        )
    if DEBIAN.is_dir():
        yield Study(
            name="Fashion-MNIST, gamma 0.1",
            imbalance=0.1,
            rounds=4,
            total_steps=320,
            seeds=max(2, seeds // 2),
            factory="experiments.fashion_mnist:fashion_mnist",
            settings={"model": "mlp", "model_settings": {"hidden": [64]}, "batch_size": 128},
        )
    else:
        click.echo(f"note: {DEBIAN} is not there, Fashion-MNIST is left out", err=True)
    if not (root / "cifar-10-batches-py").is_dir():
        click.echo(f"note: CIFAR-10 is not in {root}, it is left out", err=True)
        return
    yield Study(
        name="CIFAR-10 (a tenth), gamma 1",
        imbalance=1.0,
        rounds=3,
        total_steps=200,
        seeds=max(2, seeds // 3),
        factory="experiments.cifar10_updates:cifar10_part",
        settings={"root": str(root), **CIFAR10_RECIPE},
    )


def arms(study: Study, longest: int) -> Mapping[str, tuple[Sampling, int]]:
    """Strategy and period of each arm, by name; the first is the paper's.

    Args:
        study: which study.
        longest: updates of the party that makes more of them.
    """
    few = len(sampled_steps(longest, 1, sampling=Sampling.DOUBLING)) - 1  # step 0 is no message
    return {
        EVEN: (Sampling.EVEN, study.period),
        "doubling from the same step": (Sampling.DOUBLING, study.period),
        DOUBLING: (Sampling.DOUBLING, 1),
        CONTROL: (Sampling.EVEN, -(-longest // few)),
    }


def local_steps(study: Study) -> tuple[int, int]:
    """T and T' of a study, which follow from the two parties' data."""
    settings = settings_of(study, Sampling.EVEN, study.period)
    with tempfile.TemporaryDirectory() as folder:
        agreement = Sites(settings, seed=0, folder=Path(folder)).agreement
    return agreement.learner_steps, agreement.provider_steps


def settings_of(study: Study, sampling: Sampling, period: int) -> SimulationSettings:
    """One arm of a study."""
    return check_settings(
        {
            "seeds": list(range(study.seeds)),
            "terms": {
                "task": "sampling",
                "rounds": study.rounds,
                "total_steps": study.total_steps,
                "sampling": sampling.value,
                "sampling_period": period,
            },
            "task": {
                "factory": study.factory,
                "device": "cpu",
                "threads": 1,  # same bits on every machine with the same versions
                "settings": dict(study.settings),
            },
            "split": {"imbalance": study.imbalance},
        },
        SimulationSettings,
        name=study.name,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """What one way of sampling came to, after the last round. Differences are paired by seed."""

    sampling: Sampling
    period: int
    checkpoints: tuple[int, int]
    """In the learner's and in the provider's trajectory."""
    accuracy: Spread
    """Percent."""
    sent: Spread
    """Bytes of both directions, all rounds."""
    above_even: Spread
    """Accuracy minus that of the even arm, points."""
    loss_above_even: Spread
    """Global loss minus that of the even arm, nats."""
    by_seed: tuple[float, ...]
    """Accuracy, percent."""
    chosen: tuple[float, ...]
    """Where each choice of either party lies on the other's trajectory: step by T or T'."""
    seconds: float
    """Training, scoring and selection, mean over seeds."""


def compared(runs: Mapping[str, Results], steps: tuple[int, int]) -> Mapping[str, Arm]:
    """The arms of a study of ``steps`` updates of learner and provider, beside the even one."""
    found = {}
    for name, results in runs.items():
        terms = results.settings.terms.terms()
        learner, provider = (len(terms.grid(each)) for each in steps)
        found[name] = Arm(
            sampling=terms.sampling,
            period=terms.sampling_period,
            checkpoints=(learner, provider),
            accuracy=spread(_last(results, "accuracy", 100)),
            sent=spread(_last(results, "bytes", 1)),
            above_even=_paired(results, runs[EVEN], "accuracy", 100),
            loss_above_even=_paired(results, runs[EVEN], "global_loss", 1),
            by_seed=_last(results, "accuracy", 100),
            chosen=tuple(_chosen(results, steps)),
            seconds=spread(_last(results, "seconds", 1)).mean,
        )
    return found


def _chosen(results: Results, steps: tuple[int, int]) -> Iterator[float]:
    for run in results.of(ASSISTED):
        for each in run.rounds[1:]:
            for step, last in zip((each.learner_step, each.provider_step), steps, strict=True):
                assert step is not None  # assisted rounds tell both
                yield step / last


def _paired(own: Results, even: Results, measure: str, factor: float) -> Spread:
    pairs = zip(_last(own, measure, factor), _last(even, measure, factor), strict=True)
    return spread([mine - theirs for mine, theirs in pairs])


def _last(results: Results, measure: str, factor: float) -> tuple[float, ...]:
    runs: tuple[MethodRun, ...] = results.of(ASSISTED)
    return tuple(factor * results.value(run, results.rounds, measure) for run in runs)


def sentences(study: Study, found: Mapping[str, Arm]) -> Iterator[str]:
    """What each other arm costs and saves, from the measured numbers alone."""
    even = found[EVEN]
    for name, arm in found.items():
        if name == EVEN:
            continue
        low, high = arm.above_even.interval
        verdict = (
            "better than the paper's grid" if low > 0
            else "worse than the paper's grid" if high < 0
            else "not told apart from the paper's grid"
        )  # fmt: skip
        yield (
            f"{study.name}: {name} ({'+'.join(map(str, arm.checkpoints))} checkpoints a round for"
            f" {'+'.join(map(str, even.checkpoints))}) sends"
            f" {100 * arm.sent.mean / even.sent.mean:.0f} % of the bytes, accuracy"
            f" {arm.above_even.mean:+.2f} ± {arm.above_even.error:.2f} points (95 % interval"
            f" {low:+.2f} to {high:+.2f}, {study.seeds} seeds): {verdict}."
        )
    pairs = zip(found[DOUBLING].by_seed, found[CONTROL].by_seed, strict=True)
    gain = spread([own - control for own, control in pairs])
    low, high = gain.interval
    yield (
        f"{study.name}: {DOUBLING} minus an even grid of no more checkpoints: {gain.mean:+.2f} ±"
        f" {gain.error:.2f} points (95 % interval {low:+.2f} to {high:+.2f})."
    )
    early, late = chosen_steps(found[EVEN])
    yield (
        f"{study.name}: of the checkpoints chosen from the paper's grid, step 0 left out,"
        f" {100 * early:.0f} % lie in the first quarter of the trajectory,"
        f" {100 * late:.0f} % in the last."
    )


def chosen_steps(arm: Arm) -> tuple[float, float]:
    """Shares of the choices, step 0 left out, in the first and last quarter of a trajectory."""
    moved = [place for place in arm.chosen if place > 0]
    if not moved:
        return math.nan, math.nan
    early = sum(place <= 1 / 4 for place in moved)
    late = sum(place > 3 / 4 for place in moved)
    return early / len(moved), late / len(moved)


def by_chance(found: Iterable[Mapping[str, Arm]]) -> str:
    """How many of all intervals lie beside zero, and how many would without any effect."""
    intervals = [
        arm.above_even.interval for by_arm in found for name, arm in by_arm.items() if name != EVEN
    ]
    beside = sum(low > 0 or high < 0 for low, high in intervals)
    return (
        f"Of {len(intervals)} intervals {beside} do not contain zero; without any difference about"
        f" {len(intervals) / 20:.1g} would not, by chance."
    )


def draw(path: Path, found: Mapping[str, Mapping[str, Arm]]) -> None:
    """Accuracy against bytes, one panel for each study, one point for each arm."""
    figure: Figure = new_figure(3.4 * len(found) + 0.4, 4.2)
    for number, (study, by_arm) in enumerate(found.items(), 1):
        axis = figure.add_subplot(1, len(found), number)
        for (name, arm), colour, marker in zip(by_arm.items(), COLOURS, MARKERS, strict=True):
            axis.errorbar(
                arm.sent.mean, arm.accuracy.mean, arm.accuracy.error,
                color=colour, marker=marker, linestyle="", capsize=3, label=name,
            )  # fmt: skip
        axis.set_xscale("log")
        ticks = [arm.sent.mean for arm in (by_arm[EVEN], min(by_arm.values(), key=_bytes))]
        axis.set_xticks(ticks)
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: format_bytes(value)))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.margins(x=0.2)
        axis.set_xlabel("sent in all rounds (log scale)")
        tidy(axis, f"{study}\n{by_arm[EVEN].accuracy.count} seeds, ± standard error")
    first = figure.axes[0]
    first.set_ylabel("accuracy after the last round, %")
    figure.legend(
        *first.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False,
        fontsize=9,
    )  # fmt: skip
    save(figure, path)


def _bytes(arm: Arm) -> float:
    return arm.sent.mean


@click.command()
@click.option("--root", type=click.Path(path_type=Path), default=Path("data"), show_default=True)
@click.option(
    "--seeds",
    type=click.IntRange(min=2),
    default=10,
    show_default=True,
    help="Of digits; Fashion-MNIST takes half as many, CIFAR-10 a third.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path("results/sampling_ablation"),
    show_default=True,
    help="Keeps finished runs.",
)
def main(root: Path, seeds: int, folder: Path) -> None:
    """Measure what doubling steps between checkpoints cost in accuracy and save in bytes."""
    chosen = tuple(studies(root, seeds=seeds))
    found: dict[str, Mapping[str, Arm]] = {}
    answers: list[str] = []
    for study in chosen:
        steps = local_steps(study)
        runs = {}
        for name, (sampling, period) in arms(study, max(steps)).items():
            settings = settings_of(study, sampling, period)
            made = run_all(settings, folder=folder, methods=(ASSISTED,))
            runs[name] = Results(settings=settings, runs=made)
        found[study.name] = compared(runs, steps)
        answers += (said := [*sentences(study, found[study.name])])
        click.echo("\n".join(said))
    answers.append(by_chance(found.values()))
    click.echo(answers[-1])
    write_results(
        RESULTS / "sampling_ablation.json",
        module=MODULE,
        findings={
            "unit": "percent of test accuracy and bytes after the last round; standard errors",
            "answers": answers,
            "studies": [
                {
                    **asdict(study),
                    "arms": {name: asdict(arm) for name, arm in found[study.name].items()},
                }
                for study in chosen
            ],
        },
    )
    draw(RESULTS / "sampling_ablation.png", found)
    click.echo(f"wrote sampling_ablation.json and .png to {RESULTS}")


if __name__ == "__main__":
    main()
