"""The disk begins early with a file that grows, and no fault that it then meets is lost."""

import errno
import os
import threading
from pathlib import Path

import pytest

from assistlearn.durable import EarlySync


@pytest.fixture
def descriptor(tmp_path: Path):
    opened = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield opened
    os.close(opened)


@pytest.fixture
def early(descriptor: int):
    made = EarlySync(descriptor)
    yield made
    made.close()


def failing(_):
    raise OSError(errno.EIO, "input/output error")


def for_ever(call):
    while True:
        call()


def test_what_is_begun_does_not_hold_up_the_writer(descriptor, early, monkeypatch):
    disk = threading.Event()
    monkeypatch.setattr(os, "fsync", lambda _: disk.wait())

    early.begin()
    os.write(descriptor, b"more")
    disk.set()
    early.finish()

    assert os.fstat(descriptor).st_size == 4


def test_a_busy_disk_is_not_asked_again(early, monkeypatch):
    disk, asked = threading.Event(), []
    monkeypatch.setattr(os, "fsync", lambda number: [asked.append(number), disk.wait()])

    early.begin()
    early.begin()
    disk.set()
    early.finish()
    early.begin()
    early.finish()

    assert len(asked) == 2


def test_a_fault_is_told_at_the_end(early, monkeypatch):
    monkeypatch.setattr(os, "fsync", failing)
    early.begin()

    with pytest.raises(OSError, match="input/output"):
        early.finish()


def test_a_fault_is_told_at_the_next_beginning(early, monkeypatch):
    monkeypatch.setattr(os, "fsync", failing)

    with pytest.raises(OSError, match="input/output"):
        for_ever(early.begin)  # or until the disk has answered the first


def test_closing_waits_for_the_disk_and_raises_nothing(early, monkeypatch):
    done = []
    monkeypatch.setattr(os, "fsync", lambda number: [done.append(number), failing(number)])

    early.begin()
    early.close()

    assert done


def test_without_a_thread_nothing_is_begun_and_nothing_lost(early, monkeypatch):
    def none_left(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none_left)
    early.begin()

    early.finish()
