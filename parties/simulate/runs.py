"""Runs every method on every seed, and skips what an earlier run has finished.

Each finished method is one small file, named after a digest of what its result follows from: the
settings, the versions of this program and of torch, and the source files of the functions that
the settings name. A change of any gives another name, so its old result is not read. Data files
and what those sources import are not covered: after a change of these, ``--force`` runs again.
"""

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from assistlearn.digests import digest
from assistlearn.durable import disk_errors
from parties.settings import SimulationSettings
from parties.simulate.outcome import ASSISTED, MethodRound, MethodRun, SessionOutcome
from parties.simulate.sources import source_digests
from parties.version import installed_version

RunSession = Callable[[SimulationSettings, int, Path], SessionOutcome]
"""Carries out a session in another way than in this process."""
Told = Callable[[str], None]


def run_all(  # noqa: PLR0913  (each is one choice of the command line)
    settings: SimulationSettings,
    *,
    folder: Path,
    methods: Sequence[str] | None = None,
    force: bool = False,
    run_session: RunSession | None = None,
    told: Told = lambda _: None,
) -> tuple[MethodRun, ...]:
    """All seeds and methods, from files where they are there.

    Args:
        settings: of the simulation.
        folder: for the files of finished runs; made once the task is there.
        methods: which to run; None for assisted learning and the baselines in the settings.
        force: run everything again.
        run_session: carries out the assisted sessions; None for in this process.
        told: called with a text after each round of each method, and after each skipped run
            once for each of its rounds.

    Raises:
        StorageError: the folder cannot be written.
    """
    if methods is None:
        methods = (ASSISTED, *settings.baselines)
    separate = run_session is not None
    sources = source_digests(settings.task.references())
    runs: list[MethodRun] = []
    for seed in settings.seeds:
        done = {}
        for method in methods:
            path = folder / _file_name(settings, seed, method, separate=separate, sources=sources)
            known = None if force else _read(path)
            if known is not None:
                for _ in range(settings.terms.rounds):
                    told(f"seed {seed}, {method}: done before")
            done[method] = (path, known)
        runs += _run_seed(settings, seed, done, run_session=run_session, told=told)
    return tuple(runs)


def _run_seed(
    settings: SimulationSettings,
    seed: int,
    done: dict[str, tuple[Path, MethodRun | None]],
    *,
    run_session: RunSession | None,
    told: Told,
) -> Iterator[MethodRun]:
    if all(run is not None for _, run in done.values()):
        yield from (run for _, run in done.values() if run is not None)
        return
    # torch is needed from here on only: showing finished results stays quick
    from parties.simulate.baselines import baseline  # noqa: PLC0415
    from parties.simulate.session import assisted  # noqa: PLC0415
    from parties.simulate.sites import Sites  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="assistlearn-") as scratch:
        sites = Sites(settings, seed=seed, folder=Path(scratch))
        start = MethodRound(
            round=0,
            global_loss=sites.global_loss(sites.start),
            metrics=sites.metrics(sites.start),
            sent_bytes=0,
            received_bytes=0,
            seconds=0.0,
        )
        for method, (path, known) in done.items():
            if known is not None:
                yield known
                continue
            with disk_errors(f"create {path.parent}"):  # before the work that is to be kept there
                path.parent.mkdir(parents=True, exist_ok=True)
            rounds = [start]
            if method == ASSISTED and run_session is not None:
                made = iter(run_session(settings, seed, Path(scratch) / "processes").rounds)
            elif method == ASSISTED:
                made = assisted(sites, minimum_gain=settings.minimum_gain)
            else:
                made = baseline(sites, method)
            for each in made:
                rounds.append(each)
                told(f"seed {seed}, {method}, round {each.round}")
            for _ in range(settings.terms.rounds + 1 - len(rounds)):
                told(f"seed {seed}, {method}: stopped")
            run = MethodRun(seed=seed, method=method, rounds=tuple(rounds))
            _write(path, run)
            yield run


def _file_name(
    settings: SimulationSettings,
    seed: int,
    method: str,
    *,
    separate: bool,
    sources: Mapping[str, str],
) -> str:
    basis = {
        "version": installed_version(),
        "torch": version("torch"),
        "terms": settings.terms.model_dump(),
        "task": settings.task.model_dump(),
        "sources": sources,
        "split": settings.split.model_dump(),
        "seed": seed,
        "method": method,
    }
    if method == ASSISTED:
        basis |= {"minimum_gain": settings.minimum_gain, "separate": separate}
    text = json.dumps(basis, sort_keys=True, default=str)
    return f"seed-{seed}-{method}-{digest(text.encode())[:16]}.json"


def _read(path: Path) -> MethodRun | None:
    """A finished run; None where there is none, or none that this version understands."""
    with disk_errors(f"read {path}"):
        try:
            return MethodRun.from_json(json.loads(path.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None


def _write(path: Path, run: MethodRun) -> None:
    unfinished = path.with_suffix(".unfinished")
    with disk_errors(f"write {path}"):
        # Infinity is a loss too; json writes and reads it, though other programs do not.
        unfinished.write_text(json.dumps(run.to_json(), indent=1), encoding="utf-8")
        os.replace(unfinished, path)  # noqa: PTH105  (atomic: whole, or not there)
