"""A ledger read back for people: what left, what came in, and what it came to."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from assistlearn.bundle import BundleHeader, unpack
from assistlearn.errors import AssistLearnError, LedgerHistoryError
from assistlearn.ledger import Entry, EntryKind
from parties.gate.books import bundle_bytes, header_of, recorded_offer
from parties.gate.opening import RecordedSession
from parties.gate.order import Order
from protocols.events import Event, Received, Sampled, Scored, Started
from protocols.learner import LearnerMachine
from protocols.machines import Machine, machine_of
from protocols.messages import (
    Carriage,
    CheckpointMessage,
    Message,
    SessionClosed,
    TrajectoryClosed,
)
from protocols.record import Closed, Joined, Record
from protocols.roles import Role

CAME_IN: Final = "came in: "


@dataclass(slots=True, kw_only=True)
class History:
    """One session, replayed from its entries."""

    session: str
    role: Role
    recorded: RecordedSession
    machine: Machine | None = None
    said: list[Message] = field(default_factory=list)
    arriving: BundleHeader | None = None
    """Of the bundle on record whose message was not handed on yet: one at a time."""
    sent: int = 0
    received: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0
    refusals: int = 0
    order: Order = field(default_factory=Order)

    @property
    def rounds(self) -> int:
        """Complete rounds, each debited once."""
        if isinstance(self.machine, LearnerMachine):
            return len(self.machine.results)
        return self.machine.rounds_provided if self.machine else 0

    @property
    def charge(self) -> int:
        """What the complete rounds cost, in hundredths of the currency."""
        return self.rounds * self.recorded.agreement.price

    def take(self, entry: Entry) -> str:
        """Replay one entry; what it is, in words.

        Raises:
            LedgerHistoryError: no honest run writes this entry here.
        """
        try:
            return self._taken(entry)
        except (AssistLearnError, AssertionError, ArithmeticError, IndexError, ValueError) as error:
            raise LedgerHistoryError(
                f"entry {entry.index} does not follow from those before: {error}",
                hint="compare with the other party's ledger",
            ) from error

    def _taken(self, entry: Entry) -> str:
        record = self.order.take(entry)
        match entry.kind:
            case EntryKind.AGREEMENT:
                agreement = self.recorded.agreement
                return (
                    f"agreement signed by both: {agreement.task}, up to {agreement.rounds} rounds"
                )
            case EntryKind.SENT:
                offer = recorded_offer(entry.body, session=self.session)
                header = header_of(offer.note)
                self.sent_bytes += bundle_bytes(header, offer)
                message = self.said[self.sent]
                self.sent += 1
                _check_header(header, message)
                return f"left: {_described(message)}"
            case EntryKind.RECEIVED:
                offer = recorded_offer(entry.body, session=self.session)
                header = header_of(offer.note)
                if self.arriving is not None:
                    raise LedgerHistoryError(
                        f"bundle {header.seq} arrived before bundle {self.arriving.seq} came in"
                    )
                self.arriving = header
                self.received += 1
                self.received_bytes += bundle_bytes(header, offer)
                return f"arriving: bundle {header.seq} of round {header.round}"
            case EntryKind.REFUSAL:
                self.refusals += 1
                return refusal_text(entry)
            case EntryKind.EVENT | EntryKind.CLOSED:
                assert record is not None  # such an entry has one
                return self._happened(record)

    def _happened(self, record: Record) -> str:
        match record:
            case Joined():
                self.machine = machine_of(self.role, self.recorded.agreement, record)
                return f"joined with {record.samples} examples"
            case Closed():
                return f"closed: {record.reason}"
            case Received(message=message):
                if self.arriving is None:
                    raise LedgerHistoryError("a message came in of which no bundle is on record")
                _check_header(self.arriving, message)
                self.arriving = None
        assert self.machine is not None  # joined first
        self.said.extend(self.machine.handle(record))
        return _event_text(record)


def histories(recorded: dict[str, RecordedSession], role: Role) -> dict[str, History]:
    """An empty history for each session of a ledger."""
    return {
        session: History(session=session, role=role, recorded=found)
        for session, found in recorded.items()
    }


def lines(entries: Iterator[Entry], found: dict[str, History]) -> Iterator[tuple[Entry, str]]:
    """Every entry with what it is in words; ``found`` is filled on the way.

    Raises:
        LedgerHistoryError: the entries are not those of an honest run.
    """
    for entry in entries:
        history = found.get(entry.session)
        if history is not None:
            yield entry, history.take(entry)
        elif entry.kind is EntryKind.REFUSAL:
            yield entry, refusal_text(entry)
        else:
            raise LedgerHistoryError(
                f"entry {entry.index} is of session {entry.session[:16]}, which never began"
            )


def refusal_text(entry: Entry) -> str:
    """A refusal in words."""
    match unpack(entry.body, max_bytes=1 << 16):
        case ["own", str() as code, str() as why]:
            return f"refused by us ({code}): {why}"
        case ["peer", str() as code, "", "", ""]:
            return f"refused by the peer: {code}"
        case ["peer", str() as code, str() as field, str() as theirs, str() as ours]:
            return f"refused by the peer: {code}: {field} is {theirs} there, {ours} here"
        case _:
            raise LedgerHistoryError(f"entry {entry.index} is no refusal of ours")


def _check_header(header: BundleHeader, message: Message) -> None:
    """Refuse a message that is not what the header of its bundle was signed for."""
    attached = isinstance(message, CheckpointMessage) and message.carriage is Carriage.ATTACHED
    if header.round != message.round or (header.payload > 0) != attached:
        raise LedgerHistoryError(
            f"bundle {header.seq} is signed for round {header.round} and {header.payload} bytes,"
            f" its message is: {_described(message)}"
        )


def _described(message: Message) -> str:
    match message:
        case CheckpointMessage():
            loss = "no loss"
            if isinstance(message.loss, int):
                loss = f"loss level {message.loss} of 255"
            elif message.loss is not None:
                loss = f"loss {message.loss:.6g}"
            return (
                f"round {message.round}, checkpoint of step {message.step}"
                f" ({message.carriage.value}, {message.digest[:12]}), {loss}"
            )
        case TrajectoryClosed():
            return f"round {message.round}, closing list of {len(message.checkpoints)} checkpoints"
        case SessionClosed():
            return f"end of the session ({message.reason.value}), kept {message.result[:12]}"


def _event_text(event: Event) -> str:
    match event:
        case Started():
            return f"initial model {event.digest[:12]}, own loss {event.loss.mean:.6g}"
        case Sampled():
            if event.loss is None:
                return f"sampled step {event.step}: diverged"
            return f"sampled step {event.step}, {event.digest[:12]}, own loss {event.loss.mean:.6g}"
        case Scored():
            if event.loss is None:
                return f"scored {event.digest[:12]}: cannot win"
            return f"scored {event.digest[:12]}, own loss {event.loss.mean:.6g}"
        case Received():
            return f"{CAME_IN}{_described(event.message)}"
