"""The paper's split of one data set between a learner and a provider.

Source: Chen, Zhou, Ding, Zhou, arXiv:2109.09307, section 4. Only studies split; in a real
session each party has its own files.
"""

from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from assistlearn.errors import ConfigError, DataError
from assistlearn.randomness import derive_seed
from assistlearn.tasks.references import did_you_mean

Party = Literal["learner", "provider", "pooled", "all"]
PARTIES: Final[tuple[str, ...]] = get_args(Party)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Which part of a data set someone gets."""

    party: Party
    """``pooled`` is what learner and provider have together; ``all`` is the whole data set."""

    imbalance: float = 0.0
    """The paper's gamma_L in [0, 1]: 0 gives the learner one class only, 1 a balanced share."""

    seed: int = 0
    """Seed of the shuffle within each class."""

    def __post_init__(self) -> None:
        if self.party not in PARTIES:
            raise ConfigError(
                f"party {self.party!r} is unknown", hint=did_you_mean(self.party, PARTIES)
            )
        if not 0 <= self.imbalance <= 1:
            raise ConfigError(
                f"imbalance is {self.imbalance}, must be in [0, 1]",
                hint="use 0 for a learner with a single class, 1 for a balanced one",
            )


def share_indices(labels: npt.ArrayLike, share: Share) -> npt.NDArray[np.int64]:
    """Numbers of the examples in ``share``, ascending.

    Within each class c of n_c shuffled examples the provider has the first floor(n_c / 2). The
    *major* class is the smallest one (the lowest label on a tie). The learner has the whole
    rest of the major class, and min(rest, round(gamma_L * |rest of the major class|)) of
    every other class.

    Args:
        labels: class of each example, any integers. Shape ``(N,)``.
        share: whose part, at which imbalance and seed.

    Raises:
        DataError: nothing is left for this party.
    """
    labels_N = np.asarray(labels)
    if share.party == "all":
        return np.arange(len(labels_N), dtype=np.int64)
    classes, counts = np.unique(labels_N, return_counts=True)
    if not len(classes):
        raise DataError("there are no examples to split", hint="give a data set that is not empty")
    major = int(np.argmin(counts))  # the first one on ties, and classes ascend
    major_rest = int(counts[major] - counts[major] // 2)
    chosen = []
    for index, (label, count) in enumerate(zip(classes, counts, strict=True)):
        order = _shuffled(np.flatnonzero(labels_N == label), int(label), share.seed)
        half = int(count) // 2
        rest = int(count) - half
        part = rest if index == major else min(rest, round(share.imbalance * major_rest))
        if share.party in {"provider", "pooled"}:
            chosen.append(order[:half])
        if share.party in {"learner", "pooled"}:
            chosen.append(order[half : half + part])
    indices = np.sort(np.concatenate(chosen))
    if not len(indices):
        raise DataError(
            f"the split leaves the {share.party} no examples",
            hint="use a data set with at least two examples in some class",
        )
    return indices.astype(np.int64)


def _shuffled(numbers: npt.NDArray[np.intp], label: int, seed: int) -> npt.NDArray[np.intp]:
    # Sorting raw PCG64 output: numpy promises that stream for ever, but not that of shuffle().
    bits = np.random.PCG64(derive_seed(seed, "split", label))
    return numbers[np.argsort(bits.random_raw(len(numbers)), kind="stable")]


def quantile_classes(values: npt.ArrayLike, bins: int = 10) -> npt.NDArray[np.int64]:
    """Classes of a regression target for splitting: 0 to ``bins - 1``, about equally filled."""
    values_N = np.asarray(values, dtype=np.float64)
    edges = np.quantile(values_N, np.linspace(0, 1, bins + 1)[1:-1])
    return np.searchsorted(edges, values_N, side="right").astype(np.int64)
