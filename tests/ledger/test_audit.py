"""An audit finds every change; an honest ledger passes, however it came about."""

import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assistlearn.bundle import Identity
from assistlearn.errors import (
    LedgerChainError,
    LedgerDamagedError,
    LedgerError,
    LedgerSignatureError,
    LedgerTruncatedError,
    StorageError,
)
from assistlearn.ledger import AuditReport, EntryKind, Ledger, head_path, verify_ledger
from assistlearn.ledger.store import SCHEMA

Edit = Callable[[sqlite3.Connection], object]
TRIGGERS = ("entry_in_order", "entry_no_update", "entry_no_delete")


@pytest.fixture
def audit(own: Any, peer: Any) -> Callable[[Path], AuditReport]:
    return lambda path: verify_ledger(path, own=own.card, peer=peer.card)


def edit(path: Path, change: Edit) -> None:
    """Change rows as somebody with SQLite would, covering up the triggers."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA secure_delete=ON")
        connection.execute("BEGIN")
        for trigger in TRIGGERS:
            connection.execute(f"DROP TRIGGER {trigger}")
        change(connection)
        for statement in SCHEMA[1:]:
            connection.execute(statement)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def test_honest_ledger_passes_every_step(finished: Path, audit: Any, cards: Any) -> None:
    before = finished.read_bytes()

    report = audit(finished)

    assert len(report.steps) == 5
    assert (report.sessions, report.verified_notes, report.unchecked_notes) == (1, 7, 0)
    assert report.head == report.signed
    assert (report.own, report.peer) == (cards["own"].fingerprint, cards["peer"].fingerprint)
    assert report.file_bytes == len(before)
    assert finished.read_bytes() == before
    assert not list(finished.parent.glob("*-wal"))


def test_ledger_without_a_signed_head_passes_but_says_so(finished: Path, audit: Any) -> None:
    head_path(finished).unlink()

    report = audit(finished)

    assert report.signed is None
    assert len(report.steps) == 4


def test_peers_notes_are_counted_unchecked_without_the_peers_card(finished: Path, own: Any) -> None:
    report = verify_ledger(finished, own=own.card, peer=None)

    assert (report.verified_notes, report.unchecked_notes, report.peer) == (3, 4, None)


def test_empty_ledger_passes(recorder: Any, audit: Any, own: Any) -> None:
    recorder.ledger.write_head(own)
    recorder.ledger.close()

    assert audit(recorder.ledger.path).head.size == 0


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 12_000) | st.sampled_from([0, 4000, 100_000]), max_size=8),
            st.booleans(),
        ),
        max_size=8,
    )
)
def test_every_honest_sequence_of_entries_accounts_for_every_byte(
    tmp_path_factory: pytest.TempPathFactory, audit: Any, batches: list[tuple[list[int], bool]]
) -> None:
    path = tmp_path_factory.mktemp("ledger") / "ledger"
    ledger = Ledger.open(path, now_ms=lambda: 1)
    for sizes, reopen in batches:
        ledger.append_many((EntryKind.EVENT, "", b"z" * size) for size in sizes)
        if reopen:
            ledger.close()
            ledger = Ledger.open(path, now_ms=lambda: 1)
    ledger.close()

    assert audit(path).head.size == sum(len(sizes) for sizes, _ in batches)


def test_every_flipped_byte_is_found(finished: Path, audit: Any) -> None:
    whole = finished.read_bytes()
    places = random.Random(20)  # a fixed seed, no secret
    zeros = [at for at in range(4096, len(whole), 61) if not any(whole[at - 8 : at + 8])]
    chosen = {
        *range(100),  # SQLite's header, with all that it says twice or not at all
        *places.sample(range(100, 4096), 60),
        *places.sample(range(len(whole)), 250),
        *places.sample(zeros, min(len(zeros), 60)),  # unused space
    }
    for at in sorted(chosen):
        changed = bytearray(whole)
        changed[at] ^= 1 << places.randrange(8)
        finished.write_bytes(changed)

        with pytest.raises(LedgerError):
            audit(finished)
    finished.write_bytes(whole)
    audit(finished)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        pytest.param(lambda b: b[:-4096], LedgerDamagedError, id="last page cut off"),
        pytest.param(lambda b: b[:-1], LedgerDamagedError, id="last byte cut off"),
        pytest.param(lambda b: b + b"\0", LedgerDamagedError, id="byte added"),
        pytest.param(lambda b: b + bytes(4096), LedgerDamagedError, id="page added"),
        pytest.param(lambda b: b"", LedgerDamagedError, id="emptied"),
        pytest.param(lambda b: bytes(len(b)), LedgerDamagedError, id="zeroed"),
    ],
)
def test_file_of_another_length_is_found(
    finished: Path, audit: Any, change: Callable[[bytes], bytes], error: type[LedgerError]
) -> None:
    finished.write_bytes(change(finished.read_bytes()))

    with pytest.raises(error):
        audit(finished)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("UPDATE entry SET at_ms = at_ms + 1 WHERE i = 4", id="time edited"),
        pytest.param("UPDATE entry SET kind = 'refusal' WHERE i = 2", id="kind edited"),
        pytest.param("UPDATE entry SET session = '' WHERE i = 5", id="session edited"),
        pytest.param("UPDATE entry SET body = x'00' WHERE i = 3", id="body edited"),
        pytest.param("UPDATE entry SET root = zeroblob(32) WHERE i = 3", id="root edited"),
        pytest.param("DELETE FROM entry WHERE i = 4", id="row deleted"),
        pytest.param("DELETE FROM entry WHERE i >= 6", id="tail deleted"),
        pytest.param("DELETE FROM entry WHERE i = 0", id="first row deleted"),
        pytest.param(
            "INSERT INTO entry SELECT max(i) + 1, 5, '', 'event', x'01', root FROM entry",
            id="row added",
        ),
        pytest.param("DELETE FROM entry", id="all rows deleted"),
    ],
)
def test_every_edited_row_is_found(finished: Path, audit: Any, change: str) -> None:
    edit(finished, lambda connection: connection.execute(change))

    with pytest.raises((LedgerDamagedError, LedgerChainError, LedgerTruncatedError)):
        audit(finished)


def test_reordered_rows_are_found(finished: Path, audit: Any) -> None:
    def swap(connection: sqlite3.Connection) -> None:
        for old, new in ((3, -1), (4, 3), (-1, 4)):
            connection.execute("PRAGMA ignore_check_constraints=ON")
            connection.execute("UPDATE entry SET i = ? WHERE i = ?", (new, old))

    edit(finished, swap)

    with pytest.raises((LedgerDamagedError, LedgerChainError)):
        audit(finished)


def rewritten(path: Path, change: Callable[[list[Any]], None]) -> None:
    """A new file with other rows, whose roots and bytes are all as they should be."""
    with Ledger.read(path) as ledger:
        items = [[e.kind, e.session, e.body] for e in ledger.entries()]
        times = [e.at_ms for e in ledger.entries()]
    change(items)
    path.unlink()
    clock = iter(times + [times[-1]] * len(items))
    with Ledger.open(path, now_ms=lambda: next(clock)) as ledger:
        ledger.append_many(tuple(item) for item in items)


def test_rewritten_history_is_found_by_the_signed_head(finished: Path, audit: Any) -> None:
    rewritten(finished, lambda items: items[0].__setitem__(2, b"another event"))

    with pytest.raises(LedgerChainError):
        audit(finished)


def test_rewritten_history_is_found_by_what_we_told_the_peer(finished: Path, audit: Any) -> None:
    head_path(finished).unlink()
    rewritten(finished, lambda items: items[0].__setitem__(2, b"another event"))

    with pytest.raises(LedgerChainError, match="told the peer another ledger"):
        audit(finished)


def test_row_left_out_of_a_rewritten_history_is_found(finished: Path, audit: Any) -> None:
    head_path(finished).unlink()
    rewritten(finished, lambda items: items.pop(4))  # a received bundle

    with pytest.raises(LedgerChainError):
        audit(finished)


def test_truncated_and_rewritten_ledger_is_found(finished: Path, audit: Any) -> None:
    rewritten(finished, lambda items: items.pop())

    with pytest.raises(LedgerTruncatedError, match="12 entries, but its signed head says 13"):
        audit(finished)


def test_rollback_to_an_old_copy_is_found(recorder: Any, audit: Any, own: Any) -> None:
    path = recorder.ledger.path
    recorder.agree()
    recorder.ledger.close()
    old = path.read_bytes()
    with Ledger.open(path, now_ms=lambda: 5) as ledger:
        ledger.append(EntryKind.EVENT, "", b"later")
        ledger.write_head(own)
    audit(path)

    path.write_bytes(old)

    with pytest.raises(LedgerTruncatedError):
        audit(path)


def test_entries_after_the_signed_head_are_no_fault(finished: Path, audit: Any) -> None:
    with Ledger.open(finished, now_ms=lambda: 5) as ledger:
        ledger.append(EntryKind.EVENT, "", b"later")

    report = audit(finished)

    assert report.head.size == report.signed.size + 1


def test_signed_head_of_nothing_with_a_root_of_something_is_found(
    finished: Path, audit: Any, own: Any
) -> None:
    text = f"assistlearn/ledger-head/v1\nsize 0\nroot {'11' * 32}\n"
    head_path(finished).write_bytes(own.sign(text))

    with pytest.raises(LedgerChainError, match="first 0 entries"):
        audit(finished)


def test_copy_without_its_lock_file_can_be_audited_and_read(finished: Path, audit: Any) -> None:
    finished.with_name("ledger.lock").unlink()

    assert audit(finished).head.size == 13
    with Ledger.read(finished) as ledger:
        assert ledger.head().size == 13


def test_forged_signed_head_is_found(finished: Path, audit: Any, peer: Any) -> None:
    with Ledger.read(finished) as ledger:
        ledger.write_head(peer)

    with pytest.raises(LedgerSignatureError):
        audit(finished)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({"seq": 1}, LedgerChainError, id="sequence number left out"),
        pytest.param({"transcript": "77" * 32}, LedgerChainError, id="fork of the transcript"),
        pytest.param({"session": "88" * 32}, LedgerChainError, id="another session"),
        pytest.param({"ledger_root": "99" * 32}, LedgerChainError, id="wrong own root"),
        pytest.param({"ledger_size": 99}, LedgerChainError, id="own head from the future"),
        pytest.param({"sealed_key": bytes(1168)}, LedgerSignatureError, id="sealed key swapped"),
    ],
)
def test_bundle_that_does_not_follow_is_found(
    recorder: Any, audit: Any, changes: dict[str, Any], error: type[LedgerError]
) -> None:
    recorder.agree()
    recorder.bundle("own", **changes)
    recorder.ledger.close()

    with pytest.raises(error):
        audit(recorder.ledger.path)


@pytest.mark.parametrize("side", ["own", "peer"])
def test_bundle_signed_by_somebody_else_is_found(recorder: Any, audit: Any, side: str) -> None:
    recorder.agree()
    recorder.bundle(side, identity=Identity(name="mallory.example", seed=b"M" * 32))
    recorder.ledger.close()

    with pytest.raises(LedgerSignatureError):
        audit(recorder.ledger.path)


def test_bundle_to_somebody_else_is_found(recorder: Any, audit: Any, own: Any) -> None:
    recorder.agree()
    recorder.bundle("own", recipient=own.card)
    recorder.ledger.close()

    with pytest.raises(LedgerSignatureError, match="recipient"):
        audit(recorder.ledger.path)


def test_agreement_that_only_one_party_signed_is_found(recorder: Any, audit: Any, own: Any) -> None:
    recorder.agree(by=own)
    recorder.ledger.close()

    with pytest.raises(LedgerSignatureError):
        audit(recorder.ledger.path)


def test_second_agreement_and_bundle_without_one_are_found(
    recorder: Any, audit: Any, tmp_path: Path, clock: Any
) -> None:
    recorder.agree()
    recorder.agree()
    recorder.ledger.close()
    with pytest.raises(LedgerChainError, match="second agreement"):
        audit(recorder.ledger.path)

    with Ledger.open(tmp_path / "other", now_ms=clock) as ledger:
        type(recorder)(ledger).bundle("own")
    with pytest.raises(LedgerChainError, match="no agreement"):
        audit(tmp_path / "other")


@pytest.mark.parametrize("body", [b"", b"\x93\x01\x02\x03", b"\x90", b"\xc4\x00"])
def test_bundle_entry_in_another_form_is_found(recorder: Any, audit: Any, body: bytes) -> None:
    recorder.ledger.append(EntryKind.SENT, "", body)
    recorder.ledger.close()

    with pytest.raises(LedgerDamagedError, match="is not a"):
        audit(recorder.ledger.path)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE more (a)",
        "CREATE VIEW seen AS SELECT * FROM entry",
        "CREATE INDEX by_session ON entry (session)",
        "DROP TRIGGER entry_no_update",
        "PRAGMA application_id=7",
        "PRAGMA user_version=7",
        "PRAGMA journal_mode=DELETE",
        "VACUUM",
    ],
)
def test_structure_that_is_not_ours_is_found(finished: Path, audit: Any, statement: str) -> None:
    with closing(sqlite3.connect(finished, isolation_level=None)) as connection:
        connection.execute(statement)

    with pytest.raises(LedgerDamagedError):
        audit(finished)


def test_ledger_in_use_or_absent_is_not_audited(recorder: Any, audit: Any) -> None:
    with pytest.raises(LedgerError, match="in use"):
        audit(recorder.ledger.path)
    with pytest.raises(LedgerError, match="there is no ledger"):
        audit(recorder.ledger.path.with_name("absent"))


KILLED = """
import os, sys
from pathlib import Path
from assistlearn.ledger import EntryKind, Ledger
ledger = Ledger.open(Path(sys.argv[1]), now_ms=lambda: 7)
for size in range(300):
    ledger.append(EntryKind.EVENT, "", b"x" * (size * 97 % 9001))
