"""The ledger's file: SQLite with settings that lose nothing and leave no byte to chance.

Knows tables, locks and disks. What the rows mean is ``ledger.py``'s business.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from assistlearn.durable import disk_errors, sync_folder
from assistlearn.errors import LedgerDamagedError, LedgerError, StorageError
from assistlearn.ledger.files import open_ordinary

PAGE_BYTES: Final = 4096
MAX_BODY_BYTES: Final = 2 << 20  # a note, a sealed key and a sealed body of 1 MiB, with room
MAX_CELL_BYTES: Final = 4 << 20  # what SQLite may build in memory from a hostile file
APPLICATION_ID: Final = 0x616C6467  # "aldg"
SQLITE_NUMBER: Final = (
    sqlite3.sqlite_version_info[0] * 1_000_000
    + sqlite3.sqlite_version_info[1] * 1_000
    + sqlite3.sqlite_version_info[2]
)
KINDS: Final = ("agreement", "sent", "received", "event", "refusal", "closed")
SCHEMA: Final = (
    f"""CREATE TABLE entry (
  i INTEGER PRIMARY KEY CHECK (i >= 0),
  at_ms INTEGER NOT NULL CHECK (at_ms >= 0),
  session TEXT NOT NULL CHECK (length(session) IN (0, 64)),
  kind TEXT NOT NULL CHECK (kind IN {KINDS}),
  body BLOB NOT NULL CHECK (length(body) <= {MAX_BODY_BYTES}),
  root BLOB NOT NULL CHECK (length(root) = 32)
) STRICT""",
    """CREATE TRIGGER entry_in_order BEFORE INSERT ON entry
WHEN NEW.i <> (SELECT coalesce(max(i) + 1, 0) FROM entry)
BEGIN SELECT RAISE(ABORT, 'entries are appended in order'); END""",
    """CREATE TRIGGER entry_no_update BEFORE UPDATE ON entry
BEGIN SELECT RAISE(ABORT, 'append-only'); END""",
    """CREATE TRIGGER entry_no_delete BEFORE DELETE ON entry
