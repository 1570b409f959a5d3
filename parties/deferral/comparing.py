"""``assistlearn defer report``: all methods over several seeds."""

from collections.abc import Sequence
from pathlib import Path

from assistlearn.deferral.comparison import (
    ONE_STAGE,
    split_rows,
    usable_one_stage,
    usable_surrogates,
)
from assistlearn.deferral.report import deferral_report
from assistlearn.deferral.tables import Outcomes
from parties.deferral.files import Source, prepare, write_results
from parties.deferral.fitting import tell
from parties.deferral.runs import run, run_one_stage
from parties.deferral.screen import show_one_stage, show_report
from parties.deferral.words import findings
from parties.output import Output


def compare(  # noqa: PLR0913  (one parameter for each option)
    outcomes: Outcomes,
    table: Path,
    *,
    surrogates: Sequence[str],
    seeds: int,
    folder: Path | None,
    output: Output,
) -> None:
    """Compare all methods over seeds, each of which divides the rows and fits anew.

    Raises:
        ConfigError: a surrogate is unknown.
        DataError: the table has too few rows.
        StorageError: the folder cannot be written.
    """
    tell(outcomes, output)
    usable, unusable = usable_surrogates(outcomes, surrogates)
    answering = usable_one_stage(outcomes)
    if outcomes.labels is not None:
        unusable += tuple(name for name in ONE_STAGE if name not in answering)
    if unusable:
        output.say(
            f"left out, as they take costs up to 1 and the largest is {outcomes.costs.max():.6g}:"
            f" {', '.join(unusable)}"
        )
    overlap = split_rows(len(outcomes), 0).overlap
    source = Source.of(table, outcomes, range(seeds))
    if folder is not None:
        prepare(folder)  # before the work, not after it
    if outcomes.labels is None:
        output.say("left out: one-stage methods, as no --label names the right classes")
    runs = [*run(outcomes, usable, range(seeds), output)]
    report = deferral_report([trial for _, trial in runs], agents=outcomes.agents, overlap=overlap)
    one_stage, also_stopped = run_one_stage(outcomes, answering, range(seeds), output)
    sentences, files = [*findings(report)], []
    if folder is not None:
        files = write_results(report, folder, source, sentences, one_stage=one_stage)
    show_report(report, output)
    show_one_stage(one_stage, output)
    output.say("")
    for sentence in sentences:
        output.say(sentence)
    stopped = [each.name for fitted, _ in runs for each in fitted if not each.converged]
    stopped += also_stopped
    if stopped:
        names = ", ".join(dict.fromkeys(stopped))
        output.say(f"note: {len(stopped)} fits stopped short of their optimum: {names}")
    if folder is None:
        output.say("note: all tables, and figures, with --output FOLDER")
    for path in files:
        output.say(f"wrote {path}")
    output.event(
        "finished",
        left_out=unusable,
        stopped_early=stopped,
        findings=sentences,
        files=[*map(str, files)],
    )
