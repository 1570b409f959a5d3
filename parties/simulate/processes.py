"""A session of two real parties on this machine: directories, keys, sockets, ledgers.

``learn`` and ``provide`` run as two organisations would start them; only the data are shares of
one data set.
"""

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from assistlearn import errors
from assistlearn.errors import AssistLearnError, RefusedByPeerError, WorkerError
from parties.directory import PartyDirectory
from parties.settings import SimulationSettings
from parties.setup import add_peer, make_party
from parties.simulate.outcome import MethodRound, SessionOutcome
from parties.simulate.toml import toml_text
from protocols.roles import Role

Fields = Mapping[str, Any]
Told = Callable[[Role, Fields], None]
"""Told every event of either party: its JSON object, with its name under ``event``."""

ASSISTLEARN: Final = (sys.executable, "-m", "parties")
STOP_S: Final = 10.0  # a party that was asked to stop has so long to put its files in order


def run_processes(
    settings: SimulationSettings,
    seed: int,
    folder: Path,
    *,
    told: Told = lambda _role, _event: None,
) -> SessionOutcome:
    """Set up two parties in ``folder``, run their session, and say what came of it.

    Raises:
        AssistLearnError: what ended a party before its session, as :func:`party_error` says.
        StorageError: ``folder`` cannot be written.
    """
    directories = set_up_parties(settings, seed, folder)
    return session_outcome(run_parties(directories, told=told))


def run_parties(directories: Mapping[Role, Path], *, told: Told) -> Sequence[Fields]:
    """Run the session of two parties that know each other; the learner's events.

    Raises:
        AssistLearnError: as for :func:`run_processes`.
    """
    heard: list[Fields] = []
    with started_parties(directories) as events:
        for role, event in events:
            told(role, event)
            if role is Role.LEARNER:
                heard.append(event)
    return heard


def set_up_parties(settings: SimulationSettings, seed: int, folder: Path) -> Mapping[Role, Path]:
    """Two party directories that have each other's cards, as ``init`` and ``peer add`` do it.

    Raises:
        PartyDirectoryError: ``folder`` has parties already; nothing was touched.
        StorageError: ``folder`` cannot be written.
    """
    directories = {role: folder / role.value for role in Role}
    port = free_port()
    cards = {}
    for role, directory in directories.items():
        text = toml_text(party_table(settings, seed, role, port=port))
        cards[role] = make_party(directory, role=role, name=role.value, config=text)
    for role, directory in directories.items():
        add_peer(PartyDirectory(directory), cards[role.peer])
    return directories


def party_table(
    settings: SimulationSettings, seed: int, role: Role, *, port: int
) -> dict[str, Any]:
    """The settings file of one party of a study, as plain values."""
    problem = settings.task
    terms = {
        name: value for name, value in settings.terms.model_dump().items() if value is not None
    }
    link: dict[str, Any] = {"provider": f"tcp://127.0.0.1:{port}"}
    if role is Role.PROVIDER:
        link = {"listen": f"tcp://127.0.0.1:{port}"}
    table: dict[str, Any] = {"role": role.value}
    if role is Role.LEARNER and settings.minimum_gain is not None:
        table["minimum_gain"] = settings.minimum_gain
    return table | {
        "terms": terms,
        "task": {
            "factory": "parties.simulate.shares:share_of",
            **problem.model_dump(include={"device", "precision", "wire_dtype", "threads"}),
            "seed": seed,
            "settings": {
                "factory": problem.factory,
                "party": role.value,
                "imbalance": settings.split.imbalance,
                "settings": problem.settings,
            },
        },
        "link": link,
    }


@contextmanager
def started_parties(
    directories: Mapping[Role, Path],
) -> Iterator[Iterator[tuple[Role, Fields]]]:
    """Both parties as processes, and what they say until both are done.

    The provider serves one session. Whatever ends the context, no process is left behind.

    Raises:
        AssistLearnError: from the iterator, when a party reports an error or ends without a word;
            see :func:`party_error`.
    """
    commands = {
        Role.PROVIDER: ("provide", str(directories[Role.PROVIDER]), "--sessions", "1", "--json"),
        Role.LEARNER: ("learn", str(directories[Role.LEARNER]), "--json"),
    }
    processes: dict[Role, subprocess.Popen[str]] = {}
    listeners: list[threading.Thread] = []
    lines: queue.Queue[tuple[Role, str | None]] = queue.Queue()
    try:
        for role, arguments in commands.items():
            with (directories[role] / "stderr.txt").open("w", encoding="utf-8") as stderr:
                process = subprocess.Popen(  # noqa: S603  (our own program)
                    [*ASSISTLEARN, *arguments],
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    text=True,
                    env=_environment(),
                )
            processes[role] = process
            listeners.append(threading.Thread(target=_listen, args=(role, process, lines)))
            listeners[-1].start()
        yield _events(processes, lines)
    finally:
        _stop(processes.values())
        for listener in listeners:
            listener.join()  # at once: its process has ended


