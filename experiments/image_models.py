"""The paper's image studies, Figs. 3 to 8: AlexNet and ResNet-18, gamma 0 to 1, all baselines.

    python -m experiments.image_models                # full size: needs a GPU and days without one
    python -m experiments.image_models --scale 0.03   # some hours of one core

Source: Chen, Zhou, Ding, Zhou, arXiv:2109.09307, section 4. The settings are those of
``experiments/configs``. A scale below 1 takes that share of the images, with as many passes over
them in a round as at full size, and says on every output what else is smaller. Finished runs are
kept, one small file each: the same command goes on where it stopped.

Writes ``experiments/results/image_models.json`` and ``.png``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import click
from click import Choice
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from experiments.points import accuracy, difference, draw_line, name_lines
from experiments.study import RESULTS, new_figure, save, tidy, write_results
from parties.settings import SimulationSettings
from parties.settings_file import check_settings, read_toml
from parties.simulate.outcome import ASSISTED, LABELS, METHODS
from parties.simulate.results import Results
from parties.simulate.runs import run_all

CONFIGS: Final = Path(__file__).parent / "configs"
MODELS: Final = ("alexnet", "resnet18")
DATA: Final = ("cifar10", "fashion_mnist")
GAMMAS: Final = ("0", "0.3", "0.7", "1")
PERIODS: Final = (50, 20)
NAMES: Final = {"alexnet": "AlexNet", "resnet18": "ResNet-18"}
TITLES: Final = {"cifar10": "CIFAR-10", "fashion_mnist": "Fashion-MNIST"}

IMAGES: Final = {"cifar10": 5000, "fashion_mnist": 6000}  # of each class
PARTS: Final = {
    "cifar10": "experiments.cifar10_updates:cifar10_part",
    "fashion_mnist": "experiments.fashion_mnist:fashion_mnist",
}
TEST_IMAGES: Final = 100  # of each class, scaled down
BATCH: Final = 64  # scaled down, for 256: as many updates as a quarter of the images allows
ROUNDS: Final = 3  # scaled down, for 10
CHECKPOINTS: Final = 10  # a round, scaled down, for 40 or 100
SCALED_RECIPE: Final[Mapping[str, Mapping[str, Any]]] = {
    # As few updates are made, steps are larger; else AlexNet, without normalisation, only begins.
    "alexnet": {"optimizer_settings": {"lr": 0.05, "momentum": 0.9}},
    "resnet18": {"model_settings": {"small_images": False}},  # a sixteenth of the arithmetic
}
COMPARED_WITH: Final = ("learner_only", "sequential_last", "pooled", "provider_only", "fedavg")


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One panel of the paper's figures."""

    data: str
    model: str
    gamma: str
    period: int

    @property
    def title(self) -> str:
        """For people."""
        return f"{TITLES[self.data]}, {NAMES[self.model]}, gamma {self.gamma}"


