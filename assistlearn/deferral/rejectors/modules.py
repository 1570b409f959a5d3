"""Rejectors as torch modules: for tables, images and texts, each with a second input if wanted.

The second input is what the main model can say for itself: logits, or hidden features. A rejector
that sees only a small picture of the input knows less of the main model's doubts than its own
softmax does.

Each is described by ``settings``, its constructor's arguments as plain values. Its scores are
linear in its ``hidden`` numbers, by its ``last`` layer; names and expected costs, and with them
decisions, come with :class:`.TorchRejector`.

Letters: B examples, A agents, F features, E numbers of the second input; C, H, W of images; N
numbers that the scores are linear in.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, cast

import numpy as np
import torch
from sklearn.feature_extraction.text import HashingVectorizer
from torch import Tensor, nn

from assistlearn.deferral.rejectors.agents import shortened
from assistlearn.errors import ConfigError, DataError
from assistlearn.tasks.models import mlp

MOST_LAYERS: Final = 100  # without the last; deeper ones of this plain kind cannot be trained
MOST_WEIGHTS: Final = 1 << 30  # 4 GiB of float32
SMALLEST_IMAGE: Final = 16  # pixels a side: what two 5x5 convolutions with pooling leave 1x1 of


class TableRejector(nn.Module):
    """Fully connected layers with ReLU; without hidden ones, linear scores.

    Args:
        features: F.
        agents: A.
        hidden: widths of the hidden layers, 100 at most; 2^30 weights in all.
        extra: E, 0 for no second input.
    """

    def __init__(
        self, features: int, agents: int, *, hidden: Sequence[int] = (64,), extra: int = 0
    ) -> None:
        super().__init__()
        features, agents, extra = _counts(features=features, agents=agents, extra=extra)
        widths = checked_widths(hidden, features=features + extra, agents=agents)
        self.settings: Mapping[str, Any] = {
            "features": features, "agents": agents, "hidden": widths, "extra": extra,
        }  # fmt: skip
        self.extra = extra
        self.layers = cast("nn.Sequential", mlp((features + extra,), agents, hidden=widths))

    @property
    def last(self) -> nn.Module:
        """The layer that gives the scores."""
        return self.layers[-1]

    def hidden(self, features_BF: Tensor, extra_BE: Tensor | None = None) -> Tensor:
        """What the scores are linear in. Shape ``(B, N)``."""
        numbers_BN: Tensor = self.layers[:-1](_joined(features_BF, extra_BE, self.extra))
        return numbers_BN

    def forward(self, features_BF: Tensor, extra_BE: Tensor | None = None) -> Tensor:
        """Scores. Shape ``(B, A)``."""
        scores_BA: Tensor = self.last(self.hidden(features_BF, extra_BE))
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
        agents, extra = _counts(agents=agents, extra=extra)
        sizes = dict(zip(("channels", "height", "width"), shape, strict=True))
        channels, height, width = _counts(**sizes)
        self.settings: Mapping[str, Any] = {
            "shape": (channels, height, width), "agents": agents, "extra": extra,
        }  # fmt: skip
        sides = (height, width)
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
        count = 16 * height * width + extra
        self.head = cast("nn.Sequential", mlp((count,), agents, hidden=(120, 84)))

    @property
    def last(self) -> nn.Module:
        """The layer that gives the scores."""
        return self.head[-1]

    def hidden(self, images_BCHW: Tensor, extra_BE: Tensor | None = None) -> Tensor:
        """What the scores are linear in. Shape ``(B, N)``."""
        joined_BF = _joined(self.body(images_BCHW), extra_BE, self.extra)
        numbers_BN: Tensor = self.head[:-1](joined_BF)
        return numbers_BN

    def forward(self, images_BCHW: Tensor, extra_BE: Tensor | None = None) -> Tensor:
        """Scores. Shape ``(B, A)``."""
        scores_BA: Tensor = self.last(self.hidden(images_BCHW, extra_BE))
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
        agents, buckets, extra, words = _counts(
            agents=agents, buckets=buckets, extra=extra, words=words
        )
        self.settings: Mapping[str, Any] = {
            "agents": agents, "buckets": buckets, "extra": extra, "words": words,
        }  # fmt: skip
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

    @property
    def last(self) -> nn.Module:
        """The layer that gives the scores."""
        return self.layer

    def hidden(self, features_BF: Tensor, extra_BE: Tensor | None = None) -> Tensor:
        """What the scores are linear in: all that it is given. Shape ``(B, N)``."""
        return _joined(features_BF, extra_BE, self.extra)

    def forward(self, features_BF: Tensor, extra_BE: Tensor | None = None) -> Tensor:
        """Scores. Shape ``(B, A)``."""
        scores_BA: Tensor = self.last(self.hidden(features_BF, extra_BE))
        return scores_BA


def checked_widths(hidden: Any, *, features: int, agents: int) -> tuple[int, ...]:
    """Widths of hidden layers as plain numbers, before anything of their size is made.

    Raises:
        ConfigError: they are not whole numbers above 0, or too many, or too large.
    """
    try:
        widths = tuple(hidden)
    except TypeError:
        widths = (None,)
    whole = [isinstance(each, int | np.integer) and not isinstance(each, bool) for each in widths]
    if isinstance(hidden, str) or not all(whole) or not all(each > 0 for each in widths):
        raise ConfigError(
            f"hidden is {shortened(hidden)}, each must be a whole number above 0",
            hint="set it to (32,) for one layer, or to () for linear scores",
        )
    widths = tuple(map(int, widths))
    weights = sum(width * out for width, out in pairwise((features, *widths, agents)))
    if len(widths) > MOST_LAYERS or (widths and weights > MOST_WEIGHTS):
        raise ConfigError(
            f"hidden is {shortened(hidden)}, too many layers or too wide",
            hint=f"use at most {MOST_LAYERS} layers and {MOST_WEIGHTS:,} weights",
        )
    return widths


def _counts(**given: int) -> tuple[int, ...]:
    """Sizes as plain numbers.

    Raises:
        ConfigError: one is no whole number above 0; ``extra`` may be 0.
    """
    for name, value in given.items():
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not whole or value < (name != "extra"):
            raise ConfigError(
                f"{name} is {value!r}, must be a whole number",
                hint="count from 1; a second input may have none",
            )
    return tuple(map(int, given.values()))


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
