"""Two Gaussian classes, logistic regression: what selection saves when local training is long.

    python -m experiments.fig2_gaussians [--seeds N] [--output DIR] [--quick]

Source: Chen, Zhou, Ding, Zhou, arXiv:2109.09307, Fig. 2: 50 points of either class; the learner
has 45 of one and 5 of the other, the provider the rest. Read here with means (-1, 1) and (1, -1),
standard deviation 1.5, gradient descent on all of a party's points at once, every model a
candidate, and the global loss as a sum over points. T is not stated: 10 and 50 updates are both
measured. Writes ``fig2_gaussians.json`` and ``.png``.

Letters of shapes: ``B`` points of a party, ``2`` coordinates.
"""

import math
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import click
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Optimizer

from assistlearn.randomness import derive_seed
from assistlearn.tasks import Share
from assistlearn.tasks.splits import Party
from experiments.study import RESULTS, new_figure, save, small_simulation, tidy, write_results
from parties.simulate.figures import LINES
from parties.simulate.outcome import ASSISTED, LABELS
from parties.simulate.results import Results
from parties.simulate.runs import run_all
from parties.simulate.sites import PARTIES
from protocols.roles import Role

NAME: Final = "fig2_gaussians"
MEANS: Final = ((-1.0, 1.0), (1.0, -1.0))  # of class 0 and class 1
DEVIATION: Final = 1.5
OWN: Final[Mapping[Party, tuple[slice, slice]]] = {  # whose points of class 0 and of class 1
    "learner": (slice(45), slice(5)),
    "provider": (slice(45, 50), slice(5, 50)),
    "pooled": (slice(50), slice(50)),
}
POINTS: Final = 50  # of each class, both parties together
TEST_POINTS: Final = 2000  # of each class
LEARNING_RATE: Final = 0.5  # our choice
ROUNDS: Final = 10
STEPS: Final = (10, 50)  # T and T', either
SHIFT: Final = 0.05  # rounds, between one method's error bars and the next one's

PUBLISHED: Final[Mapping[str, float]] = {"learner_only": 0.70, "pooled": 0.825, ASSISTED: 0.819}
BEST: Final = 0.5 * math.erfc(-math.dist(*MEANS) / 2 / DEVIATION / math.sqrt(2))
"""Accuracy of the best classifier there is: Phi(half the distance of the means / deviation)."""


class Gaussians:
    """Logistic regression on one party's points; accuracy is measured on points of nobody's.

    Args:
        own: the party's points and their classes, 0 or 1. Shapes ``(B, 2)`` and ``(B,)``.
        test: held-out points and their classes.
    """

    def __init__(self, own: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]) -> None:
        self.own, self._test = own, test

    def build_model(self) -> nn.Module:
        """A line that prefers no class anywhere: all weights are 0."""
        model = nn.Linear(2, 1)
        for parameter in model.parameters():
            nn.init.zeros_(parameter)
        return model

    def build_optimizer(self, model: nn.Module) -> Optimizer:
        """Gradient descent."""
        return SGD(model.parameters(), lr=LEARNING_RATE)

    def train(self, model: nn.Module, optimizer: Optimizer, steps: range) -> None:
        """Updates on the mean loss of all own points."""
        for _ in steps:
            optimizer.zero_grad()
            _losses(model, self.own).mean().backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    def losses(self, model: nn.Module) -> Iterator[Tensor]:
        """Cross-entropy of each own point, in nats."""
        yield _losses(model, self.own)

    def metrics(self, model: nn.Module) -> Mapping[str, float]:
        """Accuracy on held-out points, and the line, so that it can be drawn."""
        points_B2, classes_B = self._test
        right_B = (model(points_B2).squeeze(1) > 0) == classes_B.bool()
        weights = torch.cat([each.reshape(-1) for each in model.parameters()]).tolist()
        return {
            "accuracy": float(right_B.double().mean()),
            **dict(zip(("across", "up", "bias"), weights, strict=True)),
        }