def session_outcome(learner_events: Iterable[Fields]) -> SessionOutcome:
    """The rounds of a session from the learner's events."""
    rounds = [
        MethodRound(
            round=event["round"],
            # null where a loss is infinite, which JSON cannot say
            global_loss=float("inf") if event["global_loss"] is None else event["global_loss"],
            metrics=event.get("metrics", {}),
            sent_bytes=event["bytes_sent"],
            received_bytes=event["bytes_received"],
            seconds=event["seconds"],
            provider_step=event.get("step"),
        )
        for event in learner_events
        if event["event"] == "round"
    ]
    return SessionOutcome(rounds=tuple(rounds))


def party_error(role: Role, event: Fields) -> AssistLearnError:
    """The error with which a party ended, from its JSON object: same words, hint and exit code.

    One that has no published exit code (a bug, a kill) becomes a WorkerError.
    """
    code = event.get("exit_code")
    kinds = (
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, AssistLearnError)
    )
    published = (kind for kind in kinds if "exit_code" in vars(kind) and kind.exit_code == code)
    kind = next((kind for kind in published if kind is not AssistLearnError), WorkerError)
    return kind.worded(
        f"the {role}'s process ended: {event.get('error', 'no reason given')}",
        hint=str(event.get("hint") or "look at stderr.txt in its directory"),
    )


def free_port() -> int:
    """A TCP port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _environment() -> dict[str, str]:
    # The folder we were started in stays importable: the study's task may live there.
    path = os.pathsep.join(part for part in (os.getcwd(), os.environ.get("PYTHONPATH")) if part)  # noqa: PTH109
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def _listen(
    role: Role, process: "subprocess.Popen[str]", lines: "queue.Queue[tuple[Role, str | None]]"
) -> None:
    assert process.stdout is not None
    with process.stdout as stdout:
        for line in stdout:
            lines.put((role, line))
    lines.put((role, None))


def _events(
    processes: Mapping[Role, "subprocess.Popen[str]"],
    lines: "queue.Queue[tuple[Role, str | None]]",
) -> Iterator[tuple[Role, Fields]]:
    running = set(processes)
    fault: Fields | None = None
    while running:
        role, line = lines.get()
        if line is None:
            running.discard(role)
            code = processes[role].wait()
            if code:
                raise party_error(role, {"error": f"it left with exit code {code} and no reason"})
            continue
        event = _parsed(line)
        fault = _fault(event) or fault
        if "error" in event:
            if event.get("exit_code") == RefusedByPeerError.exit_code:
                if fault is None and Role.PROVIDER in running:
                    fault = _fault_on_its_way(processes[Role.PROVIDER], lines)
                if fault is not None:
                    raise party_error(Role.PROVIDER, fault)
            raise party_error(role, event)
        if "event" in event:
            yield role, event


def _fault(event: Fields) -> Fields | None:
    """The provider's own fault, of which the learner hears without the reason."""
    return {**event, "error": event["why"]} if event.get("event") == "suspended" else None


def _fault_on_its_way(
    provider: "subprocess.Popen[str]", lines: "queue.Queue[tuple[Role, str | None]]"
) -> Fields | None:
    """What the provider said before the learner ended, though the learner's word came first."""
    _stop([provider])
    while True:
        role, line = lines.get()
        if role is Role.PROVIDER:
            if line is None:
                return None
            if (fault := _fault(_parsed(line))) is not None:
                return fault


def _parsed(line: str) -> dict[str, Any]:
    """A line's object; nothing for what is no JSON object."""
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _stop(processes: Iterable["subprocess.Popen[str]"]) -> None:
    running = [process for process in processes if process.poll() is None]
    for process in running:
        process.send_signal(signal.SIGTERM)
    for process in running:
        try:
            process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
