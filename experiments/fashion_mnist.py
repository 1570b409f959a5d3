"""Fashion-MNIST from its four original files, without torchvision and without a network.

On Debian: ``apt install dataset-fashion-mnist``. Elsewhere any folder that holds the four
``...-ubyte.gz`` files will do, such as ``FashionMNIST/raw`` below torchvision's data folder.
"""

import gzip
import math
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from assistlearn.errors import DataError
from assistlearn.tasks import Recipe, Share, SupervisedTask, TensorExamples
from assistlearn.tasks.recipe import assemble
from experiments.parts import first_of_each_class

DEBIAN: Final = Path("/usr/share/datasets/fashion-mnist")
UNSIGNED_BYTES: Final = 8  # the type code of the IDX format for 8-bit pixels and labels


def fashion_mnist(
    *,
    root: str | Path = DEBIAN,
    images: int = 6000,
    test_images: int = 1000,
    share: Share | None = None,
    **recipe: Any,
) -> SupervisedTask:
    """Clothes in 28x28 grey pixels: 60,000 to train on, 10,000 held out, 10 classes.

    Args:
        root: folder with the four files.
        images: training images of each class, the first ones, at most 6,000.
        test_images: held-out images of each class, at most 1,000.
        share: which part of the training images to take; None for all.
        **recipe: fields of :class:`assistlearn.tasks.Recipe`.

    Raises:
        DataError: a file is missing or damaged.
    """
    settings = Recipe.read(recipe, fashion_mnist, {"model": "small_cnn", "batch_size": 256})
    pixels, labels = _first_of_each_class(Path(root), "train", images)
    held_out, held_out_labels = _first_of_each_class(Path(root), "t10k", test_images)
    return assemble(
        settings,
        train=_examples(pixels, labels),
        test=_examples(held_out, held_out_labels),
        labels=labels.numpy(),
        kind="classification",
        input_shape=(1, 28, 28),
        outputs=10,
        classes=10,
        share=share,
    )


def _first_of_each_class(root: Path, part: str, count: int) -> tuple[Tensor, Tensor]:
    pixels = _read(root, f"{part}-images-idx3-ubyte.gz")
    labels = _read(root, f"{part}-labels-idx1-ubyte.gz")
    chosen = first_of_each_class(labels.numpy(), count)
    return (pixels, labels) if len(chosen) == len(labels) else (pixels[chosen], labels[chosen])


def _examples(images: Tensor, labels: Tensor) -> TensorExamples:
    return TensorExamples(images.unsqueeze(1), labels.long(), prepare=_scaled)


def _scaled(pixels: Tensor) -> Tensor:
    return pixels.float().div_(127.5).sub_(1)  # 0..255 to -1..1


def _read(root: Path, name: str) -> Tensor:
    """An IDX file: two zero bytes, type, rank, one big-endian size for each axis, elements."""
    try:
        with gzip.open(root / name) as file:
            data = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"cannot read {root / name}: {error}",
            hint="apt install dataset-fashion-mnist, or set root to the folder with the files",
        ) from error
    rank = data[3] if data[:3] == bytes([0, 0, UNSIGNED_BYTES]) else 0
    head = data[4 : 4 + 4 * rank]
    shape = tuple(np.frombuffer(head[: len(head) // 4 * 4], ">u4").tolist())
    elements = data[4 + 4 * rank :]
    if not rank or len(shape) != rank or len(elements) != math.prod(shape):
        raise DataError(f"{root / name} is not a whole IDX file", hint="fetch the file again")
    return torch.from_numpy(np.frombuffer(elements, np.uint8).reshape(shape).copy())