def _losses(model: nn.Module, data: tuple[Tensor, Tensor]) -> Tensor:
    points_B2, classes_B = data
    logits_B = model(points_B2).squeeze(1)
    return functional.binary_cross_entropy_with_logits(logits_B, classes_B, reduction="none")


def gaussians(*, share: Share) -> Gaussians:
    """The task of one party, for settings files. Each party has a mixture of its own."""
    drawn = _points(POINTS, derive_seed(share.seed, "points"))
    parts = [every[part] for every, part in zip(drawn, OWN[share.party], strict=True)]
    return Gaussians(
        _labelled(*parts), _labelled(*_points(TEST_POINTS, derive_seed(share.seed, "test points")))
    )


def _points(count: int, seed: int) -> tuple[Tensor, ...]:
    """``count`` points of either class."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        torch.tensor(mean) + DEVIATION * torch.randn(count, 2, generator=generator)
        for mean in MEANS
    )


def _labelled(*by_class: Tensor) -> tuple[Tensor, Tensor]:
    classes = [torch.full((len(each),), float(label)) for label, each in enumerate(by_class)]
    return torch.cat(by_class), torch.cat(classes)


def run(steps: int, seeds: range, *, rounds: int = ROUNDS) -> Results:
    """Assisted learning and every baseline, ``steps`` updates for each party and round."""
    settings = small_simulation(
        NAME,
        seeds=seeds,
        terms={"rounds": rounds, "total_steps": 2 * steps, "sampling_period": 1},
        factory=f"experiments.{NAME}:gaussians",
        settings={},
    )
    with tempfile.TemporaryDirectory() as folder:
        return Results(settings=settings, runs=run_all(settings, folder=Path(folder)))


def plain(found: Mapping[int, Results]) -> dict[str, Any]:
    """Means, standard errors and paired differences, by T and method."""
    return {
        "source": "arXiv:2109.09307, Fig. 2",
        "unit": "share of held-out points classified right; errors are standard errors over seeds",
        "published": PUBLISHED,
        "best_possible": BEST,
        "setting": {
            "means": MEANS,
            "deviation": DEVIATION,
            "learner_points": [45, 5],
            "provider_points": [5, 45],
            "held_out_points": 2 * TEST_POINTS,
            "learning_rate": LEARNING_RATE,
        },
        "seeds": len(next(iter(found.values())).settings.seeds),
        "steps": {
            str(steps): {method: _plain_method(results, method) for method in results.methods}
            for steps, results in found.items()
        },
    }


def _plain_method(results: Results, method: str) -> dict[str, Any]:
    last = results.rounds
    spreads = [results.spread(method, round_, "accuracy") for round_ in range(last + 1)]
    return {
        "accuracy": [each.mean for each in spreads],
        "standard_error": [each.error for each in spreads],
        "assisted_minus_this": asdict(results.difference(ASSISTED, method, last, "accuracy")),
        "by_seed": [results.value(run, last, "accuracy") for run in results.of(method)],
    }


def draw(path: Path, found: Mapping[int, Results]) -> None:
    """The points and classifiers of one seed, and the accuracy of all after every round.

    Raises:
        StorageError: the file cannot be written.
    """
    figure = new_figure(13.0, 5.2)
    axes = figure.subplots(1, 1 + len(found), width_ratios=(1.15, *(1.0 for _ in found)))
    _draw_classifiers(axes[0], found[max(found)])
    for axis, results in zip(axes[1:], found.values(), strict=True):
        axis.sharey(axes[1])
        _draw_accuracy(axis, results)
    axes[1].set_ylabel(f"accuracy on {2 * TEST_POINTS} held-out points")
    handles, labels = (
        [*first, *second]
        for first, second in zip(
            *(axis.get_legend_handles_labels() for axis in axes[:2]), strict=True
        )
    )
    figure.legend(
        handles, labels, loc="outside lower center", ncols=5, frameon=False, fontsize=9,
        handlelength=3.2,
    )  # fmt: skip
    save(figure, path)


def _draw_classifiers(axis: Axes, results: Results) -> None:
    """Points of the first seed, and every method's line between the classes."""
    tidy(axis, f"One draw (class 0 filled), round {results.rounds} of {_steps(results)} updates")
    axis.grid(visible=False)
    for role, method in ((Role.LEARNER, "learner_only"), (Role.PROVIDER, "provider_only")):
        task = gaussians(share=Share(party=PARTIES[role], seed=results.settings.seeds[0]))
        points_B2, classes_B = task.own
        for label, filled in ((0, "full"), (1, "none")):
            axis.plot(
                *points_B2[classes_B == label].T.tolist(), color=LINES[method].colour,
                marker=LINES[method].marker, markersize=4.5, linestyle="", fillstyle=filled,
                alpha=0.75, label=None if label else f"the {role.value}'s points",
            )  # fmt: skip
    for method in results.methods:
        figures = results.of(method)[0].at(results.rounds).metrics
        line = LINES[method]
        # All x with across * x0 + up * x1 + bias = 0.
        axis.axline(
            (0.0, -figures["bias"] / figures["up"]), slope=-figures["across"] / figures["up"],
            color=line.colour, linestyle=line.style, linewidth=line.width,
            zorder=3 if method == ASSISTED else 4,
        )  # fmt: skip
    axis.set_aspect("equal")
    axis.set_xlim(-5, 5)
    axis.set_ylim(-5, 5)
    axis.set_xlabel("first coordinate")
    axis.set_ylabel("second coordinate")


