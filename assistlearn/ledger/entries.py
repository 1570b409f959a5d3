"""What a ledger holds: entries, and the head that covers them."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from assistlearn.bundle import pack
from assistlearn.errors import LedgerError
from assistlearn.ledger.merkle import EMPTY_ROOT, leaf_hash
from assistlearn.ledger.store import MAX_BODY_BYTES

SESSION: Final = re.compile(r"(?:[0-9a-f]{64})?")


class EntryKind(StrEnum):
    """What happened."""

    AGREEMENT = "agreement"  # body: the agreement's note, signed by both parties
    SENT = "sent"  # body: canonical list of note, sealed key, sealed body
    RECEIVED = "received"  # body: as for sent
    EVENT = "event"  # body: the caller's
    REFUSAL = "refusal"  # body: the caller's
    CLOSED = "closed"  # body: the caller's


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The Merkle head: what the ledger was when it had ``size`` entries."""

    size: int
    """Number of entries."""

    root: str
    """RFC 6962 root over their leaves, 64 hex digits."""


EMPTY_HEAD: Final = Head(size=0, root=EMPTY_ROOT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the record."""

    index: int
    """Place in the ledger, from 0."""

    at_ms: int
    """This machine's wall clock, in milliseconds since 1970. Nothing depends on it."""

    session: str
    """Digest of the agreement, or "" for what belongs to no session."""

    kind: EntryKind
    body: bytes
    root: str
    """Merkle root over this entry and all before it, 64 hex digits."""

    @property
    def head(self) -> Head:
        """The head once this entry was written."""
        return Head(size=self.index + 1, root=self.root)


def leaf_of(*, index: int, at_ms: int, session: str, kind: EntryKind, body: bytes) -> bytes:
    """Merkle leaf hash of an entry: 32 bytes.

    Raises:
        LedgerError: a value cannot stand in a ledger.
    """
    if not SESSION.fullmatch(session):
        raise LedgerError(f"{session[:80]!r} is neither a session's digest nor empty")
    if len(body) > MAX_BODY_BYTES:
        raise LedgerError(f"an entry of {len(body)} bytes is longer than {MAX_BODY_BYTES}")
    if at_ms < 0:
        raise LedgerError(f"the clock says {at_ms} ms", hint="set this machine's clock")
    return leaf_hash(pack([index, at_ms, session, kind.value, body]))
