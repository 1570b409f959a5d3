"""Blocks of rows side by side, each on one thread, instead of every operation on all of them.

Operations on a block take a tenth of a millisecond. Splitting each among threads that then wait for
one another costs more than it saves, and on a busy machine a hundred times more. Sums come out the
same, bit for bit, whatever the number of threads.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import Final, TypeVar

import torch

Result = TypeVar("Result")


class _ThreadLimit:
    """torch's number of threads, which is the whole process's: the last one out restores it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._outside = 1

    def enter(self) -> int:
        with self._lock:
            if not self._inside:
                self._outside = torch.get_num_threads()
                torch.set_num_threads(1)
            self._inside += 1
            return self._outside

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                torch.set_num_threads(self._outside)


_LIMIT: Final = _ThreadLimit()


@contextmanager
def one_thread_each() -> Iterator[int]:
    """Inside, torch takes one thread for an operation. Gives the number that it took before."""
    threads = _LIMIT.enter()
    try:
        yield threads
    finally:
        _LIMIT.leave()


def map_blocks(
    work: Callable[[slice], Result], blocks: Sequence[slice], *, threads: int
) -> list[Result]:
    """``work`` on every block, results in the order of the blocks."""
    if threads == 1 or len(blocks) == 1:
        return [work(block) for block in blocks]
    with ThreadPoolExecutor(min(threads, len(blocks))) as pool:
        return [*pool.map(work, blocks)]
