"""``python -m parties.worker DIR``: started by the gate, which talks to it over a pipe.

The gate's end of standard input closes when the gate dies, however it dies; then this process
ends at once, in the middle of whatever it does. Files it was writing are never half there.
"""

import fcntl
import os
import queue
import sys
import threading
import traceback
from pathlib import Path
from typing import BinaryIO

from assistlearn.errors import AssistLearnError, LocalProtocolError
from parties.directory import PartyDirectory
from parties.memory import unbound_memory
from parties.walls import forbid_network
from parties.warnings import word_data_warnings
from parties.worker.requests import (
    LENGTH,
    MAX_BYTES,
    Begin,
    Failed,
    Request,
    decode_request,
    encode_reply,
)
from protocols.agreement import Agreement


def main(folder: Path) -> None:
    """Answer requests until the gate closes the pipe."""
    requests_in, replies_out = _take_over_pipes()
    word_data_warnings()
    forbid_network()
    unbound_memory()
    waiting: queue.Queue[Request] = queue.Queue()
    threading.Thread(target=_listen, args=(requests_in, waiting), daemon=True).start()
    try:
        # Not before the walls are up: importing a task runs a user's code.
        from parties.worker.build import build_service  # noqa: PLC0415

        directory = PartyDirectory(folder)
        service = build_service(directory)
    except AssistLearnError as error:
        waiting.get()  # the gate has asked for something by now; this is the answer
        reply = Failed(error=type(error).__name__, message=str(error), hint=error.hint)
        _write(replies_out, encode_reply(reply))
        return
    locks = []
    while True:
        request = waiting.get()
        if isinstance(request, Begin):
            # A worker that a killed gate left behind may still be writing for an instant.
            locks.append(
                _lock(directory.session_folder(Agreement.parse(request.agreement).session))
            )
        _write(replies_out, encode_reply(service.answer(request)))


def _take_over_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Keep the pipes for ourselves; a task that prints, prints to standard error."""
    requests_in = os.fdopen(os.dup(0), "rb")
    replies_out = os.fdopen(os.dup(1), "wb", buffering=0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    return requests_in, replies_out


def _listen(requests_in: BinaryIO, waiting: "queue.Queue[Request]") -> None:
    try:
        while True:
            head = requests_in.read(LENGTH.size)
            if len(head) < LENGTH.size:
                os._exit(0)  # the gate is gone
            (size,) = LENGTH.unpack(head)
            if size > MAX_BYTES:
                raise LocalProtocolError(f"the gate sent a request of {size} bytes")
            body = requests_in.read(size)
            if len(body) < size:
                os._exit(0)
            waiting.put(decode_request(body))
    finally:  # an error, whichever: without us the process would wait for ever
        traceback.print_exc()
        os._exit(os.EX_SOFTWARE)


def _write(replies_out: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[replies_out.write(view) :]


def _lock(folder: Path) -> int:
    descriptor = os.open(folder / "worker.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


if __name__ == "__main__":
    main(Path(sys.argv[1]))
