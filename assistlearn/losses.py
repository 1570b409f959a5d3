"""Local losses as sums with their sample counts, never as bare means.

Adding two means would give a learner with 2,500 samples half the vote against a provider with
25,000 (``protocols/SPEC.md`` section 4). This module knows nothing of torch.
"""

import math
from dataclasses import dataclass
from typing import Final

from assistlearn.errors import TaskError

LEVELS: Final = 255  # largest value of a loss told in 8 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalLoss:
    """One party's loss of one model on its own data."""

    total: float
    """Sum of the per-example losses, in the task's unit (nats for cross-entropy). May be inf."""

    clipped: float
    """The same sum with every example clipped to the agreed bound; equal to ``total`` if none."""

    count: int
    """Examples summed over. At least 1."""

    def __post_init__(self) -> None:
        if self.count < 1:
            raise TaskError(
                "the local loss was taken over no examples",
                hint="check that the data set of this party is not empty",
            )
        if math.isnan(self.total) or self.total < 0 or not 0 <= self.clipped <= self.total:
            raise TaskError(
                f"the local loss is {self.total} (clipped: {self.clipped}), must be >= 0",
                hint="return per-example losses that are never negative or NaN; shift a"
                " log-likelihood that can be",
            )

    @property
    def mean(self) -> float:
        """Loss per example."""
        return self.total / self.count

    def level(self, clip: float) -> int:
        """The clipped mean in 8 bits: 0 to 255 of ``clip``, the bound it was clipped to (> 0)."""
        return round(LEVELS * min(self.clipped / self.count / clip, 1.0))
