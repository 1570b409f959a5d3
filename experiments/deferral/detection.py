"""Which detector looks at an image: deferral where an answer is many boxes, judged as one.

    python -m experiments.deferral.detection --data DIR [--seeds N] [--scale X] [--quick]

After the first experiment of arXiv:2410.15729 (Pascal VOC): three Faster R-CNNs of growing size and
one decision for each image. A cost is 1 - average precision on the image + price. Expert 2's price
beta_2 is swept, expert 1 costs R times as much, R the ratio of their operations; the model is free.

On VOC 2007 itself where its files are in the data folder (``voc``, as torchvision has it) or
``--download`` is given, otherwise on BCCD's 364 images of blood cells. Scaled down either way:
small detectors trained from nothing for torchvision's large ones, linear scores of what the model
found for a rejector that is a network and sees the image. Rejectors are fitted and judged on images
that no detector was trained on (159 of BCCD's): five folds, each decided by rejectors fitted on the
other four. Each seed trains new detectors and draws new folds; the images stay the same. Finished
detectors are kept in ``--cache``.

Writes ``experiments/results/defer_detection.json`` and ``.png``.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
import torch

from assistlearn.deferral.report import Table, spread
from assistlearn.deferral.report.tables import cell
from experiments.deferral.common import (
    BEST_AGENT,
    RANDOM,
    cache_option,
    data_option,
    one_thread,
    rounded,
)
from experiments.deferral.detection_agents import EPOCHS, SIZES
from experiments.deferral.detection_figure import draw
from experiments.deferral.detection_images import HEIGHT, VOC, WIDTH, Images, Subject, images_of
from experiments.deferral.detection_methods import (
    AGENTS,
    METHODS,
    NAME,
    ORACLE,
    PRICES,
    PUBLISHED,
    TWO_STAGE,
    Held,
    Point,
    by_seed,
    point,
)
from experiments.deferral.devices import computed_on, device_option, own_cache
from experiments.study import RESULTS, write_results

SHOWN: Final = (*METHODS, RANDOM, *AGENTS, ORACLE)
AT_HALF: Final = 0  # the threshold 0.5, the first
DIFFERENCES: Final = (
    "Other images and detectors: levels of mAP do not compare, the order of events does. The"
    " paper's mAP thresholds are not known; ours are COCO's, 0.5 to 0.95. Its intervals are"
    " standard deviations over 4 trials, ours half-widths at 95 % over seeds."
)


def scaled_down(images: Images, seeds: Sequence[Held]) -> str:
    """What is smaller than in the paper."""
    gflops = np.mean([each.gflops for each in seeds], axis=0)
    return (
        f"{images.subject.name} at {WIDTH}x{HEIGHT} pixels ({images.train.sum()} training images,"
        f" {(~images.train).sum()} held out)"
        f"{'' if images.subject == VOC else ' for Pascal VOC'}, Faster R-CNNs of"
        f" {gflops.min():.1g} to {gflops.max():.1g} GFLOPs trained from nothing for torchvision's"
        f" of 12 to 280, linear rejectors of {seeds[0].features.shape[1]} features for a detector's"
        " backbone"
    )


def differences_to_paper(subject: Subject) -> str:
    """Why ours are not the published numbers."""
    return (
        DIFFERENCES.replace("images and detectors", "detectors") if subject == VOC else DIFFERENCES
    )


def allocation(points: Sequence[Point], *, note: str = DIFFERENCES) -> Table:
    """Whom two-stage asks at each price, beside the paper."""

    def row(each: Point) -> tuple[str, ...]:
        paper = PUBLISHED.get(each.price)
        return (
            f"{each.price:g}",
            *(
                cell(value, percent=True)
                for value in (
                    each.precision(TWO_STAGE),
                    each.precision(TWO_STAGE, AT_HALF),
                    *each.shares(TWO_STAGE),
                )
            ),
            *((f"{value:.1f}" for value in paper) if paper else "----"),
        )

    shares = [f"{name} %" for name in AGENTS]
    return Table(
        title="two-stage, and the same table in the paper",
        columns=("beta_2", "mAP %", "mAP50 %", *shares, "paper: mAP", *(f"p. {s}" for s in shares)),
        rows=tuple(map(row, points)),
        note=note,
    )


def losses(points: Sequence[Point]) -> Table:
    """Deferral loss of everybody."""
    return Table(
        title="deferral loss: 1 - average precision of the image + price of who answers",
        columns=("beta_2", *SHOWN),
        rows=tuple(
            (f"{each.price:g}", *(f"{each.loss(name).mean:.3f}" for name in SHOWN))
            for each in points
        ),
        note=f"{RANDOM}: two-stage's shares; {BEST_AGENT}: chosen on the training folds",
    )


def differences(points: Sequence[Point]) -> Table:
    """Deferral loss minus the best fixed agent's, paired."""
    names = [name for name in METHODS if name != BEST_AGENT]
    return Table(
        title=f"deferral loss minus {BEST_AGENT}'s, in hundredths: below 0 is better",
        columns=("beta_2", *names),
        rows=tuple(
            (
                f"{each.price:g}",
                *(cell(each.against_best[name], percent=True) for name in names),
            )
            for each in points
        ),
        note="intervals at 95 % over images, of the mean over seeds (seeds share the images)",
    )


