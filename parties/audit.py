"""Auditing a party's directory: its ledgers, what they replay to, and the files they name."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistlearn.bundle import Card
from assistlearn.digests import file_digest
from assistlearn.errors import CardError, LedgerDigestError, LedgerError, PartyDirectoryError
from assistlearn.ledger import AuditReport, Entry, Ledger, verify_ledger
from parties.directory import CARD_SUFFIX, LEDGER_SUFFIX, PartyDirectory
from parties.gate.opening import recorded_sessions
from parties.gate.result import kept_result
from parties.history import History, histories, lines
from protocols.learner import LearnerMachine
from protocols.roles import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerView:
    """One ledger with its sessions' histories."""

    peer: Card
    path: Path
    entries: tuple[tuple[Entry, str], ...]
    histories: dict[str, History]


def ledgers(directory: PartyDirectory) -> Iterator[tuple[Card, Path]]:
    """Every ledger, with the card of whom it is kept with: on file still, or not any more.

    Raises:
        LedgerError: there is none at all, one was deleted, or it is not known with whom it was
            kept.
    """
    folder = directory.ledgers
    cards = (path.with_suffix(LEDGER_SUFFIX) for path in folder.glob(f"*{CARD_SUFFIX}"))
    paths = sorted({*folder.glob(f"*{LEDGER_SUFFIX}"), *cards})
    if not paths:
        raise LedgerError(
            f"{directory.root} has no ledger yet", hint="it begins with the first session"
        )
    for path in paths:
        yield _kept_with(directory, path), path


def view(directory: PartyDirectory, peer: Card, path: Path) -> LedgerView:
    """Read a ledger back, replaying every session.

    Raises:
        LedgerError: one of its kinds, by what is wrong.
    """
    role = Role(directory.settings.role)
    with Ledger.read(path) as ledger:
        recorded = recorded_sessions(ledger, own=directory.identity.card, peer=peer)
        found = histories(recorded, role)
        entries = tuple(lines(ledger.entries(), found))
    return LedgerView(peer=peer, path=path, entries=entries, histories=found)


def verify(
    directory: PartyDirectory, peer: Card, path: Path, *, passed: Callable[[str], None]
) -> tuple[AuditReport, LedgerView]:
    """All steps of an audit, in order; each is told to ``passed`` when it holds.

    Raises:
        LedgerError: a class, and so an exit code, for each kind of failure.
    """
    report = verify_ledger(path, own=directory.identity.card, peer=peer)
    for step in report.steps:
        passed(step)
    seen = view(directory, peer, path)
    passed("the recorded events replay, and every note that left is what the replay says")
    count = _check_files(directory, seen)
    passed(f"the files that the ledger names have their digests ({count} checked)")
    return report, seen


def summary(view_: LedgerView) -> list[dict[str, Any]]:
    """Each session in figures."""
    return [
        {
            "session": history.session,
            "peer": view_.peer.name,
            "task": history.recorded.agreement.task,
            "rounds": history.rounds,
            "rounds_agreed": history.recorded.agreement.rounds,
            "messages_left": history.sent,
            "bytes_left": history.sent_bytes,
            "messages_came_in": history.received,
            "bytes_came_in": history.received_bytes,
            "refusals": history.refusals,
            "charge": history.charge,
            "currency": history.recorded.agreement.currency,
            "state": history.recorded.closed or "open",
        }
        for history in view_.histories.values()
    ]


def _kept_with(directory: PartyDirectory, ledger: Path) -> Card:
    path = ledger.with_suffix(CARD_SUFFIX)
    try:
        card = Card.parse(path.read_text(encoding="ascii"))
    except (OSError, UnicodeDecodeError, CardError) as error:
        raise LedgerError(
            f"cannot tell with whom {ledger} was kept: {error}",
            hint=f"put the other party's card there as {path.name}",
        ) from error
    if directory.ledger_path(card) != ledger:
        raise LedgerError(
            f"{ledger} was not kept with {card.name} ({card.short}), whose card is beside it",
            hint=f"put the card with which it was kept there as {path.name}",
        )
    return card


def _check_files(directory: PartyDirectory, seen: LedgerView) -> int:
    checked = 0
    for session, history in seen.histories.items():
        agreement = directory.agreements / f"{session[:16]}.txt"
        if agreement.is_file():
            if agreement.read_bytes() != history.recorded.note:
                raise _differs(agreement)
            checked += 1
        spool = directory.session_folder(session) / "spool"
        for path in sorted(spool.glob("*.safetensors")):
            if file_digest(path) != path.stem:
                raise _differs(path)
            checked += 1
    try:
        result = kept_result(directory)
    except PartyDirectoryError as error:
        raise _differs(directory.models / "assisted.toml") from error
    if result is not None and result.session in seen.histories:
        machine = seen.histories[result.session].machine
        assert isinstance(machine, LearnerMachine)
        if not machine.results or machine.best.digest != result.digest:
            raise _differs(directory.models / "assisted.toml")
        if file_digest(result.model) != result.digest:
            raise _differs(result.model)
        checked += 1
    return checked


def _differs(path: Path) -> LedgerDigestError:
    return LedgerDigestError(
        f"{path} is not what the ledger records",
        hint="it was changed since; restore it from a backup, or ask who changed it",
    )
