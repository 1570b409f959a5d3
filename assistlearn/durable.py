"""Files that are there after a crash, or not there at all; disk trouble in plain words."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from assistlearn.errors import StorageError

REMEDIES: Final = {
    errno.ENOSPC: "free some space on this disk, then run the same command again",
    errno.EDQUOT: "raise the disk quota or delete files, then run the same command again",
    errno.EFBIG: "raise the limit on file size (ulimit -f), then run the same command again",
    errno.EROFS: "move the party's directory to a disk that can be written to",
    errno.EACCES: "give this user write permission on the folder",
    errno.EPERM: "give this user write permission on the folder",
    errno.EIO: "check the disk for faults before running anything else",
}
OTHERWISE: Final = "check that the folder exists and that its disk is in order"


@contextmanager
def disk_errors(what: str) -> Iterator[None]:
    """Turn an operating system error while doing ``what`` into StorageError with a remedy."""
    try:
        yield
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0, OTHERWISE)
        raise StorageError(f"cannot {what}: {error.strerror or error}", hint=remedy) from error


def sync_folder(folder: Path) -> None:
    """Make renames and deletions in ``folder`` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def move_durably(source: Path, target: Path) -> None:
    """Replace ``target`` by ``source`` atomically, contents first. Same file system only."""
    with source.open("rb") as file:
        os.fsync(file.fileno())
    source.replace(target)
    sync_folder(target.parent)


def write_durably(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace a small file atomically, in a folder that is there; on disk when this returns.

    Raises:
        StorageError: the disk is full, read-only or failing. What was there before stays.
    """
    unfinished = path.with_name(f".{path.name}.unfinished")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with disk_errors(f"write {path}"):
        unfinished.unlink(missing_ok=True)
        with os.fdopen(os.open(unfinished, flags, mode), "wb") as file:
            file.write(data)
        move_durably(unfinished, path)
