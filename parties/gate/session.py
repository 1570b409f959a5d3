"""One session as one party lives it: machine, ledger, seals and transfers, without sockets.

Everything is recorded before it is acted on, and the state is what the records replay to. So a
process may end at any instant; :meth:`Session.resume` gives the same session back.
"""

from pathlib import Path
from typing import Final, Self

from assistlearn.bundle import pack
from assistlearn.checkpoints import CheckpointStore
from assistlearn.errors import (
    AssistLearnError,
    BundleError,
    LedgerHistoryError,
    PeerProtocolError,
    QuotaError,
    RefusedByPeerError,
    TensorError,
)
from assistlearn.interrupts import uninterrupted
from assistlearn.ledger import Entry, EntryKind
from parties.gate.books import Books, recorded_offer, refusal_entry
from parties.gate.leftovers import clear
from parties.gate.order import Order
from parties.gate.receiver import Receiver
from parties.gate.sender import Sender
from protocols.codec import encode_frame
from protocols.events import Event, Received, Work
from protocols.machines import machine_of
from protocols.messages import Frame, Offer, Piece, Refusal, RefusalCode, SessionClosed, Status
from protocols.record import Closed, Joined, Record, encode_record
from protocols.roles import Role

COMPLETED: Final = "completed"
CREDIT: Final = 24  # units under way: 24 MiB fill 2 Gbit/s at 100 ms round trip
ACKNOWLEDGE_EVERY: Final = 6  # units
CODES: Final[tuple[tuple[type[AssistLearnError], RefusalCode], ...]] = (
    (QuotaError, RefusalCode.QUOTA),
    (TensorError, RefusalCode.TENSORS),
    (BundleError, RefusalCode.BUNDLE),
)


