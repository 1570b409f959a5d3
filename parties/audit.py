"""Auditing a party's directory: its ledgers, what they replay to, and the files they name."""

import hashlib
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from assistlearn.bundle import Card
from assistlearn.durable import disk_errors
from assistlearn.errors import CardError, LedgerDigestError, LedgerError
from assistlearn.ledger import AuditReport, Entry, Ledger, verify_ledger
from assistlearn.ledger.files import open_to_read
from parties.directory import CARD_SUFFIX, PartyDirectory
from parties.gate.opening import recorded_sessions
from parties.gate.result import CARD, RESULT, card_values
from parties.history import History, histories, lines
from protocols.learner import LearnerMachine
from protocols.roles import Role

MODEL_SUFFIX: Final = ".safetensors"
MAX_CARD_BYTES: Final = 4096  # longer than any card of a party
SESSION_NAME: Final = re.compile(r"[0-9a-f]{16}")  # of a session's files


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerView:
    """One ledger with its sessions' histories."""

    peer: Card
    path: Path
    entries: tuple[tuple[Entry, str], ...]
    histories: dict[str, History]


def ledgers(
    directory: PartyDirectory, *, failed: Callable[[LedgerError, Path], None] | None = None
) -> Iterator[tuple[Card, Path]]:
    """Every ledger, with the card of whom it is kept with: on file still, or not any more.

    Args:
        directory: the party's.
        failed: told of a ledger of which it is not known with whom it was kept, so that the
            others can still be looked at; without it, that ends the list.

    Raises:
        LedgerError: there is none at all; or, without ``failed``, what it would be told.
    """
    paths = directory.ledger_paths()
    if not paths:
        raise LedgerError(
            f"{directory.root} has no ledger yet", hint="it begins with the first session"
        )
    for path in paths:
        try:
            peer = _kept_with(directory, path)
        except LedgerError as error:
            if failed is None:
                raise
            failed(error, path)
        else:
            yield peer, path


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
    """All steps of an audit of one ledger, in order; each is told to ``passed`` when it holds.

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
        with open_to_read(path) as file:
            card = Card.parse(file.read(MAX_CARD_BYTES).decode("ascii"))
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


def check_results(directory: PartyDirectory, views: Iterable[LedgerView]) -> int:
    """Compare a learner's models and every value of their cards with what the ledgers replay to.

    A card may be of any ledger's session, so this is for once all of them are found whole. A
    model has a card, unless its session is open: a process was killed between the two, then.

    Returns:
        How many there are: the result, and what other sessions left under their names.

    Raises:
        LedgerDigestError: they are not what the ledgers say.
        StorageError: they cannot be read.
    """
    sessions = {
        session: (history, view_.peer)
        for view_ in views
        for session, history in view_.histories.items()
    }
    cards = _results(directory, ".toml")
    models = {_check_result(card, sessions) for card in cards}
    without = [path for path in _results(directory, MODEL_SUFFIX) if path not in models]
    for model in without:
        _check_without_card(model, sessions)
    return len(cards) + len(without)


def _results(directory: PartyDirectory, suffix: str) -> list[Path]:
    """Files that sessions leave under the name of the result or under their own."""
    return [
        path
        for path in sorted(directory.models.glob(f"*{suffix}"))
        if path.stem == RESULT or SESSION_NAME.fullmatch(path.stem)
    ]


def _check_result(card: Path, sessions: Mapping[str, tuple[History, Card]]) -> Path:
    """The model that is beside a card; both are what the ledger says."""
    try:
        values = tomllib.loads((_content(card) or b"").decode())
    except (ValueError, RecursionError) as error:  # as TOML and Unicode have them
        raise _differs(card) from error
    session, rounds = str(values.get("session")), values.get("rounds")
    history, peer = sessions.get(session, (None, None))
    if history is None or peer is None or not isinstance(history.machine, LearnerMachine):
        raise LedgerDigestError(
            f"{card} is of a session that this party's ledgers do not record as a learner's",
            hint="move it to the directory of the learner that it came from",
        )
    results = history.machine.results
    if card.name == CARD:
        sound = history.machine.done and rounds == len(results)
    else:  # a session that ended early, or was about to: it may have gone on since
        sound = session.startswith(card.stem) and rounds in range(1, len(results) + 1)
    if not sound or type(rounds) is not int:
        raise _differs(card)
    expected = card_values(history.recorded.agreement, peer, results[:rounds])
    if unknown := values.keys() - expected.keys():
        raise LedgerDigestError(
            f"{card} says something of {min(unknown)!r}, its ledger nothing",
            hint="it was changed since; restore it from a backup, or ask who changed it",
        )
    for name, value in expected.items():
        if repr(values.get(name)) != repr(value):  # 1, 1.0 and true are equal, but not alike
            raise LedgerDigestError(
                f"{card} says that {name} is {values.get(name)!r}, its ledger says {value!r}",
                hint="it was changed since; restore it from a backup, or ask who changed it",
            )
    model = card.with_suffix(MODEL_SUFFIX)
    if not model.is_file():  # it is set aside before its card, perhaps by a process killed then
        aside = card.with_name(session[:16] + MODEL_SUFFIX)
        model = aside if aside.is_file() else model
    if _digest(model) != values["sha256"]:
        raise _differs(model)
    return model


def _check_without_card(model: Path, sessions: Mapping[str, tuple[History, Card]]) -> None:
    """Refuse a model that no session left which is still to write its card."""
    found = _digest(model)
    for session, (history, _) in sessions.items():
        machine = history.machine
        if (
            not history.order.over
            and isinstance(machine, LearnerMachine)
            and (session.startswith(model.stem) or (model.stem == RESULT and machine.done))
            and found in {result.digest for result in machine.results}
        ):
            return
    raise LedgerDigestError(
        f"{model} has no card, and no open session left it",
        hint=f"restore {model.stem}.toml from a backup, or move the model elsewhere",
    )


def _check_files(directory: PartyDirectory, seen: LedgerView) -> int:
    checked = 0
    for session, history in seen.histories.items():
        agreement = directory.agreements / f"{session[:16]}.txt"
        text = _content(agreement)
        if text is None:
            raise _missing(agreement)
        if text != history.recorded.note:
            raise _differs(agreement)
        checked += 1
        spool = directory.session_folder(session) / "spool"
        for path in sorted(spool.glob("*.safetensors")):
            if _digest(path) != path.stem:
                raise _differs(path)
            checked += 1
    return checked


def _content(path: Path) -> bytes | None:
    """What a file holds; nothing if it is not there, which is no disk trouble."""
    with disk_errors(f"read {path}"):
        try:
            with open_to_read(path) as file:
                return file.read()
        except FileNotFoundError:
            return None


def _digest(path: Path) -> str:
    with disk_errors(f"read {path}"):
        try:
            with open_to_read(path) as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError as error:
            raise _missing(path) from error


def _missing(path: Path) -> LedgerDigestError:
    return LedgerDigestError(
        f"{path} is missing, and the ledger names it",
        hint="restore it from a backup, or ask who took it away",
    )


def _differs(path: Path) -> LedgerDigestError:
    return LedgerDigestError(
        f"{path} is not what the ledger records",
        hint="it was changed since; restore it from a backup, or ask who changed it",
    )
