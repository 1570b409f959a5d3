"""Checkpoint files by content: ``DIGEST.safetensors``, named after the SHA-256 of the file.

Two processes share the folder (one has torch and the data, the other has sockets and keys).
A file appears under its digest only when it is whole and on disk, so neither ever sees half
of one. This module knows nothing of torch, and never looks inside a file.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from assistlearn.durable import disk_errors, move_durably
from assistlearn.errors import StorageError

DIGEST: Final = re.compile(r"[0-9a-f]{64}")
QUARANTINE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
SUFFIX: Final = ".safetensors"
UNFINISHED: Final = ".unfinished-"


class CheckpointWriter:
    """One file on its way into the store. Use as a context manager; see :meth:`commit`."""

    def __init__(self, folder: Path, *, durable: bool) -> None:
        self._folder = folder
        self._durable = durable
        self._hash = hashlib.sha256()

    def __enter__(self) -> Self:
        with disk_errors(f"write a checkpoint to {self._folder}"):
            descriptor, name = tempfile.mkstemp(prefix=UNFINISHED, dir=self._folder)
        self._path = Path(name)
        self._file = os.fdopen(descriptor, "wb", buffering=0)  # callers write large pieces
        return self

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes.

        Raises:
            StorageError: the disk is full, read-only or failing. No file is left behind once
                the context is left.
        """
        view = memoryview(data).cast("B")
        self._hash.update(view)
        with disk_errors(f"write a checkpoint to {self._folder}"):
            while view:
                view = view[self._file.write(view) :]

    def commit(self) -> str:
        """Put what was written on disk under its digest, and return the digest.

        Raises:
            StorageError: as for :meth:`write`. The store is unchanged.
        """
        digest = self._hash.hexdigest()
        with disk_errors(f"write a checkpoint to {self._folder}"):
            self._file.close()
            target = self._folder / f"{digest}{SUFFIX}"
            if self._durable:
                move_durably(self._path, target)
            else:
                self._path.replace(target)
        return digest

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)  # gone already if it was committed


class CheckpointStore:
    """A folder of checkpoint files by digest, and a corner for files not yet complete."""

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        """A store in ``folder``, which is made if absent.

        Args:
            folder: where the files are.
            durable: whether files must survive a power cut once written. A simulation's need
                not, and waiting for the disk is most of what small models cost there.
        """
        self.folder = folder
        self._durable = durable
        self._quarantine = folder / "quarantine"
        self._deleter = ThreadPoolExecutor(max_workers=1)  # its thread starts with the first task
        self._deletions: list[Future[None]] = []
        with disk_errors(f"create {self._quarantine}"):
            self._quarantine.mkdir(parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        """Where the file with this digest is, or would be.

        Raises:
            StorageError: ``digest`` is not 64 lower-case hex digits. A digest may come from a
                peer, so it must never become a path of its own.
        """
        if not DIGEST.fullmatch(digest):
            raise StorageError(f"{digest[:80]!r} is not a digest of 64 lower-case hex digits")
        return self.folder / f"{digest}{SUFFIX}"

    def __contains__(self, digest: str) -> bool:
        return self.path(digest).is_file()

    def writer(self) -> CheckpointWriter:
        """A context that writes one file; nothing is stored unless it is committed."""
        return CheckpointWriter(self.folder, durable=self._durable)

    def quarantine(self, name: str) -> Path:
        """Where others collect a partly received file called ``name``. May not exist yet.

        Raises:
            StorageError: ``name`` is not a plain file name.
        """
        if not QUARANTINE_NAME.fullmatch(name):
            raise StorageError(f"{name[:80]!r} is not a plain file name")
        return self._quarantine / name

    def digests(self) -> frozenset[str]:
        """Digests of all files in the store."""
        names = (path.name.removesuffix(SUFFIX) for path in self.folder.glob(f"*{SUFFIX}"))
        return frozenset(name for name in names if DIGEST.fullmatch(name))

    def keep_only(self, digests: Iterable[str]) -> None:
        """Delete every other checkpoint. Files in quarantine and unfinished ones stay.

        They are out of the store when this returns; the disk then takes its time to free what a
        large file held. A power cut may bring some back, until this is called again, or leave
        unfinished files of them.

        Raises:
            StorageError: the disk is read-only or failing, now or since the last call.
        """
        with disk_errors(f"delete checkpoints from {self.folder}"):
            while self._deletions and self._deletions[0].done():
                self._deletions.pop(0).result()
            for digest in self.digests() - set(digests):
                doomed = self.path(digest).rename(self.folder / f"{UNFINISHED}{digest}")
                try:
                    self._deletions.append(self._deleter.submit(doomed.unlink, missing_ok=True))
                except RuntimeError:  # no thread to be had
                    doomed.unlink(missing_ok=True)

    def discard_unfinished(self) -> None:
        """Delete what a killed process left half written. Only while nobody else writes here."""
        with disk_errors(f"delete unfinished files from {self.folder}"):
            for path in self.folder.glob(f"{UNFINISHED}*"):
                path.unlink(missing_ok=True)
