"""People as experts: what asking a person is worth, and who finds out when it is.

    python -m experiments.deferral.humans --data DIR [--seeds N] [--scale X] [--quick]

Four sets of questions that people answered too (``humans_data.py``): CIFAR-10H, CIFAR-10N,
hate speech, chest X-rays. Every method learns on half of the rows what the agents' errors and a
price for each person's answer cost, and is measured on the other half: once with people for
nothing, where the question is whether model and person together are better than either, and once
at 0.05 of an error for each answer. Each seed is another division, other votes and readers by lot;
the network of the images is one for all seeds.

Beside the rejectors: each agent alone, the best of them, the same shares at random, a threshold on
the model's confidence, and the oracle that asks the cheapest for each row.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
import torch

from assistlearn.deferral.report import deferral_report
from experiments.deferral.common import Decided, cache_option, data_option, kept, one_thread
from experiments.deferral.devices import computed_on, device_option, own_cache
from experiments.deferral.humans_data import (
    OVERLAP,
    Asked,
    chest_xrays,
    cifar10h,
    cifar10n,
    hate_speech,
)
from experiments.deferral.humans_figure import draw
from experiments.deferral.humans_images import kept_outputs
from experiments.deferral.humans_tables import Found, plain, table
from experiments.deferral.humans_ways import one_stage, one_stage_ways, two_stage
from experiments.deferral.one_stage import OWN_CLASSES
from experiments.study import RESULTS, write_results

NAME: Final = "defer_humans"
PRICES: Final = (0.0, 0.05)
"""Of one person's answer, in errors."""
SETS: Final[Mapping[str, Callable[[Path, Path, int, float], Asked]]] = {
    "CIFAR-10H": cifar10h,
    "CIFAR-10N": cifar10n,
    "hate speech": hate_speech,
    "chest X-rays": chest_xrays,
}
PLAIN: Final = str.maketrans({" ": "_", ",": ""})
PUBLISHED: Final = {
    "CIFAR-10H": "99.57 ± 0.10 % system accuracy (arXiv:2509.12573, abstract): another model, and"
    " several persons asked without any training; here one person is asked, drawn from all votes",
    "other sets": "no published figures of deferral were at hand",
}
INTERVALS: Final = (
    "intervals are over divisions of the rows, votes and readers; the images' network is one for"
    " all seeds, so what another network would change is in none of them"
)
SCALED: Final = (
    "the images' model is a network of 0.2 million parameters, trained for 12 passes over 30,000"
    " images; rejectors are linear or have one hidden layer of 64 units on its features"
)


def run(
    data: Path, cache: Path, *, seeds: int, scale: float, told: Callable[[str], None]
) -> dict[str, dict[float, Found]]:
    """Everything that takes time, kept in ``cache`` part by part: sets, then prices."""
    found: dict[str, dict[float, Found]] = {}
    for label, read in SETS.items():
        made: dict[float, list[Decided]] = {price: [] for price in PRICES}
        alone: dict[float, dict[str, list[Decided]]] = {price: {} for price in PRICES}
        for seed in range(seeds):
            asked = read(data, cache, seed, scale)
            for price in PRICES:
                key = f"{NAME} {label} {scale:g} {price:g} {seed}".translate(PLAIN)
                make = partial(two_stage, asked, price=price, seed=seed)
                made[price].append(kept(cache, key, make))
                for name in one_stage_ways() if asked.labels is not None else ():
                    make = partial(one_stage, asked, name, price=price, seed=seed)
                    key_of_one = f"{key}_{name}".translate(PLAIN)
                    alone[price].setdefault(name, []).append(kept(cache, key_of_one, make))
                told(f"{label}, price {price:g}, seed {seed}")
        agents = asked.agents
        found[label] = {
            price: Found(
                report=deferral_report(
                    [each.trial for each in made[price]], agents=agents, overlap=OVERLAP
                ),
                one_stage={
                    name: deferral_report(
                        [each.trial for each in several],
                        agents=(OWN_CLASSES, *agents[1:]),
                        overlap=OVERLAP,
                    )
                    for name, several in alone[price].items()
                },
                settings=tuple(each.settings for each in made[price]),
            )
            for price in PRICES
        }
    return found


@click.command()
@data_option
@cache_option
@click.option("--seeds", type=click.IntRange(min=2), default=5, show_default=True)
@click.option("--scale", type=click.FloatRange(0.02, 1), default=1.0, help="Share of the rows.")
@click.option(
    "--output", type=click.Path(path_type=Path), default=RESULTS, help="Folder for both files."
)
@device_option
@click.option("--quick", is_flag=True, help="Two seeds, 5 % of the rows, nothing is written.")
def main(  # noqa: PLR0913  # the command's options
    data: Path,
    cache: Path,
    seeds: int,
    scale: float,
    *,
    output: Path,
    device: torch.device,
    quick: bool,
) -> None:
    """Defer to people, by every method and its competitors."""
    one_thread()
    seeds, scale = (2, min(scale, 0.05)) if quick else (seeds, scale)
    cache = own_cache(cache, device)
    kept_outputs(data, cache, scale=scale, device=device)  # the only network; read from here on
    found = run(data, cache, seeds=seeds, scale=scale, told=lambda what: click.echo(what, err=True))
    scaled = SCALED + (f"; {100 * scale:g} % of all rows and images" if scale < 1 else "")
    for label, by_price in found.items():
        for price, each in by_price.items():
            click.echo(f"\n{table(each, f'{label}, a person costs {price:g}').text()}")
    click.echo("\n" + "\n".join(f"published, {key}: {text}" for key, text in PUBLISHED.items()))
    click.echo("\n".join(filter(None, [computed_on(device), INTERVALS, f"scaled down: {scaled}"])))
    if quick:
        return
    findings: dict[str, Any] = {
        "scaled_down": scaled,
        "unit": "costs in errors (chest X-rays: wrong findings of four); intervals are half-widths"
        " at 95 % over seeds (Student's t, corrected for re-divisions of one table)",
        "intervals": INTERVALS,
        "device": computed_on(device) or device.type,
        "seeds": seeds,
        "published": PUBLISHED,
        "sets": {
            label: {f"price {price:g}": plain(each) for price, each in by_price.items()}
            for label, by_price in found.items()
        },
    }
    write_results(output / f"{NAME}.json", module="experiments.deferral.humans", findings=findings)
    draw(output / f"{NAME}.png", found, note=f"scaled down: {scaled}")
    click.echo(f"wrote {NAME}.json and {NAME}.png in {output}")


if __name__ == "__main__":
    main()