os.kill(os.getpid(), 9)
"""


def kill_a_writer(path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(["", *sys.path])}
    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False, env=environment)


def test_what_a_killed_writer_left_passes_and_stays_untouched(tmp_path: Path, audit: Any) -> None:
    path = tmp_path / "ledger"
    kill_a_writer(path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert before["ledger-wal"]

    report = audit(path)

    assert report.head.size == 300
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    with Ledger.open(path, now_ms=lambda: 8) as ledger:
        assert ledger.head() == report.head
    assert audit(path).head == report.head


def test_write_ahead_log_thrown_away_is_found_by_the_signed_head(
    tmp_path: Path, audit: Any, own: Any
) -> None:
    path = tmp_path / "ledger"
    kill_a_writer(path)
    with Ledger.read(path) as ledger:
        ledger.write_head(own)
    (tmp_path / "ledger-wal").unlink()

    with pytest.raises((LedgerTruncatedError, LedgerDamagedError)):
        audit(path)


def test_no_room_for_a_second_copy_is_the_disks_fault(
    finished: Path, audit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "copyfile", _full)
    (finished.parent / "ledger-wal").write_bytes(bytes(32))

    with pytest.raises(StorageError, match="cannot copy"):
        audit(finished)


def _full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_root_is_recomputed_not_believed(finished: Path, audit: Any) -> None:
    edit(finished, lambda c: c.execute("UPDATE entry SET root = (SELECT root FROM entry LIMIT 1)"))

    with pytest.raises((LedgerChainError, LedgerDamagedError)):
        audit(finished)
