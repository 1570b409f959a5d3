"""The sending half of a session: messages become bundles, on record before they leave."""

from collections import deque
from typing import TypeGuard

from assistlearn.bundle import derive_bundle_key, seal_bundle
from assistlearn.checkpoints import CheckpointStore, check_file
from assistlearn.ledger import EntryKind
from parties.gate.books import Books, RoundBytes, header_of, offer_entry
from parties.gate.outbound import Outbound, Parcel
from protocols.codec import encode_message
from protocols.messages import Carriage, CheckpointMessage, Message, Offer


class Sender:
    """Seals what the machine says, in order."""

    def __init__(self, books: Books, store: CheckpointStore) -> None:
        self.outbound = Outbound(bytes.fromhex(books.session))
        self.bytes = RoundBytes(quota=books.agreement.round_bytes, way="sent")
        self._books = books
        self._store = store
        self._said: deque[Message] = deque()
        self._seq = 0

    @property
    def next_seq(self) -> int:
        """``seq`` of the bundle after all that was said, sealed or not."""
        return self._seq + len(self._said)

    def say(self, messages: list[Message]) -> None:
        """Queue messages. None is sealed before :meth:`seal`."""
        self._said.extend(messages)

    def seal(self) -> None:
        """Check, seal, record and queue everything said.

        Raises:
            TensorError: a checkpoint is not what the agreement lists, or not finite.
            QuotaError: it would exceed the round's bytes. In both cases nothing of it was
                sealed or recorded.
            StorageError: the disk is full or failing.
        """
        while self._said:
            message = self._said[0]
            if _attached(message):
                # The last gate before the outside: a bug in a task must not leak.
                check_file(self._store.path(message.digest), self._books.spec)
            offer = self._sealed(message)
            self.bytes.check(header_of(offer.note), offer)
            self._books.record(EntryKind.SENT, offer_entry(offer))
            self.recorded(offer)

    def recorded(self, offer: Offer) -> None:
        """Go on from the record of the next message's bundle: now, or when resuming."""
        message = self._said.popleft()
        header = header_of(offer.note)
        self.bytes.add(header, offer)
        self.outbound.add(
            Parcel(
                offer=offer,
                payload=self._store.path(message.digest) if _attached(message) else None,
                size=header.payload,
                key=derive_bundle_key(self._books.secrets.bundle_secret, header.bind()),
                bind=header.bind(),
            )
        )
        self._seq = header.seq + 1
        self._books.note_passed(offer.note)

    def _sealed(self, message: Message) -> Offer:
        books = self._books
        head = books.ledger.head()
        sealed = seal_bundle(
            identity=books.identity,
            recipient=books.peer,
            recipient_key=books.peer_sealing_key,
            session=books.session,
            round=message.round,
            seq=self._seq,
            transcript=books.transcript,
            spec=books.spec.digest,
            payload=books.spec.file_bytes if _attached(message) else 0,
            ledger_size=head.size,
            ledger_root=head.root,
            body=encode_message(message),
            session_secret=books.secrets.bundle_secret,
        )
        return Offer(
            session=bytes.fromhex(books.session),
            seq=self._seq,
            note=sealed.note,
            sealed_key=sealed.sealed_key,
            sealed_body=sealed.sealed_body,
        )


def _attached(message: Message) -> TypeGuard[CheckpointMessage]:
    return isinstance(message, CheckpointMessage) and message.carriage is Carriage.ATTACHED
