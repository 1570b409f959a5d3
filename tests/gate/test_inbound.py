"""A payload that arrives: what the disk does meanwhile, and what it says of it."""

import errno
import hashlib
import os

import numpy as np
import pytest

from assistlearn.bundle import PIECE_BYTES, PieceSealer, piece_count, sealed_piece_bytes
from assistlearn.checkpoints import DType, ModelSpec, TensorSpec
from assistlearn.errors import StorageError
from parties.gate.inbound import PIECES_TO_SYNC, IncomingPayload

KEY, BIND = bytes(range(32)), b"bound to this"
VALUES = PIECES_TO_SYNC * PIECE_BYTES // 4 + 1000
SPEC = ModelSpec((TensorSpec(name="w", dtype=DType.F32, shape=(VALUES,), buffer=False),))
FILE = SPEC.header + np.random.default_rng(0).random(VALUES, "f4").tobytes()


def arrived(folder):
    """The payload in quarantine, every piece of it."""
    payload = IncomingPayload(path=folder / "0.part", spec=SPEC, key=KEY, bind=BIND)
    sealer = PieceSealer(KEY, BIND, piece_count(len(FILE)))
    out = bytearray(sealed_piece_bytes(PIECE_BYTES))
    for index in range(piece_count(len(FILE))):
        plain = FILE[index * PIECE_BYTES : (index + 1) * PIECE_BYTES]
        payload.add(index, sealer.seal(index, plain, out))
    return payload


def test_the_disk_is_asked_before_the_last_piece_has_come(tmp_path, monkeypatch):
    sizes = []
    real = os.fsync

    def watched(number):
        sizes.append(os.fstat(number).st_size)
        real(number)

    monkeypatch.setattr(os, "fsync", watched)
    payload = arrived(tmp_path)
    payload.release_to(tmp_path / "whole", digest=hashlib.sha256(FILE).hexdigest())

    assert sizes[0] >= PIECES_TO_SYNC * PIECE_BYTES
    assert sizes[1] == len(FILE)  # once more, whatever was begun before
    assert (tmp_path / "whole").read_bytes() == FILE


def test_a_fault_that_the_disk_met_early_keeps_the_payload_in_quarantine(tmp_path, monkeypatch):
    faults = [OSError(errno.EIO, os.strerror(errno.EIO))]

    def fails_once(_):
        if faults:
            raise faults.pop()

    monkeypatch.setattr(os, "fsync", fails_once)
    payload = arrived(tmp_path)

    with pytest.raises(StorageError, match="cannot write"):
        payload.release_to(tmp_path / "whole", digest=hashlib.sha256(FILE).hexdigest())

    assert not (tmp_path / "whole").exists()
    payload.close()
