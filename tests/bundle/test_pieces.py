"""Pieces of a payload: whole, in their place, or refused."""

import os
import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistlearn.bundle import (
    PIECE_BYTES,
    SEALED_PIECE_BYTES,
    PieceOpener,
    PieceSealer,
    piece_bytes,
    piece_count,
    sealed_piece_bytes,
)
from assistlearn.bundle.pieces import opened_bytes
from assistlearn.errors import BundleError, LocalProtocolError

KEY, BIND = b"k" * 32, b"b" * 32
PAYLOAD = os.urandom(2 * PIECE_BYTES + 70_000)
COUNT = 3


def plain(index: int) -> bytes:
    return PAYLOAD[index * PIECE_BYTES : (index + 1) * PIECE_BYTES]


def sealed_pieces() -> Iterator[bytes]:
    sealer, out = PieceSealer(KEY, BIND, COUNT), bytearray(SEALED_PIECE_BYTES)
    for index in range(COUNT):
        yield bytes(sealer.seal(index, memoryview(plain(index)), out))


SEALED = tuple(sealed_pieces())


def open_piece(
    index: int, sealed: bytes, *, key: bytes = KEY, bind: bytes = BIND, count: int = COUNT
) -> bytes:
    return bytes(PieceOpener(key, bind, count).open(index, sealed, bytearray(PIECE_BYTES)))


def test_pieces_open_in_any_order() -> None:
    opener, out = PieceOpener(KEY, BIND, COUNT), bytearray(PIECE_BYTES)

    for index in (2, 0, 1, 0):
        assert opener.open(index, memoryview(SEALED[index]), out) == plain(index)


def test_piece_is_sealed_into_the_middle_of_a_longer_frame() -> None:
    frame = bytearray(b"head" + bytes(SEALED_PIECE_BYTES))

    sealed = PieceSealer(KEY, BIND, COUNT).seal(2, plain(2), memoryview(frame)[4:])

    assert frame[:4] == b"head"
    assert open_piece(2, bytes(frame[4 : 4 + len(sealed)])) == plain(2)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, PIECE_BYTES) | st.sampled_from([16383, 16384, 16385, PIECE_BYTES - 1]))
def test_last_piece_of_any_length_opens_and_has_the_promised_length(size: int) -> None:
    out = bytearray(SEALED_PIECE_BYTES)

    sealed = PieceSealer(KEY, BIND, 1).seal(0, PAYLOAD[:size], out)

    assert len(sealed) == sealed_piece_bytes(size)
    assert opened_bytes(len(sealed)) == size
    assert open_piece(0, bytes(sealed), count=1) == PAYLOAD[:size]


@given(st.integers(0, 1 << 21))
def test_length_that_nothing_seals_to_is_refused(sealed: int) -> None:
    try:
        size = opened_bytes(sealed)
    except BundleError:
        near = range(max(0, sealed - 72 - sealed // 1024), sealed)
        assert sealed not in map(sealed_piece_bytes, near)
    else:
        assert sealed_piece_bytes(size) == sealed


@given(st.integers(1, 1 << 36))
def test_pieces_add_up_to_the_payload(payload: int) -> None:
    count = piece_count(payload)

    assert piece_bytes(payload, 0) == (PIECE_BYTES if count > 1 else payload)
    assert (count - 1) * PIECE_BYTES + piece_bytes(payload, count - 1) == payload


def test_empty_payload_has_no_pieces() -> None:
    assert piece_count(0) == 0


def test_sealing_a_piece_again_never_repeats_its_salt() -> None:
    salts = {bytes(next(sealed_pieces())[:24]) for _ in range(50)}

    assert len(salts) == 50


def test_swapped_pieces_are_refused() -> None:
    with pytest.raises(BundleError, match="piece 1 of 3 was altered or belongs elsewhere"):
        open_piece(1, SEALED[0])
    with pytest.raises(BundleError):
        open_piece(0, SEALED[1])


@pytest.mark.parametrize(
    "place",
    [{"key": b"l" * 32}, {"bind": b"c" * 32}, {"count": 4}],
    ids=["other key", "other bundle", "other count"],
)
def test_piece_moved_to_another_bundle_is_refused(place: dict[str, bytes | int]) -> None:
    with pytest.raises(BundleError):
        open_piece(0, SEALED[0], **place)  # type: ignore[arg-type]


@pytest.mark.parametrize("index", [-1, 3, 1 << 40])
def test_piece_that_the_payload_does_not_have_is_refused(index: int) -> None:
    with pytest.raises(BundleError, match="there is no piece"):
        open_piece(index, SEALED[0])


@pytest.mark.parametrize(
    "size", [0, 55, 56, 71, 72, 73, 56 + 16384 + 16, SEALED_PIECE_BYTES - 1, SEALED_PIECE_BYTES + 1]
)
def test_piece_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(BundleError):
        open_piece(0, (SEALED[0] + b"\0")[:size])


def test_truncated_last_piece_is_refused_at_every_chunk() -> None:
    for chunks in range(1, 5):
        with pytest.raises(BundleError):
            open_piece(2, SEALED[2][: 56 + chunks * (16384 + 16)])


def test_flipped_bits_of_a_piece_are_refused_and_leave_nothing_behind() -> None:
    places = random.Random(1)  # a fixed seed, no secret
    opener, out = PieceOpener(KEY, BIND, COUNT), bytearray(PIECE_BYTES)
    changed = bytearray(SEALED[2])
    for _ in range(2000):
        at, bit = places.randrange(len(changed)), 1 << places.randrange(8)
        changed[at] ^= bit

        with pytest.raises(BundleError):
            opener.open(2, changed, out)
        assert not any(out[:: 1 << 12])
        changed[at] ^= bit


def test_swapped_chunks_of_a_piece_are_refused() -> None:
    chunk = 16384 + 16
    a, b, rest = SEALED[0][56 : 56 + chunk], SEALED[0][56 + chunk :][:chunk], 56 + 2 * chunk

    with pytest.raises(BundleError):
        open_piece(0, SEALED[0][:56] + b + a + SEALED[0][rest:])


@pytest.mark.parametrize(
    ("index", "size"), [(0, PIECE_BYTES - 1), (2, 0), (2, PIECE_BYTES + 1), (3, 5), (-1, 5)]
)
def test_sealing_a_piece_of_the_wrong_length_is_our_own_mistake(index: int, size: int) -> None:
    with pytest.raises(LocalProtocolError):
        PieceSealer(KEY, BIND, COUNT).seal(index, bytes(size), bytearray(SEALED_PIECE_BYTES))


def test_buffers_that_are_too_small_are_our_own_mistake() -> None:
    with pytest.raises(LocalProtocolError):
        PieceSealer(KEY, BIND, COUNT).seal(0, plain(0), bytearray(SEALED_PIECE_BYTES - 1))
    with pytest.raises(LocalProtocolError):
        PieceOpener(KEY, BIND, COUNT).open(0, SEALED[0], bytearray(PIECE_BYTES - 1))
