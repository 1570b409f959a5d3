"""Ctrl-C and SIGTERM end a process alike, but not in the middle of what must be done as a whole."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """Somebody asked this process to stop.

    A class of its own, since CPython remembers a plain KeyboardInterrupt that left a string run by
    `exec`, as dataclasses are made, and ends `python -m` by SIGINT though it was caught.
    """


class _Requests:
    """The one handler of both signals."""

    def __init__(self) -> None:
        self.held = 0
        """Blocks, one inside the other, that are to be finished first."""
        self.waiting = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.waiting = self.held > 0
        if not self.waiting:
            raise Stopped


_requests: Final = _Requests()  # a process has one handler for a signal, so this is its alone


def stop_on_signals() -> None:
    """Let a service manager's SIGTERM end this process as Ctrl-C does, and both wait where told.

    A SIGINT that is ignored stays so: a shell starts jobs in the background like this.

    Raises:
        ValueError: called outside of the main thread.
    """
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _requests)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """A request to stop that comes inside is obeyed at the end of the block.

    For blocks of milliseconds. Without effect before :func:`stop_on_signals`, and outside of the
    main thread, which is the only one that Python's signal handlers run in.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _requests.held += 1
    try:
        yield
    finally:
        _requests.held -= 1
        if _requests.waiting and not _requests.held:
            _requests.waiting = False
            raise Stopped
