"""Learning to help in multi-class settings (arXiv:2501.13810), scaled down unless asked otherwise.

    python -m experiments.deferral.learning_to_help --data DIR [--seeds N] [--scale X] [--quick]
        [--device auto|cpu|cuda|mps] [--download]

A fixed client model, a server that can be asked, a rejector that decides. Measured on CIFAR-10 and
SVHN (Fashion-MNIST where its files are missing): Table 1 (both models on both sides), reject rate
and accuracy against c_e (Fig. 2), stale views of the server (Tables 2 to 5), a class that the
client never saw (Table 6), the bounded reject rate (Fig. 7). And what the published Table 1 implies
but does not say: by its own loss the system is worse than never asking. Is that cured by telling
the rejector how the server does on images that it did not train on?

At scale 1 models and settings have the paper's size, which takes days on a CPU. Below, the scale is
the share of the training images; what else is smaller then stands on every output.

Writes ``experiments/results/defer_learning_to_help.json`` and, beside it, three figures:
``defer_help_failure.png``, ``defer_help_costs.png`` and ``defer_help_rates.png``. Finished parts
are kept in ``--cache``.
"""

import hashlib
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import click
import torch
from torch import Tensor

from assistlearn.deferral.report import Spread, spread
from assistlearn.errors import DataError
from experiments.deferral.common import cache_option, data_option, one_thread
from experiments.deferral.devices import CPU, computed_on, device_option, own_cache
from experiments.deferral.help_curves import bounded, swept
from experiments.deferral.help_figures import draw_costs, draw_failure, draw_rates
from experiments.deferral.help_pictures import Pictures, data_sets, split
from experiments.deferral.help_published import differences
from experiments.deferral.help_rejectors import decisions, trained
from experiments.deferral.help_results import (
    CONFIDENCE,
    OURS,
    PLUG_IN,
    PUBLISHED,
    STEPS,
    Trained,
    all_arms,
    rows,
    trials_at,
)
from experiments.deferral.help_setup import QUICK, Scale, scaled
from experiments.deferral.help_show import Findings, plain, tables
from experiments.deferral.help_tables import (
    TABLE_1_PUBLISHED,
    TABLE_6_PUBLISHED,
    contrasts,
    missing_class,
    stale_views,
)
from experiments.deferral.help_world import TABLE_1, kept_world, made_world
from experiments.study import RESULTS, write_results

MODULE: Final = "experiments.deferral.learning_to_help"
DEFAULT_SCALE: Final = 0.2


def trained_seed(
    pictures: Pictures, scale: Scale, folder: Path, *, seed: int, device: torch.device = CPU
) -> Trained:
    """Everything that one seed trains, from ``folder`` where it is there already."""
    data = split(pictures, scale, seed=seed)
    world = kept_world(
        folder / "world.safetensors", lambda: made_world(data, scale, seed=seed, device=device)
    )
    scores = trained(all_arms(scale), data, world, scale, seed=seed, folder=folder, device=device)
    return Trained(
        seed=seed,
        training_labels=data.train_labels,
        calibration_labels=data.calibration_labels,
        test_labels=data.test_labels,
        world=world,
        scores=scores,
    )


def findings(seeds: Sequence[Trained], scale: Scale) -> Findings:
    """Every result on one data set."""
    trials = trials_at(seeds, STEPS, TABLE_1)
    return Findings(
        models={"client": _client_accuracies(seeds), "server": _server_accuracies(seeds)},
        steps=rows(trials),
        table_1={name: contrasts(trials, name) for name in (PUBLISHED, OURS, PLUG_IN, CONFIDENCE)},
        swept=swept(seeds, scale),
        stale=stale_views(seeds, scale),
        bounded=bounded(seeds),
        missing=missing_class(seeds),
        rounding=spread([_changed(each) for each in seeds]),
    )


def _client_accuracies(seeds: Sequence[Trained]) -> tuple[Spread, Spread, Spread]:
    def accuracy(logits_BK: Tensor, labels_B: Tensor) -> float:
        return float((logits_BK.argmax(1) == labels_B).double().mean())

    return (
        spread([accuracy(each.world.client.train, each.training_labels) for each in seeds]),
        spread([accuracy(each.world.unseen_client, each.training_labels) for each in seeds]),
        spread([accuracy(each.world.client.test, each.test_labels) for each in seeds]),
    )


def _server_accuracies(seeds: Sequence[Trained]) -> tuple[Spread, Spread, Spread]:
    servers = [each.world.server for each in seeds]
    return (
        spread([float(each.seen[0, -1].double().mean()) for each in servers]),
        spread([float(each.unseen.double().mean()) for each in servers]),
        spread([float(each.test.double().mean()) for each in servers]),
    )


def _changed(made: Trained) -> float:
    arm = STEPS[PUBLISHED]
    again = decisions(arm, made.world.server.together)
    return float((decisions(arm, made.scores[arm].test) != again).double().mean())


