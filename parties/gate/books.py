"""What a session's two directions share: identities, ledger, transcript, byte counts."""

from dataclasses import dataclass, field

from assistlearn.bundle import (
    BundleHeader,
    Card,
    Identity,
    next_transcript,
    pack,
    piece_bytes,
    piece_count,
    sealed_piece_bytes,
    unpack,
)
from assistlearn.checkpoints import ModelSpec
from assistlearn.errors import LedgerHistoryError, QuotaError
from assistlearn.ledger import EntryKind, Ledger
from parties.secrets import SessionSecrets
from protocols.agreement import Agreement
from protocols.codec import PIECE_HEAD
from protocols.messages import Offer, Refusal

MAX_ENTRY_BYTES = 2 << 20


@dataclass(slots=True, kw_only=True)
class Books:
    """One party's papers of one session."""

    identity: Identity
    peer: Card
    ledger: Ledger
    agreement: Agreement
    spec: ModelSpec
    secrets: SessionSecrets
    peer_sealing_key: bytes
    """To which bundles are sealed in this session, 1216 bytes."""
    transcript: str = ""
    """Hash over all notes so far, of both parties, in their one order."""
    session: str = field(init=False)
    """The session's identifier, worked out from the agreement once."""

    def __post_init__(self) -> None:
        self.session = self.agreement.session
        self.transcript = self.transcript or self.session

    def record(self, kind: EntryKind, body: bytes) -> None:
        """Append to the ledger; on disk when this returns."""
        self.ledger.append(kind, self.session, body)

    def note_passed(self, note: bytes) -> None:
        """Add a note of either party to the transcript."""
        self.transcript = next_transcript(self.transcript, note)


@dataclass(slots=True, kw_only=True)
class RoundBytes:
    """Bytes of whole bundles in one direction, round by round, against the quota."""

    quota: int
    way: str
    counts: dict[int, int] = field(default_factory=dict)

    def check(self, header: BundleHeader, offer: Offer) -> None:
        """Refuse a bundle that goes beyond the quota of its round.

        Raises:
            QuotaError: says how far.
        """
        total = self.counts.get(header.round, 0) + bundle_bytes(header, offer)
        if total > self.quota:
            raise QuotaError(
                f"{total} bytes {self.way} in round {header.round}, the agreement allows"
                f" {self.quota}",
                hint="agree on a larger round_bytes, or on fewer checkpoints",
            )

    def add(self, header: BundleHeader, offer: Offer) -> None:
        """Count a bundle."""
        total = self.counts.get(header.round, 0) + bundle_bytes(header, offer)
        self.counts[header.round] = total


def bundle_bytes(header: BundleHeader, offer: Offer) -> int:
    """Bytes of a whole bundle as it travels, without the transport's own."""
    envelope = len(offer.note) + len(offer.sealed_key) + len(offer.sealed_body)
    return envelope + payload_wire_bytes(header.payload)


def payload_wire_bytes(size: int) -> int:
    """Bytes of a payload of ``size`` plaintext bytes as it travels: sealed pieces, with heads."""
    return sum(
        PIECE_HEAD.size + sealed_piece_bytes(piece_bytes(size, index))
        for index in range(piece_count(size))
    )


def header_of(note: bytes) -> BundleHeader:
    """The header inside a note whose signatures were checked before."""
    text, _, _ = note.decode().partition("\n\n")
    return BundleHeader.parse(text + "\n")


def offer_entry(offer: Offer) -> bytes:
    """The body of a ledger entry of kind ``sent`` or ``received``."""
    return pack((offer.note, offer.sealed_key, offer.sealed_body))


def refusal_entry(refusal: Refusal) -> bytes:
    """The body of a ledger entry of kind ``refusal``, for one of the peer's."""
    return pack(["peer", refusal.code.value, refusal.field, refusal.own, refusal.peer])


def recorded_offer(body: bytes, *, session: str) -> Offer:
    """The inverse of :func:`offer_entry`.

    Raises:
        LedgerHistoryError: the entry has another form.
    """
    match unpack(body, max_bytes=MAX_ENTRY_BYTES):
        case [bytes() as note, bytes() as sealed_key, bytes() as sealed_body]:
            return Offer(
                session=bytes.fromhex(session),
                seq=header_of(note).seq,
                note=note,
                sealed_key=sealed_key,
                sealed_body=sealed_body,
            )
        case _:
            raise LedgerHistoryError("a recorded bundle does not have three parts")