def precisions(points: Sequence[Point]) -> Table:
    """Mean average precision of everybody."""
    return Table(
        title="mAP % of all held-out images, each answered by the agent chosen",
        columns=("beta_2", *SHOWN),
        rows=tuple(
            (f"{each.price:g}", *(f"{100 * each.precision(name).mean:.1f}" for name in SHOWN))
            for each in points
        ),
    )


def sentences(points: Sequence[Point], ratio: float) -> Iterator[str]:
    """What came out, from the measured numbers alone."""
    swept = [each for each in points if each.price in PUBLISHED]
    shares = [[share.mean for share in each.shares(TWO_STAGE)] for each in swept]
    maps = [each.precision(TWO_STAGE).mean for each in swept]
    first, last = swept[0], swept[-1]
    falls = all(later <= earlier for earlier, later in pairwise(maps))
    yield (
        f"From beta_2 = {first.price:g} to {last.price:g}, expert 2's share goes from"
        f" {100 * shares[0][2]:.0f} to {100 * shares[-1][2]:.0f} % (paper: 100 to 0), the model's"
        f" from {100 * shares[0][0]:.0f} to {100 * shares[-1][0]:.0f} % (paper: 0 to 100), and mAP"
        f" from {100 * maps[0]:.1f} to {100 * maps[-1]:.1f} % (paper: 52.8 to 39.5),"
        f" {'falling at every step' if falls else 'not falling at every step'}."
    )
    most = max(range(len(swept)), key=lambda at: shares[at][1])
    middle = {name: first.precision(name).mean for name in AGENTS}
    line = middle["model"] + ratio * (middle["expert 2"] - middle["model"])
    yield (
        f"Expert 1 gets at most {100 * shares[most][1]:.0f} % (at beta_2 = {swept[most].price:g};"
        f" paper: 22.5 % at 0.2). Alone it has {100 * middle['expert 1']:.1f} % mAP for"
        f" {ratio:.2f} of expert 2's price, where dividing all images at random between model and"
        f" expert 2 has about {100 * line:.1f} %."
    )
    for name in METHODS:
        if name == BEST_AGENT:
            continue
        gaps = [each.against_best[name] for each in points]
        better = sum(each.mean + each.half_width < 0 for each in gaps)
        worse = sum(each.mean - each.half_width > 0 for each in gaps)
        yield (
            f"{name} costs less than the best single agent at {better} of {len(points)} prices,"
            f" more at {worse}, and is not told apart at {len(points) - better - worse}."
        )


