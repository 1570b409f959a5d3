"""Rejectors as torch modules: for tables, images and texts, each with a second input if wanted.

The second input is what the main model can say for itself: logits, or hidden features. A rejector
that sees only a small picture of the input knows less of the main model's doubts than its own
softmax does.

Letters: B examples, A agents, F features, E numbers of the second input; C, H, W of images.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from sklearn.feature_extraction.text import HashingVectorizer
from torch import Tensor, nn

from assistlearn.errors import DataError
from assistlearn.tasks.models import mlp

SMALLEST_IMAGE: Final = 16  # pixels a side: what two 5x5 convolutions with pooling leave 1x1 of


class TableRejector(nn.Module):
    """Fully connected layers with ReLU; without hidden ones, linear scores.

    Args:
        features: F.
        agents: A.
        hidden: widths of the hidden layers.
        extra: E, 0 for no second input.
    """

    def __init__(
        self, features: int, agents: int, *, hidden: Sequence[int] = (64,), extra: int = 0
    ) -> None:
        super().__init__()
        self.extra = extra
        self.layers = mlp((features + extra,), agents, hidden=hidden)

    def forward(self, features_BF: Tensor, extra_BE: Tensor | None = None) -> Tensor:
        """Scores. Shape ``(B, A)``."""
        scores_BA: Tensor = self.layers(_joined(features_BF, extra_BE, self.extra))
        return scores_BA


class ImageRejector(nn.Module):
    """Two convolutions and three linear layers: LeNet-5's, the rejector of arXiv:2501.13810.

    The second input joins behind the convolutions. With 32x32 RGB images, two agents and no second
    input it has that paper's 61,326 parameters.

    Args:
        shape: ``(C, H, W)``, at least 16x16.
        agents: A.
        extra: E, 0 for no second input.
    """

    def __init__(self, shape: tuple[int, int, int], agents: int, *, extra: int = 0) -> None:
        super().__init__()
        channels, *sides = shape
        if min(sides) < SMALLEST_IMAGE:
            raise DataError(
                f"the images are {sides[0]}x{sides[1]}, must be at least"
                f" {SMALLEST_IMAGE}x{SMALLEST_IMAGE}",
                hint="enlarge them, or use TableRejector on the pixels",
            )
        self.extra = extra
        self.body = nn.Sequential(
            nn.Conv2d(channels, 6, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
        )
        height, width = (((side - 4) // 2 - 4) // 2 for side in sides)
        self.head = mlp((16 * height * width + extra,), agents, hidden=(120, 84))

    def forward(self, images_BCHW: Tensor, extra_BE: Tensor | None = None) -> Tensor:
        """Scores. Shape ``(B, A)``."""
        scores_BA: Tensor = self.head(_joined(self.body(images_BCHW), extra_BE, self.extra))
        return scores_BA


class TextFeatureRejector(nn.Module):
    """Linear scores on a hashed bag of words: no vocabulary to agree on, keep or leak.

    Args:
        agents: A.
        buckets: how many columns words are hashed into. Rows are dense: 100,000 texts at the
            default take 1.6 GB.
        extra: E, 0 for no second input.
        words: longest sequence of words that is one feature: 2 counts pairs too.
    """

    def __init__(self, agents: int, *, buckets: int = 4096, extra: int = 0, words: int = 1) -> None:
        super().__init__()
        self.extra = extra
        self._hashing = HashingVectorizer(
            n_features=buckets, ngram_range=(1, words), dtype=np.float32
        )
        self.layer = nn.Linear(buckets + extra, agents)
        nn.init.zeros_(self.layer.weight)  # an unseen word must not vote
        nn.init.zeros_(self.layer.bias)

    def features(self, texts: Sequence[str]) -> Tensor:
        """Signed counts of words by bucket, each row of length 1. Shape ``(B, buckets)``."""
        return torch.from_numpy(self._hashing.transform(texts).toarray())

    def forward(self, features_BF: Tensor, extra_BE: Tensor | None = None) -> Tensor:
        """Scores. Shape ``(B, A)``."""
        scores_BA: Tensor = self.layer(_joined(features_BF, extra_BE, self.extra))
        return scores_BA


def _joined(features_BF: Tensor, extra_BE: Tensor | None, width: int) -> Tensor:
    """Features with the second input behind them.

    Raises:
        DataError: the second input is missing, or not the one that the rejector was built for.
    """
    given = 0 if extra_BE is None else extra_BE.flatten(1).shape[1]
    if given != width:
        raise DataError(
            f"the second input has {given} numbers, this rejector was built for {width}",
            hint="pass the main model's outputs as the second argument, or build with extra=0",
        )
    return features_BF if extra_BE is None else torch.cat((features_BF, extra_BE.flatten(1)), dim=1)
