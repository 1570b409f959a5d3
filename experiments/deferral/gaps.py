"""What the papers on deferral do not say, measured in minutes.

    python -m experiments.deferral.gaps [--data DIR] [--seeds N] [--scale X] [--quick]

*Realizable*: rules that a linear rejector follows at no cost, and which surrogates find them.
*Dilution*: experts that nobody needs are added one by one; what that does to the target of the
softmax and to the deferral loss, under three kinds of weights.
*Shift*: a rejector's expected costs, and the threshold that keeps it within a budget, when what
comes in is not what it was calibrated on: Gaussian features that move, and (with ``--data``)
RouteLLM's questions of MMLU followed by those of GSM8K.

No paper has numbers for these, so nothing published stands beside ours.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from assistlearn.deferral.report import Spread, Table, spread
from assistlearn.deferral.report.tables import cell
from experiments.deferral.common import DATA, one_thread, rounded
from experiments.deferral.gaps_figure import draw
from experiments.deferral.gaps_problems import (
    BEST,
    BUDGET,
    CROWDS,
    FEW,
    POINTS,
    Figures,
    Gaps,
    dilution,
    from_mmlu,
    moving,
    realizable,
    targets,
)
from experiments.study import RESULTS, write_results

NAME: Final = "defer_gaps"
MINIMUM, TEXT_SEEDS = 4, 10  # seeds: at least; of RouteLLM at most


def by_method(title: str, heading: str, found: Figures, *, note: str = "") -> Table:
    """A row for each method, a column for each value of what is varied."""
    varied = [*next(iter(found.values()))]
    return Table(
        title=title,
        columns=(heading, *map(str, varied)),
        rows=tuple((name, *map(cell, row.values())) for name, row in found.items()),
        note=note,
    )


def spreads(by_seed: Sequence[Mapping[str, float]]) -> dict[str, Spread]:
    """Each figure over seeds."""
    return {each: spread([one[each] for one in by_seed]) for each in by_seed[0]}


def by_shift(title: str, found: Mapping[Any, Sequence[Mapping[str, float]]]) -> Table:
    """A row for each figure, a column for each kind of examples."""
    columns = {str(shift): spreads(by_seed) for shift, by_seed in found.items()}
    return Table(
        title=title,
        columns=("figure", *columns),
        rows=tuple(
            (name, *(cell(each[name]) for each in columns.values()))
            for name in next(iter(columns.values()))
        ),
        note=f"budget: {100 * BUDGET:g} % deferred; rate as promised: how often it lies in the"
        f" source's 95 % interval; again: threshold from {FEW} unlabelled new examples",
    )


def plain(found: Mapping[str, Any]) -> dict[str, Any]:
    """Spreads as plain values, however deep."""
    return {
        str(key): rounded(each) if isinstance(each, Spread) else plain(each)
        for key, each in found.items()
    }


def tables(found: Gaps) -> Iterator[Table]:
    """All that is shown on the screen."""
    yield by_method(
        f"realizable: deferral loss on {POINTS} points that a linear rule solves at no cost",
        "experts",
        found.rules,
        note=f"{BEST}: what asking one agent costs",
    )
    asked = "; ".join(
        f"{kappa} " + ", ".join(f"{right:.3g}/{wrong:.3g}" for right, wrong in row.values())
        for kappa, row in found.asked.items()
    )
    yield by_method(
        "dilution: deferral loss",
        "experts",
        found.crowded,
        note=f"softmax asked for, right/wrong agent where one alone is right: {asked}",
    )
    yield by_method("dilution: minus the plug-in, paired by seed", "experts", found.ahead)
    yield by_shift("shift: the first feature's mean moves", found.moved)
    if found.texts:
        yield by_shift("shift: calibrated on MMLU", found.texts)


@click.command()
@click.option("--data", envvar=DATA, type=click.Path(path_type=Path, exists=True), help="Optional.")
@click.option("--seeds", type=click.IntRange(min=MINIMUM), default=20, show_default=True)
@click.option("--scale", type=click.FloatRange(0.05, 1), default=1.0, help="Share of the seeds.")
@click.option(
    "--output", type=click.Path(path_type=Path), default=RESULTS, help="Folder for both files."
)
@click.option("--quick", is_flag=True, help="Few seeds, fewer experts, nothing is written.")
def main(  # a command's options
    data: Path | None, seeds: int, scale: float, output: Path, *, quick: bool
) -> None:
    """Measure what realizable rules, many experts and a shift do to deferral."""
    one_thread()
    count = MINIMUM if quick else max(MINIMUM, round(scale * seeds))
    scaled = f"{count} seeds for {seeds}" if count < seeds else "nothing"
    crowds = CROWDS[:3] if quick else CROWDS
    texts = None
    if data is not None:
        texts = from_mmlu(data / "llm_routing", range(min(count, TEXT_SEEDS)))
    crowded, ahead = dilution(range(count), crowds)
    found = Gaps(
        rules=realizable(range(count)),
        asked=targets(CROWDS),
        crowded=crowded,
        ahead=ahead,
        moved=moving(range(count)),
        texts=texts,
    )
    click.echo("\n\n".join(each.text() for each in tables(found)))
    if data is None:
        click.echo(f"\nRouteLLM is left out: give --data or set {DATA}")
    click.echo(f"\nscaled down: {scaled}")
    if quick:
        return
    findings = {
        "scaled_down": scaled,
        "unit": "costs in errors; half-widths of 95 % intervals over seeds (Student's t)",
        "published": "no paper has numbers for these problems",
        "seeds": count,
        "realizable": plain(found.rules),
        "dilution": {
            "targets": found.asked,
            "deferral loss": plain(crowded),
            "minus plug-in": plain(ahead),
        },
        "shift": {
            "moving": plain({str(by): spreads(each) for by, each in found.moved.items()}),
            "RouteLLM": plain({on: spreads(each) for on, each in (texts or {}).items()}),
        },
    }
    write_results(output / f"{NAME}.json", module="experiments.deferral.gaps", findings=findings)
    note = f"{count} seeds, 95 % intervals; scaled down: {scaled}"
    draw(output / f"{NAME}.png", found, note)
    click.echo(f"wrote {NAME}.json and {NAME}.png in {output}")


if __name__ == "__main__":
    main()
