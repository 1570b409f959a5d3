"""Signed heads: a note beside the ledger that says how long it was, and its root."""

import re
from pathlib import Path
from typing import Final

from assistlearn.bundle import Card, Identity, open_note
from assistlearn.durable import write_durably
from assistlearn.errors import (
    BundleError,
    LedgerChainError,
    LedgerSignatureError,
    LedgerTruncatedError,
    StorageError,
)
from assistlearn.ledger.entries import Entry, Head
from assistlearn.ledger.files import open_to_read
from assistlearn.ledger.merkle import EMPTY_ROOT

TAG: Final = "assistlearn/ledger-head/v1"
TEXT: Final = re.compile(rf"{TAG}\nsize (0|[1-9][0-9]{{0,17}})\nroot ([0-9a-f]{{64}})\n")
MAX_FILE_BYTES: Final = 32 << 10  # longer than any note, so that what is too long is refused


def head_path(ledger: Path) -> Path:
    """Where the signed head of the ledger at ``ledger`` stands."""
    return ledger.with_name(ledger.name + ".head")


def write_head(ledger: Path, head: Head, identity: Identity) -> Path:
    """Sign ``head`` and put it beside the ledger, in place of an older one, durably.

    Raises:
        StorageError: the disk is full or read-only. The older head stays.
    """
    path = head_path(ledger)
    note = identity.sign(f"{TAG}\nsize {head.size}\nroot {head.root}\n")
    write_durably(path, note, mode=0o644)
    return path


def read_head(ledger: Path, own: Card) -> Head | None:
    """The signed head beside the ledger, or None if there is none.

    Raises:
        LedgerSignatureError: it was not signed by ``own``, or was altered since.
        StorageError: it cannot be read, or is no ordinary file.
    """
    path = head_path(ledger)
    try:
        with open_to_read(path) as file:
            text = open_note(file.read(MAX_FILE_BYTES), own)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(
            f"cannot read {path}: {error.strerror}", hint="check who may read it"
        ) from error
    except BundleError as error:
        raise LedgerSignatureError(f"{path}: {error}", hint=error.hint) from error
    match = TEXT.fullmatch(text)
    if match is None:
        raise LedgerSignatureError(f"{path} is signed, but is no ledger head")
    return Head(size=int(match[1]), root=match[2])


def check_signed(path: Path, signed: Head, *, head: Head, entry: Entry | None) -> None:
    """Refuse a ledger that does not go on from what its signed head says.

    Args:
        path: the ledger.
        signed: what its head says.
        head: what it is.
        entry: its entry before ``signed.size``, if there is one.

    Raises:
        LedgerTruncatedError: entries are missing.
        LedgerChainError: it has others.
    """
    if signed.size > head.size:
        raise LedgerTruncatedError(
            f"{path} has {head.size} entries, but its signed head says {signed.size}",
            hint="restore the newest backup; the peer's ledger names what is missing",
        )
    found = EMPTY_ROOT if entry is None else entry.root
    if found != signed.root:
        raise LedgerChainError(
            f"the first {signed.size} entries of {path} are not those that its head was signed for"
        )
