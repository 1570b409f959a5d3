"""Three parties and one bundle between two of them. Real keys: making them takes a millisecond."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from assistlearn.bundle import (
    ExpectedHeader,
    Identity,
    OpenedBundle,
    SealedBundle,
    SealingKey,
    open_bundle,
    seal_bundle,
)

ALICE = Identity(name="hospital.example", seed=b"A" * 32)
BOB = Identity(name="radlab.example", seed=b"B" * 32)
MALLORY = Identity(name="mallory.example", seed=b"M" * 32)
BOB_KEY = SealingKey(b"b" * 32)
MALLORY_KEY = SealingKey(b"m" * 32)
SECRET = b"s" * 32
PLACE: dict[str, Any] = {
    "session": "11" * 32,
    "round": 3,
    "seq": 7,
    "transcript": "22" * 32,
    "spec": "33" * 32,
}
PAYLOAD = 3 * (1 << 20) - 5


@dataclass(frozen=True)
class Exchange:
    """A sealed bundle from Alice to Bob, and Bob's way of opening it."""

    sealed: SealedBundle
    body: bytes
    seal: Callable[..., SealedBundle]

    def open(self, **changes: Any) -> OpenedBundle:
        """Open as Bob does, but with some arguments changed; ``expect_...`` changes a field."""
        expected = ExpectedHeader(**PLACE, payloads=frozenset({0, PAYLOAD}))
        for name in [name for name in changes if name.startswith("expect_")]:
            expected = replace(expected, **{name.removeprefix("expect_"): changes.pop(name)})
        arguments: dict[str, Any] = {
            "note": self.sealed.note,
            "sealed_key": self.sealed.sealed_key,
            "sealed_body": self.sealed.sealed_body,
            "sender": ALICE.card,
            "recipient": BOB.card,
            "sealing_key": BOB_KEY,
            "expected": expected,
        }
        return open_bundle(**arguments | changes)


def seal(**changes: Any) -> SealedBundle:
    """Seal as Alice does, but with some arguments changed."""
    arguments: dict[str, Any] = {
        "identity": ALICE,
        "recipient": BOB.card,
        "recipient_key": BOB_KEY.public,
        **PLACE,
        "payload": PAYLOAD,
        "ledger_size": 5,
        "ledger_root": "44" * 32,
        "body": b"body of the message",
        "session_secret": SECRET,
    }
    return seal_bundle(**arguments | changes)


@pytest.fixture(scope="session")
def exchange() -> Exchange:
    body = os.urandom(40_000)
    return Exchange(sealed=seal(body=body), body=body, seal=seal)


@pytest.fixture(scope="session")
def alice() -> Identity:
    return ALICE


@pytest.fixture(scope="session")
def bob() -> Identity:
    return BOB


@pytest.fixture(scope="session")
def mallory() -> Identity:
    return MALLORY


@pytest.fixture(scope="session")
def mallory_key() -> SealingKey:
    return MALLORY_KEY


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The published vectors; a test that needs them is skipped where they are absent."""
    beside = Path(__file__).parents[2] / ".." / "shared" / "vectors"
    folder = Path(os.environ.get("ASSISTLEARN_VECTORS", beside))
    if not folder.is_dir():
        pytest.skip(f"published vectors are not at {folder}: set ASSISTLEARN_VECTORS")
    return folder