def settings_of(point: Point, *, scale: float, seeds: int, root: str | None) -> SimulationSettings:
    """The settings file of a point, with its sampling period, scaled down if asked.

    Args:
        point: what to run.
        scale: above 0; below 1 for a small machine.
        seeds: how many, in place of the file's list.
        root: folder with the data; None for what the file says.

    Raises:
        ConfigError: something is wrong with the file.
    """
    path = CONFIGS / f"{point.data}_{point.model}_gamma{point.gamma}.toml"
    table = read_toml(path)
    terms, task = table["terms"], table["task"]
    table["seeds"] = list(range(seeds))
    terms["sampling_period"] = point.period
    if root is not None:
        task["settings"]["root"] = root
    if scale < 1:
        images = max(1, round(scale * IMAGES[point.data]))
        steps = max(2, round(scale * terms["total_steps"] * task["settings"]["batch_size"] / BATCH))
        terms |= {
            "rounds": ROUNDS,
            "total_steps": steps,
            "sampling_period": max(1, steps // CHECKPOINTS),
        }
        task["factory"] = PARTS[point.data]
        part = {"images": images, "test_images": TEST_IMAGES, "batch_size": BATCH}
        settings = task["settings"] | part | SCALED_RECIPE[point.model]
        settings.pop("name", None)
        # One thread: the same bits on every machine with the same versions.
        task |= {"settings": settings, "device": "cpu", "threads": 1}
    return check_settings(table, SimulationSettings, name=path.name)


def words_of(scale: float, seeds: int) -> str:
    """How this differs from the settings files, for every output."""
    if scale == 1:
        return f"full size, {seeds} seeds"
    return (
        f"scaled down by {scale:g}: that share of the training images, {TEST_IMAGES} test images a"
        f" class, batches of {BATCH} for 256, {ROUNDS} rounds for 10, {CHECKPOINTS} checkpoints a"
        " round, AlexNet with a step size of 0.05 for 0.01, ResNet-18 with torchvision's own first"
        f" layers, {seeds} seeds"
    )


def sentence(point: Point, results: Results) -> str:
    """What came out at one point, from the measured numbers alone."""
    found = {other: difference(results, other) for other in COMPARED_WITH}
    numbers = ", ".join(
        f"{LABELS[other]} {each.mean:+.1f} ± {each.error:.1f}" for other, each in found.items()
    )
    terms = results.settings.terms
    return (
        f"{point.title}, a checkpoint every {terms.sampling_period} of {terms.total_steps} updates"
        " a round: assisted"
        f" {accuracy(results, ASSISTED).mean:.1f} %; minus {numbers} points."
    )


def rows(found: Mapping[Point, Results]) -> Iterator[Mapping[str, Any]]:
    """Plain values, one row for each point."""
    for point, results in found.items():
        terms = results.settings.terms
        yield {
            **asdict(point),
            "rounds": results.rounds,
            "updates_a_round": terms.total_steps,
            "a_checkpoint_every": terms.sampling_period,
            "accuracy": {method: asdict(accuracy(results, method)) for method in METHODS},
            "assisted_minus": {
                other: asdict(difference(results, other)) for other in COMPARED_WITH
            },
            "accuracy_by_seed_and_round": {
                method: [
                    [100 * each.metrics["accuracy"] for each in run.rounds]
                    for run in results.of(method)
                ]
                for method in METHODS
            },
            "megabytes_a_round": {
                method: results.spread(method, results.rounds, "bytes").mean / results.rounds / 1e6
                for method in METHODS
            },
            "seconds": sum(each.seconds for run in results.runs for each in run.rounds),
        }


def draw(path: Path, found: Mapping[Point, Results], *, note: str) -> None:
    """Accuracy against rounds: a row for data and model, a column for gamma."""
    lines = sorted({(p.data, p.model, p.period) for p in found})
    columns = sorted({p.gamma for p in found}, key=float)
    figure = new_figure(4.2 * len(columns) + 0.8, 3.2 * len(lines) + 1.0)
    for point, results in found.items():
        line = lines.index((point.data, point.model, point.period))
        place = line * len(columns) + columns.index(point.gamma) + 1
        axis = figure.add_subplot(len(lines), len(columns), place)
        _draw_panel(axis, results)
        tidy(axis, point.title)
    name_lines(figure)
    figure.suptitle(note, fontsize=8, color="#555555", x=0.01, ha="left", wrap=True)
    save(figure, path)


def _draw_panel(axis: Axes, results: Results) -> None:
    rounds = range(results.rounds + 1)
    for place, method in enumerate(METHODS):
        beside = 0.02 * (place - len(METHODS) / 2)  # error bars side by side
        shown = [accuracy(results, method, each) for each in rounds]
        draw_line(axis, method, [each + beside for each in rounds], shown)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlabel("assistance rounds")
    axis.set_ylabel("accuracy, %")


@click.command()
@click.option("--scale", type=click.FloatRange(0, 1, min_open=True), default=1.0, show_default=True)
@click.option("--images", type=Choice(DATA), multiple=True, default=DATA, show_default=True)
@click.option("--model", type=Choice(MODELS), multiple=True, default=MODELS, show_default=True)
@click.option("--gamma", type=Choice(GAMMAS), multiple=True, default=GAMMAS, show_default=True)
@click.option(
    "--period", type=Choice([str(each) for each in PERIODS]), multiple=True, default=["50"],
    show_default=True, help="A checkpoint every so many of 2,000 updates.",
)  # fmt: skip
@click.option("--seeds", type=click.IntRange(min=2), default=5, show_default=True)
@click.option("--root", help="Folder with CIFAR-10; the settings files say data.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path("results/image_models"),
    show_default=True,
    help="Keeps finished runs.",
)
def main(  # noqa: PLR0913  (each is one choice of the command line)
    *,
    scale: float,
    images: Sequence[str],
    model: Sequence[str],
    gamma: Sequence[str],
    period: Sequence[str],
    seeds: int,
    root: str | None,
    folder: Path,
) -> None:
    """Run the paper's image studies, at full size or scaled down."""
    note = words_of(scale, seeds)
    click.echo(note)
    points = [
        Point(data=d, model=m, gamma=g, period=int(p))
        for d in images
        for m in model
        for p in period
        for g in gamma
    ]
    found: dict[Point, Results] = {}
    for point in points:
        place = root if point.data == "cifar10" else None
        settings = settings_of(point, scale=scale, seeds=seeds, root=place)
        runs = run_all(settings, folder=folder, told=click.echo)
        found[point] = Results(settings=settings, runs=runs)
        click.echo(sentence(point, found[point]))
    write_results(
        RESULTS / "image_models.json",
        module="experiments.image_models",
        findings={
            "scale": note,
            "unit": "percent of test accuracy; errors are standard errors",
            "answers": [sentence(point, results) for point, results in found.items()],
            "studies": [*rows(found)],
        },
    )
    draw(RESULTS / "image_models.png", found, note=f"{note}; mean and standard error")
    click.echo(f"\n{note}\nwrote image_models.json and .png to {RESULTS}")


if __name__ == "__main__":
    main()
