"""A payload's pieces of 1 MiB: each sealed by itself, under a key and a place of its own.

So a transfer resumes at any piece, each piece is checked when it arrives, and none can stand
in for another: its index, the number of pieces and the whole bound header are the context that
its encryption commits to. Nothing here knows what the plaintext means.
"""

from typing import Final

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag

from assistlearn.errors import BundleError, LocalProtocolError

PIECE_BYTES: Final = 1 << 20  # 5.5 GB/s and one message of the transport; more is no faster
CHUNK_BYTES: Final = 16 << 10  # Cobblestone's own division
TAG_BYTES: Final = 16
PREFIX_BYTES: Final = 24 + 32  # salt and commitment
PIECE_CONTEXT: Final = b"assistlearn/v1/piece\0"


def sealed_piece_bytes(size: int) -> int:
    """Bytes of ``size`` plaintext bytes once sealed: the last chunk is always a short one."""
    return PREFIX_BYTES + size + TAG_BYTES * (size // CHUNK_BYTES + 1)


SEALED_PIECE_BYTES: Final = sealed_piece_bytes(PIECE_BYTES)


def piece_count(payload: int) -> int:
    """Number of pieces of a payload of ``payload`` plaintext bytes."""
    return -(-payload // PIECE_BYTES)


def piece_bytes(payload: int, index: int) -> int:
    """Plaintext bytes of piece ``index``: 1 MiB, or what is left for the last one."""
    return min(PIECE_BYTES, payload - index * PIECE_BYTES)


class PieceSealer:
    """Seals a payload's pieces, in any order and as often as a resumed transfer needs.

    Every call draws a new random salt, so sealing a piece twice never repeats a nonce.
    """

    def __init__(self, key: bytes, bind: bytes, count: int) -> None:
        self._key = key
        self._bind = bind
        self._count = count

    def seal(
        self, index: int, plaintext: bytes | memoryview, out: bytearray | memoryview
    ) -> memoryview:
        """Seal piece ``index`` into ``out``, which may be used again for the next one.

        Args:
            index: 0 to count - 1.
            plaintext: the piece: 1 MiB, except for the last.
            out: writable, and long enough for the sealed piece.

        Returns:
            The part of ``out`` that holds the sealed piece.

        Raises:
            LocalProtocolError: index, length or buffer are not right: a bug of the caller.
        """
        size = len(plaintext)
        if not 0 <= index < self._count or not _right_size(index, size, self._count):
            raise LocalProtocolError(f"piece {index} of {self._count} cannot have {size} bytes")
        if len(out) < sealed_piece_bytes(size):
            raise LocalProtocolError(f"a buffer of {len(out)} bytes is too small for a piece")
        view = memoryview(out)
        stream = Cobblestone256Encryptor(self._key, _context(self._bind, index, self._count))
        # Into a buffer: 5.5 GB/s against 0.7 for a new bytes object each time, which the
        # allocator returns to the system and has to ask for again, page by page.
        written = stream.update_into(plaintext, view)
        last = stream.finalize()
        end = written + len(last)
        view[written:end] = last
        return view[:end]


class PieceOpener:
    """Opens a payload's pieces as they arrive, in any order."""

    def __init__(self, key: bytes, bind: bytes, count: int) -> None:
        self._key = key
        self._bind = bind
        self._count = count

    def open(
        self, index: int, sealed: bytes | memoryview, out: bytearray | memoryview
    ) -> memoryview:
        """Open piece ``index`` into ``out``, which may be used again for the next one.

        Args:
            index: 0 to count - 1, as the transport says.
            sealed: the sealed piece.
            out: writable, at least ``PIECE_BYTES`` long. Zeroed when the piece is refused, so that
                nothing unauthenticated is left in it.

        Returns:
            The part of ``out`` that holds the plaintext, complete and authenticated. Keep it
            out of sight until the whole payload has the digest that the body names.

        Raises:
            BundleError: the piece was altered or belongs elsewhere.
            LocalProtocolError: the buffer is too small.
        """
        if len(out) < PIECE_BYTES:
            raise LocalProtocolError(f"a buffer of {len(out)} bytes is too small for a piece")
        if not 0 <= index < self._count:
            raise BundleError(f"there is no piece {index} in a payload of {self._count}")
        size = opened_bytes(len(sealed))
        if not _right_size(index, size, self._count):
            raise BundleError(f"piece {index} of {self._count} cannot have {size} bytes")
        view = memoryview(out)
        stream = Cobblestone256Decryptor(self._key, _context(self._bind, index, self._count))
        try:
            written = stream.update_into(sealed, view)
            last = stream.finalize()  # only this proves that the end is the end
        except InvalidTag as error:
            view[:] = bytes(len(out))
            raise BundleError(
                f"piece {index} of {self._count} was altered or belongs elsewhere",
                hint="ask the other party what alters its data; this session is over",
            ) from error
        end = written + len(last)
        view[written:end] = last
        return view[:end]


def opened_bytes(sealed: int) -> int:
    """Plaintext bytes in ``sealed`` sealed bytes.

    Raises:
        BundleError: no plaintext has that sealed length.
    """
    chunks = -(-(sealed - PREFIX_BYTES) // (CHUNK_BYTES + TAG_BYTES))
    size = sealed - PREFIX_BYTES - TAG_BYTES * chunks
    if size < 0 or sealed_piece_bytes(size) != sealed:
        raise BundleError(f"nothing has a sealed length of {sealed} bytes")
    return size


def _right_size(index: int, size: int, count: int) -> bool:
    return size == PIECE_BYTES if index < count - 1 else 0 < size <= PIECE_BYTES


def _context(bind: bytes, index: int, count: int) -> bytes:
    return PIECE_CONTEXT + bind + index.to_bytes(4, "big") + count.to_bytes(4, "big")
