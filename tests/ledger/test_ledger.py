"""Appending, reading, refusing: everything short of an audit."""

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assistlearn.bundle import pack
from assistlearn.errors import (
    LedgerChainError,
    LedgerDamagedError,
    LedgerError,
    LedgerSignatureError,
    StorageError,
)
from assistlearn.interrupts import stop_on_signals
from assistlearn.ledger import (
    Entry,
    EntryKind,
    Head,
    Ledger,
    MerkleTree,
    head_path,
    leaf_hash,
    read_head,
)

ITEMS = st.tuples(
    st.sampled_from(EntryKind),
    st.sampled_from(["", "ab" * 32, "cd" * 32]),
    st.binary(max_size=9000),
)


def later() -> int:
    return 1_700_000_000_000


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.lists(ITEMS, max_size=4), max_size=6))
def test_what_was_appended_is_read_back_in_order_whoever_reads(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[Any]]
) -> None:
    path = tmp_path_factory.mktemp("ledger") / "ledger"
    written: list[Entry] = []
    for batch in batches:
        with Ledger.open(path, now_ms=later) as ledger:
            written += ledger.append_many(batch)
            assert list(ledger.entries()) == written
    tree = MerkleTree()
    for entry in written:
        tree.append(
            leaf_hash(pack([entry.index, entry.at_ms, entry.session, entry.kind, entry.body]))
        )
        assert entry.root == tree.root().hex()

    with Ledger.open(path, now_ms=later) as ledger:
        assert list(ledger.entries()) == written
        assert ledger.head() == Head(size=len(written), root=tree.root().hex())
    with Ledger.read(path) as ledger:
        assert list(ledger.entries("ab" * 32)) == [e for e in written if e.session == "ab" * 32]


def test_entry_knows_its_time_its_place_and_the_head_it_made(tmp_path: Path) -> None:
    times = iter([5, 3])
    with Ledger.open(tmp_path / "ledger", now_ms=lambda: next(times)) as ledger:
        first = ledger.append(EntryKind.EVENT, "", b"a")
        second = ledger.append(EntryKind.CLOSED, "ab" * 32, b"b")

        assert (first.index, first.at_ms, second.index, second.at_ms) == (0, 5, 1, 3)
        assert second.head == ledger.head()


def test_closed_ledger_is_one_file_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    old_mask = os.umask(0)
    try:
        with Ledger.open(path, now_ms=later) as ledger:
            ledger.append(EntryKind.EVENT, "", b"a")
            modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    finally:
        os.umask(old_mask)

    assert set(modes.values()) == {0o600}
    assert {file.name for file in tmp_path.iterdir()} == {"ledger", "ledger.lock"}


