"""Features that look as if they gave the outcome away, or as if they meant nothing.

Nobody but whoever made the table can know: so these are sentences to print, and no errors. Letters:
n rows, A agents, F features.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from assistlearn.deferral.arrays import Bools, Floats

FEWEST: Final = 10  # rows; of fewer any column may be in order
TRUTHS: Final = frozenset(
    {"label", "labels", "target", "targets", "truth", "ground_truth", "gold", "class", "y_true"}
)


def doubts(
    features: Floats,
    names: Sequence[str],
    errors: Floats,
    agents: Sequence[str],
    *,
    label: str | None = None,
) -> Iterator[str]:
    """A sentence for each doubt.

    Args:
        features: shape ``(n, F)``.
        names: of the features.
        errors: what each agent's answer costs. Shape ``(n, A)``.
        agents: their names.
        label: the column of right classes, if there is one.
    """
    truths = TRUTHS if label is None else TRUTHS | {label.casefold()}
    enough = len(features) >= FEWEST
    whole_F = (features == np.floor(features)).all(axis=0)
    suspects_AF = [_ends_apart(features, costs) for costs in errors.T]
    for number, name in enumerate(names):
        values = features[:, number]
        if name.strip().casefold() in truths:
            yield f"feature {name!r} is called like the right answer: is it known beforehand?"
        if enough and whole_F[number] and len(np.unique(values)) == len(values):
            yield (
                f"feature {name!r} holds a different whole number in every row, as row numbers and"
                " ids do"
            )
        for agent, costs, suspects_F in zip(agents, errors.T, suspects_AF, strict=True):
            if enough and suspects_F[number] and _follow(values, costs):
                yield (
                    f"feature {name!r} alone tells every error of {agent!r}: is it known"
                    " beforehand?"
                )


def _ends_apart(features: Floats, costs: Floats) -> Bools:
    """Whether each feature keeps the least and the largest cost apart. Shape ``(F,)``.

    Costs that follow from a feature do, and this takes no sorting.
    """
    low, high = features[costs == costs.min()], features[costs == costs.max()]
    rises: Bools = low.max(axis=0) < high.min(axis=0)
    falls: Bools = low.min(axis=0) > high.max(axis=0)
    return np.logical_or(rises, falls)


def _follow(values: Floats, costs: Floats) -> bool:
    """Whether costs only rise, or only fall, with a feature, and are alike where it is."""
    order = np.argsort(values, kind="stable")
    steps, changes = np.diff(values[order]), np.diff(costs[order])
    if changes[steps == 0].any():
        return False
    return bool((changes >= 0).all() or (changes <= 0).all())
