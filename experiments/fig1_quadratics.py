"""Two quadratics in the plane: every model of every round, and how far the oracle still is.

    python -m experiments.fig1_quadratics [--seeds N] [--output DIR] [--quick]

Source: Chen, Zhou, Ding, Zhou, arXiv:2109.09307, Fig. 1: two points a and b, local training of
T = T' = 10 updates, step size 0.9^r in round r. Losses and first model are not stated. Read here
as |theta - a|^2 / 2 for the learner and |theta - b|^2 / 2 for the provider, every model a
candidate; the oracle is then the midpoint of a and b. Beside it stands another reading: updates
of length 0.9^r, whatever the gradient. Writes ``fig1_quadratics.json`` and ``.png``.

Baselines of a single site need no run: the learner alone ends in a, the provider alone in b,
pooled data in the oracle.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final, cast

import click
import torch
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.patches import Circle
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import offset_copy
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from assistlearn.checkpoints.tensors import load_checkpoint
from assistlearn.tasks import Share
from experiments.study import RESULTS, new_figure, save, small_simulation, tidy, write_results
from parties.settings import SimulationSettings
from parties.simulate.baselines import baseline
from parties.simulate.figures import LINES
from parties.simulate.outcome import ASSISTED, LABELS
from parties.simulate.session import assisted
from parties.simulate.sites import Sites
from protocols.roles import Role

Point = tuple[float, float]

NAME: Final = "fig1_quadratics"
OPTIMA: Final[Mapping[Role, Point]] = {Role.LEARNER: (-1.0, -1.0), Role.PROVIDER: (1.0, -1.25)}
ORACLE: Final[Point] = (0.0, -1.125)
START: Final[Point] = (0.0, 1.0)  # our choice
ROUNDS: Final = 10
STEPS: Final = 10  # T and T'
DECAY: Final = 0.9
BOX: Final = 3.0  # half the side of the square, around the origin, that other starts come from

GRADIENT: Final = "gradient descent"
NORMALISED: Final = "updates of length 0.9^r"
READINGS: Final[Mapping[str, bool]] = {GRADIENT: False, NORMALISED: True}
BASELINES: Final = ("sequential_last", "fedavg")

SHOWN: Final = (1, 2, 3, 4, 5, 10)  # rounds with a map of their own
RADII: Final = (0.5, 1.0, 1.5, 2.0, 2.5)  # of the circles of equal global loss on the maps
ALONE: Final[Mapping[Role, str]] = {Role.LEARNER: "learner_only", Role.PROVIDER: "provider_only"}


class Plane(nn.Module):
    """A model that is a point."""

    def __init__(self, at: Point | None) -> None:
        super().__init__()
        start = torch.empty(2).uniform_(-BOX, BOX) if at is None else torch.tensor(at)
        self.point = nn.Parameter(start)

    def place(self) -> Point:
        """Where it is now."""
        x, y = self.point.tolist()
        return x, y


class Quadratic:
    """A task with one example, a party's own optimum: its loss is half the squared distance.

    Args:
        optimum: the party's own optimum.
        start: of the first round; None for a random one.
        normalised: whether an update is as long as the step size, whatever the gradient.
    """

    def __init__(self, optimum: Point, *, start: Point | None, normalised: bool) -> None:
        self._optimum = torch.tensor(optimum)
        self._start = start
        self._normalised = normalised
        self.visited: list[Point] = []
        """The model after each update so far."""

    def build_model(self) -> Plane:
        """A point, at the given start or somewhere in the square."""
        return Plane(self._start)

    def build_optimizer(self, model: nn.Module) -> Optimizer:
        """Gradient descent; :meth:`train` sets the step size, which needs the round."""
        return SGD(model.parameters(), lr=DECAY)

    def train(self, model: nn.Module, optimizer: Optimizer, steps: range) -> None:
        """Updates of step size 0.9^r, with r counted from 1."""
        plane = cast("Plane", model)
        for step in steps:
            optimizer.param_groups[0]["lr"] = DECAY ** (1 + step // STEPS)
            optimizer.zero_grad()
            self._loss(plane).backward()  # type: ignore[no-untyped-call]
            if self._normalised:
                gradient = plane.point.grad
                assert gradient is not None  # backward() has just made it
                plane.point.grad = nn.functional.normalize(gradient, dim=0)
            optimizer.step()
            self.visited.append(plane.place())

    def losses(self, model: nn.Module) -> Iterator[Tensor]:
        """The loss of the one example."""
        yield self._loss(cast("Plane", model)).reshape(1)

    def metrics(self, model: nn.Module) -> Mapping[str, float]:
        """How far the oracle is."""
        away = cast("Plane", model).point - torch.tensor(ORACLE)
        return {"distance": float(away.norm())}

    def _loss(self, plane: Plane) -> Tensor:
        return (plane.point - self._optimum).square().sum() / 2


def quadratic(
    *, share: Share, start: Sequence[float] | None = None, normalised: bool = False
) -> Quadratic:
    """The task of one party, for settings files. ``share`` says whose; it divides nothing."""
    at = None if start is None else (start[0], start[1])
    return Quadratic(OPTIMA[Role(share.party)], start=at, normalised=normalised)


def simulation(
    *, start: Point | None = START, normalised: bool = False, rounds: int = ROUNDS
) -> SimulationSettings:
    """Rounds in which every model is a candidate; ``start`` None for a random one."""
    place = {} if start is None else {"start": list(start)}
    return small_simulation(
        NAME,
        terms={
            "loss": "half_squared_distance",
            "rounds": rounds,
            "total_steps": 2 * STEPS,
            "sampling_period": 1,
        },
        factory=f"experiments.{NAME}:quadratic",
        settings={"normalised": normalised, **place},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One party's local training in one round."""

    models: tuple[Point, ...]
    """From step 0 to step T."""
    step: int
    """Of the model that the other party chose."""

    @property
    def choice(self) -> Point:
        """The model that the other party chose."""
        return self.models[self.step]


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One assistance round. What the learner chooses of the provider's models is its result."""

    phases: Mapping[Role, Phase]
    distance: float
    """From the round's result to the oracle."""
    global_loss: float
    """Of the round's result: the mean of both parties' losses."""


