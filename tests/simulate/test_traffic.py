"""Bytes that a simulation counts, against what is really sealed."""

import pytest

from assistlearn.bundle import (
    PIECE_BYTES,
    SEALED_PIECE_BYTES,
    PieceSealer,
    piece_bytes,
    piece_count,
)
from parties.simulate.traffic import BUNDLE_OVERHEAD_BYTES, model_bytes
from protocols.codec import encode_frame
from protocols.messages import Piece


@pytest.mark.parametrize(
    "size", [1, 16_383, 16_384, 100_000, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES - 5]
)
def test_a_models_bytes_are_those_of_its_sealed_pieces_as_they_travel(size):
    count = piece_count(size)
    sealer = PieceSealer(bytes(32), bytes(32), count)
    buffer = bytearray(SEALED_PIECE_BYTES)
    travelled = 0
    for index in range(count):
        sealed = sealer.seal(index, bytes(piece_bytes(size, index)), buffer)
        frame = encode_frame(Piece(session=bytes(32), seq=1, index=index, sealed=sealed))
        travelled += len(frame)

    counted = model_bytes(size)

    assert counted == BUNDLE_OVERHEAD_BYTES + travelled
