"""One bundle on its way in: its payload collects in quarantine until every check has passed.

The quarantine file's length says how many pieces have arrived, so a restarted process goes on
where the last one stopped. The file is named by us, never by the peer.
"""

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

from assistlearn.bundle import PIECE_BYTES, PieceOpener, piece_count
from assistlearn.checkpoints import ModelSpec, check_file
from assistlearn.checkpoints.durable import disk_errors, move_durably
from assistlearn.errors import DigestMismatchError, PeerProtocolError


class IncomingPayload:
    """The payload of the bundle that is arriving."""

    def __init__(self, *, path: Path, size: int, key: bytes, bind: bytes) -> None:
        """Begin, or go on where a quarantine file ends.

        Args:
            path: the quarantine file.
            size: plaintext bytes that the signed header announces; already agreed to.
            key: the bundle key.
            bind: what every piece is bound to.

        Raises:
            StorageError: the file cannot be opened, or the disk has no room for ``size``.
        """
        self._path = path
        self._count = piece_count(size)
        self._opener = PieceOpener(key, bind, self._count)
        self._size = size
        self._hash = hashlib.sha256()
        self._plain = bytearray(PIECE_BYTES)
        with disk_errors(f"write {path}"):
            self._file = _open(path)
            present = min(path.stat().st_size, size)
            whole = present if present == size else present - present % PIECE_BYTES
            self._file.truncate(whole)  # a piece that a crash cut short comes again
            self._read_again(whole)
        self.pieces = piece_count(whole)
        """Pieces that have arrived and opened."""

    @property
    def complete(self) -> bool:
        """Whether every piece is there."""
        return self.pieces == self._count

    def add(self, index: int, sealed: memoryview) -> None:
        """Open the next piece and put it into quarantine.

        Raises:
            BundleError: the piece was altered or belongs elsewhere; nothing is kept of it.
            PeerProtocolError: it is not the next one.
            StorageError: the disk is full, read-only or failing.
        """
        if index != self.pieces or self.complete:
            raise PeerProtocolError(f"piece {index} came, piece {self.pieces} is next")
        plain = self._opener.open(index, sealed, self._plain)
        self._hash.update(plain)
        with disk_errors(f"write {self._path}"):
            while plain:
                plain = plain[self._file.write(plain) :]
        self.pieces += 1

    def release_to(self, path: Path, *, digest: str, spec: ModelSpec) -> None:
        """Check the whole payload and let it out of quarantine, to ``path``.

        Raises:
            DigestMismatchError: these are not the bytes that the sender signed for.
            TensorError: they are not the agreed tensors, or hold values that are not finite.
            StorageError: the disk is failing.
        """
        self.close()
        found = self._hash.hexdigest()
        if found != digest:
            raise DigestMismatchError(what="a checkpoint", signed=digest, found=found)
        check_file(self._path, spec)
        with disk_errors(f"move {self._path} out of quarantine"):
            move_durably(self._path, path)

    def close(self) -> None:
        """Close the quarantine file; what it holds stays."""
        self._file.close()

    def _read_again(self, length: int) -> None:
        left = length
        while left:
            read = self._file.readinto(memoryview(self._plain)[:left])  # type: ignore[attr-defined]
            self._hash.update(memoryview(self._plain)[:read])
            left -= read


def _open(path: Path) -> BinaryIO:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
    return os.fdopen(os.open(path, flags, 0o600), "r+b", buffering=0)
