"""Checking what was signed in a ledger: notes, their order, and what they say of each other."""

import hashlib
from dataclasses import dataclass, field

from assistlearn.bundle import (
    BundleHeader,
    Card,
    next_transcript,
    open_cosigned,
    open_note,
    unpack,
)
from assistlearn.errors import (
    AssistLearnError,
    LedgerChainError,
    LedgerDamagedError,
    LedgerSignatureError,
)
from assistlearn.ledger.entries import EMPTY_HEAD, Entry, EntryKind
from assistlearn.ledger.store import MAX_BODY_BYTES


@dataclass(slots=True)
class Place:
    """How far one session has come."""

    transcript: str
    sequences: dict[str, int] = field(default_factory=dict)
    """Next sequence number of each sender, by fingerprint."""


class SignatureCheck:
    """Follows a ledger entry by entry. ``peer`` None: what needs the peer's card is counted."""

    def __init__(self, *, own: Card, peer: Card | None) -> None:
        self.verified = 0
        """Notes whose every signature was checked."""
        self.unchecked = 0
        """Notes of a peer whose card was not given."""
        self._own = own
        self._peer = peer
        self._sessions: dict[str, Place] = {}
        self._roots = [EMPTY_HEAD.root]

    @property
    def sessions(self) -> int:
        """Sessions that an agreement began."""
        return len(self._sessions)

    def check(self, entry: Entry) -> None:
        """Take the next entry.

        Raises:
            LedgerSignatureError: a note was not signed as it should, or signs something else.
            LedgerChainError: a note does not follow from those before it.
            LedgerDamagedError: an entry does not have the form of its kind.
        """
        match entry.kind:
            case EntryKind.AGREEMENT:
                self._agreement(entry)
            case EntryKind.SENT | EntryKind.RECEIVED:
                self._bundle(entry)
            case EntryKind.EVENT | EntryKind.REFUSAL | EntryKind.CLOSED:
                pass  # nothing in them is signed
        self._roots.append(entry.root)

    def _agreement(self, entry: Entry) -> None:
        if entry.session in self._sessions:
            raise LedgerChainError(f"entry {entry.index} is a second agreement of its session")
        try:
            if self._peer is None:
                text = _unverified_text(entry.body)
                self.unchecked += 1
            else:
                text = open_cosigned(entry.body, (self._own, self._peer))
                self.verified += 1
        except AssistLearnError as error:
            raise _bad(entry, error) from error
        transcript = hashlib.sha256(text.encode()).hexdigest()
        if transcript != entry.session:
            raise LedgerChainError(
                f"entry {entry.index} is the agreement of session {transcript[:16]}, but stands"
                f" under {entry.session[:16]}"
            )
        self._sessions[entry.session] = Place(transcript=transcript)

    def _bundle(self, entry: Entry) -> None:
        note, sealed_key = _parts(entry)
        header = self._header(entry, note)
        if hashlib.sha256(sealed_key).hexdigest() != header.sealed_key:
            raise LedgerSignatureError(f"the sealed key of entry {entry.index} was not signed for")
        place = self._sessions.get(entry.session)
        if place is None or header.session != entry.session:
            raise LedgerChainError(f"entry {entry.index} is of a session that has no agreement")
        expected = place.sequences.get(header.sender, 0)
        if header.seq != expected:
            raise LedgerChainError(
                f"entry {entry.index} is number {header.seq} of its sender, not {expected}"
            )
        if header.transcript != place.transcript:
            raise LedgerChainError(f"entry {entry.index} continues another history of its session")
        place.sequences[header.sender] = expected + 1
        place.transcript = next_transcript(place.transcript, note)
        if entry.kind is EntryKind.SENT:
            self._own_head(entry, header)

    def _header(self, entry: Entry, note: bytes) -> BundleHeader:
        """The header that the right party signed for the other one."""
        sent = entry.kind is EntryKind.SENT
        sender, recipient = (self._own, self._peer) if sent else (self._peer, self._own)
        try:
            if sender is None:
                text = _unverified_text(note)
                self.unchecked += 1
            else:
                text = open_note(note, sender)
                self.verified += 1
            header = BundleHeader.parse(text)
        except AssistLearnError as error:
            raise _bad(entry, error) from error
        for name, fingerprint, card in (
            ("sender", header.sender, sender),
            ("recipient", header.recipient, recipient),
        ):
            if card is not None and fingerprint != card.fingerprint:
                raise LedgerSignatureError(
                    f"the {name} of entry {entry.index} is {fingerprint[:16]}, not {card.name}"
                )
        return header

    def _own_head(self, entry: Entry, header: BundleHeader) -> None:
        """What we told the peer about our ledger must have been so."""
        size = header.ledger_size
        if size > entry.index or self._roots[size] != header.ledger_root:
            raise LedgerChainError(
                f"entry {entry.index} told the peer another ledger of {size} entries",
                hint="compare with a backup: entries before it were changed after they were sent",
            )


def _parts(entry: Entry) -> tuple[bytes, bytes]:
    """Note and sealed key of a bundle's entry."""
    try:
        parts = unpack(entry.body, max_bytes=MAX_BODY_BYTES)
    except AssistLearnError as error:
        raise LedgerDamagedError(f"entry {entry.index} is not a bundle: {error}") from error
    match parts:
        case [bytes(note), bytes(sealed_key), bytes()]:
            return note, sealed_key
    raise LedgerDamagedError(f"entry {entry.index} is not a note, a sealed key and a sealed body")


def _unverified_text(note: bytes) -> str:
    """The text of a note whose signer is not known here."""
    return note.rpartition(b"\n\n")[0].decode(errors="replace") + "\n"


def _bad(entry: Entry, error: AssistLearnError) -> LedgerSignatureError:
    return LedgerSignatureError(f"entry {entry.index}: {error}", hint=error.hint)
