"""Types of the arrays that rejectors hold."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.floating[Any]]

Layout: TypeAlias = Mapping[str, tuple[tuple[int, ...], npt.DTypeLike]]
"""Names of fitted arrays, each with its shape and type."""

State: TypeAlias = Mapping[str, npt.NDArray[Any]]
"""These arrays by name."""
