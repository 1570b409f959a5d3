"""The checks of ``assistlearn doctor``, each on its own, each with what to do if it fails."""

import platform
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import zmq

from assistlearn.bundle import SealingKey, sealing_public_key
from assistlearn.checkpoints import ModelSpec
from assistlearn.digests import digest
from assistlearn.durable import disk_errors
from assistlearn.errors import (
    AssistLearnError,
    PartyDirectoryError,
    StorageError,
    TransportError,
    UnknownPeerError,
)
from parties.directory import PartyDirectory
from parties.gate.handshake import check_loss, check_quota, round_bytes_bound
from parties.gate.link import address_family
from parties.gate.worker import WorkerProcess
from parties.output import format_bytes
from protocols.agreement import Terms
from protocols.roles import Role

REACH_S: Final = 3.0
ADVISED_EXAMPLES: Final = 1_000  # between two checkpoints that are sent
SHOWN: Final = 100  # characters of a line of the schema that people read aloud
LIBRARIES: Final = ("torch", "pyzmq", "cryptography", "safetensors", "msgpack")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One finding."""

    name: str
    state: str
    """``ok``, ``warning`` or ``failed``."""
    detail: str
    hint: str = ""
    exit_code: int = 0


def checks(root: Path) -> Iterator[Check]:
    """Every check that can be made, in the order in which a person would mend things.

    Without settings in order, nothing can be said of peers, task and link.
    """
    directory = PartyDirectory(root)
    yield _check("machine", _machine)
    yield _check("cryptography", _cryptography)
    settings = _check("settings", lambda: _settings(directory))
    yield settings
    yield _check("keys", lambda: _keys(directory))
    if settings.exit_code:
        return
    yield _check("peers", lambda: _peers(directory))
    yield from _task(directory)
    yield _check("link", lambda: _link(directory))


def _check(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name=name, state="ok", detail=look())
    except AssistLearnError as error:
        return Check(
            name=name,
            state="failed",
            detail=str(error),
            hint=error.hint,
            exit_code=error.exit_code,
        )


def _machine() -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return f"Python {platform.python_version()}, {versions}"


def _cryptography() -> str:
    if not zmq.has("curve"):
        raise TransportError("this build of ZeroMQ has no CURVE", hint="install pyzmq from a wheel")
    sealing_public_key(SealingKey(bytes(32)).public)
    return "Ed25519 with ML-DSA-44, X25519 with ML-KEM-768, CURVE"


def _settings(directory: PartyDirectory) -> str:
    settings = directory.settings
    return f"{settings.role}, task {settings.terms.task}"


def _keys(directory: PartyDirectory) -> str:
    card = directory.identity.card
    return f"we are {card.name}, our fingerprint is {card.short}"


def _peers(directory: PartyDirectory) -> str:
    cards = directory.cards()
    if not cards:
        raise UnknownPeerError(
            "no card is on file",
            hint=f"add one: assistlearn peer add CARD --dir {directory.root}",
        )
    if Role(directory.settings.role) is Role.LEARNER:
        directory.only_peer()
    return ", ".join(f"{card.name} {card.short}" for card in cards.values())


def _task(directory: PartyDirectory) -> Iterator[Check]:
    worker = WorkerProcess(directory.root)
    try:
        described = worker.describe()
    except AssistLearnError as error:
        yield Check(
            name="task",
            state="failed",
            detail=str(error),
            hint=error.hint,
            exit_code=error.exit_code,
        )
        return
    finally:
        worker.stop()
    spec = ModelSpec.parse(described.spec)
    yield Check(
        name="task",
        state="ok",
        detail=f"{described.samples:,} examples, {spec.elements:,} numbers in a model of"
        f" {format_bytes(spec.file_bytes)}",
    )
    terms = directory.settings.terms.terms()
    steps = max(terms.learner_steps or 0, terms.provider_steps or 0, (terms.total_steps or 1) - 1)
    yield Check(name="data", state="ok", detail=_shown(described.schema))
    agreeable = _check("terms", lambda: _terms(terms, described.schema, steps, spec))
    yield agreeable
    yield _check("disk", lambda: _disk(directory, round_bytes_bound(len(terms.grid(steps)), spec)))
    if not agreeable.exit_code:
        batch = directory.settings.task.settings.get("batch_size")
        examples = min(batch, described.samples) if isinstance(batch, int) else None
        role = Role(directory.settings.role)
        yield from privacy(terms, role, examples=examples, own=described.samples)


def privacy(terms: Terms, role: Role, *, examples: int | None, own: int) -> Iterator[Check]:
    """How many examples lie between the two nearest checkpoints of a round, if any two are sent.

    Args:
        terms: of the session.
        role: whose checkpoints.
        examples: seen in one update; None where the settings do not say.
        own: all that this party has. Those that are seen again count once.
    """
    steps = terms.learner_steps if role is Role.LEARNER else terms.provider_steps
    # Without total updates of our own, what is known is the period, but not where a round ends.
    grid = terms.grid(steps) if steps else (0, terms.sampling_period)
    updates = [after - before for before, after in pairwise(grid)]
    if not updates:
        return
    if examples is None:
        yield Check(
            name="privacy",
            state="warning",
            detail="unknown: [task.settings] has no batch_size to say how many examples an update"
            f" sees; updates between two checkpoints: {min(updates):,}",
            hint="set batch_size there, or, where the task takes none, count for yourself: between"
            f" two checkpoints at least {ADVISED_EXAMPLES:,} examples are advised",
        )
        return
    gaps = [min(examples * each, own) for each in updates]
    fewest = min(gaps)
    only_last = len(gaps) > 1 and fewest < min(gaps[:-1])
    between = "the last two checkpoints of a round" if only_last else "two checkpoints"
    detail = f"{fewest:,} examples between {between}"
    if not steps and terms.include_last:
        detail += f" (between the last two of a round perhaps fewer, but {examples:,} at least)"
    if fewest >= ADVISED_EXAMPLES:
        yield Check(name="privacy", state="ok", detail=detail)
        return
    yield Check(
        name="privacy",
        state="warning",
        detail=f"{detail}, at least {ADVISED_EXAMPLES:,} are advised: from neighbouring models"
        " single records can be read",
        hint="add examples: with so few, no setting reaches what is advised"
        if own < ADVISED_EXAMPLES
        else "make the updates of a round a multiple of terms.sampling_period"
        if only_last and min(gaps[:-1]) >= ADVISED_EXAMPLES
        else "raise terms.sampling_period or the batch size",
    )


def _shown(schema: str) -> str:
    """What must be alike on both sides, short enough to read aloud."""
    if not schema:
        return "the task does not say what both sides' data must have in common"
    lines = "; ".join(map(_shortened, schema.splitlines()))
    return f"{digest(schema.encode())[:16]} ({lines})"


def _shortened(line: str) -> str:
    """A long line's beginning with a digest of the whole, or a difference would not show."""
    if len(line) <= SHOWN:
        return line
    return f"{line[:SHOWN]}... (whole: {digest(line.encode())[:8]})"


