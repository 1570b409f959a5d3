"""What coarse and private loss reports cost in accuracy, against exact ones.

    python -m experiments.loss_precision [--root DIR] [--seeds N] [--quick]

Paired by seed: the same data, initial model, batches and noise; only what the parties tell each
other of their losses differs. Writes ``experiments/results/loss_precision.json``.
"""

import json
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import click

from experiments.fashion_mnist import DEBIAN
from parties.output import json_safe
from parties.settings import SimulationSettings
from parties.settings_file import check_settings
from parties.simulate.results import spread
from parties.simulate.session import assisted
from parties.simulate.sites import Sites
from parties.version import installed_version

RESULTS: Final = Path(__file__).parent / "results" / "loss_precision.json"
BOUND_POINTS: Final = 0.5  # the default is the coarsest mode that costs less than this

MODES: Final[Mapping[str, Mapping[str, Any]]] = {
    "exact": {"loss_precision": "exact"},
    "coarse, clip 4": {"loss_precision": "coarse", "loss_clip": 4.0},
    "coarse, clip 8": {"loss_precision": "coarse", "loss_clip": 8.0},
    "private, clip 4, noise 0.02": {
        "loss_precision": "private", "loss_clip": 4.0, "loss_noise": 0.02,
    },
    "private, clip 4, noise 0.1": {
        "loss_precision": "private", "loss_clip": 4.0, "loss_noise": 0.1,
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """One data set at one imbalance."""

    name: str
    imbalance: float
    rounds: int
    total_steps: int
    sampling_period: int
    factory: str
    settings: Mapping[str, Any]


def studies(root: Path) -> Iterator[Study]:
    """Digits and, where the files are there, Fashion-MNIST."""
    for imbalance in (0.1, 0.5):
        yield Study(
            name=f"digits, imbalance {imbalance:g}",
            imbalance=imbalance,
            rounds=5,
            total_steps=90,
            sampling_period=15,
            factory="assistlearn.tasks:digits",
            settings={"model": "mlp", "model_settings": {"hidden": [32]}},
        )
    if not root.is_dir():
        click.echo(f"note: {root} is not there, Fashion-MNIST is left out", err=True)
        return
    for imbalance in (0.1, 0.5):
        yield Study(
            name=f"Fashion-MNIST, imbalance {imbalance:g}",
            imbalance=imbalance,
            rounds=4,
            total_steps=300,
            sampling_period=50,
            factory="experiments.fashion_mnist:fashion_mnist",
            settings={
                "root": str(root),
                "model": "mlp",
                "model_settings": {"hidden": [64]},
                "batch_size": 128,
            },
        )


def accuracies(study: Study, mode: Mapping[str, Any], seed: int) -> list[float]:
    """Accuracy after each round, in points."""
    settings = check_settings(
        {
            "terms": {
                "task": "loss-precision",
                "rounds": study.rounds,
                "total_steps": study.total_steps,
                "sampling_period": study.sampling_period,
                **mode,
            },
            "task": {"factory": study.factory, "settings": study.settings, "device": "cpu"},
            "split": {"imbalance": study.imbalance},
        },
        SimulationSettings,
        name=study.name,
    )
    with tempfile.TemporaryDirectory() as folder:
        sites = Sites(settings, seed=seed, folder=Path(folder))
        return [100 * each.metrics["accuracy"] for each in assisted(sites)]


def measure(study: Study, seeds: range) -> dict[str, Any]:
    """All modes of one study: accuracy and what it is below exact, seed by seed."""
    started = time.perf_counter()
    curves = {
        name: [accuracies(study, mode, seed) for seed in seeds] for name, mode in MODES.items()
    }
    rows = {}
    for name, by_seed in curves.items():
        pairs = list(zip(by_seed, curves["exact"], strict=True))
        last = spread([own[-1] - exact[-1] for own, exact in pairs])
        whole = spread([sum(own) / len(own) - sum(exact) / len(exact) for own, exact in pairs])
        final = spread([own[-1] for own in by_seed])
        rows[name] = {
            "accuracy": asdict(final),
            "against_exact_last_round": asdict(last),
            "against_exact_mean_of_rounds": asdict(whole),
            "by_seed": by_seed,
        }
        click.echo(
            f"{study.name:28} {name:28} accuracy {final.mean:6.2f}"
            f"   last round {last.mean:+.2f} ± {last.error:.2f}"
            f"   mean of rounds {whole.mean:+.2f} ± {whole.error:.2f}"
        )
    return {**asdict(study), "modes": rows, "seconds": time.perf_counter() - started}


@click.command()
@click.option("--root", type=click.Path(path_type=Path), default=DEBIAN, show_default=True)
@click.option("--seeds", type=click.IntRange(min=2), default=10, show_default=True)
@click.option("--quick", is_flag=True, help="Digits only, nothing is written.")
def main(root: Path, seeds: int, *, quick: bool) -> None:
    """Measure what coarse and private loss reports cost in accuracy."""
    chosen = [each for each in studies(root) if not quick or each.name.startswith("digits")]
    found = [measure(study, range(seeds)) for study in chosen]
    worst = {
        name: min(each["modes"][name]["against_exact_last_round"]["mean"] for each in found)
        for name in MODES
    }
    click.echo(f"\nlargest mean loss of accuracy in the last round, bound {BOUND_POINTS} points:")
    for name, value in worst.items():
        click.echo(f"  {name:28} {value:+.2f} {'ok' if -value < BOUND_POINTS else 'too much'}")
    if quick:
        return
    document = {
        "command": " ".join(["python -m experiments.loss_precision", *sys.argv[1:]]),
        "unit": "percentage points of test accuracy; errors are standard errors over seeds",
        "seeds": seeds,
        "machine": {"processor": platform.machine(), "system": platform.system()},
        "versions": {
            "assistlearn": installed_version(),
            "python": platform.python_version(),
            "torch": version("torch"),
        },
        "worst_against_exact": worst,
        "studies": found,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(json_safe(document), indent=1) + "\n", encoding="utf-8")
    click.echo(f"wrote {RESULTS}")


if __name__ == "__main__":
    main()
