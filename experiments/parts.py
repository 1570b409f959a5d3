"""A part of a data set, so that a study of images fits a small machine."""

from typing import Any

import numpy as np
import numpy.typing as npt


def first_of_each_class(labels: npt.NDArray[Any], count: int) -> npt.NDArray[np.int64]:
    """Numbers of the first ``count`` examples of each class, or of all it has, in rising order."""
    chosen = [np.flatnonzero(labels == each)[:count] for each in np.unique(labels)]
    return np.sort(np.concatenate(chosen))
