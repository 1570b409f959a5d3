"""The receiving half of a session: bundles become messages, after every check.

One bundle arrives at a time. Its offer is verified and recorded first; its payload collects in
quarantine; only when that is whole and checked is the message handed on.
"""

from dataclasses import dataclass, field

from assistlearn.bundle import BundleHeader, ExpectedHeader, open_bundle, piece_count
from assistlearn.checkpoints import CheckpointStore
from assistlearn.errors import DigestMismatchError, PeerProtocolError
from assistlearn.ledger import EntryKind
from parties.gate.books import Books, RoundBytes, offer_entry
from parties.gate.inbound import IncomingPayload
from protocols.codec import decode_message
from protocols.messages import Carriage, CheckpointMessage, Message, Offer, Piece, Status


@dataclass(slots=True, kw_only=True)
class _Arrival:
    """The bundle that is arriving: verified and on record, its payload perhaps not here yet."""

    message: Message
    header: BundleHeader
    key: bytes = field(repr=False)
    payload: IncomingPayload | None = None

    @property
    def digest(self) -> str:
        """Of the payload; empty if there is none."""
        carried = isinstance(self.message, CheckpointMessage) and self.header.payload > 0
        return self.message.digest if carried else ""  # type: ignore[union-attr]


class Receiver:
    """Opens what the peer sends, in order."""

    def __init__(self, books: Books, store: CheckpointStore) -> None:
        self.bytes = RoundBytes(quota=books.agreement.round_bytes, way="received")
        self._books = books
        self._store = store
        self._sealing_key = books.secrets.sealing_key
        self._seq = 0
        self._arrival: _Arrival | None = None
        self.ask_again = False
        """Whether something was lost under way, and the peer should go on from our place."""
        self._asked_at = (-1, -1)

    def take_offer(self, offer: Offer, *, round_: int) -> bool:
        """Verify and record the next offer. False if it is a repetition, or one is missing.

        Raises:
            BundleError, PeerProtocolError, QuotaError: nothing was recorded but the caller's
                refusal to come.
        """
        if offer.seq < self._seq or (offer.seq == self._seq and self._arrival is not None):
            return False
        if offer.seq > self._seq:
            self._missed((self._seq, -1))
            return False
        arrival = self._opened(offer, round_=round_)
        self._books.record(EntryKind.RECEIVED, offer_entry(offer))
        self._arrive(arrival, offer)
        return True

    def recorded(self, offer: Offer, *, round_: int) -> None:
        """Go on from the record of an offer, when resuming."""
        self._arrive(self._opened(offer, round_=round_), offer)

    def take_piece(self, piece: Piece) -> bool:
        """Open the next piece into quarantine. False if it is a repetition or one is missing.

        Raises:
            BundleError: it was altered or belongs elsewhere.
            StorageError: the disk is full or failing.
        """
        payload = None if self._arrival is None else self._payload()
        expected = (self._seq, -1 if payload is None else payload.pieces)
        if payload is None or (piece.seq, piece.index) != expected:
            if (piece.seq, piece.index) > expected:
                self._missed(expected)
            return False
        payload.add(piece.index, piece.sealed)
        return True

    def delivered(self) -> Message | None:
        """The message of the bundle, once that is whole and checked; else nothing.

        Raises:
            DigestMismatchError, TensorError: the payload is not what was signed for or agreed.
            StorageError: the disk is full or failing.
        """
        if self._arrival is None:
            return None
        payload = self._payload()
        if payload is not None:
            if not payload.complete:
                return None
            digest = self._arrival.digest
            try:
                payload.release_to(self._store.path(digest), digest=digest)
            except DigestMismatchError:
                if not payload.read_again:
                    raise
                # Perhaps our own disk changed it since: it comes again, whole, and then counts.
                payload.discard()
                self._arrival.payload = None
                self.ask_again = True
                return None
        message = self._arrival.message
        self.passed_on()
        return message

    def passed_on(self) -> None:
        """The bundle's message is with the machine: now, or as the records say when resuming."""
        self.release()
        self._arrival = None
        self._seq += 1

    def release(self) -> None:
        """Close the quarantine file, if one is open."""
        if self._arrival is not None and self._arrival.payload is not None:
            self._arrival.payload.close()

    def status(self, *, credit: int) -> Status:
        """How far we are.

        A bundle whose payload is all here, but was not handed on when a process ended, lacks its
        last unit: that comes again, and with it the moment to hand the message on.
        """
        unit = 0
        if self._arrival is not None:
            payload = self._payload()
            count = piece_count(self._arrival.header.payload)
            unit = count if payload is None else min(count, 1 + payload.pieces)
        return Status(
            session=bytes.fromhex(self._books.session),
            seq=self._seq,
            piece=unit,
            credit=credit,
            resend=int(self.ask_again),
        )

    def _missed(self, place: tuple[int, int]) -> None:
        """Ask for what is missing: once a place, as all that was under way follows it."""
        if place != self._asked_at:
            self._asked_at = place
            self.ask_again = True

    def _opened(self, offer: Offer, *, round_: int) -> _Arrival:
        books = self._books
        opened = open_bundle(
            note=offer.note,
            sealed_key=offer.sealed_key,
            sealed_body=offer.sealed_body,
            sender=books.peer,
            recipient=books.identity.card,
            sealing_key=self._sealing_key,
            expected=ExpectedHeader(
                session=books.session,
                round=round_,
                seq=self._seq,
                transcript=books.transcript,
                spec=books.spec.digest,
                payloads=frozenset({0, books.spec.file_bytes}),
            ),
        )
        message = decode_message(opened.body)
        attached = isinstance(message, CheckpointMessage) and message.carriage is Carriage.ATTACHED
        if message.round != opened.header.round or attached != (opened.header.payload > 0):
            raise PeerProtocolError(
                f"the peer's header says round {opened.header.round} and {opened.header.payload}"
                f" bytes, its {type(message).__name__} says otherwise"
            )
        self.bytes.check(opened.header, offer)
        return _Arrival(message=message, header=opened.header, key=opened.key)

    def _arrive(self, arrival: _Arrival, offer: Offer) -> None:
        self.bytes.add(arrival.header, offer)
        self._books.note_passed(offer.note)
        self._arrival = arrival

    def _payload(self) -> IncomingPayload | None:
        """The payload in quarantine; none if the bundle has none, or we hold it already."""
        arrival = self._arrival
        assert arrival is not None
        if arrival.payload is None and arrival.digest and arrival.digest not in self._store:
            arrival.payload = IncomingPayload(
                path=self._store.quarantine(f"{arrival.header.seq}.part"),
                spec=self._books.spec,
                key=arrival.key,
                bind=arrival.header.bind(),
            )
        return arrival.payload
