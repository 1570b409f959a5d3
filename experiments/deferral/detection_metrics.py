r"""Average precision of detections: of one image, and of a set that several agents answered.

Each agent's boxes are judged once, image by image: which of them hit an object, at each threshold
of intersection over union (IoU). What any choice of agents comes to is a sort of what was judged.

Objects are taken in the order of scores, as COCO's evaluation does it: a detection hits the object
of its class that it overlaps most among those not taken yet, if it overlaps it enough. Average
precision is the exact area under the interpolated precision over recall (COCO samples 101 points).

Letters: D detections, G objects, K classes, T thresholds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

from assistlearn.deferral.arrays import Bools, Floats, Ints
from assistlearn.errors import DataError

THRESHOLDS: Final = tuple(step / 20 for step in range(10, 20))
"""COCO's: 0.5 to 0.95 in steps of 0.05."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Boxes:
    """Boxes on one image, detected or true."""

    corners: Floats
    """Left, top, right, bottom, in pixels. Shape ``(D, 4)``."""

    classes: Ints
    """From 0 to K - 1. Shape ``(D,)``."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """What was detected of one class on one image."""

    scores: Floats
    """Falling. Shape ``(D,)``."""

    hits: Bools
    """Whether a detection hits, at each threshold. Shape ``(D, T)``."""

    objects: int
    """How many there are to hit."""


JudgedImage: TypeAlias = tuple[Judged, ...]
"""One for each class."""


def judge(
    detected: Boxes,
    scores_D: Floats,
    truth: Boxes,
    *,
    classes: int,
    thresholds: Sequence[float] = THRESHOLDS,
) -> JudgedImage:
    """Which detections on one image hit an object of their class.

    Args:
        detected: by one agent.
        scores_D: how sure it is. Shape ``(D,)``.
        truth: the objects.
        classes: K.
        thresholds: least IoU of a hit.
    """
    found = []
    for number in range(classes):
        mine, right = detected.classes == number, truth.classes == number
        order = np.argsort(-scores_D[mine], kind="stable")
        overlaps_DG = iou(detected.corners[mine][order], truth.corners[right])
        found.append(
            Judged(
                scores=scores_D[mine][order],
                hits=np.stack([_hits(overlaps_DG, each) for each in thresholds], axis=1),
                objects=int(right.sum()),
            )
        )
    return tuple(found)


def iou(ones_D4: Floats, others_G4: Floats) -> Floats:
    """Intersection over union of every box with every other. Shape ``(D, G)``."""
    low_DG2 = np.maximum(ones_D4[:, None, :2], others_G4[None, :, :2])
    high_DG2 = np.minimum(ones_D4[:, None, 2:], others_G4[None, :, 2:])
    common_DG: Floats = np.maximum(high_DG2 - low_DG2, 0).prod(axis=2)
    areas_D, areas_G = ((each[:, 2:] - each[:, :2]).prod(axis=1) for each in (ones_D4, others_G4))
    union_DG = areas_D[:, None] + areas_G[None] - common_DG
    found: Floats = common_DG / np.maximum(union_DG, np.finfo(np.float64).tiny)
    return found


def average_precision(judged: Sequence[Judged]) -> Floats:
    """Average precision of one class over images, at each threshold. Shape ``(T,)``.

    NaN if there is nothing to detect: false alarms on images without an object of the class count
    only beside images that have one.
    """
    objects = sum(each.objects for each in judged)
    scores_D = np.concatenate([each.scores for each in judged])
    hits_DT = np.concatenate([each.hits for each in judged])
    if not objects:
        return np.full(hits_DT.shape[1], np.nan)
    hits_DT = hits_DT[np.argsort(-scores_D, kind="stable")]
    precisions_DT = hits_DT.cumsum(axis=0) / np.arange(1, len(hits_DT) + 1)[:, None]
    # Interpolated: the best precision at this recall or any larger one.
    best_DT = np.maximum.accumulate(precisions_DT[::-1], axis=0)[::-1]
    found: Floats = (best_DT * hits_DT).sum(axis=0) / objects
    return found


def mean_average_precision(images: Sequence[JudgedImage]) -> Floats:
    """Mean over the classes that occur, at each threshold. Shape ``(T,)``, from 0 to 1.

    Args:
        images: at least one; by whatever agent. One alone gives the quality of that answer.

    Raises:
        DataError: there is no object on any of them.
    """
    by_class: Any = [average_precision(judged) for judged in zip(*images, strict=True)]
    found: Floats = np.array([each for each in by_class if not np.isnan(each).any()])
    if not len(found):
        raise DataError(
            f"there is nothing to detect on {len(images)} images",
            hint="leave images without objects out",
        )
    means: Floats = found.mean(axis=0)
    return means


def _hits(overlaps_DG: Floats, threshold: float) -> Bools:
    free_G = np.ones(overlaps_DG.shape[1], dtype=np.bool_)
    hits_D = np.zeros(len(overlaps_DG), dtype=np.bool_)
    for number, overlaps_G in enumerate(overlaps_DG):
        open_G = np.where(free_G, overlaps_G, -1.0)
        if open_G.size and open_G.max() >= threshold:
            hits_D[number] = True
            free_G[open_G.argmax()] = False
    return hits_D