def _terms(terms: Terms, schema: str, steps: int, spec: ModelSpec) -> str:
    check_loss(terms, schema)
    needed = check_quota(terms.round_bytes, checkpoints=len(terms.grid(steps)), spec=spec)
    paid = terms.affordable_rounds
    limit = "" if paid == terms.rounds else f", {paid} of {terms.rounds} that the budget pays for"
    return f"up to {paid} rounds{limit}, up to {format_bytes(needed)} a round"


def _disk(directory: PartyDirectory, round_bytes: int) -> str:
    needed = 3 * round_bytes  # both trajectories of a round, and a snapshot with its optimiser
    with disk_errors(f"write to {directory.root}"):
        tempfile.TemporaryFile(dir=directory.root).close()
    free = shutil.disk_usage(directory.root).free
    if free < needed:
        raise StorageError(
            f"{format_bytes(free)} are free in {directory.root}, a round needs up to"
            f" {format_bytes(needed)}",
            hint="free some space, or sample fewer checkpoints",
        )
    return f"{format_bytes(free)} free, a round needs up to {format_bytes(needed)}"


def _link(directory: PartyDirectory) -> str:
    link = directory.settings.link
    if _running(directory):
        return "this party is running now, in another process"
    if link.listen is not None:
        host, port = _host_and_port(link.listen)
        try:
            with socket.socket(address_family(link.listen)) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("" if host == "*" else host, port))
        except OSError as error:
            raise TransportError(
                f"cannot listen on {link.listen}: {error.strerror}",
                hint="choose a free port, or stop the program that has it",
            ) from error
        return f"{link.listen} is free"
    assert link.provider is not None
    try:
        with socket.socket(address_family(link.provider)) as probe:
            probe.settimeout(REACH_S)
            probe.connect(_host_and_port(link.provider))
    except OSError as error:
        unknown = isinstance(error, socket.gaierror)
        raise TransportError(
            f"cannot reach {link.provider}: {error.strerror or error}",
            hint="check the host's name in link.provider"
            if unknown
            else "check that the provider is running and that no firewall is in between",
        ) from error
    return f"{link.provider} answers (keys are not tried here)"


def _running(directory: PartyDirectory) -> bool:
    try:
        with directory.locked():
            return False
    except PartyDirectoryError:
        return True


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = urlsplit(address).netloc.rpartition(":")
    return host.strip("[]"), int(port)
