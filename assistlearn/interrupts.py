"""Ctrl-C and SIGTERM wait while something small must be done as a whole."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def stop_on_sigterm() -> None:
    """Let a service manager's SIGTERM end this process as Ctrl-C does.

    Raises:
        ValueError: called outside of the main thread.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """A request to stop that comes inside is obeyed at the end of the block.

    For blocks of milliseconds. Without effect outside of the main thread, which is the only one
    that Python's signal handlers run in.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        came.append(number)

    usual = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