BEGIN SELECT RAISE(ABORT, 'append-only'); END""",
)
INSERT: Final = "INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?)"
STORAGE_CODES: Final = {  # primary result codes: what went wrong is the disk
    sqlite3.SQLITE_FULL: "free some disk space, then run the same command again",
    sqlite3.SQLITE_READONLY: "make the folder writable, then run the same command again",
    sqlite3.SQLITE_IOERR: "check the disk, then run the same command again",
    sqlite3.SQLITE_CANTOPEN: "check that the folder exists and is writable",
    sqlite3.SQLITE_PERM: "check who may write to the folder",
}


def create_file(path: Path) -> None:
    """Make an empty file that only we may read, unless there is one; durable at return."""
    with disk_errors(f"write {path}"):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        os.close(descriptor)
        sync_folder(path.parent)


def lock(path: Path, *, shared: bool) -> int | None:
    """Hold a lock on the ledger at ``path`` until the returned descriptor is closed.

    The lock is on a file beside it: closing any descriptor of the ledger itself would drop
    SQLite's own locks.

    Returns:
        None if a shared lock needs no file: nobody has ever opened this copy for writing.

    Raises:
        LedgerError: another process (or another object of this one) has it open for writing.
        StorageError: the lock cannot be opened, or is no ordinary file.
    """
    lock_path = path.with_name(path.name + ".lock")
    try:
        if shared:
            descriptor = open_ordinary(lock_path, os.O_RDONLY | os.O_NOFOLLOW)
        else:
            descriptor = open_ordinary(lock_path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
    except FileNotFoundError as error:
        if shared:
            return None
        raise LedgerError(f"there is no folder for {path}", hint="make the folder first") from error
    except OSError as error:
        raise StorageError(
            f"cannot open {lock_path}: {error.strerror}",
            hint="delete it while nobody uses the ledger, and check who may write to the folder",
        ) from error
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise LedgerError(
            f"{path} is in use by another process",
            hint="wait until the other command ends, or stop it",
        ) from error
    return descriptor


def connect(path: Path, *, mode: str) -> sqlite3.Connection:
    """A connection with our limits.

    Args:
        path: the ledger.
        mode: ``rw``, ``ro``, or ``immutable`` for a file that nobody writes and has no WAL.
    """
    options = "mode=ro&immutable=1" if mode == "immutable" else f"mode={mode}"
    uri = f"{path.absolute().as_uri()}?{options}"
    with translated(path):
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=5)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_CELL_BYTES)
        connection.execute("PRAGMA trusted_schema=OFF")
        connection.execute("PRAGMA cell_size_check=ON")
    return connection


def prepare(connection: sqlite3.Connection) -> None:
    """Settings for writing, and tables if there are none: all bytes follow from these."""
    connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
    connection.execute("PRAGMA auto_vacuum=NONE")
    connection.execute("PRAGMA encoding='UTF-8'")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA secure_delete=ON")  # slack is zero, never an old row
    if not schema_of(connection):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={SQLITE_NUMBER}")
        for statement in SCHEMA:
            connection.execute(statement)
        connection.execute("COMMIT")


def begin(connection: sqlite3.Connection, path: Path) -> None:
    """Make the file ready for writing: a new one, or one of ours; another stays as it is.

    A process killed while it began a ledger leaves a page without tables, which is new too.

    Raises:
        LedgerDamagedError: there is something else in the file.
    """
    with translated(path):
        is_new = not schema_of(connection)
    if not is_new or 0 < path.stat().st_size < PAGE_BYTES:  # SQLite takes a stub for nothing
        check_schema(connection, path)
    with translated(path):
        prepare(connection)


def sign_file(connection: sqlite3.Connection) -> None:
    """Note which SQLite writes from now on.

    SQLite writes its version at offset 96 whenever it writes the first page; the audit must
    know which number belongs there, so the same one stands in ``user_version``.
    """
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found != SQLITE_NUMBER:
        connection.execute(f"PRAGMA user_version={SQLITE_NUMBER}")


def schema_of(connection: sqlite3.Connection) -> tuple[str, ...]:
    """Every statement that made the file what it is, in the order in which they stand there."""
    rows = connection.execute("SELECT coalesce(sql, name) FROM sqlite_schema ORDER BY rowid")
    return tuple(sql for (sql,) in rows)


def check_schema(connection: sqlite3.Connection, path: Path) -> None:
    """Raise unless the file has exactly our tables and triggers."""
    with translated(path):
        found = schema_of(connection)
        (application,) = connection.execute("PRAGMA application_id").fetchone()
    if found != SCHEMA or application != APPLICATION_ID:
        raise LedgerDamagedError(
            f"{path} does not have the tables and triggers of a ledger",
            hint="restore it from a backup, or name the right file",
        )


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours: the disk's fault, or the file's."""
    try:
        yield
    except sqlite3.ProgrammingError:
        raise  # a bug of ours, such as using a ledger that was closed
    except (sqlite3.Error, UnicodeDecodeError) as error:  # names in a damaged file may be any bytes
        primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if primary in STORAGE_CODES:
            raise StorageError(f"{path}: {error}", hint=STORAGE_CODES[primary]) from error
        if primary in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise LedgerError(
                f"{path} is in use by another program", hint="close it there, then try again"
            ) from error
        raise LedgerDamagedError(
            f"{path} is damaged: {error}", hint="keep the file, and restore it from a backup"
        ) from error


def write_fresh(path: Path, rows: Iterator[tuple[int, int, str, str, bytes, bytes]]) -> None:
    """Write ``rows`` through the same settings into a new file, flushed and closed.

    Raises SQLite's own errors: only the caller knows whose rows they are.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        prepare(connection)
        connection.execute("PRAGMA synchronous=OFF")  # a throw-away copy
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(INSERT, rows)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