def _draw_accuracy(axis: Axes, results: Results) -> None:
    """Mean and standard error after every round; what is published as stars on the right."""
    tidy(axis, f"{_steps(results)} updates of each party in a round")
    for number, method in enumerate(results.methods):
        rounds = [round_ + SHIFT * number for round_ in range(1, results.rounds + 1)]
        spreads = [results.spread(method, round(place), "accuracy") for place in rounds]
        line = LINES[method]
        axis.errorbar(
            rounds, [each.mean for each in spreads], [each.error for each in spreads],
            color=line.colour, linestyle=line.style, marker=line.marker, markersize=4,
            linewidth=line.width, elinewidth=0.9, label=LABELS[method],
            zorder=3 if method == ASSISTED else 4,
        )  # fmt: skip
    for method, accuracy in PUBLISHED.items():
        axis.plot(
            results.rounds + 1, accuracy, color=LINES[method].colour, marker="*", markersize=9,
            linestyle="", label="published, colour as ours" if method == ASSISTED else None,
        )  # fmt: skip
    axis.set_xlabel("assistance rounds")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_ylim(top=0.85)
    axis.yaxis.set_major_locator(MultipleLocator(0.05))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))


def _steps(results: Results) -> int:
    """T, which is T' too, as both parties have equally many points."""
    assert results.settings.terms.total_steps is not None  # run() gives it
    return results.settings.terms.total_steps // 2


@click.command()
@click.option("--seeds", type=click.IntRange(min=2), default=40, show_default=True)
@click.option(
    "--output", type=click.Path(path_type=Path), default=RESULTS, help="Folder for both files."
)
@click.option("--quick", is_flag=True, help="Two seeds, nothing is written.")
def main(seeds: int, output: Path, *, quick: bool) -> None:
    """Measure the paper's Fig. 2 with every baseline, and draw it."""
    found = {steps: run(steps, range(2 if quick else seeds)) for steps in STEPS}
    for steps, results in found.items():
        for method in results.methods:
            spreads = [results.spread(method, round_, "accuracy") for round_ in (1, 3, ROUNDS)]
            shown = "  ".join(
                f"{100 * each.mean:5.2f} ± {100 * each.error:.2f}" for each in spreads
            )
            published = f"   published {100 * PUBLISHED[method]:g}" if method in PUBLISHED else ""
            click.echo(
                f"T = {steps:2}  {LABELS[method]:22} rounds 1, 3, {ROUNDS}: {shown}{published}"
            )
    if quick:
        return
    write_results(output / f"{NAME}.json", module=f"experiments.{NAME}", findings=plain(found))
    draw(output / f"{NAME}.png", found)
    click.echo(f"wrote {NAME}.json and {NAME}.png in {output}")


if __name__ == "__main__":
    main()
