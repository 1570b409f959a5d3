"""The learner's gate: one worker, one outgoing connection, one session at a time."""

import shlex
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import zmq

from assistlearn.bundle import Card
from assistlearn.checkpoints import ModelSpec
from assistlearn.durable import disk_errors
from assistlearn.errors import (
    BundleError,
    ConfigError,
    FrameError,
    LinkLostError,
    PartyDirectoryError,
    ProtocolError,
    StorageError,
)
from parties.directory import PartyDirectory
from parties.gate.duty import Duty, Told
from parties.gate.handshake import Agreed, LearnerHandshake, OwnSide
from parties.gate.leftovers import sweep
from parties.gate.link import LearnerLink
from parties.gate.opening import Desk
from parties.gate.pace import PEER_FAULTS, POLL_MS, Heartbeat, send_burst
from parties.gate.result import SessionResult, keep_early_result, keep_result, kept_result
from parties.gate.session import COMPLETED, Session
from parties.gate.walls import keep_out_of_data
from parties.gate.worker import WorkerProcess
from parties.memory import bound_memory
from parties.secrets import SessionSecrets
from parties.worker.requests import Described
from protocols.codec import encode_frame
from protocols.messages import Refusal, RefusalCode
from protocols.roles import Role

HEADROOM_BYTES: Final = 768 << 20  # as a provider takes for one learner


@dataclass(slots=True)
class _Pulse:
    """One deadline: the link lives while anything at all arrives."""

    deadline_s: float
    heard: float
    told: float = 0.0
    """When silence was last told of."""

    def quiet(self) -> bool:
        """Whether to tell a person of the silence: once, after a third of the deadline."""
        if self.told >= self.heard or time.monotonic() - self.heard < self.deadline_s / 3:
            return False
        self.told = time.monotonic()
        return True

    def check(self, what: str) -> None:
        silent_s = time.monotonic() - self.heard
        if silent_s > self.deadline_s:
            raise LinkLostError(
                f"{what} for {self.deadline_s:g} s",
                hint="check the address, the network and whose card is on file, then run the same"
                " command again: it goes on where this one stopped",
            )


