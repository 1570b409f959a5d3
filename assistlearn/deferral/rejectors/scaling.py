"""Features to mean 0 and deviation 1, so that one penalty fits all and L-BFGS needs few steps.

Letters: B examples, F features.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from assistlearn.deferral.rejectors.arrays import Floats, Layout
from assistlearn.deferral.rejectors.rows import row_blocks


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scaling:
    """Means and deviations of the features that a rejector was fitted on."""

    means: Floats
    """Shape ``(F,)``."""

    deviations: Floats
    """Shape ``(F,)``; 1 for a feature that is constant."""

    @classmethod
    def fit(cls, features: Floats) -> tuple[Self, Floats]:
        """The scaling of ``features``, and these scaled: the one copy that fitting makes."""
        means = features.mean(axis=0, dtype=np.float64)
        # A sum of n numbers has lost up to n roundings; one over what is left has not.
        left = np.zeros_like(means)
        for rows in row_blocks(len(features), features.shape[1]):
            left += (features[rows] - means).sum(axis=0)
        means = (means + left / len(features)).astype(features.dtype)
        scaled = features - means
        variances = np.einsum("bf,bf->f", scaled, scaled, dtype=np.float64) / len(features)
        # What rounding leaves of a constant is no variation: dividing by it would blow up noise.
        rounding = 10 * np.finfo(features.dtype).eps * np.abs(means)
        deviations = np.sqrt(variances).astype(features.dtype)
        deviations[deviations <= rounding] = 1
        scaled /= deviations
        return cls(means=means, deviations=deviations), scaled

    @staticmethod
    def layout(features: int, dtype: npt.DTypeLike) -> Layout:
        """What :meth:`state` gives for so many features."""
        return {f"scaling.{name}": ((features,), dtype) for name in ("means", "deviations")}

    def state(self) -> Mapping[str, Floats]:
        """The arrays to save."""
        return {"scaling.means": self.means, "scaling.deviations": self.deviations}

    @classmethod
    def restored(cls, state: Mapping[str, Floats]) -> Self:
        """The inverse of :meth:`state`."""
        return cls(means=state["scaling.means"], deviations=state["scaling.deviations"])

    def __call__(self, features: Floats) -> Floats:
        """The features scaled, as a new array."""
        scaled = features - self.means
        scaled /= self.deviations
        return scaled