def play(settings: SimulationSettings, seed: int) -> tuple[Round, ...]:
    """A session of both machines, with every model on its trajectories."""
    with tempfile.TemporaryDirectory() as folder:
        sites = Sites(settings, seed=seed, folder=Path(folder))
        made = tuple(assisted(sites))
        plane = Plane(ORACLE)
        load_checkpoint(plane, sites.spec, sites.store.path(sites.start))
    at = plane.place()
    rounds = []
    for each in made:
        phases = {}
        for role, step in zip(Role, (each.learner_step, each.provider_step), strict=True):
            assert step is not None  # assisted rounds have both
            visited = cast("Quadratic", sites.tasks[role]).visited
            first = (each.round - 1) * STEPS
            phases[role] = Phase(models=(at, *visited[first : first + STEPS]), step=step)
            at = phases[role].choice
        distance = each.metrics["distance"]
        rounds.append(Round(phases=phases, distance=distance, global_loss=each.global_loss))
    return tuple(rounds)


def distances(settings: SimulationSettings, method: str) -> tuple[float, ...]:
    """Distance to the oracle after each round of a baseline."""
    with tempfile.TemporaryDirectory() as folder:
        sites = Sites(settings, seed=0, folder=Path(folder))
        return tuple(each.metrics["distance"] for each in baseline(sites, method))


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What is written and drawn, by reading."""

    drawn: Mapping[str, tuple[Round, ...]]
    """The session from the start that is drawn."""
    random: Mapping[str, tuple[tuple[float, ...], ...]]
    """Distances after each round, one row for each random start."""
    baselines: Mapping[str, tuple[float, ...]]
    """Distances after each round of gradient descent, from the start that is drawn."""


def measure(seeds: range) -> Findings:
    """Both readings from the start that is drawn and from random ones, and the baselines."""
    drawn, random = {}, {}
    for name, normalised in READINGS.items():
        drawn[name] = play(simulation(normalised=normalised), 0)
        anywhere = simulation(start=None, normalised=normalised)
        random[name] = tuple(
            tuple(each.distance for each in play(anywhere, seed)) for seed in seeds
        )
    baselines = {name: distances(simulation(), name) for name in BASELINES}
    return Findings(drawn=drawn, random=random, baselines=baselines)


def plain(findings: Findings) -> dict[str, Any]:
    """The findings as plain values."""
    return {
        "source": "arXiv:2109.09307, Fig. 1",
        "published": "a drawing without numbers; in words: it oscillates and converges slowly",
        "unit": "distance from the result of each round to the oracle, in parameters",
        "setting": {
            "optima": {role.value: optimum for role, optimum in OPTIMA.items()},
            "oracle": ORACLE,
            "start": START,
            "random_starts": f"uniform in the square of half side {BOX:g} around the origin",
            "steps": STEPS,
            "step_size": f"{DECAY:g}^r in round r",
        },
        "readings": {
            name: {
                "rounds": [_plain_round(each) for each in rounds],
                "random_starts": {
                    **{
                        what: [take(column) for column in zip(*findings.random[name], strict=True)]
                        for what, take in (("least", min), ("median", median), ("largest", max))
                    },
                    "by_seed": findings.random[name],
                },
            }
            for name, rounds in findings.drawn.items()
        },
        "baselines": findings.baselines,
    }


def _plain_round(made: Round) -> dict[str, Any]:
    return {
        "distance": made.distance,
        "global_loss": made.global_loss,
        **{f"{role.value}_step": phase.step for role, phase in made.phases.items()},
    }


def draw(path: Path, findings: Findings) -> None:
    """Some rounds as maps, and the distance to the oracle after every round beside them.

    Raises:
        StorageError: the file cannot be written.
    """
    figure = new_figure(12.4, 5.8)
    grid = figure.add_gridspec(1, 2, width_ratios=(1.5, 1))
    left, right = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
    panels = left.subplots(2, len(SHOWN) // 2, sharex=True, sharey=True)
    for axis, number in zip(panels.flat, SHOWN, strict=True):
        _draw_map(axis, findings.drawn[GRADIENT][number - 1])
        axis.set_title(f"round {number}", loc="left", fontsize=10)
    for axis in panels[-1]:
        axis.set_xlabel("first parameter")
    for axis in panels[:, 0]:
        axis.set_ylabel("second parameter")
    _legend(left, panels.flat[0], columns=3)
    left.suptitle(
        "All models of a round, on circles of equal global loss", x=0.01, ha="left", fontsize=11
    )
    axis = right.subplots()
    _draw_distances(axis, findings)
    _legend(right, axis, columns=1)
    save(figure, path)


def _legend(figure: SubFigure, axis: Axes, *, columns: int) -> None:
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=9,
        handlelength=2.8,
    )  # fmt: skip


def _draw_map(axis: Axes, made: Round) -> None:
    """One round: circles of equal global loss, both trajectories, what was chosen of each."""
    orange = LINES[ASSISTED].colour
    for radius in RADII:
        axis.add_patch(Circle(ORACLE, radius, fill=False, color="#CCCCCC", linewidth=0.8))
    disc = Circle(
        ORACLE, made.distance, color=orange, alpha=0.15, linewidth=0,
        label="better than the round's result",
    )  # fmt: skip
    axis.add_patch(disc)
    figure = axis.get_figure(root=True)
    axis.plot(*ORACLE, color="black", marker="*", markersize=9, linestyle="", label="oracle")
    for role, phase in made.phases.items():
        line = LINES[ALONE[role]]
        # Both trajectories lie on one line after the first round: drawn side by side.
        beside = offset_copy(
            axis.transData, figure, y=2.4 if role is Role.LEARNER else -2.4, units="points"
        )
        axis.plot(
            *zip(*phase.models, strict=True), color=line.colour, marker=line.marker, markersize=3.2,
            linewidth=1.2, transform=beside, label=f"the {role.value}'s models",
        )  # fmt: skip
        axis.plot(
            *phase.choice, color=orange, marker="o", markersize=8.5, linestyle="", fillstyle="none",
            markeredgewidth=1.6, transform=beside,
            label="chosen by the other party" if role is Role.LEARNER else None,
        )  # fmt: skip
    axis.set_aspect("equal")
    axis.set_xlim(-1.5, 1.5)
    axis.set_ylim(-2.05, 1.3)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=3))
    axis.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))


def _draw_distances(axis: Axes, findings: Findings) -> None:
    tidy(axis, "How far the oracle is")
    rounds = range(1, ROUNDS + 1)
    line = LINES[ASSISTED]
    for name, style in ((GRADIENT, "-"), (NORMALISED, (0, (1, 1)))):
        drawn = [each.distance for each in findings.drawn[name]]
        axis.plot(
            rounds, drawn, color=line.colour, linestyle=style, marker=line.marker,
            linewidth=line.width, label=f"assisted, {name.replace('0.9^r', '$0.9^r$')}",
        )  # fmt: skip
    starts = findings.random[GRADIENT]
    for number, values in enumerate(starts):
        axis.plot(
            rounds, values, color=line.colour, linewidth=0.8, alpha=0.5, zorder=1,
            label=None if number else f"gradient descent, {len(starts)} random starts",
        )  # fmt: skip
    for name, values in findings.baselines.items():
        look = LINES[name]
        axis.plot(
            rounds, values, color=look.colour, linestyle=look.style, marker=look.marker,
            markersize=4, linewidth=look.width, label=LABELS[name],
        )  # fmt: skip
    axis.set_xlabel("assistance rounds")
    axis.set_ylabel("distance to the oracle (parameter units)")
    axis.set_ylim(bottom=-0.03)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))


@click.command()
@click.option(
    "--seeds", type=click.IntRange(min=1), default=40, show_default=True, help="Random starts."
)
@click.option(
    "--output", type=click.Path(path_type=Path), default=RESULTS, help="Folder for both files."
)
@click.option("--quick", is_flag=True, help="Two random starts, nothing is written.")
def main(seeds: int, output: Path, *, quick: bool) -> None:
    """Play both readings of the paper's Fig. 1 and draw them."""
    findings = measure(range(2 if quick else seeds))
    for name, rounds in findings.drawn.items():
        click.echo(f"{name:24} " + " ".join(f"{each.distance:.3f}" for each in rounds))
    for name, values in findings.baselines.items():
        click.echo(f"{LABELS[name]:24} " + " ".join(f"{each:.3f}" for each in values))
    if quick:
        return
    write_results(output / f"{NAME}.json", module=f"experiments.{NAME}", findings=plain(findings))
    draw(output / f"{NAME}.png", findings)
    click.echo(f"wrote {NAME}.json and {NAME}.png in {output}")


if __name__ == "__main__":
    main()
