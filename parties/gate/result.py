"""What a learner gets out of a session: the best model of all rounds, and its card."""

import json
import re
import shutil
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from assistlearn.bundle import Card
from assistlearn.digests import file_digest
from assistlearn.durable import disk_errors, move_durably, write_durably
from assistlearn.errors import PartyDirectoryError, StorageError
from parties.directory import PartyDirectory
from parties.gate.session import Session
from protocols.agreement import Agreement
from protocols.events import RoundResult
from protocols.learner import LearnerMachine
from protocols.selection import select_checkpoint

RESULT: Final = "assisted"
MODEL: Final = f"{RESULT}.safetensors"
CARD: Final = f"{RESULT}.toml"
SESSION: Final = re.compile(rb'^session = "([0-9a-f]{16})', re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionResult:
    """The end of a session, learner's side."""

    session: str
    round: int
    """The round that the model is of."""
    rounds: int
    """Rounds made and to be paid."""
    global_loss: float
    digest: str
    model: Path
    new: bool
    """False if the model was there before this run."""


def keep_result(directory: PartyDirectory, session: Session, peer: Card) -> SessionResult:
    """Keep the best model of a session that is complete, as the directory's result.

    That of an earlier session stays, under its session's name.

    Raises:
        StorageError: the disk is full or failing, and the model is still in the session's
            store; or what is there is not the model that was recorded.
    """
    _set_aside(directory, new=session.id)
    return _keep(directory, session, peer, name=RESULT)


def keep_early_result(directory: PartyDirectory, session: Session, peer: Card) -> Path | None:
    """Keep the best model of a session that ends early, under its name, if a round was paid.

    If all its rounds were made, it is the directory's result.

    Raises:
        StorageError: as :func:`keep_result`.
    """
    machine = session.machine
    if not isinstance(machine, LearnerMachine) or not machine.results:
        return None
    if machine.done:  # every round was made: only the goodbye is missing
        return keep_result(directory, session, peer).model
    return _keep(directory, session, peer, name=session.id[:16]).model


def _set_aside(directory: PartyDirectory, *, new: str) -> None:
    card = directory.models / CARD
    with disk_errors(f"rename {card}"):
        if not card.is_file():
            return
        found = SESSION.search(card.read_bytes())
        name = found[1].decode() if found else "damaged"
        if new.startswith(name):
            return
        for path in (directory.models / MODEL, card):  # the card last: it says what is to be done
            if path.is_file():
                path.replace(path.with_name(name + path.suffix))


def _keep(directory: PartyDirectory, session: Session, peer: Card, *, name: str) -> SessionResult:
    machine = session.machine
    assert isinstance(machine, LearnerMachine)
    best = machine.best
    target = directory.models / f"{name}.safetensors"
    with disk_errors(f"write {target}"):
        directory.models.mkdir(parents=True, exist_ok=True)
        unfinished = directory.models / f".{target.name}.unfinished"
        source = session.store.path(best.digest)
        shutil.copyfile(source, unfinished)
        if file_digest(unfinished) != best.digest:
            unfinished.unlink()
            raise StorageError(
                f"{source} is not what it was when it was recorded",
                hint=f"restore it from a backup, or delete {session.folder} to give the session"
                " up; then run the same command again",
            )
        move_durably(unfinished, target)
    result = SessionResult(
        session=session.id,
        round=best.round,
        rounds=len(machine.results),
        global_loss=best.global_loss,
        digest=best.digest,
        model=target,
        new=True,
    )
    values = card_values(session.agreement, peer, machine.results)
    # TOML's strings, numbers and lists of numbers are JSON's.
    text = "".join(f"{name} = {_toml(value)}\n" for name, value in values.items())
    write_durably(target.with_suffix(".toml"), text.encode(), mode=0o644)
    return result


def card_values(
    agreement: Agreement, peer: Card, results: Sequence[RoundResult]
) -> Mapping[str, object]:
    """What the card beside a model says of the rounds that brought it; an audit works it out too.

    Args:
        agreement: of the session.
        peer: the provider.
        results: all rounds so far, at least one.
    """
    losses = [result.global_loss for result in results]
    best = results[select_checkpoint(tuple(losses))]
    return {
        "session": agreement.session,
        "provider": peer.name,
        "provider_fingerprint": peer.fingerprint,
        "round": best.round,
        "rounds": len(results),
        "price": agreement.price * len(results),
        "currency": agreement.currency,
        "global_loss": best.global_loss,
        "global_losses": losses,
        "sha256": best.digest,
    }


def kept_result(directory: PartyDirectory) -> SessionResult | None:
    """The result of an earlier session, if there is one.

    Raises:
        PartyDirectoryError: its card is damaged, or its model is not there.
        StorageError: it cannot be read.
    """
    path = directory.models / CARD
    if not path.is_file():
        return None
    if not (directory.models / MODEL).is_file():
        raise PartyDirectoryError(
            f"{directory.models / MODEL} is not there, though {path} tells of it",
            hint="put it back, or move the card to where the model is",
        )
    try:
        with disk_errors(f"read {path}"):
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        return SessionResult(
            session=values["session"],
            round=values["round"],
            rounds=values["rounds"],
            global_loss=values["global_loss"],
            digest=values["sha256"],
            model=directory.models / MODEL,
            new=False,
        )
    except (ValueError, KeyError) as error:  # TOML and Unicode have errors below ValueError
        raise PartyDirectoryError(
            f"{path} is damaged: {error}",
            hint=f"restore it from a backup, or move {directory.models} elsewhere",
        ) from error


def _toml(value: object) -> str:
    text = json.dumps(value)
    return text.replace("Infinity", "inf")
