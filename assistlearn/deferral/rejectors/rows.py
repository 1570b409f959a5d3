"""Rows of an array in blocks that fit into a processor's cache."""

from collections.abc import Iterator
from typing import Final

BLOCK_NUMBERS: Final = 1 << 18  # 2 MiB of float64: what a core's second-level cache holds


def row_blocks(rows: int, width: int, *, numbers: int = BLOCK_NUMBERS) -> Iterator[slice]:
    """Slices over all rows, each with about ``numbers`` numbers if a row has ``width``."""
    size = max(numbers // max(width, 1), 64)
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))
