"""Data that are installed with the library: nothing to download."""

from typing import Any, Final

import numpy as np
import torch

from assistlearn.tasks.examples import TensorExamples
from assistlearn.tasks.recipe import Recipe, assemble
from assistlearn.tasks.splits import Share
from assistlearn.tasks.supervised import SupervisedTask

TEST_EVERY: Final = 5  # examples 0, 5, 10, ... are held out, whatever the seed
BRIGHTEST: Final = 16.0  # the pixels of these digits count from 0 to 16


def digits(*, share: Share | None = None, **recipe: Any) -> SupervisedTask:
    """Handwritten digits of 8x8 pixels: 1,437 to train on, 360 held out, 10 classes.

    They come with scikit-learn (the test part of UCI's optical digits).

    Args:
        share: which part to take; None for all.
        **recipe: fields of :class:`Recipe`. Default: ``mlp``, batches of 32, SGD with a learning
            rate of 0.05 and momentum 0.9.
    """
    from sklearn.datasets import load_digits  # noqa: PLC0415  # takes a second to import

    settings = Recipe.read(recipe, digits, {"batch_size": 32})
    images, labels = load_digits(return_X_y=True)
    inputs = torch.from_numpy(images / BRIGHTEST).float().reshape(-1, 1, 8, 8)
    targets = torch.from_numpy(labels).long()
    held_out = np.arange(len(labels)) % TEST_EVERY == 0
    return assemble(
        settings,
        train=TensorExamples(inputs[~held_out], targets[~held_out]),
        test=TensorExamples(inputs[held_out], targets[held_out]),
        labels=labels[~held_out],
        kind="classification",
        input_shape=(1, 8, 8),
        outputs=10,
        classes=10,
        share=share,
    )
