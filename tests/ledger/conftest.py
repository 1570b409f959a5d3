"""One session between two parties, recorded on the learner's side as a real one would be."""

import hashlib
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from assistlearn.bundle import (
    Card,
    Identity,
    SealingKey,
    cosign,
    next_transcript,
    pack,
    seal_bundle,
)
from assistlearn.ledger import EntryKind, Ledger

OWN = Identity(name="hospital.example", seed=b"A" * 32)
PEER = Identity(name="radlab.example", seed=b"B" * 32)
AGREEMENT = "assistlearn/agreement/v1\nrounds 3\n"
SESSION = hashlib.sha256(AGREEMENT.encode()).hexdigest()
OWN_KEY, PEER_KEY = SealingKey(b"a" * 32), SealingKey(b"b" * 32)


class Recorder:
    """Writes a session into a ledger; every step can be told to go wrong."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.transcript = SESSION  # SHA-256 of the agreement's text
        self.sequences = {"own": 0, "peer": 0}

    def agree(self, *, by: Identity = PEER) -> None:
        self.ledger.append(EntryKind.AGREEMENT, SESSION, cosign(OWN.sign(AGREEMENT), by))

    def bundle(self, side: str, *, size: int = 100, **changes: object) -> None:
        own = side == "own"
        head = self.ledger.head()
        arguments: dict[str, object] = {
            "identity": OWN if own else PEER,
            "recipient": PEER.card if own else OWN.card,
            "recipient_key": (PEER_KEY if own else OWN_KEY).public,
            "session": SESSION,
            "round": 1,
            "seq": self.sequences[side],
            "transcript": self.transcript,
            "spec": "33" * 32,
            "payload": 0,
            "ledger_size": head.size if own else 5,
            "ledger_root": head.root if own else "55" * 32,
            "body": bytes(size),
            "session_secret": side.encode().ljust(32),
        }
        sealed_key = changes.pop("sealed_key", None)
        sealed = seal_bundle(**arguments | changes)  # type: ignore[arg-type]
        parts = [sealed.note, sealed_key or sealed.sealed_key, sealed.sealed_body]
        kind = EntryKind.SENT if own else EntryKind.RECEIVED
        self.ledger.append(kind, SESSION, pack(parts))  # type: ignore[arg-type]
        self.sequences[side] += 1
        self.transcript = next_transcript(self.transcript, sealed.note)

    def event(self, size: int = 40, session: str = SESSION) -> None:
        self.ledger.append(
            EntryKind.EVENT, session, random.Random(size).randbytes(size)
        )  # same bytes each time

    def whole_session(self) -> None:
        self.event(session="")
        self.agree()
        for size in (10, 5_000, 60_000):
            self.event(size)
            self.bundle("own", size=size)
            self.bundle("peer", size=size)
        self.ledger.append(EntryKind.REFUSAL, SESSION, b"r" * 4000)
        self.ledger.append(EntryKind.CLOSED, SESSION, b"")


@pytest.fixture
def clock() -> Callable[[], int]:
    ticks = iter(range(1_700_000_000_000, 1_800_000_000_000, 1234))
    return lambda: next(ticks)


@pytest.fixture
def recorder(tmp_path: Path, clock: Callable[[], int]) -> Iterator[Recorder]:
    with Ledger.open(tmp_path / "ledger", now_ms=clock) as ledger:
        yield Recorder(ledger)


@pytest.fixture
def finished(recorder: Recorder) -> Path:
    """The file of a whole session, closed, with its signed head."""
    recorder.whole_session()
    recorder.ledger.write_head(OWN)
    recorder.ledger.close()
    return recorder.ledger.path


@pytest.fixture(scope="session")
def own() -> Identity:
    return OWN


@pytest.fixture(scope="session")
def peer() -> Identity:
    return PEER


@pytest.fixture(scope="session")
def cards() -> dict[str, Card]:
    return {"own": OWN.card, "peer": PEER.card}


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The published vectors; a test that needs them is skipped where they are absent."""
    beside = Path(__file__).parents[2] / ".." / "shared" / "vectors"
    folder = Path(os.environ.get("ASSISTLEARN_VECTORS", beside))
    if not folder.is_dir():
        pytest.skip(f"published vectors are not at {folder}: set ASSISTLEARN_VECTORS")
    return folder
