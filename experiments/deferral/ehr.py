"""Two tasks, one rejector: who answers for a patient, and does deferring jointly pay?

    python -m experiments.deferral.ehr --data DIR [--seeds N] [--scale X] [--quick]

After the health records of arXiv:2410.15729 (two-stage deferral for several tasks): a class (death)
and a value (length of stay) for each patient, one agent answers both. The paper's MIMIC-IV is under
a data use agreement and not to be had here; SUPPORT2 takes its place. Four cases:

    clusters, all seen   the paper's simulated experts; the rejector sees what makes the clusters
    clusters, not seen   the same with clusters of bedside and laboratory values, which it does not
    learned experts      three models on different measurements of the same patients
    physicians           a model, the SUPPORT model, and the physician's own estimates of survival

Costs are ``lambda_cla * wrong + lambda_reg * error of the value``; experts ask no price, as in the
paper. Stays are natural logarithms of days, their error is the smooth L1, not clamped, as all stays
lie within 3 and 343 days. In the last case the value is the probability of death within 180 days,
its error the square (Brier score), and the class is death within 60. Every method is measured by
the joint cost, both lambdas 1. Each seed is another random fifth of the patients for the test.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import click
import numpy as np

from experiments.deferral.common import cache_option, data_option, kept, one_thread
from experiments.deferral.ehr_agents import CASES, kept_answers
from experiments.deferral.ehr_data import read_patients
from experiments.deferral.ehr_figure import draw
from experiments.deferral.ehr_tables import Found, claims_table, measured, plain, table
from experiments.deferral.ehr_ways import LAMBDAS, study
from experiments.study import RESULTS, write_results

NAME: Final = "defer_ehr"
PLAIN: Final = str.maketrans({" ": "_", ",": ""})
PUBLISHED: Final = {
    "source": "arXiv:2410.15729, health records: MIMIC-IV, another data set",
    "joint": "accuracy 70.0 %, smooth L1 1.28, model / expert 1 / expert 2 asked 66 / 12 / 22 %",
    "class only": "best accuracy of the three, clearly worse smooth L1, model asked 60 %",
    "regression only": "best smooth L1 (1.18), poor accuracy, model asked 38 %",
    "difference": "other patients and tasks (death at the next visit; length of stay, a category"
    " from 0 to 9 in the released code), transformers on codes of diagnoses and procedures; no"
    " joint cost is reported, and the split that chose checkpoints is the one measured on",
}
SCALED: Final = (
    "SUPPORT2 in place of MIMIC-IV; rejectors are linear or have one hidden layer of 64 units,"
    " where the paper trains a transformer; which clusters each expert knows is a reconstruction"
)


def run(
    data: Path, cache: Path, *, seeds: int, scale: float, told: Callable[[str], None]
) -> dict[str, Found]:
    """Everything that takes time, kept in ``cache`` part by part."""
    patients = read_patients(data)
    order = np.random.default_rng(0).permutation(len(patients.died))
    some = patients.at(np.sort(order[: round(scale * len(order))]))
    found = {}
    for name, case in CASES.items():
        answers, made = [], []
        for seed in range(seeds):
            key = f"{NAME} {name} {scale:g} {seed}".translate(PLAIN)
            path = cache / f"{key}_answers.npz"
            answers.append(kept_answers(path, partial(case.answers, some, seed)))
            made.append(kept(cache, key, partial(study, case, answers[-1], seed)))
            told(f"{name}, seed {seed}")
        found[name] = measured(case, answers, made)
    return found


@click.command()
@data_option
@cache_option
@click.option("--seeds", type=click.IntRange(min=2), default=5, show_default=True)
@click.option("--scale", type=click.FloatRange(0.05, 1), default=1.0, help="Share of the patients.")
@click.option(
    "--output", type=click.Path(path_type=Path), default=RESULTS, help="Folder for both files."
)
@click.option("--quick", is_flag=True, help="Two seeds, a tenth of the rows, nothing is written.")
def main(  # noqa: PLR0913  # the command's options
    data: Path, cache: Path, seeds: int, scale: float, output: Path, *, quick: bool
) -> None:
    """Defer two tasks at once on health records, by every method and its competitors."""
    one_thread()
    seeds, scale = (2, min(scale, 0.1)) if quick else (seeds, scale)
    found = run(data, cache, seeds=seeds, scale=scale, told=lambda what: click.echo(what, err=True))
    scaled = SCALED + (f"; {100 * scale:g} % of the patients" if scale < 1 else "")
    for name, each in found.items():
        title = f"{name}: {each.report.examples[0]} test patients, {seeds} seeds"
        click.echo(f"\n{table(each, title).text()}\n\n{claims_table(each).text()}")
    click.echo("\npublished (another data set):")
    click.echo("\n".join(f"  {key}: {text}" for key, text in PUBLISHED.items()))
    click.echo(f"scaled down: {scaled}")
    if quick:
        return
    findings = {
        "scaled_down": scaled,
        "unit": "joint cost: share of wrong classes plus mean error of the value; intervals are"
        " half-widths at 95 % over seeds (Student's t, corrected for re-divisions of one table)",
        "seeds": seeds,
        "published": PUBLISHED,
        "lambdas of class and value": LAMBDAS,
        "cases": {name: plain(each) for name, each in found.items()},
    }
    write_results(output / f"{NAME}.json", module="experiments.deferral.ehr", findings=findings)
    draw(output / f"{NAME}.png", found, note=f"scaled down: {scaled}")
    click.echo(f"wrote {NAME}.json and {NAME}.png in {output}")


if __name__ == "__main__":
    main()
