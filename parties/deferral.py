"""What ``assistlearn defer`` does: a table of outcomes in, a comparison and a rejector out."""

from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Final

import numpy as np
import rich.table

from assistlearn.checkpoints.durable import disk_errors
from assistlearn.deferral.comparison import (
    BEST_AGENT,
    CHOSEN,
    ONE_STAGE,
    OWN_CLASSIFIER,
    THRESHOLD,
    Fitted,
    choose,
    fit_methods,
    measured_trial,
    methods,
    one_stage_trials,
    random_as,
    split_rows,
    usable_one_stage,
    usable_surrogates,
)
from assistlearn.deferral.rejectors import FixedAgent, OneStageRejector
from assistlearn.deferral.report import (
    Report,
    Table,
    Trial,
    deferral_report,
    report_json,
    report_markdown,
    report_tables,
    write_report,
)
from assistlearn.deferral.saving import save
from assistlearn.deferral.tables import Outcomes
from assistlearn.errors import ConfigError
from parties.output import Output

SHOWN: Final = 6  # names in one line; the others are counted
REJECTOR: Final = "rejector.safetensors"


def fit(outcomes: Outcomes, *, surrogate: str, seed: int, folder: Path, output: Output) -> None:
    """Fit ``surrogate`` and the honest comparisons; save the one that validation chooses.

    Raises:
        ConfigError: the surrogate is unknown, or does not accept costs as large as these.
        DataError: the table has too few rows.
        StorageError: the folder cannot be written.
    """
    _describe(outcomes, output)
    if not usable_surrogates(outcomes, [surrogate])[0]:
        raise ConfigError(
            f"surrogate {surrogate!r} takes costs up to 1, the largest here is"
            f" {outcomes.costs.max():.6g}",
            hint="choose two_stage, or divide costs and prices by the largest",
        )
    ((fitted, trial),) = _run(outcomes, [surrogate], [seed], output, with_choice=False)
    report = deferral_report(trial, agents=outcomes.agents)
    _show(report, output)
    output.say("")
    for sentence in choice(outcomes, fitted):
        output.say(sentence)
    _make(folder)
    chosen, arrays = choose(fitted), folder / REJECTOR
    chosen.rejector.feature_names_in_ = np.array(outcomes.feature_names, dtype=object)
    card = save(chosen.rejector, arrays)
    output.say("")
    for path in (arrays, card):
        output.say(f"wrote {path}")
    files = [str(arrays), str(card), *_write(report, folder, output)]
    output.say(f'use it: assistlearn.deferral.saving.load("{arrays}").decide(features)')
    output.event(
        "finished",
        chosen=chosen.name,
        validation_loss={each.name: each.validation_loss for each in fitted},
        findings=[*choice(outcomes, fitted)],
        files=files,
    )


