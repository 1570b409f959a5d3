import errno
import hashlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from assistlearn.checkpoints import CheckpointStore
from assistlearn.digests import digest
from assistlearn.errors import StorageError

ABSENT = "0" * 64


def stored(store: CheckpointStore, *pieces: bytes) -> str:
    with store.writer() as writer:
        for piece in pieces:
            writer.write(piece)
        return writer.commit()


def files(store: CheckpointStore) -> list[str]:
    return sorted(path.name for path in store.folder.iterdir() if path.is_file())


def for_ever(call: Callable[[], object]) -> None:
    while True:
        call()


def test_file_is_named_after_the_sha256_of_all_its_bytes(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "spool")

    name = stored(store, b"first ", b"second")

    assert name == hashlib.sha256(b"first second").hexdigest()
    assert store.path(name).read_bytes() == b"first second"
    assert store.path(name).name == f"{name}.safetensors"
    assert name in store
    assert ABSENT not in store


def test_memoryviews_of_wide_elements_count_as_bytes(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)

    with store.writer() as writer:
        writer.write(memoryview(b"12345678").cast("I"))
        name = writer.commit()

    assert name == digest(b"12345678")


def test_nothing_is_stored_without_commit(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)

    with store.writer() as writer:
        writer.write(b"half")

    assert files(store) == []


def test_nothing_is_left_when_the_writer_fails(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)

    with pytest.raises(TypeError), store.writer() as writer:
        writer.write("half")  # type: ignore[arg-type]

    assert files(store) == []


def test_storing_the_same_bytes_twice_keeps_one_file(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)

    assert stored(store, b"same") == stored(store, b"same")
    assert len(files(store)) == 1


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EROFS, "disk that can be written"),
        (errno.EIO, "faults"),
        (errno.ENODEV, "check that the folder"),
    ],
)
def test_disk_trouble_is_a_storage_error_with_a_remedy_and_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, remedy: str
) -> None:
    store = CheckpointStore(tmp_path)

    def failing(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(StorageError) as caught:
        stored(store, b"data")

    assert remedy in caught.value.hint
    assert files(store) == []


def test_file_size_limit_of_the_system_leaves_no_half_file(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
        with pytest.raises(StorageError, match="cannot write a checkpoint"):
            stored(store, bytes(1 << 17))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)

    assert files(store) == []


def test_store_cannot_be_made_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StorageError, match="cannot create"):
        CheckpointStore(tmp_path / "file" / "spool")


@pytest.mark.parametrize("name", ["../escape", "", ".hidden", "a/b", "a\n", "x" * 200])
def test_quarantine_name_cannot_leave_the_quarantine(tmp_path: Path, name: str) -> None:
    with pytest.raises(StorageError, match="not a plain file name"):
        CheckpointStore(tmp_path).quarantine(name)


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "A" * 64, "0" * 63, "0" * 64 + "\n"])
def test_digest_cannot_become_another_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(StorageError, match="not a digest"):
        CheckpointStore(tmp_path).path(name)


def test_keep_only_deletes_other_checkpoints_and_nothing_else(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    kept, dropped = stored(store, b"kept"), stored(store, b"dropped")
    part = store.quarantine("part")
    part.touch()
    with store.writer() as unfinished:
        unfinished.write(b"still being written")

        store.keep_only([kept, ABSENT])

        late = unfinished.commit()
    assert store.digests() == {kept, late}
    assert dropped not in store
    assert part.exists()


def test_what_is_deleted_leaves_the_disk_soon(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    kept, _ = stored(store, b"kept"), stored(store, b"dropped")

    store.keep_only([kept])

    while files(store) != [f"{kept}.safetensors"]:
        time.sleep(0.001)


def test_without_a_thread_files_are_deleted_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = CheckpointStore(tmp_path)
    stored(store, b"dropped")

    def none_left(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none_left)
    store.keep_only([])

    assert files(store) == []


def test_a_deletion_that_failed_is_told_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = CheckpointStore(tmp_path)
    stored(store, b"dropped")

    def failing(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "unlink", failing)
    store.keep_only([])

    with pytest.raises(StorageError, match="cannot delete"):
        for_ever(lambda: store.keep_only([]))  # or until the disk has answered


def test_what_a_killed_process_left_can_be_discarded(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    kept = stored(store, b"kept")
    program = (
        "import os, pathlib, sys; from assistlearn.checkpoints import CheckpointStore\n"
        "with CheckpointStore(pathlib.Path(sys.argv[1])).writer() as writer:\n"
        "    writer.write(b'half'); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert len(files(store)) == 2

    store.discard_unfinished()

    assert files(store) == [f"{kept}.safetensors"]
