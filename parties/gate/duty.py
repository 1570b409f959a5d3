"""A session and its worker: whatever the machine wants done is asked for, one thing at a time."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from assistlearn.errors import WorkerError
from parties.gate.session import Session
from parties.gate.worker import WorkerProcess
from parties.worker.requests import Begin, Begun, Initialise, Measure, Measured, Request
from protocols.events import Sampled, Score, Scored, Started, Train
from protocols.learner import LearnerMachine, LearnerState

Told: TypeAlias = Callable[[str, Mapping[str, Any]], None]
"""Told what happens, for people: an event's name and its fields."""


class Duty:
    """Keeps one worker busy with one session."""

    def __init__(self, session: Session, worker: WorkerProcess, *, report: Told) -> None:
        self.session = session
        self.worker = worker
        self._report = report
        self._asked: Request | None = None
        self._first: deque[Request] = deque(
            [
                Begin(
                    agreement=session.agreement.text(),
                    noise_seed=session.books.secrets.noise_seed,
                    samples=session.joined.samples,
                )
            ]
        )
        self._reported_rounds = self._rounds()
        self._round_started = time.monotonic()

    def attend(self) -> None:
        """Take in the worker's answer, if there is one, and ask for what comes next.

        Raises:
            WorkerError: the worker ended or answered something else.
            AssistLearnError: the task failed.
        """
        if self.worker.busy:
            reply = self.worker.poll()
            if reply is not None:
                self._take(reply)
        self._note_rounds()
        if not self.worker.busy:
            self.session.forget()  # while the worker rests: it adds checkpoints of its own
            self._asked = self._next_request()
            if self._asked is not None:
                self.worker.ask(self._asked)

    @property
    def idle(self) -> bool:
        """Whether the worker has nothing to do."""
        return not self.worker.busy and self._next_request(take=False) is None

    def _next_request(self, *, take: bool = True) -> Request | None:
        if self._first:
            return self._first.popleft() if take else self._first[0]
        machine = self.session.machine
        if isinstance(machine, LearnerMachine) and machine.state is LearnerState.IDLE:
            return Initialise()
        return self.session.work

    def _take(self, reply: object) -> None:
        match self._asked, reply:
            case (Begin(), Begun()):
                pass
            case (Initialise(), Started()):
                self.session.tell(reply)
                self._report("started", {"loss": reply.loss.mean})
                self._first.append(Measure(digest=reply.digest))
            case (Train() as asked, Sampled()) if reply.step == asked.to_step:
                self.session.tell(reply)
                self._report(
                    "sampled",
                    {
                        "round": asked.round,
                        "step": reply.step,
                        "loss": None if reply.loss is None else reply.loss.mean,
                    },
                )
            case (Score() as asked, Scored()) if reply.digest == asked.digest:
                self.session.tell(reply)
                self._report("scored", {"stopped_early": reply.loss is None})
            case (Measure() as asked, Measured()) if reply.digest == asked.digest:
                self._measured(reply)
            case _:
                raise WorkerError(
                    f"the worker answered {type(reply).__name__} to {type(self._asked).__name__}"
                )

    def _rounds(self) -> int:
        machine = self.session.machine
        if isinstance(machine, LearnerMachine):
            return len(machine.results)
        return machine.rounds_provided

    def _note_rounds(self) -> None:
        """Report a round that has just ended; a learner has its result measured first."""
        while self._reported_rounds < self._rounds():
            self._reported_rounds += 1
            machine = self.session.machine
            if isinstance(machine, LearnerMachine):
                result = machine.results[self._reported_rounds - 1]
                self._first.append(Measure(digest=result.digest))
            else:
                self._report_round(self._reported_rounds, {})

    def _measured(self, reply: Measured) -> None:
        machine = self.session.machine
        assert isinstance(machine, LearnerMachine)
        for result in machine.results:
            if result.digest == reply.digest and result.round == self._reported_rounds:
                fields = {
                    "global_loss": result.global_loss,
                    "step": result.step,
                    "metrics": dict(reply.metrics),
                }
                self._report_round(result.round, fields)
                return
        self._report("initial", {"metrics": dict(reply.metrics)})

    def _report_round(self, round_: int, fields: Mapping[str, Any]) -> None:
        sent, received = self.session.round_bytes(round_)
        now = time.monotonic()
        self._report(
            "round",
            {
                "round": round_,
                "bytes_sent": sent,
                "bytes_received": received,
                "seconds": now - self._round_started,
                **fields,
            },
        )
        self._round_started = now
