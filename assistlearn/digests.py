"""SHA-256, by name: the one digest of this project."""

import hashlib
from pathlib import Path


def digest(data: bytes | memoryview) -> str:
    """SHA-256 of ``data``, as 64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, read in pieces of 1 MiB."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
