"""What somebody puts in the place of a ledger's files, and text signed for another session."""

import os
from pathlib import Path
from typing import Any

import pytest

from assistlearn.bundle import cosign
from assistlearn.errors import LedgerChainError, StorageError
from assistlearn.ledger import EntryKind, Ledger, head_path, verify_ledger
from assistlearn.ledger.files import open_ordinary, open_to_read


@pytest.mark.parametrize("suffix", [".lock", ".head"])
def test_a_pipe_in_the_place_of_a_file_beside_the_ledger_is_not_waited_for(
    finished: Path, cards: Any, suffix: str
) -> None:
    path = finished.with_name(finished.name + suffix)
    path.unlink()
    os.mkfifo(path)

    with pytest.raises(StorageError, match="no ordinary file") as caught:
        verify_ledger(finished, own=cards["own"], peer=cards["peer"])

    assert str(path) in str(caught.value)
    assert caught.value.hint


def test_a_pipe_in_the_place_of_the_lock_keeps_nobody_waiting_who_writes(
    finished: Path, clock: Any
) -> None:
    path = finished.with_name(finished.name + ".lock")
    path.unlink()
    os.mkfifo(path)

    with pytest.raises(StorageError, match="no ordinary file"):
        Ledger.open(finished, now_ms=clock)


def test_only_ordinary_files_are_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")

    with open_to_read(tmp_path / "file") as file:
        assert file.read() == b"content"
    for path in (tmp_path / "folder", tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(OSError, match="no ordinary file"):
            open_ordinary(path)
    with pytest.raises(FileNotFoundError):
        open_ordinary(tmp_path / "absent")


def test_an_absent_head_is_no_error(finished: Path, cards: Any) -> None:
    head_path(finished).unlink()

    assert verify_ledger(finished, own=cards["own"], peer=cards["peer"]).signed is None


@pytest.mark.parametrize("with_card", [True, False])
def test_an_agreement_under_another_identifier_is_found(
    recorder: Any, own: Any, peer: Any, *, with_card: bool
) -> None:
    text = "assistlearn/agreement/v1\nrounds 3\n"
    note = cosign(own.sign(text), peer)
    recorder.ledger.append(EntryKind.AGREEMENT, "ab" * 32, note)
    recorder.ledger.close()

    with pytest.raises(LedgerChainError, match="entry 0 is the agreement of session") as caught:
        verify_ledger(recorder.ledger.path, own=own.card, peer=peer.card if with_card else None)

    assert caught.value.exit_code == 52