def compare(
    outcomes: Outcomes,
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
    _describe(outcomes, output)
    usable, unusable = usable_surrogates(outcomes, surrogates)
    answering = usable_one_stage(outcomes)
    if outcomes.labels is not None:
        unusable += tuple(name for name in ONE_STAGE if name not in answering)
    if unusable:
        output.say(
            f"left out, as they take costs up to 1 and the largest is {outcomes.costs.max():.6g}:"
            f" {', '.join(unusable)}"
        )
    if folder is not None:
        _make(folder)  # before the work, not after it
    if outcomes.labels is None:
        output.say("left out: one-stage methods, as no --label names the right classes")
    runs = [*_run(outcomes, usable, range(seeds), output)]
    report = deferral_report([trial for _, trial in runs], agents=outcomes.agents)
    one_stage, also_stopped = _one_stage(outcomes, answering, range(seeds), output)
    _show(report, output)
    _show_one_stage(one_stage, output)
    output.say("")
    for sentence in findings(report):
        output.say(sentence)
    stopped = [each.name for fitted, _ in runs for each in fitted if not each.converged]
    stopped += also_stopped
    if stopped:
        names = ", ".join(dict.fromkeys(stopped))
        output.say(f"note: {len(stopped)} fits stopped short of their optimum: {names}")
    if folder is None:
        output.say("note: all tables, and figures, with --output FOLDER")
    output.event(
        "finished",
        left_out=unusable,
        stopped_early=stopped,
        findings=[*findings(report)],
        files=[] if folder is None else _write(report, folder, output, one_stage),
    )


def choice(outcomes: Outcomes, fitted: Sequence[Fitted]) -> Iterator[str]:
    """What validation chose, and from what."""
    chosen = choose(fitted)
    losses = ", ".join(f"{each.name} {each.validation_loss:.3f}" for each in fitted)
    yield f"deferral losses on the validation rows, before they were learned from too: {losses}"
    yield f"chosen: {chosen.name}"
    if isinstance(chosen.rejector, FixedAgent):
        name = outcomes.agents[chosen.rejector.agent_]
        yield f"as far as these rows can tell, no rejector beats asking {name} every time"


def findings(report: Report) -> Iterator[str]:
    """What choosing by validation is worth, beside one agent for everything."""
    loss = attrgetter("deferral_loss")
    chosen = report.method(CHOSEN).spread(loss)
    yield (
        f"The method that validation chooses has a deferral loss of {chosen.mean:.3f}, the oracle"
        f" {report.oracle.spread(loss).mean:.3f}."
    )
    gap = report.difference(BEST_AGENT, CHOSEN, loss)
    saved = "less" if gap.mean >= 0 else "more"
    yield (
        f"That is {abs(gap.mean):.4f} {saved} than always asking the agent that was best in"
        " training."
    )
    if len(report.seeds) == 1:
        yield "One seed cannot say how sure that is: try --seeds 5."
    elif abs(gap.mean) <= gap.half_width:
        yield (
            f"The 95 % interval over {len(report.seeds)} seeds, ±{gap.half_width:.4f}, includes"
            " no difference at all."
        )
    else:
        yield f"The 95 % interval over {len(report.seeds)} seeds is ±{gap.half_width:.4f}."
    chance = report.method(random_as(CHOSEN)).spread(loss)
    yield f"Random choices with the same shares have a deferral loss of {chance.mean:.3f}."


def _describe(outcomes: Outcomes, output: Output) -> None:
    agents, features = outcomes.agents, outcomes.feature_names
    output.say(f"{len(outcomes)} rows; agents: {agents[0]} (agent 0), {_listed(agents[1:])}")
    output.say(f"features ({len(features)}): {_listed(features)}")
    if outcomes.left_out:
        output.say(f"left out, no numbers: {_listed(outcomes.left_out)}")
    if outcomes.confidence is None:
        output.say(f"left out: {THRESHOLD}, as no feature is called {outcomes.confidence_name}")
    output.event(
        "table",
        rows=len(outcomes),
        agents=agents,
        features=features,
        left_out=outcomes.left_out,
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _run(
    outcomes: Outcomes,
    surrogates: Sequence[str],
    seeds: Sequence[int],
    output: Output,
    *,
    with_choice: bool = True,
) -> Iterator[tuple[tuple[Fitted, ...], Trial]]:
    total = len(seeds) * len(methods(surrogates, seed=0, confidence=outcomes.confidence))
    with output.progress(total, "fit") as advance:
        for seed in seeds:
            split = split_rows(len(outcomes), seed)
            fitted = fit_methods(
                outcomes,
                methods(surrogates, seed=seed, confidence=outcomes.confidence),
                split,
                told=lambda name, seed=seed: advance(f"seed {seed}, {name}"),  # type: ignore[misc]
            )
            trial = measured_trial(outcomes, fitted, split, seed=seed, with_choice=with_choice)
            yield fitted, trial


def _one_stage(
    outcomes: Outcomes,
    unfitted: Mapping[str, OneStageRejector],
    seeds: Sequence[int],
    output: Output,
) -> tuple[dict[str, Report], list[str]]:
    """A report for each one-stage method, as each has an agent 0 of its own; and who stopped."""
    if not unfitted:
        return {}, []
    with output.progress(len(seeds) * len(unfitted), "fit") as advance:
        runs = [
            one_stage_trials(
                outcomes,
                unfitted,
                split_rows(len(outcomes), seed),
                seed=seed,
                told=lambda name, seed=seed: advance(f"seed {seed}, {name}"),  # type: ignore[misc]
            )
            for seed in seeds
        ]
    agents = (OWN_CLASSIFIER, *outcomes.agents[1:])
    reports = {
        name: deferral_report([run[name].trial for run in runs], agents=agents) for name in unfitted
    }
    return reports, [name for run in runs for name, each in run.items() if not each.converged]


def one_stage_table(reports: Mapping[str, Report]) -> Table:
    """The methods' rows of the reports' first tables, in one."""
    tables = [report_tables(each)[0] for each in reports.values()]
    return Table(
        title="one-stage methods, which learn to answer too",
        columns=tables[0].columns,
        rows=tuple(row for each in tables for row in each.rows[:2]),
        note="agent 0 is each method's own classifier instead of the main model, free to ask;"
        " regret is by its errors",
    )


def _show_one_stage(reports: Mapping[str, Report], output: Output) -> None:
    if not reports:
        return
    _show_table(one_stage_table(reports).cut(output.live_console.width), output)
    for name, report in reports.items():
        output.event("method", name=name, **report_json(report)["summary"][name])


def _show(report: Report, output: Output) -> None:
    """The first table, cut to the screen, and of the next two those that fit it."""
    width = output.live_console.width
    first, *others = report_tables(report)
    for table in (first.cut(width), *(each for each in others[:2] if each.fits(width))):
        _show_table(table, output)
    for name, figures in report_json(report)["summary"].items():
        output.event("method", name=name, **figures)


def _show_table(table: Table, output: Output) -> None:
    output.say("")
    output.say(table.title)
    output.show(drawn(table))
    if table.note:
        output.say(table.note)


def drawn(table: Table) -> rich.table.Table:
    """A report's table as rich draws it, without title and note."""
    found = rich.table.Table(box=None, pad_edge=False, padding=(0, 1))
    for number, heading in enumerate(table.columns):
        found.add_column(heading, justify="right" if number else "left", no_wrap=True)
    for row in table.rows:
        found.add_row(*row)
    return found


def _make(folder: Path) -> None:
    with disk_errors(f"make {folder}"):
        folder.mkdir(parents=True, exist_ok=True)


def _write(
    report: Report, folder: Path, output: Output, one_stage: Mapping[str, Report] | None = None
) -> list[str]:
    """All tables, all figures, all values; the files' paths."""
    from assistlearn.deferral.report.figures import write_figures  # noqa: PLC0415  (matplotlib)

    document, text = folder / "results.json", folder / "report.md"
    write_report(document, report)
    parts, others = [report_markdown(report)], []
    if one_stage:
        parts.append(one_stage_table(one_stage).markdown())
    for name, each in (one_stage or {}).items():
        others.append(folder / f"{name.replace(' ', '_').replace('-', '_')}.json")
        write_report(others[-1], each)
    with disk_errors(f"write {text}"):
        text.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    files = [document, text, *others, *write_figures(folder, report)]
    for path in files:
        output.say(f"wrote {path}")
    return [str(path) for path in files]
