"""From how many updates a round on does assistance pay? CIFAR-10, scaled down.

    python -m experiments.cifar10_updates [--root DIR] [--seeds N]

The paper's image studies (Chen, Zhou, Ding, Zhou, arXiv:2109.09307, section 4) make 2,000 updates
in a round; whether selecting checkpoints helps should depend on that number, as it costs progress
while local training is still steep and protects once it overfits. So everything is held fixed but
the number of updates, all baselines run beside it, and whatever comes out is printed. Finished
runs are kept, one small file each: the same command goes on where it stopped.

Writes ``experiments/results/cifar10_updates.json`` and ``.png``.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from assistlearn.errors import DataError
from assistlearn.tasks import Recipe, Share, SupervisedTask, TensorExamples
from assistlearn.tasks.recipe import assemble
from experiments.parts import first_of_each_class
from experiments.points import accuracy, difference, draw_line, name_lines
from experiments.study import RESULTS, new_figure, save, tidy, write_results
from parties.settings import SimulationSettings
from parties.settings_file import check_settings
from parties.simulate.outcome import ASSISTED, LABELS, METHODS
from parties.simulate.results import Results
from parties.simulate.runs import run_all

HELD: Final = {0: "the learner has one class only", 1: "the learner has half of every class"}
GAMMAS: Final = tuple(HELD)
UPDATES: Final = (20, 60, 200, 600)
"""T + T'. The last makes 8 to 14 passes over both parties' data in a round, the paper 10 to 19."""
CHECKPOINTS: Final = 10  # sampling period: this part of the updates
ROUNDS: Final = 3
IMAGES: Final = 500  # of each class, of 5,000
TEST_IMAGES: Final = 200  # of each class, of 1,000
RECIPE: Final[Mapping[str, Any]] = {
    "model": "small_cnn",
    "model_settings": {"width": 8},
    "batch_size": 64,
    "optimizer": "SGD",
    "optimizer_settings": {"lr": 0.02, "momentum": 0.9},
}
CLOSE_POINTS: Final = 2.0  # "close to pooled data": at most this far below
COMPARED_WITH: Final = ("learner_only", "sequential_last", "pooled", "provider_only", "fedavg")
CLAIMED: Final = COMPARED_WITH[:3]
CLASSES: Final = 10


def cifar10_part(
    *,
    root: str | Path = "data",
    images: int = IMAGES,
    test_images: int = TEST_IMAGES,
    share: Share | None = None,
    **recipe: Any,
) -> SupervisedTask:
    """The first images of each class of CIFAR-10, scaled to [-1, 1], nothing augmented.

    Args:
        root: folder in which torchvision keeps the data.
        images: training images of each class, at most 5,000.
        test_images: held-out images of each class, at most 1,000.
        share: which part of the training images to take; None for all.
        **recipe: fields of :class:`assistlearn.tasks.Recipe`.

    Raises:
        DataError: the data are not there.
    """
    settings = Recipe.read(recipe, cifar10_part, {"model": "small_cnn"})
    pixels, labels = _first_of_each_class(Path(root), images, train=True)
    held_out, held_out_labels = _first_of_each_class(Path(root), test_images, train=False)
    return assemble(
        settings,
        train=TensorExamples(pixels, labels, prepare=_scaled),
        test=TensorExamples(held_out, held_out_labels, prepare=_scaled),
        labels=labels.numpy(),
        kind="classification",
        input_shape=(3, 32, 32),
        outputs=CLASSES,
        classes=CLASSES,
        share=share,
    )


@cache  # three tasks a seed read the same files
def _first_of_each_class(root: Path, count: int, *, train: bool) -> tuple[Tensor, Tensor]:
    """Images of 8 bits, shape ``(N, 3, 32, 32)``, and class numbers, shape ``(N,)``."""
    from torchvision.datasets import CIFAR10  # noqa: PLC0415  # takes seconds to import

    try:
        found = CIFAR10(root=root, train=train, download=False)
    except (RuntimeError, OSError) as error:
        raise DataError(
            f"CIFAR10 is not in {root.absolute()}",
            hint="give --root the folder that holds cifar-10-batches-py",
        ) from error
    labels = np.asarray(found.targets)
    numbers = first_of_each_class(labels, count)
    pixels = torch.from_numpy(found.data[numbers]).permute(0, 3, 1, 2).contiguous()
    return pixels, torch.from_numpy(labels[numbers])


def _scaled(pixels: Tensor) -> Tensor:
    return pixels.float().div_(127.5).sub_(1)  # 0..255 to -1..1


def settings_of(gamma: int, updates: int, *, root: Path, seeds: int) -> SimulationSettings:
    """One point of the study: one split, one number of updates a round."""
    return check_settings(
        {
            "seeds": list(range(seeds)),
            "terms": {
                "task": "cifar10-updates",
                "rounds": ROUNDS,
                "total_steps": updates,
                "sampling_period": updates // CHECKPOINTS,
            },
            "task": {
                "factory": "experiments.cifar10_updates:cifar10_part",
                "device": "cpu",
                "threads": 1,  # same bits on every machine with the same versions
                "settings": {
                    "root": str(root),
                    "images": IMAGES,
                    "test_images": TEST_IMAGES,
                    **RECIPE,
                },
            },
            "split": {"imbalance": gamma},
        },
        SimulationSettings,
        name=f"gamma {gamma}, {updates} updates",
    )


def scale(seeds: int) -> str:
    """How this differs from the paper's study, for every output."""
    model = f"{RECIPE['model']} of width {RECIPE['model_settings']['width']}"
    return (
        f"scaled down: {CLASSES * IMAGES:,} of 50,000 training images, {model} for AlexNet, batches"
        f" of {RECIPE['batch_size']} for 256, {ROUNDS} rounds, {seeds} seeds"
    )


