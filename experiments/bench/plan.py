"""How a row is to be measured."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Where a row may write, and whether it has to hurry."""

    folder: Path
    """Empty, on the disk to be measured; deleted afterwards."""
    quick: bool
