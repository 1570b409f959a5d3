"""One bundle on its way in: its payload collects in quarantine until every check has passed.

The quarantine file's length says how many pieces have arrived, so a restarted process goes on
where the last one stopped. The file is named by us, never by the peer.
"""

import hashlib
import os
from pathlib import Path
from typing import BinaryIO, Final

from assistlearn.bundle import PIECE_BYTES, PieceOpener, piece_count
from assistlearn.checkpoints import BytesCheck, ModelSpec
from assistlearn.durable import EarlySync, disk_errors, move_durably
from assistlearn.errors import DigestMismatchError, PeerProtocolError, TensorError

PIECES_TO_SYNC: Final = 8  # enough for the disk to be worth a thread's start


class IncomingPayload:
    """The payload of the bundle that is arriving."""

    def __init__(self, *, path: Path, spec: ModelSpec, key: bytes, bind: bytes) -> None:
        """Begin, or go on where a quarantine file ends.

        Args:
            path: the quarantine file.
            spec: what the payload must be a checkpoint of.
            key: the bundle key.
            bind: what every piece is bound to.

        Raises:
            StorageError: the file cannot be opened.
        """
        size = spec.file_bytes
        self._path = path
        self._count = piece_count(size)
        self._opener = PieceOpener(key, bind, self._count)
        self._spec = spec
        self._begin()
        self._plain = bytearray(PIECE_BYTES)
        with disk_errors(f"write {path}"):
            self._file = _open(path)
            self._early_sync = EarlySync(self._file.fileno())
            present = min(path.stat().st_size, size)
            whole = present if present == size else present - present % PIECE_BYTES
            try:
                self._read_again(whole)
            except TensorError:  # damaged here: nothing like it was ever written
                whole = 0
                self._begin()
            self._file.seek(whole)
            self._file.truncate()  # a piece that a crash cut short comes again
        self.pieces = piece_count(whole)
        """Pieces that have arrived and opened."""
        self.read_again = whole > 0
        """Whether some of it comes from our own disk, which may have damaged it."""

    @property
    def complete(self) -> bool:
        """Whether every piece is there."""
        return self.pieces == self._count

    def add(self, index: int, sealed: memoryview) -> None:
        """Open the next piece and put it into quarantine.

        Raises:
            BundleError: the piece was altered or belongs elsewhere; nothing is kept of it.
            PeerProtocolError: it is not the next one.
            TensorError: it holds other than the agreed tensors, or values out of bounds.
            StorageError: the disk is full, read-only or failing.
        """
        if index != self.pieces or self.complete:
            raise PeerProtocolError(f"piece {index} came, piece {self.pieces} is next")
        plain = self._opener.open(index, sealed, self._plain)
        self._take(plain)
        with disk_errors(f"write {self._path}"):
            while plain:
                plain = plain[self._file.write(plain) :]
            self.pieces += 1
            if self.pieces % PIECES_TO_SYNC == 0:
                self._early_sync.begin()

    def release_to(self, path: Path, *, digest: str) -> None:
        """Let the whole payload out of quarantine, to ``path``.

        Raises:
            DigestMismatchError: these are not the bytes that the sender signed for.
            TensorError: they end before the agreed tensors do.
            StorageError: the disk is failing.
        """
        with disk_errors(f"write {self._path}"):
            self._early_sync.finish()
        self.close()
        found = self._hash.hexdigest()
        if found != digest:
            raise DigestMismatchError(what="a checkpoint", signed=digest, found=found)
        self._check.finish()
        with disk_errors(f"move {self._path} out of quarantine"):
            move_durably(self._path, path)

    def close(self) -> None:
        """Close the quarantine file; what it holds stays."""
        self._early_sync.close()
        self._file.close()

    def discard(self) -> None:
        """Close the quarantine file and delete it."""
        self.close()
        with disk_errors(f"delete {self._path}"):
            self._path.unlink()

    def _begin(self) -> None:
        self._hash = hashlib.sha256()
        self._check = BytesCheck(self._spec, name="a checkpoint of the peer's")

    def _read_again(self, length: int) -> None:
        left = length
        while left:
            read = self._file.readinto(memoryview(self._plain)[:left])  # type: ignore[attr-defined]
            self._take(memoryview(self._plain)[:read])
            left -= read

    def _take(self, plain: memoryview) -> None:
        """Check and count in what follows on all that came before."""
        self._hash.update(plain)
        self._check.update(plain)


def _open(path: Path) -> BinaryIO:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
    return os.fdopen(os.open(path, flags, 0o600), "r+b", buffering=0)
