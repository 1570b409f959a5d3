"""A bound on the memory of the process that strangers can talk to.

ZeroMQ bounds the size of a part and the number of messages, but not the parts of a message: a
learner on file could fill the memory of the machine with one. Beyond the bound its connection
is reset, or, at worst, this process ends; then sessions go on where they were.
"""

import resource
from contextlib import suppress
from pathlib import Path

STATM = Path("/proc/self/statm")


def bound_memory(headroom_bytes: int) -> None:
    """Let this process grow by so much at most. Only Linux keeps such a promise."""
    if not STATM.is_file():
        return
    used = int(STATM.read_text().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    with suppress(ValueError, OSError):  # the machine's own bound is tighter
        resource.setrlimit(resource.RLIMIT_AS, (used + headroom_bytes, hard))


def unbound_memory() -> None:
    """Undo it, in a process that inherited the bound and needs more."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
