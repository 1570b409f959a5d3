"""``assistlearn defer fit``: one surrogate, the honest comparisons, and what is saved of them."""

from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np

from assistlearn.deferral.comparison import (
    BEST_AGENT,
    choose,
    held_out_difference,
    split_rows,
    usable_surrogates,
)
from assistlearn.deferral.report import deferral_report
from assistlearn.deferral.saving import save
from assistlearn.deferral.tables import Outcomes
from assistlearn.digests import file_digest
from assistlearn.errors import ConfigError
from parties.deferral.files import Source, prepare, write_results
from parties.deferral.runs import run
from parties.deferral.screen import show_report
from parties.deferral.words import choice, described
from parties.output import Output

REJECTOR: Final = "rejector.safetensors"


def fit(  # noqa: PLR0913  (one parameter for each option)
    outcomes: Outcomes, table: Path, *, surrogate: str, seed: int, folder: Path, output: Output
) -> None:
    """Fit ``surrogate`` and the honest comparisons; save the one that validation chooses.

    Raises:
        ConfigError: the surrogate is unknown, or does not accept costs as large as these.
        DataError: the table has too few rows.
        StorageError: the folder cannot be written.
    """
    tell(outcomes, output)
    if not usable_surrogates(outcomes, [surrogate])[0]:
        raise ConfigError(
            f"surrogate {surrogate!r} takes costs up to 1, the largest here is"
            f" {outcomes.costs.max():.6g}",
            hint="choose two_stage, or divide costs and prices by the largest",
        )
    split_rows(len(outcomes), seed)  # too few rows are an error before there is a folder
    source = Source.of(table, outcomes, [seed])
    prepare(folder)
    arrays = folder / REJECTOR
    if arrays.exists():
        output.say(f"note: replaces the rejector in {folder}")
    ((fitted, trial),) = run(outcomes, [surrogate], [seed], output, with_choice=False)
    report = deferral_report(trial, agents=outcomes.agents)
    chosen, findings = choose(fitted), [*choice(outcomes, fitted, trial, report)]
    beyond = asdict(held_out_difference(trial, chosen.name, BEST_AGENT))
    chosen.rejector.feature_names_in_ = np.array(outcomes.feature_names, dtype=object)
    card = save(chosen.rejector, arrays)
    results = write_results(
        report,
        folder,
        source,
        findings,
        chosen=chosen.name,
        beyond_best_agent=beyond,
        rejector_sha256=file_digest(arrays),
    )
    show_report(report, output)
    output.say("")
    for sentence in findings:
        output.say(sentence)
    output.say("")
    files = [arrays, card, *results]
    for path in files:
        output.say(f"wrote {path}")
    output.say(f"use it: assistlearn defer decide {arrays} TABLE --output decisions.csv")
    output.event(
        "finished",
        chosen=chosen.name,
        validation_loss={each.name: each.validation_loss for each in fitted},
        beyond_best_agent=beyond,
        findings=findings,
        files=[*map(str, files)],
    )


def tell(outcomes: Outcomes, output: Output) -> None:
    """Say what is in the table."""
    for sentence in described(outcomes):
        output.say(sentence)
    output.event(
        "table",
        rows=len(outcomes),
        agents=outcomes.agents,
        features=outcomes.feature_names,
        left_out=[*outcomes.left_out, *outcomes.row_numbers],
        warnings=outcomes.doubts,
    )
