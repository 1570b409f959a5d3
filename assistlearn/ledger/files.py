"""Opening files that somebody may have put there: never wait for a pipe's other end."""

import errno
import io
import os
import stat
from pathlib import Path


def open_ordinary(path: Path, flags: int = os.O_RDONLY) -> int:
    """A descriptor of an ordinary file; one that ``flags`` make is for its owner only.

    Raises:
        OSError: it cannot be opened, or is a folder, pipe, socket or device.
    """
    descriptor = os.open(path, flags | os.O_NONBLOCK, 0o600)  # a pipe's other end may never come
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "it is no ordinary file", str(path))


def open_to_read(path: Path) -> io.BufferedReader:
    """An ordinary file, to be closed by the caller.

    Raises:
        OSError: as :func:`open_ordinary`.
    """
    return os.fdopen(open_ordinary(path), "rb")