Curve = Mapping[int, Results]
"""Results by updates a round, in rising order."""


def kept(results: Results) -> float:
    """Share of the local updates that lie on the way to the chosen checkpoints, 0 to 1."""
    made = [each for run in results.of(ASSISTED) for each in run.rounds if each.round]
    steps = [(each.learner_step or 0) + (each.provider_step or 0) for each in made]
    total = results.settings.terms.total_steps
    assert total is not None  # settings_of gives it
    return sum(steps) / (total * len(made))


def from_which_on(updates: Sequence[int], holding: Collection[int]) -> int | None:
    """The least of the rising ``updates`` from which all are in ``holding``; None for none."""
    found = None
    for number in reversed(updates):
        if number not in holding:
            break
        found = number
    return found


def sentences(gamma: int, curve: Curve) -> Iterator[str]:
    """The answers of one split, from the measured numbers alone."""
    updates = sorted(curve)
    for other in COMPARED_WITH:
        found = {each: difference(curve[each], other) for each in updates}
        numbers = ", ".join(f"{d.mean:+.1f} ± {d.error:.1f} at {u}" for u, d in found.items())
        margin = CLOSE_POINTS if other == "pooled" else 0.0
        near = f"at most {margin:g} points below" if margin else "not below"
        in_mean = from_which_on(updates, [u for u in updates if found[u].mean >= -margin])
        surely = from_which_on(updates, [u for u in updates if found[u].interval[0] > 0])
        yield (
            f"gamma {gamma}, assisted minus {LABELS[other]}: {numbers} updates a round (points)."
            f" In the mean it is {near} {_from(in_mean)}; its 95 % interval is above zero"
            f" {_from(surely)}."
        )
    holding = from_which_on(updates, [u for u in updates if claim_holds(curve[u])])
    yield (
        f"gamma {gamma}: the paper's claim in words (at most {CLOSE_POINTS:g} points below pooled"
        " data, above the learner alone and above always the last model) holds in the mean"
        f" {_from(holding)}."
    )
    shares = ", ".join(f"{100 * kept(curve[each]):.0f} % at {each}" for each in updates)
    yield f"gamma {gamma}: selection kept {shares} of the updates that were made."


def claim_holds(results: Results) -> bool:
    """Whether assisted is near pooled data and above what selection and the provider add to."""
    learner, last, pooled = (difference(results, other).mean for other in CLAIMED)
    return learner > 0 and last > 0 and pooled >= -CLOSE_POINTS