def findings(
    points: Sequence[Point], seeds: Sequence[Held], ratio: float, *, differ: str = DIFFERENCES
) -> dict[str, Any]:
    """Everything, for JSON."""
    return {
        "unit": "costs in average precision; intervals are half-widths at 95 %",
        "seeds": len(seeds),
        "images": {"held out": len(seeds[0].features), "folds": "5, see the study's text"},
        "agents": {
            size.name: {
                "input height": size.height,
                "gflops": round(float(np.mean([each.gflops[number] for each in seeds])), 4),
                "training seconds of one core": rounded(
                    spread([each.seconds[number] for each in seeds])
                ),
            }
            for number, size in enumerate(SIZES)
        },
        "R": round(ratio, 4),
        "answers": list(sentences(points, ratio)),
        "published": {
            "source": "arXiv:2410.15729, table of the VOC experiment: mAP and shares in percent",
            "rows": {f"{price:g}": row for price, row in PUBLISHED.items()},
            "differences": differ,
        },
        "prices": [
            {
                "beta_1": round(ratio * each.price, 4),
                "beta_2": each.price,
                "methods": {name: _figures(each, name) for name in SHOWN},
            }
            for each in points
        ],
    }


def _figures(each: Point, name: str) -> Mapping[str, Any]:
    found = {
        "deferral loss": rounded(each.loss(name)),
        "mAP": rounded(each.precision(name)),
        "mAP at IoU 0.5": rounded(each.precision(name, AT_HALF)),
        "shares": [rounded(share) for share in each.shares(name)],
    }
    if name in METHODS:
        found[f"minus {BEST_AGENT}, over images"] = rounded(each.against_best[name])
        found[f"minus {BEST_AGENT}, over seeds"] = rounded(
            each.report.difference(name, BEST_AGENT, lambda m: m.deferral_loss)
        )
        found["saved against the same shares at random"] = rounded(
            each.figure(name, lambda m: m.over_random)
        )
    return found


@click.command()
@data_option
@cache_option
@click.option("--seeds", type=click.IntRange(min=2), default=3, show_default=True)
@click.option("--scale", type=click.FloatRange(0.05, 1), default=1.0, help="Share of the epochs.")
@click.option(
    "--output", type=click.Path(path_type=Path), default=RESULTS, help="Folder for both files."
)
@device_option
@click.option("--download", is_flag=True, help="Fetch VOC 2007 into the data folder if missing.")
@click.option("--quick", is_flag=True, help="Two seeds, a tenth of the epochs, nothing is written.")
def main(  # noqa: PLR0913  # the command line
    data: Path,
    cache: Path,
    seeds: int,
    scale: float,
    *,
    output: Path,
    device: torch.device,
    download: bool,
    quick: bool,
) -> None:
    """Sweep the price of the largest detector."""
    one_thread()
    seeds, scale = (2, min(scale, 0.1)) if quick else (seeds, scale)
    epochs = max(1, round(scale * EPOCHS))
    images = images_of(data, download=download)
    made = by_seed(
        images,
        own_cache(cache, device),
        seeds=seeds,
        epochs=epochs,
        told=lambda what: click.echo(what, err=True),
        device=device,
    )
    gflops = np.mean([each.gflops for each in made], axis=0)
    ratio = float(gflops[1] / gflops[2])
    points = []
    for price in PRICES:
        points.append(point(price, ratio, made))
        click.echo(f"beta_2 = {price:g}: done", err=True)
    scaled = scaled_down(images, made)
    scaled += f"; {epochs} of {EPOCHS} epochs" if epochs < EPOCHS else ""
    differ = differences_to_paper(images.subject)
    for table in (
        allocation(points, note=differ),
        losses(points),
        differences(points),
        precisions(points),
    ):
        click.echo(f"{table.text()}\n")
    measured = ", ".join(f"{name} {each:.3f}" for name, each in zip(AGENTS, gflops, strict=True))
    click.echo(f"GFLOPs of an image: {measured}; R = {ratio:.3f} (paper: 0.479)")
    click.echo("\n".join(sentences(points, ratio)))
    said = [images.subject.stands_in, computed_on(device), f"scaled down: {scaled}"]
    click.echo("\n".join(filter(None, said)))
    if quick:
        return
    write_results(
        output / f"{NAME}.json",
        module="experiments.deferral.detection",
        findings={
            "scaled_down": scaled,
            "stand-in": images.subject.stands_in,
            "device": computed_on(device) or device.type,
            **findings(points, made, ratio, differ=differ),
        },
    )
    draw(output / f"{NAME}.png", points, seeds=seeds, note=scaled)
    click.echo(f"wrote {NAME}.json and {NAME}.png in {output}")


if __name__ == "__main__":
    main()