class Session:
    """One party's side of one session."""

    def __init__(self, *, books: Books, role: Role, joined: Joined, folder: Path) -> None:
        """A session with no history; :meth:`resume` replays one.

        Raises:
            LocalProtocolError: this party's data are not those of the agreement.
        """
        agreement = books.agreement
        self.agreement = agreement
        self.books = books
        self.id = books.session
        self.role = role
        self.folder = folder
        self.joined = joined
        self.store = CheckpointStore(folder / "spool")
        self.machine = machine_of(role, agreement, joined)
        self.closed = False
        self.status_due = True
        self._sender = Sender(books, self.store)
        self._receiver = Receiver(books, self.store)
        self._unacknowledged = 0
        self._outdated = True

    @classmethod
    def resume(cls, *, books: Books, role: Role, joined: Joined, folder: Path) -> Self:
        """A session as its ledger entries left it.

        Raises:
            LedgerHistoryError: the entries are not those of an honest run.
        """
        session = cls(books=books, role=role, joined=joined, folder=folder)
        order = Order()
        for entry in books.ledger.entries(books.session):
            try:
                session._replay(entry, order.take(entry))
            except (AssistLearnError, ArithmeticError, LookupError, ValueError) as error:
                raise LedgerHistoryError(
                    f"ledger entry {entry.index} does not follow from those before: {error}",
                    hint="check the ledger with `assistlearn audit verify`",
                ) from error
        with books.ledger.together():
            session._sender.seal()
        session.forget()
        return session

    @property
    def work(self) -> Work | None:
        """What the worker should be doing now."""
        return None if self.closed else self.machine.work

    @property
    def finished(self) -> bool:
        """Whether everything is said, and everything said has arrived."""
        return self.machine.done and self._sender.outbound.idle

    def tell(self, event: Event) -> None:
        """Record an event together with the bundles that it causes, in one transaction.

        Raises:
            PeerProtocolError: the peer's message does not belong here; it was not recorded.
            StorageError: the disk is full or failing. The event may be told again after a
                restart.
        """
        with self.books.ledger.together():
            self._take(event)

    def receive(self, frame: Frame) -> None:
        """Take in a frame of the peer's.

        Raises:
            PeerProtocolError, BundleError, TensorError, QuotaError: the peer broke a rule; call
                :meth:`refuse`.
            RefusedByPeerError: the peer ended the session.
            StorageError: the disk is full or failing. Nothing is lost.
        """
        if self.closed:
            return  # nothing is on record after the end, and what is under way is out of date
        match frame:
            case Offer() | Piece() | Status() | Refusal() if frame.session.hex() != self.id:
                raise PeerProtocolError(
                    f"the peer speaks of session {frame.session.hex()[:16]!r} inside {self.id[:16]}"
                )
            case Offer() | Piece():
                with self.books.ledger.together():
                    self._take_in(frame)
            case Status():
                self._sender.outbound.arrived(frame)
            case Refusal():
                self._refused(frame)
            case _:
                raise PeerProtocolError(f"the peer sent a {type(frame).__name__} inside a session")

    def forget(self) -> None:
        """Delete checkpoints that are needed no more: what made them so is on disk by now.

        Never while the worker trains: the checkpoint that it stores next is nobody's yet.
        """
        if self._outdated:
            self.store.keep_only(self.machine.needed)
            self._outdated = False

    def next_frame(self) -> memoryview | None:
        """The next frame to send, or none; confirm it with :meth:`frame_sent`."""
        if self.status_due:
            return memoryview(encode_frame(self._receiver.status(credit=CREDIT)))
        return self._sender.outbound.next_frame()

    def frame_sent(self) -> None:
        """The frame from :meth:`next_frame` was handed to the socket."""
        if self.status_due:
            self.status_due = False
            self._receiver.ask_again = False
            self._unacknowledged = 0
        else:
            self._sender.outbound.sent()

    def link_restored(self) -> None:
        """What was under way may be lost: tell the peer where to go on from."""
        self._receiver.ask_again = self.status_due = True

    def refuse(self, error: AssistLearnError) -> Refusal:
        """End the session because of ``error``: record it, and say what to tell the peer.

        The peer learns the kind of the refusal only; the details stay in our ledger.
        """
        code = next((c for kind, c in CODES if isinstance(error, kind)), RefusalCode.PROTOCOL)
        self.books.record(EntryKind.REFUSAL, pack(["own", code.value, str(error)[:2000]]))
        self.close(f"refused by us: {code.value}")
        return Refusal(session=bytes.fromhex(self.id), code=code, field="", own="", peer="")

    def close(self, reason: str) -> None:
        """Record the end, then delete the session's secrets and all that resuming needed.

        A request to stop waits for it. After a kill in between, the next start sweeps.
        """
        with uninterrupted():
            if not self.closed:
                self._record_end(reason)
            self.suspend()

    @property
    def outline(self) -> dict[str, int]:
        """How much there is to do, for people: rounds, and checkpoints of both in each."""
        checkpoints = sum(len(self.agreement.grid(role)) for role in Role)
        return {
            "round": self.machine.round or 1,
            "rounds": self.agreement.affordable_rounds,
            "checkpoints_per_round": checkpoints,
        }

    def suspend(self) -> None:
        """Let go of open files; the session can be resumed, if it is not closed."""
        self._sender.outbound.release()
        self._receiver.release()
        if self.closed:
            clear(self.folder)

    def round_bytes(self, round_: int) -> tuple[int, int]:
        """Bytes of bundles sent and received in a round, each bundle counted once."""
        return (
            self._sender.bytes.counts.get(round_, 0),
            self._receiver.bytes.counts.get(round_, 0),
        )

    def _replay(self, entry: Entry, record: Record | None) -> None:
        match entry.kind:
            case EntryKind.SENT:
                self._sender.recorded(recorded_offer(entry.body, session=self.id))
            case EntryKind.RECEIVED:
                offer = recorded_offer(entry.body, session=self.id)
                self._receiver.recorded(offer, round_=self.machine.round)
                self._answered()
            case EntryKind.EVENT:
                if isinstance(record, Received):
                    self._receiver.passed_on()
                if isinstance(record, Event):
                    self._sender.say(self.machine.handle(record))
            case EntryKind.CLOSED:
                self.closed = True
            case EntryKind.AGREEMENT | EntryKind.REFUSAL:
                pass

    def _take(self, event: Event) -> None:
        messages = self.machine.handle(event)
        self.books.record(EntryKind.EVENT, encode_record(event))
        self._sender.say(messages)
        self._sender.seal()
        self._outdated = True
        if isinstance(event, Received) and isinstance(event.message, SessionClosed):
            # Nothing comes after the learner's last word, and it may never call again.
            self._record_end(COMPLETED)

    def _record_end(self, reason: str) -> None:
        self.books.record(EntryKind.CLOSED, encode_record(Closed(reason=reason)))
        self.closed = True

    def _answered(self) -> None:
        """The peer's note follows on all of ours (SPEC 1.2): it has them, whatever it says later.

        We may have deleted their checkpoints by then.
        """
        self._sender.outbound.answered(self._sender.next_seq)

    def _take_in(self, frame: Offer | Piece) -> None:
        if isinstance(frame, Offer):
            taken = self._receiver.take_offer(frame, round_=self.machine.round)
            if taken:
                self._answered()
            self._count(taken)
        else:
            self._count(self._receiver.take_piece(frame))
        message = self._receiver.delivered()
        if message is not None:
            self._take(Received(message=message))
        if message is not None or self._receiver.ask_again:
            self.status_due = True

    def _count(self, progress: bool) -> None:
        self._unacknowledged += progress
        if self._unacknowledged >= ACKNOWLEDGE_EVERY:
            self.status_due = True

    def _refused(self, refusal: Refusal) -> None:
        if refusal.code is RefusalCode.SUSPENDED:  # no breach: this side waits on disk as well
            raise RefusedByPeerError(
                "the peer stopped for now, the session can go on later",
                hint="run the same command again: it goes on where this one stopped",
            )
        self.books.record(EntryKind.REFUSAL, refusal_entry(refusal))
        self.close(f"refused by the peer: {refusal.code.value}")
        raise RefusedByPeerError(
            f"the peer ended the session: {refusal.code.value}",
            hint="ask the other party what its ledger says (`assistlearn audit show`)",
        )
