"""The gate's end of the pipe to its worker."""

import os
import select
import subprocess
import sys
from pathlib import Path
from typing import Final

from assistlearn import errors
from assistlearn.errors import AssistLearnError, WorkerError
from parties.worker.requests import (
    LENGTH,
    MAX_BYTES,
    Describe,
    Described,
    Failed,
    Reply,
    Request,
    decode_reply,
    encode_request,
)

GRACE_S: Final = 5.0  # to end by itself once its pipe is closed; it needs milliseconds


class WorkerProcess:
    """A worker process that answers one request at a time."""

    def __init__(self, folder: Path) -> None:
        """Start the worker of the party in ``folder``."""
        self._process = subprocess.Popen(  # noqa: S603  (our own program)
            [sys.executable, "-m", "parties.worker", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,  # Ctrl-C is for the gate, which ends its worker in order
        )
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._buffer = bytearray()
        self.busy = False

    @property
    def fileno(self) -> int:
        """To wait for an answer."""
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def ask(self, request: Request) -> None:
        """Send a request. The answer comes from :meth:`poll`, sooner or later.

        Raises:
            WorkerError: the worker has ended.
        """
        assert not self.busy, "one request at a time"
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(encode_request(request))
        except BrokenPipeError:
            raise self._ended() from None
        self.busy = True

    def poll(self) -> Reply | None:
        """The answer, if it is there.

        Raises:
            WorkerError: the worker has ended, or answers what was not asked.
            AssistLearnError: the worker's own error, as it was.
        """
        assert self._process.stdout is not None
        data = self._process.stdout.read(1 << 20)
        if data == b"":
            raise self._ended()
        self._buffer += data or b""
        if len(self._buffer) < LENGTH.size:
            return None
        (size,) = LENGTH.unpack_from(self._buffer)
        if size > MAX_BYTES:
            raise WorkerError(f"the worker sent an answer of {size} bytes")
        if len(self._buffer) < LENGTH.size + size:
            return None
        reply = decode_reply(bytes(self._buffer[LENGTH.size : LENGTH.size + size]))
        del self._buffer[: LENGTH.size + size]
        self.busy = False
        if isinstance(reply, Failed):
            raise _as_error(reply)
        return reply

    def describe(self) -> Described:
        """Ask what the task is, and wait for the answer, however long the data take to load.

        Raises:
            AssistLearnError: the task or its data are not in order.
        """
        self.ask(Describe())
        while (reply := self.poll()) is None:
            select.select([self.fileno], [], [])
        if not isinstance(reply, Described):
            raise WorkerError(f"the worker answered {type(reply).__name__} to Describe")
        return reply

    def stop(self) -> None:
        """End the worker, at once: what it is doing is done again after a restart."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if self.busy:
            self._process.kill()  # it would look at its pipe only once it is done
        self._process.stdin.close()
        try:
            self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _ended(self) -> WorkerError:
        code = self._process.wait()
        return WorkerError(
            f"the worker process ended with code {code}",
            hint="see its messages above; then run the same command again to go on",
        )


def _as_error(failed: Failed) -> AssistLearnError:
    kind = getattr(errors, failed.error, None)
    if isinstance(kind, type) and issubclass(kind, AssistLearnError):
        return kind.worded(failed.message, hint=failed.hint)
    return WorkerError(failed.message, hint=failed.hint)
