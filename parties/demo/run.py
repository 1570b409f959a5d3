"""The demo from its settings to a table, a figure and two parties' directories."""

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

from assistlearn.durable import disk_errors
from parties.demo.screen import Screen
from parties.output import Output
from parties.settings import SimulationSettings
from parties.settings_file import load_settings
from parties.simulate.outcome import ASSISTED, MethodRun, SessionOutcome
from parties.simulate.processes import run_parties, session_outcome, set_up_parties
from parties.simulate.results import Results, write_json
from parties.simulate.runs import run_all
from protocols.roles import Role

SETTINGS: Final = Path(__file__).parent / "demo.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """What the demo found, and where it is."""

    results: Results
    directories: Mapping[Role, Path]
    figure: Path
    document: Path
    seconds: float


def run_demo(folder: Path, *, output: Output) -> Demo:
    """Run both parties, and beside them the models they are compared with.

    Args:
        folder: a new folder below it takes all files; nothing that is there is touched.
        output: where progress goes.

    Raises:
        AssistLearnError: what ended a party before its session.
        StorageError: the folder cannot be written.
    """
    started = time.monotonic()
    settings = load_settings(SETTINGS, SimulationSettings)
    seed = settings.seeds[0]
    place = new_folder(folder)
    output.say(f"two parties with the digits of scikit-learn, in {place}")
    directories = set_up_parties(settings, seed, place)
    with (
        ThreadPoolExecutor(max_workers=1) as beside,
        Screen(output=output, rounds=settings.terms.rounds).shown() as screen,
    ):
        baselines = beside.submit(
            run_all, settings, folder=place / "baselines", methods=settings.baselines
        )
        outcome = session_outcome(run_parties(directories, told=screen.take))
        results = demo_results(settings, outcome, baselines.result())

    # matplotlib takes a second to import: after the work, not before it
    from parties.simulate.figures import draw_rounds  # noqa: PLC0415

    figure, document = place / "rounds.png", place / "results.json"
    draw_rounds(figure, results)
    write_json(document, results)
    return Demo(
        results=results,
        directories=directories,
        figure=figure,
        document=document,
        seconds=time.monotonic() - started,
    )


def demo_results(
    settings: SimulationSettings, outcome: SessionOutcome, baselines: tuple[MethodRun, ...]
) -> Results:
    """The session beside its baselines; all start from the same initial model."""
    start = baselines[0].rounds[0]
    assisted = MethodRun(seed=settings.seeds[0], method=ASSISTED, rounds=(start, *outcome.rounds))
    return Results(settings=settings, runs=(assisted, *baselines))


def new_folder(folder: Path) -> Path:
    """``folder/run-1``, or the first number that is free; made.

    Raises:
        StorageError: it cannot be made.
    """
    for number in count(1):
        place = folder / f"run-{number}"
        if not place.exists():
            break
    with disk_errors(f"create {place}"):
        place.mkdir(parents=True)
    return place