class LearnerGate:
    """Runs the learner's side of one session to its end."""

    def __init__(self, directory: PartyDirectory, *, report: Told) -> None:
        self._directory = directory
        self._settings = directory.settings
        self._report = report
        if Role(self._settings.role) is not Role.LEARNER:
            raise PartyDirectoryError(
                f"{directory.root} is a provider's directory",
                hint=f"run `assistlearn provide {shlex.quote(str(directory.root))}`",
            )

    def run(self, *, again: bool = False) -> SessionResult:
        """Go on with the open session, or agree on a new one, and bring it to its end.

        Args:
            again: buy another session though the last one is complete.

        Raises:
            AssistLearnError: what ended it, with the exit code and what to do.
        """
        directory = self._directory
        keep_out_of_data(directory)
        with directory.locked():
            identity, peer = directory.identity, directory.only_peer()
            sweep(directory)
            with directory.open_ledger(peer) as ledger:
                desk = Desk(
                    directory=directory,
                    identity=identity,
                    peer=peer,
                    ledger=ledger,
                    role=Role.LEARNER,
                )
                session = self._open_session(desk)
                if session is None and not again and (done := self._done(desk)):
                    return done
                with disk_errors(f"write to {directory.models}"):  # before anything is paid
                    directory.models.mkdir(parents=True, exist_ok=True)
                    tempfile.TemporaryFile(dir=directory.models).close()
                try:
                    result = self._run(desk, session)
                except BaseException:
                    with suppress(StorageError):  # to be told is what ended it, not this
                        ledger.write_head(identity)
                    raise
                ledger.write_head(identity)
                return result

    def _done(self, desk: Desk) -> SessionResult | None:
        """What an earlier session brought. None is bought again unasked, wherever that is now."""
        done = kept_result(self._directory)
        if done is None and any(each.closed == COMPLETED for each in desk.recorded().values()):
            raise PartyDirectoryError(
                f"a session was completed here before, and its result is not in"
                f" {self._directory.models} any more",
                hint="put it back, or add --again to buy another session",
            )
        return done

    def _open_session(self, desk: Desk) -> Session | None:
        for recorded in desk.recorded().values():
            if recorded.closed is None:
                agreement = recorded.agreement
                self._find_secrets(agreement.session, agreement.learner_nonce)
                session = desk.resume(recorded)
                if session is not None:
                    edited = agreement.edited_since(self._settings.terms.terms())
                    fields = {"session": session.id, **session.outline, "edited": list(edited)}
                    self._report("resumed", fields)
                    return session
                desk.give_up(agreement.session, "given up: what it needed to go on is gone")
                folder = self._directory.session_folder(agreement.session)
                self._report("lost", {"session": agreement.session, "folder": str(folder)})
        return None

    def _find_secrets(self, session: str, nonce: str) -> None:
        """Finish a start that a crash cut between ledger and folder."""
        pending = self._directory.pending
        secrets = SessionSecrets.load(pending)
        if secrets is not None and secrets.nonce.hex() == nonce:
            secrets.store(self._directory.session_folder(session))
            SessionSecrets.destroy(pending)

    def _run(self, desk: Desk, session: Session | None) -> SessionResult:
        self._report("loading", {"task": self._settings.terms.task})
        worker = WorkerProcess(self._directory.root)
        link: LearnerLink | None = None
        try:
            described = None if session else worker.describe()
            address = self._settings.link.provider
            assert address is not None  # settings require it of a learner
            bound_memory(HEADROOM_BYTES)
            link = LearnerLink(address, identity=desk.identity, provider=desk.peer)
            if session is None:
                assert described is not None
                session = self._agree(desk, link, described)
            return self._serve(desk.peer, session, Duty(session, worker, report=self._report), link)
        finally:
            worker.stop()
            if session is not None:
                session.suspend()
            if link is not None:
                link.close()

    def _agree(self, desk: Desk, link: LearnerLink, described: Described) -> Session:
        pending = self._directory.pending
        secrets = SessionSecrets.load(pending) or SessionSecrets.draw()
        secrets.store(pending)  # before the first word leaves: a restart says the same again
        spec = ModelSpec.parse(described.spec)
        terms = self._settings.terms.terms()
        side = OwnSide.of(described, identity=desk.identity, peer=desk.peer, terms=terms)
        handshake = LearnerHandshake(side, secrets)
        try:
            agreed = self._shake_hands(desk.peer, link, handshake)
        except (ProtocolError, BundleError, FrameError, ConfigError) as error:
            desk.note_refusal(handshake.refused or str(error))
            raise
        session = desk.enter(
            agreed,
            secrets=secrets,
            spec=spec,
            samples=described.samples,
            minimum_gain=self._settings.minimum_gain,
        )
        SessionSecrets.destroy(pending)
        self._report("agreed", {"session": session.id, **session.outline})
        return session

    def _shake_hands(self, peer: Card, link: LearnerLink, handshake: LearnerHandshake) -> Agreed:
        pulse = self._pulse()
        fields = {"address": self._settings.link.provider, "peer": peer.name}
        self._report("connecting", {**fields, "deadline_s": self._settings.link.deadline_s})
        outgoing: bytes | None = None
        while True:
            if link.restored():
                outgoing = encode_frame(handshake.hello())
                pulse.heard = time.monotonic()
                self._report("connected", {"peer": peer.name})
            if outgoing is not None and link.send(outgoing):
                outgoing = None
            for frame in link.frames():
                pulse.heard = time.monotonic()
                answer = handshake.answer(frame)
                if isinstance(answer, Agreed):
                    return answer
                if answer is not None:
                    outgoing = encode_frame(answer)
            address = self._settings.link.provider
            pulse.check(f"nobody answered at {address} with the key of {peer.name}")
            zmq.select([link.socket, link.monitor], [], [], POLL_MS / 1000)

    def _serve(self, peer: Card, session: Session, duty: Duty, link: LearnerLink) -> SessionResult:
        result: SessionResult | None = None
        pulse = self._pulse()
        heartbeat = Heartbeat(pulse.deadline_s)
        while True:
            if link.restored():
                session.link_restored()
                self._report("connected", {"peer": peer.name})
            if self._heard(session, peer, link):
                pulse.heard = time.monotonic()
            duty.attend()
            heartbeat.beat(session)
            waiting = send_burst(session, link.send)
            if session.machine.done and result is None and duty.idle:
                result = keep_result(self._directory, session, peer)
                self._report("kept", {"model": str(result.model)})
            if result is not None and session.finished:
                session.close(COMPLETED)
                return result
            if pulse.quiet():
                silent_s = time.monotonic() - pulse.heard
                fields = {"peer": peer.name, "seconds": silent_s, "deadline_s": pulse.deadline_s}
                self._report("quiet", fields)
            pulse.check(f"nothing came from {peer.name}")
            self._wait(duty, link, waiting=waiting)

    def _heard(self, session: Session, peer: Card, link: LearnerLink) -> bool:
        """Take in what has arrived, if anything. Only what goes wrong in here is the provider's."""
        heard = False
        try:
            for frame in link.frames():
                heard = True
                if isinstance(frame, Refusal) and frame.code is not RefusalCode.SUSPENDED:
                    self._keep_what_was_paid(session, peer)
                session.receive(frame)
        except PEER_FAULTS as error:
            self._keep_what_was_paid(session, peer)
            link.send(encode_frame(session.refuse(error)))
            raise
        return heard

    def _keep_what_was_paid(self, session: Session, peer: Card) -> None:
        """Before a session ends early and its folder goes."""
        model = keep_early_result(self._directory, session, peer)
        if model is not None:
            self._report("saved", {"model": str(model)})

    def _wait(self, duty: Duty, link: LearnerLink, *, waiting: bool) -> None:
        poller = zmq.Poller()
        poller.register(link.socket, zmq.POLLIN | (zmq.POLLOUT if waiting else 0))
        poller.register(link.monitor, zmq.POLLIN)
        if duty.worker.busy:
            poller.register(duty.worker.fileno, zmq.POLLIN)
        more = not waiting and duty.session.next_frame() is not None
        poller.poll(0 if more else POLL_MS)

    def _pulse(self) -> _Pulse:
        return _Pulse(self._settings.link.deadline_s, time.monotonic())