def test_second_writer_is_refused_and_says_why(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    program = textwrap.dedent(f"""
        from pathlib import Path
        from assistlearn.errors import LedgerError
        from assistlearn.ledger import Ledger
        try:
            Ledger.open(Path({str(path)!r}), now_ms=lambda: 1)
        except LedgerError as error:
            print(error, "|", error.hint)
    """)

    with Ledger.open(path, now_ms=later) as ledger:
        other = run(program)
        with pytest.raises(LedgerError, match="in use by another process"):
            Ledger.open(path, now_ms=later)
        ledger.append(EntryKind.EVENT, "", b"still ours")

    assert "in use by another process | wait until" in other
    assert run(program) == ""


def test_reader_sees_what_a_writer_has_appended_so_far(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger", now_ms=later) as writer:
        writer.append(EntryKind.EVENT, "", b"a")

        with Ledger.read(tmp_path / "ledger") as reader:
            assert [entry.body for entry in reader.entries()] == [b"a"]
        writer.append(EntryKind.EVENT, "", b"b")


def test_reading_leaves_nothing_behind_and_cannot_write(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger", now_ms=later) as writer:
        writer.append(EntryKind.EVENT, "", b"a")
    before = (tmp_path / "ledger").read_bytes()

    with (
        Ledger.read(tmp_path / "ledger") as reader,
        pytest.raises(LedgerError, match="open for reading only"),
    ):
        reader.append(EntryKind.EVENT, "", b"b")

    assert (tmp_path / "ledger").read_bytes() == before
    assert {file.name for file in tmp_path.iterdir()} == {"ledger", "ledger.lock"}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entry SET at_ms = 1",
        "DELETE FROM entry",
        "INSERT OR REPLACE INTO entry VALUES (0, 1, '', 'event', x'', zeroblob(32))",
        "INSERT INTO entry VALUES (7, 1, '', 'event', x'', zeroblob(32))",
        "REPLACE INTO entry SELECT * FROM entry",
    ],
)
def test_file_itself_refuses_all_but_appending(tmp_path: Path, statement: str) -> None:
    with Ledger.open(tmp_path / "ledger", now_ms=later) as ledger:
        ledger.append(EntryKind.EVENT, "", b"a")

        with pytest.raises(sqlite3.IntegrityError, match=r"append-only|in order"):
            ledger._connection.execute(statement)


@pytest.mark.parametrize(
    ("kind", "session", "body"),
    [
        (EntryKind.EVENT, "short", b""),
        (EntryKind.EVENT, "AB" * 32, b""),
        (EntryKind.EVENT, "", bytes((2 << 20) + 1)),
    ],
    ids=["short session", "session in capitals", "long body"],
)
def test_values_that_cannot_stand_in_a_ledger_are_refused(
    tmp_path: Path, kind: EntryKind, session: str, body: bytes
) -> None:
    with Ledger.open(tmp_path / "ledger", now_ms=later) as ledger:
        with pytest.raises(LedgerError):
            ledger.append(kind, session, body)
        assert ledger.append(EntryKind.EVENT, "", b"next").index == 0


def test_clock_before_1970_is_refused(tmp_path: Path) -> None:
    with (
        Ledger.open(tmp_path / "ledger", now_ms=lambda: -1) as ledger,
        pytest.raises(LedgerError, match="clock"),
    ):
        ledger.append(EntryKind.EVENT, "", b"")


def test_batch_with_one_bad_entry_appends_none(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger", now_ms=later) as ledger:
        with pytest.raises(LedgerError):
            ledger.append_many([(EntryKind.EVENT, "", b"a"), (EntryKind.EVENT, "bad", b"b")])
        assert ledger.head().size == 0
        assert list(ledger.entries()) == []


def test_block_of_entries_reaches_the_disk_at_its_end_and_all_at_once(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    with Ledger.open(path, now_ms=later) as ledger:
        ledger.append(EntryKind.EVENT, "", b"before")
        with ledger.together():
            first = ledger.append(EntryKind.EVENT, "", b"a")
            with ledger.together():
                ledger.append(EntryKind.SENT, "", b"b")
            head = ledger.head()
            with Ledger.read(path) as reader:
                seen_inside = [entry.body for entry in reader.entries()]
        with Ledger.read(path) as reader:
            seen_after = [entry.body for entry in reader.entries()]
            assert reader.head() == head

    assert first.index == 1
    assert seen_inside == [b"before"]
    assert seen_after == [b"before", b"a", b"b"]


def test_error_inside_a_block_leaves_what_was_appended_before_it(tmp_path: Path) -> None:
    def fail_after_an_entry(ledger: Ledger) -> None:
        with ledger.together():
            ledger.append(EntryKind.EVENT, "", b"a")
            raise ZeroDivisionError

    with Ledger.open(tmp_path / "ledger", now_ms=later) as ledger:
        with pytest.raises(ZeroDivisionError):
            fail_after_an_entry(ledger)
        ledger.append(EntryKind.EVENT, "", b"b")

        assert [entry.body for entry in ledger.entries()] == [b"a", b"b"]


@pytest.mark.parametrize("after", [False, True])
def test_process_killed_around_the_end_of_a_block_leaves_all_of_it_or_none(
    tmp_path: Path, after: bool
) -> None:
    program = f"""
        import os, signal
        from pathlib import Path
        from assistlearn.ledger import EntryKind, Ledger
        with Ledger.open(Path({str(tmp_path / "ledger")!r}), now_ms=lambda: 1) as ledger:
            with ledger.together():
                ledger.append(EntryKind.EVENT, "", b"a")
                ledger.append(EntryKind.SENT, "", b"b")
                if not {after}:
                    os.kill(os.getpid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False)
    assert done.returncode == -signal.SIGKILL

    with Ledger.open(tmp_path / "ledger", now_ms=later) as ledger:
        assert [entry.body for entry in ledger.entries()] == ([b"a", b"b"] if after else [])


def test_full_disk_at_the_end_of_a_block_stops_the_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    with Ledger.open(path, now_ms=later) as ledger:
        ledger.append(EntryKind.EVENT, "", b"a")
        ledger._connection.execute("PRAGMA max_page_count=8")
        with pytest.raises(StorageError), ledger.together():
            ledger.append(EntryKind.EVENT, "", bytes(100_000))
        with pytest.raises(LedgerError, match="stopped by a disk error"):
            ledger.append(EntryKind.EVENT, "", b"b")

    with Ledger.open(path, now_ms=later) as ledger:
        assert [entry.body for entry in ledger.entries()] == [b"a"]


def test_head_is_not_signed_over_what_a_failed_write_may_have_lost(
    tmp_path: Path, own: Any
) -> None:
    path = tmp_path / "ledger"
    with Ledger.open(path, now_ms=later) as ledger:
        ledger.append(EntryKind.EVENT, "", b"a")
        ledger.write_head(own)
        ledger._connection.execute("PRAGMA max_page_count=8")
        with pytest.raises(StorageError), ledger.together():
            ledger.append(EntryKind.EVENT, "", bytes(100_000))
        ledger.write_head(own)

    head = read_head(path, own.card)
    assert head is not None
    assert head.size == 1


def test_interrupt_at_a_write_is_obeyed_after_it(tmp_path: Path) -> None:
    path = tmp_path / "ledger"

    def interrupted_append(ledger: Ledger) -> None:
        interrupts = iter([signal.SIGINT])
        ledger._connection.set_progress_handler(
            lambda: signal.raise_signal(number) if (number := next(interrupts, None)) else None, 1
        )
        ledger.append(EntryKind.EVENT, "", b"a")

    stop_on_signals()
    with Ledger.open(path, now_ms=later) as ledger:
        with pytest.raises(KeyboardInterrupt):
            interrupted_append(ledger)
        ledger._connection.set_progress_handler(None, 1)
        assert [entry.body for entry in ledger.entries()] == [b"a"]


def test_a_request_to_stop_just_before_a_write_signs_no_head_over_it(
    tmp_path: Path, own: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with Ledger.open(tmp_path / "ledger", now_ms=later) as ledger:
        ledger.append(EntryKind.EVENT, "", b"on disk")
        monkeypatch.setattr(Ledger, "_commit", stopped)
        with pytest.raises(KeyboardInterrupt), ledger.together():
            ledger.append(EntryKind.EVENT, "", b"not on disk")
        ledger.write_head(own)

    with Ledger.open(tmp_path / "ledger", now_ms=later) as ledger:
        ledger.check_head(own.card)
        assert ledger.head().size == 1


@pytest.mark.parametrize("content", [b"not a database" * 1000, b"x"])
def test_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ledger").write_bytes(content)

    for attempt in (lambda path: Ledger.open(path, now_ms=later), Ledger.read):
        with pytest.raises(LedgerDamagedError):
            attempt(tmp_path / "ledger")


def test_database_of_another_program_is_refused_untouched(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "ledger") as connection:
        connection.execute("CREATE TABLE other (a)")
    connection.close()
    before = (tmp_path / "ledger").read_bytes()

    with pytest.raises(LedgerDamagedError, match="tables"):
        Ledger.open(tmp_path / "ledger", now_ms=later)
    assert (tmp_path / "ledger").read_bytes() == before


def test_file_open_in_another_program_is_not_waited_for_forever(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger", now_ms=later) as ledger:
        ledger._connection.execute("PRAGMA busy_timeout=10")
        with sqlite3.connect(tmp_path / "ledger", isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")

            with pytest.raises(LedgerError, match="in use by another program"):
                ledger.append(EntryKind.EVENT, "", b"")
        other.close()


def test_lock_file_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ledger.lock").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(StorageError):
        Ledger.open(tmp_path / "ledger", now_ms=later)
    assert not (tmp_path / "elsewhere").exists()


def test_ledger_that_is_a_link_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "ledger").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(StorageError):
        Ledger.open(tmp_path / "ledger", now_ms=later)
    assert not (tmp_path / "elsewhere").exists()


def test_closing_twice_is_no_mistake(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger", now_ms=later) as ledger:
        ledger.close()


def test_ledger_that_was_begun_but_has_no_tables_yet_can_be_opened(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "ledger") as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    connection.close()

    with Ledger.open(tmp_path / "ledger", now_ms=later) as ledger:
        assert ledger.append(EntryKind.EVENT, "", b"a").index == 0


def test_absent_file_and_absent_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="there is no ledger"):
        Ledger.read(tmp_path / "ledger")
    with pytest.raises(LedgerError, match="there is no folder"):
        Ledger.open(tmp_path / "no" / "ledger", now_ms=later)


def test_entry_changed_behind_our_back_is_found_on_opening(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    with Ledger.open(path, now_ms=later) as ledger:
        for body in (b"first entry", b"second entry", b"third entry"):
            ledger.append(EntryKind.EVENT, "", body)
    path.write_bytes(path.read_bytes().replace(b"second entry", b"sekond entry"))

    for attempt in (lambda path: Ledger.open(path, now_ms=later), Ledger.read):
        with pytest.raises(LedgerChainError, match="entry 1"):
            attempt(path)


def test_full_disk_is_our_error_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    with Ledger.open(path, now_ms=later) as ledger:
        kept = ledger.append(EntryKind.EVENT, "", b"kept")
        ledger._connection.execute("PRAGMA max_page_count=8")

        with pytest.raises(StorageError, match="full") as caught:
            ledger.append(EntryKind.EVENT, "", bytes(100_000))
        assert caught.value.hint.startswith("free some disk space")
        with pytest.raises(LedgerError, match="stopped by a disk error"):
            ledger.append(EntryKind.EVENT, "", b"")

    with Ledger.open(path, now_ms=later) as ledger:
        assert list(ledger.entries()) == [kept]
        assert ledger.append(EntryKind.EVENT, "", b"goes on").index == 1


def test_file_that_may_not_grow_is_our_error_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    with Ledger.open(path, now_ms=later) as ledger:
        kept = ledger.append(EntryKind.EVENT, "", b"kept")
        old_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        old_handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, old_limit[1]))
        try:
            with pytest.raises(StorageError):
                ledger.append(EntryKind.EVENT, "", bytes(100_000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old_limit)
            signal.signal(signal.SIGXFSZ, old_handler)

    with Ledger.read(path) as ledger:
        assert list(ledger.entries()) == [kept]


WRITER = """
import sys, time
from pathlib import Path
from assistlearn.ledger import EntryKind, Ledger
with Ledger.open(Path(sys.argv[1]), now_ms=lambda: int(time.time() * 1000)) as ledger:
    while True:
        entry = ledger.append(EntryKind.EVENT, "", b"x" * (ledger.head().size * 997 % 9001))
        print(entry.index, entry.root, flush=True)
"""


def test_killed_writer_loses_no_acknowledged_entry(tmp_path: Path) -> None:
    path, acknowledged = tmp_path / "ledger", {}
    for attempt in range(20):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)],
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        assert process.stdout is not None
        for _ in range(1 + attempt * 3):
            index, root = process.stdout.readline().split()
            acknowledged[int(index)] = root
        process.kill()
        for line in process.stdout.read().splitlines():
            index, root = line.split()
            acknowledged[int(index)] = root
        process.wait()
        process.stdout.close()
        with Ledger.read(path) as ledger:  # checks every leaf, straight from the leftover WAL
            found = {entry.index: entry.root for entry in ledger.entries()}
        assert acknowledged.items() <= found.items()
        assert len(found) - len(acknowledged) <= attempt + 1


def test_signed_head_reads_back_and_only_under_our_card(
    tmp_path: Path, own: Any, peer: Any
) -> None:
    path = tmp_path / "ledger"
    with Ledger.open(path, now_ms=later) as ledger:
        assert read_head(path, own.card) is None
        ledger.append(EntryKind.EVENT, "", b"a")
        assert ledger.write_head(own) == head_path(path)
        ledger.append(EntryKind.EVENT, "", b"b")
        ledger.write_head(own)
        head = ledger.head()

    assert read_head(path, own.card) == head
    with pytest.raises(LedgerSignatureError):
        read_head(path, peer.card)
    head_path(path).write_bytes(own.sign("assistlearn/ledger-head/v1\nsize 01\nroot 00\n"))
    with pytest.raises(LedgerSignatureError, match="no ledger head"):
        read_head(path, own.card)
    head_path(path).unlink()
    head_path(path).mkdir()
    with pytest.raises(StorageError):
        read_head(path, own.card)
    with Ledger.open(path, now_ms=later) as ledger, pytest.raises(StorageError):
        ledger.write_head(own)


def environment() -> dict[str, str]:
    """Ours, so that a child finds the package without being installed."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(["", *sys.path])}


def run(program: str) -> str:
    command = [sys.executable, "-c", program]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment()
    ).stdout