def _from(updates: int | None) -> str:
    return "for no number measured" if updates is None else f"from {updates} on"


def draw(path: Path, curves: Mapping[int, Curve], *, note: str) -> None:
    """Accuracy after the last round against updates a round, one panel for each split."""
    figure = new_figure(5.2 * len(curves) + 0.6, 4.8)
    axes = [figure.add_subplot(1, len(curves), n + 1) for n in range(len(curves))]
    for axis, (gamma, curve) in zip(axes, curves.items(), strict=True):
        _draw_curve(axis, curve)
        tidy(axis, f"gamma {gamma}: {HELD[gamma]}")
    axes[0].set_ylabel("accuracy after the last round, %")
    name_lines(figure)
    figure.suptitle(note, fontsize=9, color="#555555", x=0.01, ha="left")
    save(figure, path)


def _draw_curve(axis: Axes, curve: Curve) -> None:
    updates = sorted(curve)
    for place, method in enumerate(METHODS):
        beside = 1.02 ** (place - len(METHODS) / 2)  # error bars side by side
        found = [accuracy(curve[each], method) for each in updates]
        draw_line(axis, method, [each * beside for each in updates], found)
    axis.set_xscale("log")
    axis.set_xticks(updates, [f"{each:,}" for each in updates])
    axis.minorticks_off()
    axis.set_xlabel("updates a round, of both parties (log scale)")


def table(curve: Curve) -> Iterator[Mapping[str, Any]]:
    """Plain values, one row for each number of updates."""
    for updates, results in curve.items():
        yield {
            "updates": updates,
            "sampling_period": results.settings.terms.sampling_period,
            "accuracy": {method: asdict(accuracy(results, method)) for method in METHODS},
            "assisted_minus": {
                other: {
                    **asdict(difference(results, other)),
                    "interval": difference(results, other).interval,
                }
                for other in COMPARED_WITH
            },
            "updates_kept": kept(results),
            "accuracy_by_seed_and_round": {
                method: [
                    [100 * each.metrics["accuracy"] for each in run.rounds]
                    for run in results.of(method)
                ]
                for method in METHODS
            },
            "seconds": sum(each.seconds for run in results.runs for each in run.rounds),
        }


@click.command()
@click.option("--root", type=click.Path(path_type=Path), default=Path("data"), show_default=True)
@click.option("--seeds", type=click.IntRange(min=2), default=3, show_default=True)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path("results/cifar10_updates"),
    show_default=True,
    help="Keeps finished runs.",
)
def main(root: Path, seeds: int, folder: Path) -> None:
    """Measure from how many updates a round on assistance pays."""
    note = scale(seeds)
    click.echo(note)
    curves: dict[int, dict[int, Results]] = {gamma: {} for gamma in GAMMAS}
    for updates in UPDATES:
        for gamma, curve in curves.items():
            settings = settings_of(gamma, updates, root=root, seeds=seeds)
            runs = run_all(settings, folder=folder)
            curve[updates] = results = Results(settings=settings, runs=runs)
            shown = ", ".join(
                f"{LABELS[m]} {accuracy(results, m).mean:.1f} ± {accuracy(results, m).error:.1f}"
                for m in METHODS
            )
            click.echo(f"gamma {gamma}, {updates} updates a round: {shown}")
    answers = [each for gamma, curve in curves.items() for each in sentences(gamma, curve)]
    write_results(
        RESULTS / "cifar10_updates.json",
        module="experiments.cifar10_updates",
        findings={
            "scale": note,
            "unit": "percent of test accuracy after the last round; errors are standard errors",
            "rounds": ROUNDS,
            "recipe": RECIPE,
            "answers": answers,
            "studies": [
                {"gamma": gamma, "rows": [*table(curve)]} for gamma, curve in curves.items()
            ],
        },
    )
    draw(
        RESULTS / "cifar10_updates.png",
        curves,
        note=f"CIFAR-10, {note}; mean and standard error",
    )
    for sentence in answers:
        click.echo(f"\n{sentence}")
    click.echo(f"\n{note}\nwrote cifar10_updates.json and .png to {RESULTS}")


if __name__ == "__main__":
    main()
