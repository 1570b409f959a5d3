"""Bundles on their way to the peer: what was sent, what arrived, what may go next.

A place is (bundle, unit): unit 0 of a bundle is its offer, unit k the k-th piece of its
payload. The peer's statuses say up to which place everything arrived; at most ``credit`` units
are under way beyond it. Pieces are sealed at the moment they go, from the checkpoint file.
"""

import errno
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from assistlearn.bundle import (
    PIECE_BYTES,
    SEALED_PIECE_BYTES,
    PieceSealer,
    piece_bytes,
    piece_count,
)
from assistlearn.durable import disk_errors
from assistlearn.errors import PeerProtocolError
from protocols.codec import PIECE_HEAD, encode_frame, piece_head
from protocols.messages import Offer, Status

FIRST_CREDIT: Final = 1  # the first offer may go before the peer has said anything


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """One bundle to send."""

    offer: Offer
    payload: Path | None
    size: int
    """Plaintext bytes of the payload."""
    key: bytes
    bind: bytes

    @property
    def units(self) -> int:
        """The offer and every piece."""
        return 1 + piece_count(self.size)


class Outbound:
    """One direction of a session, sender's side."""

    def __init__(self, session: bytes) -> None:
        self._session = session
        self._parcels: deque[Parcel] = deque()
        self._arrived = (0, 0)
        self._cursor = (0, 0)
        self._credit = FIRST_CREDIT
        self._under_way = 0
        self._ready: memoryview | None = None
        self._file: BinaryIO | None = None
        self._plain = bytearray(PIECE_BYTES)
        self._sealed = bytearray(PIECE_HEAD.size + SEALED_PIECE_BYTES)

    def add(self, parcel: Parcel) -> None:
        """Queue the next bundle. Its ``seq`` follows that of the one before."""
        if not self._parcels and parcel.offer.seq > self._arrived[0]:
            self._arrived = self._cursor = (parcel.offer.seq, 0)
        self._parcels.append(parcel)

    @property
    def idle(self) -> bool:
        """Whether the peer has everything."""
        return not self._parcels

    def arrived(self, status: Status) -> None:
        """Take in how far the peer is.

        Raises:
            PeerProtocolError: it claims to have what was never sent, or to have lost what it
                acknowledged.
        """
        place = (status.seq, status.piece)
        # Pieces in quarantine may be lost again with the power; a bundle that was accepted may not.
        lost_pieces = status.resend and status.seq == self._arrived[0]
        if place < self._arrived and not lost_pieces:
            raise PeerProtocolError(
                f"the peer acknowledged up to {self._arrived} and now says {place}"
            )
        end = self._parcels[-1].offer.seq + 1 if self._parcels else self._arrived[0]
        known = status.seq < end or place == (end, 0)
        if not known or (status.seq < end and status.piece >= self._parcel(status.seq).units):
            raise PeerProtocolError(f"the peer says it has {place}, which was never sent")
        self._credit = status.credit
        self._settle(place, again=bool(status.resend))

    def answered(self, seq: int) -> None:
        """Take in that the peer has all bundles before ``seq``: it has answered them."""
        if self._arrived < (seq, 0):
            self._settle((seq, 0), again=False)

    def next_frame(self) -> memoryview | None:
        """The next frame to send, the same one until :meth:`sent`; none if nothing may go.

        Raises:
            StorageError: the checkpoint file cannot be read.
        """
        if self._ready is None and self._under_way < self._credit:
            self._ready = self._made()
        return self._ready

    def sent(self) -> None:
        """The frame from :meth:`next_frame` was handed to the socket."""
        seq, unit = self._cursor
        self._ready = None
        self._under_way += 1
        done = unit + 1 == self._parcel(seq).units
        self._cursor = (seq + 1, 0) if done else (seq, unit + 1)
        if done:
            self.release()

    def release(self) -> None:
        """Close the file that is being sent, if any."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _settle(self, place: tuple[int, int], *, again: bool) -> None:
        self._arrived = place
        while self._parcels and self._parcels[0].offer.seq < place[0]:
            self._parcels.popleft()
        if again or self._cursor < place:
            self._move(place)
        self._under_way = self._distance(place, self._cursor)

    def _move(self, place: tuple[int, int]) -> None:
        self._cursor = place
        self._ready = None
        self.release()

    def _parcel(self, seq: int) -> Parcel:
        return self._parcels[seq - self._parcels[0].offer.seq]

    def _distance(self, start: tuple[int, int], end: tuple[int, int]) -> int:
        units = end[1] - start[1]
        return units + sum(self._parcel(seq).units for seq in range(start[0], end[0]))

    def _made(self) -> memoryview | None:
        seq, unit = self._cursor
        if not self._parcels or seq > self._parcels[-1].offer.seq:
            return None
        parcel = self._parcel(seq)
        if unit == 0:
            return memoryview(encode_frame(parcel.offer))
        assert parcel.payload is not None
        index = unit - 1
        plain = memoryview(self._plain)[: piece_bytes(parcel.size, index)]
        with disk_errors(f"read {parcel.payload}"):
            if self._file is None:
                self._file = parcel.payload.open("rb", buffering=0)
            self._file.seek(index * PIECE_BYTES)
            filled = 0
            while filled < len(plain):
                read = self._file.readinto(plain[filled:])  # type: ignore[attr-defined]
                if not read:
                    raise OSError(errno.EIO, "the file is shorter than when it was written")
                filled += read
        view = memoryview(self._sealed)
        head = piece_head(self._session, seq, index)
        view[: len(head)] = head
        sealer = PieceSealer(parcel.key, parcel.bind, parcel.units - 1)
        sealed = sealer.seal(index, plain, view[len(head) :])
        return view[: len(head) + len(sealed)]
