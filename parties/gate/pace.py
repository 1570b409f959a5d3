"""What both gates' loops have in common: how much at once, how often, and whose fault it is."""

import time
from collections.abc import Callable
from typing import Final

from assistlearn.errors import (
    BundleError,
    FrameError,
    PeerProtocolError,
    QuotaError,
    TensorError,
)
from parties.gate.session import Session

PEER_FAULTS: Final = (PeerProtocolError, BundleError, TensorError, QuotaError, FrameError)
POLL_MS: Final = 500
BEAT_S: Final = 0.4  # the peer's deadline may be shorter than ours, but not below a second
BURST: Final = 16  # frames handed to the socket before looking at anything else


class Heartbeat:
    """Makes a session say how far it is, often enough for the peer's deadline."""

    def __init__(self, deadline_s: float) -> None:
        self._every_s = min(BEAT_S, deadline_s / 5)
        self._last = 0.0

    def beat(self, session: Session) -> None:
        """Mark a status as due if it is time."""
        now = time.monotonic()
        if now - self._last > self._every_s:
            session.status_due = True
            self._last = now


def send_burst(session: Session, send: Callable[[memoryview], bool]) -> bool:
    """Hand over what may go; whether the socket is full."""
    for _ in range(BURST):
        frame = session.next_frame()
        if frame is None:
            return False
        if not send(frame):
            return True
        session.frame_sent()
    return False
