"""The provider's gate: one listening port, any number of learners, a worker for each session."""

import shlex
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import zmq

from assistlearn.errors import (
    AssistLearnError,
    FrameError,
    LedgerError,
    PartyDirectoryError,
    ProtocolError,
    RefusedByPeerError,
    StorageError,
)
from parties.directory import PartyDirectory
from parties.gate.duty import Duty, Told
from parties.gate.leftovers import sweep
from parties.gate.link import ProviderPort
from parties.gate.opening import GIVEN_UP
from parties.gate.pace import PEER_FAULTS, POLL_MS, Heartbeat, send_burst
from parties.gate.reception import Counter, Reception
from parties.gate.session import COMPLETED, Session
from parties.gate.walls import keep_out_of_data
from parties.gate.worker import WorkerProcess
from parties.memory import bound_memory
from protocols.codec import decode_frame, encode_frame
from protocols.messages import (
    Frame,
    Hello,
    Offer,
    Piece,
    Proposal,
    Refusal,
    RefusalCode,
    Status,
)
from protocols.provider import ProviderMachine
from protocols.roles import Role

MESSAGES_AT_ONCE: Final = 8  # taken in before sessions get their turn and tell how far they are
ROUTES_KEPT: Final = 64  # of learners told to come again: more is under way from few at once


@dataclass(slots=True, kw_only=True)
class Visit:
    """A learner's session that is being served."""

    counter: Counter
    session: Session
    duty: Duty
    heartbeat: Heartbeat
    route: bytes
    past_routes: set[bytes] = field(default_factory=set)
    heard: float


