"""A disk that is full for one write in the middle of a session, without processes."""

import os
from contextlib import contextmanager
from pathlib import Path

import pytest
from house import House, small_spec

from assistlearn.errors import LedgerError, StorageError
from assistlearn.ledger import verify_ledger
from protocols.codec import decode_frame
from protocols.messages import Offer, Piece
from protocols.roles import Role

FULL = Path("/dev/full")  # every write to it fails with ENOSPC
OPEN_FILES = Path("/proc/self/fd")

pytestmark = pytest.mark.skipif(
    not (FULL.exists() and OPEN_FILES.exists()), reason="needs /dev/full and /proc: Linux alone"
)
TWO_PIECES = 300_000  # numbers of four bytes


@contextmanager
def full_disk(folder, suffix):
    """Let every open file of this process in ``folder`` with this suffix be on a full disk."""
    full = os.open(FULL, os.O_RDWR)
    open_ones = {}
    for entry in OPEN_FILES.iterdir():
        path = entry.readlink() if entry.is_symlink() else Path()
        if path.suffix == suffix and path.is_relative_to(folder):
            number = int(entry.name)
            open_ones[number] = os.dup(number)
            os.dup2(full, number)
    assert open_ones, f"nothing open ends with {suffix}"
    try:
        yield
    finally:
        for number, kept in open_ones.items():
            os.dup2(kept, number)
            os.close(kept)
        os.close(full)


def play_until(house, role, wanted):
    """Play on until the next frame that ``role`` takes in is a wanted one."""
    while True:
        for each in Role:
            for action in range(3):
                waiting = house.wire[role]
                if waiting and wanted(decode_frame(waiting[0])):
                    return
                house.step(each, action)


def is_second_piece(frame):
    return isinstance(frame, Piece) and frame.index == 1


def is_second_offer(frame):
    return isinstance(frame, Offer) and frame.seq == 1


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(
    ("suffix", "wanted"),
    [(".part", is_second_piece), (".sqlite-wal", is_second_offer)],
    ids=["quarantine", "ledger"],
)
def test_a_write_without_room_loses_nothing(tmp_path, role, suffix, wanted):
    calm, house = (
        House(tmp_path / name, spec=small_spec(TWO_PIECES), rounds=1) for name in ("calm", "full")
    )
    party = house.parties[role]
    play_until(house, role, wanted)

    with full_disk(party.root, suffix), pytest.raises(StorageError) as caught:
        house.hear(role)
    house.restart(role)

    assert "free some" in caught.value.hint
    assert house.run() == calm.run()
    for side in Role:
        check_ledger(house.parties[side], house.parties[side.peer])
    calm.close()


def check_ledger(party, peer):
    party.ledger.write_head(party.identity)
    party.die()
    path = party.directory.ledger_path(peer.identity.card)
    report = verify_ledger(path, own=party.identity.card, peer=peer.identity.card)
    assert report.signed == report.head


def test_a_ledger_that_could_not_be_written_signs_no_head_and_takes_nothing_more(tmp_path):
    house = House(tmp_path, spec=small_spec(TWO_PIECES), rounds=1)
    party = house.parties[Role.PROVIDER]
    play_until(house, Role.PROVIDER, is_second_offer)
    party.ledger.write_head(party.identity)
    signed = party.directory.ledger_path(party.desk.peer).with_suffix(".sqlite.head")
    before = signed.read_bytes()

    with full_disk(party.root, ".sqlite-wal"), pytest.raises(StorageError):
        house.hear(Role.PROVIDER)
    party.ledger.write_head(party.identity)

    assert signed.read_bytes() == before
    with pytest.raises(LedgerError, match="stopped by a disk error"):
        party.desk.note_refusal("anything")
    house.close()
