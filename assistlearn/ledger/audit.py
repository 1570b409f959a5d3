"""Checking one party's ledger from the file alone, in five steps.

What this cannot see: entries that were never written, and a ledger that was rolled back
together with its signed head. The peer's ledger shows both (``FORMAT.md`` section 5).
"""

import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from assistlearn.bundle import Card
from assistlearn.errors import LedgerError
from assistlearn.ledger.account import check_bytes, check_structure, settled
from assistlearn.ledger.entries import Entry, Head
from assistlearn.ledger.heads import check_signed, read_head
from assistlearn.ledger.ledger import read_entries, replay
from assistlearn.ledger.signatures import SignatureCheck
from assistlearn.ledger.store import lock

STEPS: Final = (
    "the file is a sound ledger",
    "every byte follows from its entries",
    "every root follows from the entries before it",
    "every signature and every order of notes is right",
    "the signed head is of this ledger",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """What an audit found in order."""

    steps: tuple[str, ...]
    """The steps that passed, in order. The last is absent if there is no signed head."""

    file_bytes: int
    head: Head
    signed: Head | None
    """The signed head beside the ledger. None: nothing here would show entries cut off."""

    sessions: int
    verified_notes: int
    unchecked_notes: int
    """Notes that need the card of a peer, if none was given."""

    own: str
    """Fingerprint that our notes were checked against."""

    peer: str | None
    """Fingerprint that the peer's notes were checked against."""


def verify_ledger(path: Path, *, own: Card, peer: Card | None) -> AuditReport:
    """Check a ledger that nobody has open. Nothing beside it is written.

    Args:
        path: the ledger.
        own: the card of the party whose ledger it is.
        peer: the other party's card; None leaves the other's signatures unchecked.

    Raises:
        LedgerError: there is no such file, or it is in use.
        LedgerDamagedError: its structure or bytes were changed (steps 1 and 2).
        LedgerChainError: an entry was changed, or notes do not follow each other (3, 4, 5).
        LedgerSignatureError: a signature is not right (4, 5).
        LedgerTruncatedError: entries are missing (5).
        StorageError: there is no room for a second copy in TMPDIR.
    """
    if not path.is_file():
        raise LedgerError(f"there is no ledger at {path}", hint="check the path")
    with ExitStack() as stack:
        descriptor = lock(path, shared=True)
        if descriptor is not None:
            stack.callback(os.close, descriptor)
        file, connection = stack.enter_context(settled(path))
        # 1. The file opens, has exactly our tables, and SQLite finds it sound.
        check_structure(file, connection)
        # 2. No byte of it is unaccounted for.
        file_bytes = check_bytes(file, connection)
        # 3. Leaves and roots.
        tree = replay(read_entries(connection, file), path=path)
        head = Head(size=tree.size, root=tree.root().hex())
        # 4. Signatures, sequence numbers, transcripts, and what we told the peer of ourselves.
        signatures = SignatureCheck(own=own, peer=peer)
        signed = read_head(path, own)
        entry_at_signed: Entry | None = None
        for entry in read_entries(connection, file):
            signatures.check(entry)
            if signed is not None and entry.index == signed.size - 1:
                entry_at_signed = entry
    # 5. Nothing was cut off since the head was signed, and it is the head of this history.
    if signed is not None:
        check_signed(path, signed, head=head, entry=entry_at_signed)
    return AuditReport(
        steps=STEPS if signed is not None else STEPS[:-1],
        file_bytes=file_bytes,
        head=head,
        signed=signed,
        sessions=signatures.sessions,
        verified_notes=signatures.verified,
        unchecked_notes=signatures.unchecked,
        own=own.fingerprint,
        peer=None if peer is None else peer.fingerprint,
    )