class ProviderGate:
    """Serves learners until it is stopped."""

    def __init__(self, directory: PartyDirectory, *, report: Told) -> None:
        self._directory = directory
        self._settings = directory.settings
        self._report = report
        if Role(self._settings.role) is not Role.PROVIDER:
            raise PartyDirectoryError(
                f"{directory.root} is a learner's directory",
                hint=f"run `assistlearn learn {shlex.quote(str(directory.root))}`",
            )
        self._visits: dict[str, Visit] = {}
        self._sent_away: deque[bytes] = deque(maxlen=ROUTES_KEPT)
        self._spare: WorkerProcess | None = None
        self._served = 0

    def run(self, *, sessions: int | None = None) -> int:
        """Serve until stopped, or until so many sessions have ended; how many have.

        Raises:
            AssistLearnError: the settings, the task, the port or the disk are not in order.
        """
        directory = self._directory
        keep_out_of_data(directory)
        with directory.locked(), ExitStack() as stack:
            identity = directory.identity
            directory.cards()  # complain about a damaged card before anyone calls
            try:
                sweep(directory)
            except LedgerError as error:  # keeps out its own learner alone, when that one comes
                self._report("damaged", {"why": str(error)})
            self._report("loading", {"task": self._settings.terms.task})
            self._spare = WorkerProcess(directory.root)
            stack.callback(self._stop)
            self._reception = Reception(directory, self._spare.describe())
            stack.callback(self._reception.close)
            address = self._settings.link.listen
            assert address is not None  # settings require it of a provider
            bound_memory((512 + 256 * self._settings.link.sessions) << 20)
            self._port = ProviderPort(address, identity=identity, admits=self._reception.admits)
            stack.callback(self._port.close)
            self._report("listening", {"address": self._port.address, "name": identity.card.name})
            while sessions is None or self._served < sessions:
                self._turn()
        return self._served

    def _turn(self) -> None:
        for counter, gone in self._reception.struck_off():
            self._put_aside(counter, gone)
        for why in self._reception.newly_damaged():
            self._report("damaged", {"why": why})
        for _ in range(MESSAGES_AT_ONCE):
            message = self._port.next_message()
            if message is None:
                break
            self._hear(*message)
        waiting = False
        for visit in list(self._visits.values()):
            if visit.session.id not in self._visits:
                continue  # put aside meanwhile, with another session of its learner
            with self._own_faults(visit.counter):
                visit.duty.attend()
                waiting |= self._speak(visit)
                self._look_after(visit)
        self._wait(waiting=waiting)

    # What is said

    def _hear(self, route: bytes, key: str, parts: list[Any]) -> None:
        card = self._reception.guest(key)
        if card is None:
            return  # it was removed after its owner came in
        if route in self._sent_away:
            return  # was under way when we said so; a learner that comes again has a new route
        frame = _decoded(parts)
        session = frame.session if isinstance(frame, Offer | Piece | Status | Refusal) else b""
        try:
            counter = self._reception.counter(card)
        except AssistLearnError as error:
            self._send_away(card.name, route, session.hex(), error)
            return
        with self._own_faults(counter, route, session.hex()):
            if isinstance(frame, AssistLearnError):
                self._blame(counter, frame)
            else:
                self._take(counter, route, frame)

    def _take(self, counter: Counter, route: bytes, frame: Frame) -> None:
        match frame:
            case Hello():
                greeting = self._reception.greet(counter, frame, full=self._full_for(counter))
                self._answer(counter, route, greeting)
            case Proposal():
                self._agree(counter, route, frame)
            case Offer() | Piece() | Status() | Refusal():
                self._serve(counter, route, frame)
            case _:
                self._blame(counter, FrameError(f"a learner sent {type(frame).__name__}"))

    def _full_for(self, counter: Counter) -> bool:
        """Whether others have all the places. A learner's own old session makes room for it."""
        others = sum(visit.counter is not counter for visit in self._visits.values())
        return others >= self._settings.link.sessions

    def _agree(self, counter: Counter, route: bytes, proposal: Proposal) -> None:
        full = self._full_for(counter)
        answer, session = self._reception.accept(counter, proposal, full=full)
        if session is not None:
            for visit in [v for v in self._visits.values() if v.counter is counter]:
                visit.session.closed = True  # on record, with the new agreement
                self._leave(visit, GIVEN_UP)
            self._report(
                "agreed",
                {"session": session.id, "learner": counter.name, **session.outline},
            )
            self._admit(counter, session, route)
        if answer is not None:
            self._answer(counter, route, answer)

    def _serve(
        self, counter: Counter, route: bytes, frame: Offer | Piece | Status | Refusal
    ) -> None:
        session_id = frame.session.hex()
        visit = self._visits.get(session_id)
        if visit is None or visit.counter is not counter:
            if isinstance(frame, Refusal) and frame.code is RefusalCode.SUSPENDED:
                return  # nothing is served that would have to stop
            visit = self._return(counter, route, session_id)
            if visit is None:
                return
        if route in visit.past_routes:
            return  # left over from a connection that broke; what it says is out of date
        visit.heard = time.monotonic()
        if visit.route != route:
            visit.past_routes.add(visit.route)
            visit.route = route
            visit.session.link_restored()
        try:
            visit.session.receive(frame)
        except PEER_FAULTS as error:
            self._refuse(visit, error)
        except RefusedByPeerError as error:
            self._report("refused", {"learner": counter.name, "why": str(error)})
            if visit.session.closed:
                self._leave(visit, str(error))
            else:
                self._forget(visit)  # put aside only: it waits on disk

    def _return(self, counter: Counter, route: bytes, session_id: str) -> Visit | None:
        """A learner is back at a session that is not in memory."""
        recorded = counter.desk.find(session_id)
        if recorded is not None and recorded.closed is None:
            if self._full_for(counter):
                self._refuse_session(route, session_id, RefusalCode.SUSPENDED)
                return None
            session = counter.desk.resume(recorded)
            if session is not None and not session.closed:
                edited = session.agreement.edited_since(self._settings.terms.terms())
                fields = {"learner": counter.name, **session.outline, "edited": list(edited)}
                self._report("resumed", {"session": session.id, **fields})
                return self._admit(counter, session, route)
        if recorded is not None and recorded.closed == COMPLETED:
            # It has not heard that its goodbye arrived.
            self._say(
                route,
                Status(
                    session=bytes.fromhex(session_id),
                    seq=recorded.received,
                    piece=0,
                    credit=0,
                    resend=0,
                ),
            )
            return None
        self._refuse_session(route, session_id, RefusalCode.UNKNOWN_SESSION)
        return None

    def _admit(self, counter: Counter, session: Session, route: bytes) -> Visit:
        worker, self._spare = self._spare or WorkerProcess(self._directory.root), None

        def report(event: str, fields: Any) -> None:
            self._report(event, {"learner": counter.name, **fields})

        session.link_restored()
        visit = Visit(
            counter=counter,
            session=session,
            duty=Duty(session, worker, report=report),
            heartbeat=Heartbeat(self._settings.link.deadline_s),
            route=route,
            heard=time.monotonic(),
        )
        self._visits[session.id] = visit
        return visit

    # What is done

    def _speak(self, visit: Visit) -> bool:
        """Send what may go; whether the socket is full."""
        visit.heartbeat.beat(visit.session)
        return send_burst(visit.session, lambda frame: self._port.send(visit.route, frame))

    def _look_after(self, visit: Visit) -> None:
        session = visit.session
        silent = time.monotonic() - visit.heard > self._settings.link.deadline_s
        if session.machine.done and (silent or not session.status_due):
            assert isinstance(session.machine, ProviderMachine)
            self._report(
                "finished",
                {
                    "learner": visit.counter.name,
                    "session": session.id,
                    "rounds": session.machine.rounds_provided,
                    "result": session.machine.result,
                },
            )
            self._leave(visit, COMPLETED)
        elif silent:
            self._report(
                "silent",
                {"learner": visit.counter.name, "seconds": self._settings.link.deadline_s},
            )
            self._forget(visit)

    def _refuse(self, visit: Visit, error: AssistLearnError) -> None:
        self._say(visit.route, visit.session.refuse(error))
        self._report("refused", {"learner": visit.counter.name, "why": str(error)})
        self._leave(visit, "refused")

    @contextmanager
    def _own_faults(
        self, counter: Counter, route: bytes | None = None, session_id: str = ""
    ) -> Iterator[None]:
        """Let a fault of ours inside end the service of this learner for now, and of no other.

        Args:
            counter: whom we serve.
            route: whom to tell, if none of its sessions is in memory.
            session_id: of which session it spoke; empty if of none.
        """
        try:
            yield
        except AssistLearnError as error:
            if route is not None and all(v.counter is not counter for v in self._visits.values()):
                self._send_away(counter.name, route, session_id, error)
            self._put_aside(counter, error)

    def _put_aside(self, counter: Counter, error: AssistLearnError) -> None:
        """The learner's sessions wait on disk, and it is told to come again."""
        for visit in [v for v in self._visits.values() if v.counter is counter]:
            self._send_away(counter.name, visit.route, visit.session.id, error)
            self._forget(visit)
        # After a failed write only reading the ledger again tells what is in it.
        with suppress(StorageError):  # its head is signed the next time
            self._reception.dismiss(counter)

    def _send_away(
        self, learner: str, route: bytes, session_id: str, error: AssistLearnError
    ) -> None:
        fields = {"why": str(error), "hint": error.hint, "exit_code": error.exit_code}
        self._report("suspended", {"learner": learner, **fields})
        self._refuse_session(route, session_id, RefusalCode.SUSPENDED)

    def _leave(self, visit: Visit, reason: str) -> None:
        visit.session.close(reason)
        visit.counter.desk.ledger.write_head(visit.counter.desk.identity)
        self._forget(visit)
        self._served += 1

    def _forget(self, visit: Visit) -> None:
        visit.duty.worker.stop()
        visit.session.suspend()  # of a closed session this clears what the worker still wrote
        self._visits.pop(visit.session.id, None)

    def _refuse_session(self, route: bytes, session_id: str, code: RefusalCode) -> None:
        session = bytes.fromhex(session_id)
        said = self._say(route, Refusal(session=session, code=code, field="", own="", peer=""))
        if said and code is RefusalCode.SUSPENDED:
            self._sent_away.append(route)

    def _blame(self, counter: Counter, error: AssistLearnError) -> None:
        counter.note_refusal(str(error))
        self._report("refused", {"learner": counter.name, "why": str(error)})

    def _answer(self, counter: Counter, route: bytes, frame: Frame) -> None:
        if isinstance(frame, Refusal):
            differs = f": {frame.field} is {frame.own} here, {frame.peer} there"
            why = frame.code.value + (differs if frame.field else "")
            self._report("refused", {"learner": counter.name, "why": why})
        self._say(route, frame)

    def _say(self, route: bytes, frame: Frame) -> bool:
        return self._port.send(route, encode_frame(frame))

    def _wait(self, *, waiting: bool) -> None:
        poller = zmq.Poller()
        poller.register(self._port.socket, zmq.POLLIN)
        more = False
        for visit in self._visits.values():
            if visit.duty.worker.busy:
                poller.register(visit.duty.worker.fileno, zmq.POLLIN)
            more |= visit.session.next_frame() is not None
        poller.poll(20 if waiting else 0 if more else POLL_MS)

    def _stop(self) -> None:
        for visit in list(self._visits.values()):
            self._forget(visit)
        if self._spare is not None:
            self._spare.stop()


def _decoded(parts: list[Any]) -> Frame | ProtocolError | FrameError:
    """The frame that a message is, or why it is none."""
    if len(parts) != 1:
        return FrameError("the learner sent a message of several parts")
    try:
        return decode_frame(parts[0].buffer)
    except (ProtocolError, FrameError) as error:
        return error
