"""One simulation from settings to files: runs, results, figures, advice."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table

from parties.output import Output, format_bytes
from parties.settings import SimulationSettings
from parties.simulate.advice import advice
from parties.simulate.outcome import ASSISTED, LABELS
from parties.simulate.results import Results, Spread, write_csv, write_json
from parties.simulate.runs import RunSession, run_all
from parties.version import made_with

AMPLE: Final = 1000  # columns of a screen on which any table fits


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """What a simulation found, and where it is."""

    results: Results
    advice: tuple[str, ...]
    files: tuple[Path, ...]


def run_study(  # noqa: PLR0913  (each is one choice of the command line)
    settings: SimulationSettings,
    *,
    folder: Path,
    output: Output,
    force: bool = False,
    run_session: RunSession | None = None,
    scale: float = 1.0,
    scaled: str = "",
) -> Study:
    """Run what is not done yet and write ``results.json``, ``results.csv`` and two figures.

    Args:
        settings: of the simulation.
        folder: for all files; made if absent.
        output: where progress goes.
        force: run everything again.
        run_session: carries out assisted sessions; None for in this process.
        scale: by which the settings were scaled down; in the table and on the figures.
        scaled: how this differs from the study asked for; written into the results.

    Raises:
        StorageError: the folder cannot be written.
    """
    methods = 1 + len(settings.baselines)
    total = len(settings.seeds) * methods * settings.terms.rounds
    with output.progress(total, "round") as told:
        runs = run_all(
            settings, folder=folder / "runs", force=force, run_session=run_session, told=told
        )
    results = Results(settings=settings, runs=runs, scale=scale)
    sentences = advice(results)
    files = tuple(
        folder / name for name in ("results.json", "results.csv", "rounds.png", "costs.png")
    )
    document, table, rounds, costs = files
    write_json(document, results, scaled=scaled, advice=sentences, made_with=made_with())
    write_csv(table, results)
    # matplotlib takes a second to import: after the work, not before it
    from parties.simulate.figures import draw_costs, draw_rounds  # noqa: PLC0415

    draw_rounds(rounds, results)
    draw_costs(costs, results)
    return Study(results=results, advice=sentences, files=files)


class NarrowTable(Table):
    """A table that leaves out its last columns where the screen has no room for them."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """As rich draws what is left."""
        ample = options.update(max_width=AMPLE)
        while (
            len(self.columns) > 1
            and Measurement.get(console, ample, self).maximum > options.max_width
        ):
            self.columns.pop()
        return super().__rich_console__(console, options)


def results_table(results: Results) -> Table:
    """Every method after the last round: mean and standard error over seeds."""
    last = results.rounds
    accuracy = results.main_measure == "accuracy"
    table = NarrowTable(box=None, pad_edge=False)  # 80 columns hold it; money is in the files
    early = any(run.rounds[-1].round < last for run in results.of(ASSISTED))
    table.add_column(f"after round {last}{' or stop' if early else ''}", no_wrap=True)
    if accuracy:
        table.add_column("accuracy,\n%", justify="right")
        table.add_column("vs learner\nalone", justify="right")
    table.add_column("global loss,\nnats", justify="right")
    table.add_column("bytes", justify="right")
    table.add_column("seconds", justify="right")
    for method in results.methods:
        cells = [LABELS[method]]
        if accuracy:
            cells.append(_shown(results.spread(method, last, "accuracy"), scale=100, digits=1))
            cells.append(_above_learner(results, method, last))
        cells.append(_shown(results.spread(method, last, "global_loss"), scale=1, digits=3))
        crossed = results.spread(method, last, "bytes").mean
        cells.append(format_bytes(crossed) if crossed else "")
        cells.append(f"{results.spread(method, last, 'seconds').mean:.1f}")
        table.add_row(*cells, style="bold" if method == ASSISTED else None)
    return table


def _above_learner(results: Results, method: str, round_: int) -> str:
    if method == "learner_only" or "learner_only" not in results.methods:
        return ""
    ahead = results.difference(method, "learner_only", round_, "accuracy")
    return _shown(ahead, scale=100, digits=1, sign="+")


def _shown(value: Spread, *, scale: float, digits: int, sign: str = "") -> str:
    text = f"{scale * value.mean:{sign}.{digits}f}"
    return text if value.count == 1 else f"{text} ± {scale * value.error:.{digits}f}"
