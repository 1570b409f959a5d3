"""Accounting for every byte of a ledger's file.

SQLite's own check does not look at unused space, nor at bytes whose meaning survives a change.
But the file is a function of its entries: :func:`check_bytes` writes the entries again through
the same code into a fresh file and compares. Only four numbers in the first page may differ
(``FORMAT.md`` section 3), and each of them must stand there twice, the same.
"""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from assistlearn.errors import LedgerDamagedError, StorageError
from assistlearn.ledger.ledger import wal_bytes
from assistlearn.ledger.store import (
    PAGE_BYTES,
    SQLITE_NUMBER,
    check_schema,
    connect,
    translated,
    write_fresh,
)

CHANGE_COUNTER: Final = slice(24, 28)  # offsets from SQLite's file format, section 1.3
USER_VERSION: Final = slice(60, 64)
VERSION_VALID_FOR: Final = slice(92, 96)
SQLITE_VERSION: Final = slice(96, 100)
PIECE_BYTES: Final = 256 * PAGE_BYTES
SELECT: Final = "SELECT i, at_ms, session, kind, body, root FROM entry ORDER BY i"


@contextmanager
def settled(path: Path) -> Iterator[tuple[Path, sqlite3.Connection]]:
    """The ledger with nothing left in its write-ahead log, and a connection that cannot write.

    What a killed process left there is flushed into a copy: an audit changes nothing.
    """
    with tempfile.TemporaryDirectory(prefix="assistlearn-audit-") as name:
        if wal_bytes(path):
            path = _flushed_copy(path, Path(name))
        with closing(connect(path, mode="immutable")) as connection:
            yield path, connection


def _flushed_copy(path: Path, folder: Path) -> Path:
    copy = folder / "copy"
    try:
        shutil.copyfile(path, copy)
        shutil.copyfile(path.with_name(path.name + "-wal"), folder / "copy-wal")
    except OSError as error:
        raise StorageError(
            f"cannot copy {path}: {error.strerror}", hint="free some space in TMPDIR"
        ) from error
    with closing(connect(copy, mode="rw")) as connection, translated(path):
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return copy


def check_structure(path: Path, connection: sqlite3.Connection) -> None:
    """Raise unless the file has our tables and triggers, and SQLite finds it sound.

    Raises:
        LedgerDamagedError: it says what is wrong.
    """
    check_schema(connection, path)
    with translated(path):
        problems = [row[0] for row in connection.execute("PRAGMA integrity_check(3)")]
    if problems != ["ok"]:
        raise LedgerDamagedError(
            f"{path} is damaged: {problems[0]}", hint="keep the file, and restore it from a backup"
        )


def check_bytes(path: Path, connection: sqlite3.Connection) -> int:
    """Raise unless every byte of the file follows from its entries.

    Returns:
        The number of bytes.

    Raises:
        LedgerDamagedError: names the first byte that does not.
        StorageError: there is no room for the second file in TMPDIR.
    """
    with tempfile.TemporaryDirectory(prefix="assistlearn-audit-") as name:
        fresh = Path(name) / "fresh"
        with translated(path):
            write_fresh(fresh, connection.execute(SELECT))
        size = path.stat().st_size
        if size != fresh.stat().st_size:
            raise _damaged(path, f"has {size} bytes, its entries need {fresh.stat().st_size}")
        with path.open("rb") as found_file, fresh.open("rb") as fresh_file:
            first = _masked_first_page(path, found_file.read(PAGE_BYTES))
            _compare(path, first, _masked(fresh_file.read(PAGE_BYTES)), at=0)
            at = PAGE_BYTES
            while piece := found_file.read(PIECE_BYTES):
                _compare(path, piece, fresh_file.read(PIECE_BYTES), at=at)
                at += len(piece)
    return size


def _masked_first_page(path: Path, page: bytes) -> bytes:
    """The first page without its four volatile numbers, once each has been found twice."""
    if page[CHANGE_COUNTER] != page[VERSION_VALID_FOR]:
        raise _damaged(path, "has two different change counters")
    if page[USER_VERSION] != page[SQLITE_VERSION]:
        raise _damaged(path, "has two different SQLite versions")
    return _masked(page)


def _masked(page: bytes) -> bytes:
    masked = bytearray(page)
    for place in (CHANGE_COUNTER, USER_VERSION, VERSION_VALID_FOR, SQLITE_VERSION):
        masked[place] = bytes(4)
    return bytes(masked)


def _compare(path: Path, found: bytes, fresh: bytes, *, at: int) -> None:
    if found == fresh:
        return
    first = next(i for i, pair in enumerate(zip(found, fresh, strict=True)) if pair[0] != pair[1])
    raise _damaged(path, f"has a byte at {at + first} that does not follow from its entries")


def _damaged(path: Path, what: str) -> LedgerDamagedError:
    return LedgerDamagedError(
        f"{path} {what}",
        hint="keep the file, and restore it from a backup; audit it with the SQLite that wrote"
        f" it (this one is {SQLITE_NUMBER}) before you blame anybody",
    )
