"""The append-only record of what one party did and saw. Only ever grows.

Record first, then act: :meth:`Ledger.append` returns when the entry survives a power cut.
"""

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from assistlearn.bundle import Card, Identity
from assistlearn.errors import (
    LedgerChainError,
    LedgerDamagedError,
    LedgerError,
)
from assistlearn.interrupts import uninterrupted
from assistlearn.ledger.entries import Entry, EntryKind, Head, leaf_of
from assistlearn.ledger.heads import check_signed, head_path, read_head, write_head
from assistlearn.ledger.merkle import MerkleTree
from assistlearn.ledger.store import (
    INSERT,
    KINDS,
    begin,
    check_schema,
    connect,
    create_file,
    lock,
    sign_file,
    translated,
)

SELECT: Final = "SELECT i, at_ms, session, kind, body, root FROM entry"


class Ledger:
    """An open ledger. Use as a context manager, from one thread."""

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        tree: MerkleTree,
        *,
        resources: ExitStack,
        now_ms: Callable[[], int] | None,
    ) -> None:
        """Use :meth:`open` or :meth:`read`."""
        self.path = path
        self._connection = connection
        self._tree = tree
        self._resources = resources
        self._now_ms = now_ms  # None: opened for reading
        self._failed = False
        self._closed = False
        self._waiting: list[Entry] | None = None  # for the end of the block in together()

    @classmethod
    def open(cls, path: Path, *, now_ms: Callable[[], int]) -> Self:
        """Open the ledger at ``path`` for writing, or begin one; checks every entry's leaf.

        Args:
            path: the file. Beside it live ``-wal`` and ``-shm`` while it is open, and ``.lock``.
            now_ms: the wall clock, in milliseconds since 1970.

        Raises:
            LedgerError: another process has it open.
            LedgerDamagedError: the file is not a sound ledger.
            LedgerChainError: an entry was changed.
            StorageError: the disk is full, read-only or failing.
        """
        with ExitStack() as stack:
            descriptor = lock(path, shared=False)
            assert descriptor is not None  # only a shared lock can do without a file
            stack.callback(os.close, descriptor)
            create_file(path)
            connection = connect(path, mode="rw")
            stack.callback(connection.close)
            begin(connection, path)
            tree = replay(read_entries(connection, path), path=path)
            with translated(path):
                sign_file(connection)
            return cls(path, connection, tree, resources=stack.pop_all(), now_ms=now_ms)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Open the ledger at ``path`` for reading only, even while another process writes.

        If nobody writes, nobody can begin to until the reader is closed.

        Raises:
            LedgerError: there is no such file.
            LedgerDamagedError: the file is not a sound ledger.
            LedgerChainError: an entry was changed.
        """
        if not path.is_file():
            raise LedgerError(f"there is no ledger at {path}", hint="check the path")
        with ExitStack() as stack:
            try:
                descriptor = lock(path, shared=True)
                mode = "ro" if wal_bytes(path) else "immutable"
            except LedgerError:  # a writer has it: SQLite keeps us apart
                descriptor, mode = None, "ro"
            if descriptor is not None:
                stack.callback(os.close, descriptor)
            connection = connect(path, mode=mode)
            stack.callback(connection.close)
            check_schema(connection, path)
            tree = replay(read_entries(connection, path), path=path)
            return cls(path, connection, tree, resources=stack.pop_all(), now_ms=None)

    def append(self, kind: EntryKind, session: str, body: bytes) -> Entry:
        """Add one entry. It is on the disk when this returns, or at the end of :meth:`together`.

        Raises:
            LedgerError: the values cannot stand in a ledger, or this object cannot write.
            StorageError: the disk is full, read-only or failing. The entry may or may not be
                there: close the ledger and open it again to see.
        """
        return self.append_many([(kind, session, body)])[0]

    def append_many(self, items: Iterable[tuple[EntryKind, str, bytes]]) -> tuple[Entry, ...]:
        """Add entries of (kind, session, body) in one transaction: all of them or none.

        Raises:
            LedgerError: as :meth:`append`.
            StorageError: as :meth:`append`.
        """
        if self._now_ms is None or self._failed:
            reason = "open for reading only" if self._now_ms is None else "stopped by a disk error"
            raise LedgerError(f"{self.path} is {reason}", hint="close it, then open it to write")
        tree = self._tree.copy()
        entries = tuple(_grow(tree, item, at_ms=self._now_ms()) for item in items)
        if self._waiting is None:
            self._commit(entries)
        else:
            self._waiting.extend(entries)
        self._tree = tree
        return entries

    @contextmanager
    def together(self) -> Iterator[None]:
        """Everything appended inside goes to disk at the end, in one transaction: all or none.

        Nothing may be acted on before the end. An error from inside goes on after what was
        appended before it is on disk. A block inside another one ends with the outer one.

        Raises:
            StorageError: as :meth:`append`.
        """
        if self._waiting is not None:
            yield
            return
        self._waiting = []
        try:
            yield
        finally:
            if self._waiting:
                self._commit(self._waiting)
            self._waiting = None  # only now: until then they may not be on disk

    def _commit(self, entries: Iterable[Entry]) -> None:
        # After a failed write nobody knows what reached the disk: only reading it again tells.
        # Going on with the tree in memory could fork our own history.
        self._failed = True
        with uninterrupted(), translated(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(INSERT, map(_row, entries))
            self._connection.execute("COMMIT")
            self._failed = False

    def entries(self, session: str | None = None, *, start: int = 0) -> Iterator[Entry]:
        """Entries in order, all from ``start`` on or those of one session.

        They are read from the disk as they are used.
        """
        if session is None:
            return read_entries(self._connection, self.path, "WHERE i >= ?", (start,))
        return read_entries(self._connection, self.path, "WHERE session = ?", (session,))

    def head(self) -> Head:
        """Number of entries, and the root over them."""
        return Head(size=self._tree.size, root=self._tree.root().hex())

    def check_head(self, own: Card) -> None:
        """Refuse to go on from less than what the signed head beside the ledger was signed for.

        Raises:
            LedgerTruncatedError: entries are missing.
            LedgerChainError: it has others.
            LedgerSignatureError: the head is not ours.
        """
        signed = read_head(self.path, own)
        if signed is not None:
            last = read_entries(self._connection, self.path, "WHERE i = ?", (signed.size - 1,))
            check_signed(self.path, signed, head=self.head(), entry=next(last, None))

    def write_head(self, identity: Identity) -> Path:
        """Sign the head and put it beside the ledger, durably: shows entries cut off later.

        After a failed write, or one that a request to stop kept from beginning, the older head
        stays: nobody knows yet what reached the disk, and a head over more than that would call
        our own ledger cut off.

        Raises:
            StorageError: the disk is full or read-only. An older signed head stays.
        """
        if self._failed or self._waiting is not None:
            return head_path(self.path)
        return write_head(self.path, self.head(), identity)

    def close(self) -> None:
        """Flush into the one file, and let go of it. Nothing but this may be called again."""
        flush = self._now_ms is not None and not self._failed and not self._closed
        self._closed = True
        with self._resources:
            if flush:
                with translated(self.path):
                    self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def read_entries(
    connection: sqlite3.Connection, path: Path, where: str = "", values: tuple[str | int, ...] = ()
) -> Iterator[Entry]:
    """Entries in order, one at a time.

    Raises:
        LedgerDamagedError: a row is not what we write.
    """
    with translated(path):
        rows = connection.execute(f"{SELECT} {where} ORDER BY i", values)
        for row in rows:
            yield _entry(row, path)


def replay(entries: Iterable[Entry], *, path: Path) -> MerkleTree:
    """The tree over ``entries``, whose recorded roots must all follow from them.

    Raises:
        LedgerChainError: names the first entry that does not fit.
    """
    tree = MerkleTree()
    for entry in entries:
        if entry.index != tree.size:
            raise LedgerChainError(f"{path} has entry {entry.index} where {tree.size} should be")
        try:
            leaf = leaf_of(
                index=entry.index,
                at_ms=entry.at_ms,
                session=entry.session,
                kind=entry.kind,
                body=entry.body,
            )
        except LedgerError as error:
            raise LedgerChainError(f"entry {entry.index} of {path}: {error}") from error
        tree.append(leaf)
        if tree.root().hex() != entry.root:
            raise LedgerChainError(
                f"entry {entry.index} of {path} is not the one that was recorded",
                hint="keep the file, and compare it with a backup and with the peer's ledger",
            )
    return tree


def wal_bytes(path: Path) -> int:
    """Bytes that a process left in the write-ahead log without flushing them; mostly 0."""
    wal = path.with_name(path.name + "-wal")
    return wal.stat().st_size if wal.exists() else 0


def _grow(tree: MerkleTree, item: tuple[EntryKind, str, bytes], *, at_ms: int) -> Entry:
    kind, session, body = item
    index = tree.size
    tree.append(leaf_of(index=index, at_ms=at_ms, session=session, kind=kind, body=body))
    root = tree.root().hex()
    return Entry(index=index, at_ms=at_ms, session=session, kind=kind, body=body, root=root)


def _entry(row: tuple[object, ...], path: Path) -> Entry:
    """A row as an entry; a damaged file may hold any type in any column, STRICT or not."""
    match row:
        case (int(index), int(at_ms), str(session), str(kind), bytes(body), bytes(root)):
            if kind in KINDS:
                return Entry(
                    index=index,
                    at_ms=at_ms,
                    session=session,
                    kind=EntryKind(kind),
                    body=body,
                    root=root.hex(),
                )
    raise LedgerDamagedError(f"row {row[0]!r} of {path} is not an entry")


def _row(entry: Entry) -> tuple[int, int, str, str, bytes, bytes]:
    root = bytes.fromhex(entry.root)
    return entry.index, entry.at_ms, entry.session, entry.kind.value, entry.body, root