def verdicts(data: str, found: Findings) -> Iterator[str]:
    """What the figures say of the study's questions, from their intervals alone."""
    for name in (PUBLISHED, OURS):
        value = found.steps[name].minus_all_local
        low, high = value.mean - value.half_width, value.mean + value.half_width
        verdict = (
            "worse than never asking" if low > 0
            else "better than never asking" if high < 0
            else "not told apart from never asking"
        )  # fmt: skip
        yield (
            f"{data}, c_1 = 1.25, c_e = 0.25: {name} has a generalised 0-1 loss"
            f" {value.mean:+.4f} (95 % interval {low:+.4f} to {high:+.4f}) beside ALL-LOCAL:"
            f" {verdict}."
        )
    worse = {
        name: sum(by_name[name].minus_all_local.mean > 0 for by_name in found.swept.values())
        for name in (PUBLISHED, OURS, CONFIDENCE)
    }
    yield (
        f"{data}: of {len(found.swept)} pairs of costs, the mean loss is above that of never asking"
        " in " + ", ".join(f"{count} for {name}" for name, count in worse.items()) + "."
    )
    by_error: dict[float, list[float]] = {}
    for costs, by_name in found.swept.items():
        by_error.setdefault(costs.server_error_cost, []).append(by_name[PUBLISHED].reject_rate.mean)
    falls = all(one >= two for rates in by_error.values() for one, two in pairwise(rates))
    yield (
        f"{data}: the published recipe's mean reject rate"
        f" {'never rises' if falls else 'does not fall everywhere'} as c_e grows."
    )


@click.command()
@data_option
@cache_option
@click.option("--seeds", type=click.IntRange(min=2), default=3, show_default=True)
@click.option(
    "--scale",
    "share",
    type=click.FloatRange(min=0, max=1, min_open=True),
    default=DEFAULT_SCALE,
    show_default=True,
    help="Share of the training images; 1 is the paper's models and settings as well.",
)
@device_option
@click.option("--download", is_flag=True, help="Fetch SVHN into the data folder if it is missing.")
@click.option(
    "--output", type=click.Path(path_type=Path), default=RESULTS, help="Folder for all files."
)
@click.option("--quick", is_flag=True, help="Two seeds, next to no training; writes nothing.")
def main(  # noqa: PLR0913  # a command's options
    data: Path,
    cache: Path,
    seeds: int,
    share: float,
    *,
    device: torch.device,
    output: Path,
    download: bool,
    quick: bool,
) -> None:
    """Measure every result of learning to help, beside what is published."""
    one_thread()
    scale = QUICK if quick else scaled(share)
    digest = hashlib.sha256(repr(scale).encode()).hexdigest()[:12]
    cache = own_cache(cache, device)
    told = " ".join(filter(None, (str(scale), computed_on(device))))
    click.echo(told)
    found: dict[str, Findings] = {}
    stand_ins: dict[str, str] = {}
    for pictures in data_sets(data, download=download):
        if pictures.stands_in:
            stand_ins[pictures.name] = pictures.stands_in
            click.echo(f"{pictures.stands_in}.")
        made = []
        for seed in range(2 if quick else seeds):
            started = time.process_time()
            folder = cache / f"learning_to_help-{pictures.name}-{digest}-{seed}"
            made.append(trained_seed(pictures, scale, folder, seed=seed, device=device))
            click.echo(
                f"{pictures.name}, seed {seed}: {time.process_time() - started:.0f} s of CPU",
                err=True,
            )
        found[pictures.name] = findings(made, scale)
        for table in tables(pictures.name, found[pictures.name]):
            click.echo(f"\n{table.text()}")
    if not found:
        raise DataError(
            f"none of cifar10, svhn and fashion-mnist is in {data}",
            hint="point --data at the folder that holds the data sets' folders",
        )
    answers = [each for name, own in found.items() for each in verdicts(name, own)]
    differ = [each for name, own in found.items() for each in differences(name, own, scale)]
    click.echo("\n" + "\n".join([*answers, "", *differ]))
    click.echo("\n".join([*stand_ins.values(), told]))
    if quick:
        return
    write_results(
        output / "defer_learning_to_help.json",
        module=MODULE,
        findings={
            "source": "arXiv:2501.13810",
            "scale": told,
            "device": device.type,
            "stand-ins": stand_ins,
            "settings": plain(scale),
            "unit": "shares and mean losses on all test images; [mean, half width of the 95 %"
            " interval over seeds by Student's t]",
            "seeds": seeds,
            "answers": answers,
            "published": {
                "table 1": plain(TABLE_1_PUBLISHED),
                "table 6, SVHN": TABLE_6_PUBLISHED,
                "differences": differ,
            },
            "data sets": plain(found),
        },
    )
    draw_failure(
        output / "defer_help_failure.png", {name: own.steps for name, own in found.items()}
    )
    draw_costs(output / "defer_help_costs.png", {name: own.swept for name, own in found.items()})
    draw_rates(output / "defer_help_rates.png", {name: own.bounded for name, own in found.items()})
    click.echo(f"wrote defer_learning_to_help.json and three figures to {output}")


if __name__ == "__main__":
    main()
