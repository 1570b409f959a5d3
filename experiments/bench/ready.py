"""A party's real gate whose worker answers at once, with checkpoints that lie ready.

    python -m experiments.bench.ready DIRECTORY MODELS LOG [--held]

Everything but training and data is real: handshake, sockets with CURVE, seals, ledger, spool. Each
request to the worker goes to LOG as a line of JSON with the clock and the processor time used.
"""

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import parties.gate.learner
import parties.gate.provider
from assistlearn.losses import LocalLoss
from experiments.bench.scene import ReadyModels
from parties.directory import PartyDirectory
from parties.gate.learner import LearnerGate
from parties.gate.link import LearnerLink, ProviderPort
from parties.gate.provider import ProviderGate
from parties.worker.requests import (
    Begin,
    Begun,
    Described,
    Initialise,
    Measure,
    Measured,
    Reply,
    Request,
)
from protocols.agreement import Agreement
from protocols.codec import PIECE_HEAD, PIECE_KIND
from protocols.events import Sampled, Score, Scored, Started, Train
from protocols.roles import Role

EXAMPLES = 1000


class Log:
    """Lines that are with the kernel at once, so that SIGKILL loses none."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("ab", buffering=0)

    def write(self, event: str, **fields: object) -> None:
        """Note an event with wall clock (shared by all processes) and own processor time."""
        line = {"event": event, "at": time.monotonic(), "cpu": time.process_time(), **fields}
        self._file.write(json.dumps(line).encode() + b"\n")


class ReadyWorker:
    """In place of :class:`parties.gate.worker.WorkerProcess`: no process, no data, no delay."""

    def __init__(self, directory: PartyDirectory, models: ReadyModels, log: Log) -> None:
        self._directory = directory
        self._models = models
        self._log = log
        self._learner = Role(directory.settings.role) is Role.LEARNER
        self._store = Path()
        self._reply: Reply | None = None
        self._out, self._in = os.pipe()
        self.busy = False

    @property
    def fileno(self) -> int:
        """Readable while an answer waits."""
        return self._out

    def ask(self, request: Request) -> None:
        """Answer, to be fetched by :meth:`poll`."""
        self._reply = self._answer(request)
        self.busy = True
        os.write(self._in, b"!")
        step = request.to_step if isinstance(request, Train) else None
        self._log.write(type(request).__name__, step=step)

    def poll(self) -> Reply | None:
        """The answer."""
        os.read(self._out, 1)
        self.busy = False
        return self._reply

    def describe(self) -> Described:
        """What the files are."""
        return Described(spec=self._models.spec.text(), samples=EXAMPLES, schema="")

    def stop(self) -> None:
        """Nothing is running."""
        os.close(self._out)
        os.close(self._in)

    def _answer(self, request: Request) -> Reply:
        match request:
            case Begin():
                session = Agreement.parse(request.agreement).session
                self._store = self._directory.session_folder(session) / "spool"
                return Begun()
            case Initialise():
                return Started(digest=self._models.put(0, self._store), loss=_loss(0))
            case Train():
                number = request.first_update + request.to_step - request.from_step
                # The provider takes them from the end, so that none is one of the learner's.
                name = self._models.put(number if self._learner else -number, self._store)
                return Sampled(step=request.to_step, digest=name, loss=_loss(number), noise=0.0)
            case Score():
                return Scored(digest=request.digest, loss=_loss(0))
            case Measure():
                return Measured(digest=request.digest, metrics=())
            case _:
                raise AssertionError(request)


def _loss(number: int) -> LocalLoss:
    total = EXAMPLES / (1 + number)  # later is better
    return LocalLoss(total=total, clipped=total, count=EXAMPLES)


def log_pieces(log: Log) -> None:
    """Note every piece that a socket of this process takes or gives."""
    plain_send, plain_frames = LearnerLink.send, LearnerLink.frames
    plain_port_send, plain_next = ProviderPort.send, ProviderPort.next_message

    def note(way: str, frame: Any) -> None:
        if frame[0] == PIECE_KIND:
            _, _, seq, index = PIECE_HEAD.unpack_from(frame)
            log.write(way, seq=seq, index=index, size=len(frame))

    def send(self: LearnerLink, frame: memoryview | bytes) -> bool:
        taken = plain_send(self, frame)
        if taken:
            note("sent", frame)
        return taken

    def port_send(self: ProviderPort, route: bytes, frame: memoryview | bytes) -> bool:
        taken = plain_port_send(self, route, frame)
        if taken:
            note("sent", frame)
        return taken

    def next_message(self: ProviderPort) -> tuple[bytes, str, list[Any]] | None:
        message = plain_next(self)
        if message is not None and message[2]:
            note("arrived", message[2][0].buffer)
        return message

    LearnerLink.send, LearnerLink.frames = send, plain_frames  # type: ignore[method-assign]
    ProviderPort.send, ProviderPort.next_message = port_send, next_message  # type: ignore[method-assign]


def main(root: str, models_folder: str, log_path: str, *options: str) -> None:
    """Run one party to its end."""
    directory = PartyDirectory(Path(root))
    models = ReadyModels.read(Path(models_folder))
    log = Log(Path(log_path))
    log.write("process")
    if "--pieces" in options:
        log_pieces(log)

    def make_worker(_folder: Path) -> ReadyWorker:
        return ReadyWorker(directory, models, log)

    parties.gate.learner.WorkerProcess = make_worker  # type: ignore[attr-defined,assignment]
    parties.gate.provider.WorkerProcess = make_worker  # type: ignore[attr-defined,assignment]

    def report(event: str, fields: Mapping[str, Any]) -> None:
        del fields
        log.write(f"report {event}")

    if Role(directory.settings.role) is Role.LEARNER:
        LearnerGate(directory, report=report).run()
    else:
        ProviderGate(directory, report=report).run(sessions=1)
    log.write("end")


if __name__ == "__main__":
    main(*sys.argv[1:])
