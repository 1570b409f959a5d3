"""Learning to help, its images: CIFAR-10, SVHN or its stand-in, and what each seed takes of them.

N examples; C, H, W of images.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from PIL import Image
from pyarrow import parquet
from torch import Tensor
from torch.nn import functional

from assistlearn.durable import disk_errors
from assistlearn.errors import DataError
from assistlearn.randomness import derive_seed
from experiments.deferral.help_setup import Scale
from experiments.fashion_mnist import DEBIAN, _read

SVHN_FILES: Final = ("train_32x32.mat", "test_32x32.mat")
STANDS_IN: Final = (
    "Fashion-MNIST stands in for SVHN, as the data folder's svhn lacks its files (put"
    f" {' and '.join(SVHN_FILES)} there, or give --download)"
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pictures:
    """One data set as it comes: 8-bit pixels, ``(N, C, 32, 32)``, and classes, ``(N,)``."""

    name: str
    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor
    stands_in: str = ""
    """For what, and why, if it does."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Split:
    """What one seed sees: images from -1 to 1 with their classes, three parts without overlap."""

    train: Tensor
    train_labels: Tensor
    calibration: Tensor
    calibration_labels: Tensor
    test: Tensor
    test_labels: Tensor

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(C, H, W)``."""
        channels, height, width = self.train.shape[1:]
        return channels, height, width


def split(pictures: Pictures, scale: Scale, *, seed: int) -> Split:
    """Training and calibration images drawn from the training files, and all test images."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "images"))
    order = torch.randperm(len(pictures.train), generator=generator)
    training, calibration = order[: scale.images], order[scale.images :][: scale.calibration]

    def prepared(pixels_BCHW: Tensor) -> Tensor:
        images_BCHW = pixels_BCHW.float().div_(127.5).sub_(1)
        return functional.avg_pool2d(images_BCHW, images_BCHW.shape[-1] // scale.pixels)

    return Split(
        train=prepared(pictures.train[training]),
        train_labels=pictures.train_labels[training],
        calibration=prepared(pictures.train[calibration]),
        calibration_labels=pictures.train_labels[calibration],
        test=prepared(pictures.test),
        test_labels=pictures.test_labels,
    )


def data_sets(data: Path, *, download: bool = False) -> Iterator[Pictures]:
    """CIFAR-10 where its files are there; SVHN, or Fashion-MNIST in its place, likewise.

    Args:
        data: folder with ``cifar10``, with ``svhn`` as torchvision has it, and perhaps
            ``fashion-mnist``.
        download: fetch SVHN if it is missing.

    Raises:
        DataError: SVHN is damaged or cannot be fetched.
        StorageError: a file cannot be read.
    """
    if (folder := data / "cifar10").is_dir():
        train, train_labels = _strips(folder / "cifar10_train.parquet")
        test, test_labels = _strips(folder / "cifar10_test.parquet")
        yield Pictures(
            name="CIFAR-10",
            train=train,
            train_labels=train_labels,
            test=test,
            test_labels=test_labels,
        )
    if download or all((data / "svhn" / name).is_file() for name in SVHN_FILES):
        yield _svhn(data / "svhn", download=download)
        return
    own = data / "fashion-mnist"
    if (folder := own if own.is_dir() else DEBIAN).is_dir():
        train, test = (
            functional.pad(_read(folder, f"{part}-images-idx3-ubyte.gz").unsqueeze(1), (2, 2, 2, 2))
            for part in ("train", "t10k")
        )  # the frame makes 32x32 of 28x28
        yield Pictures(
            name="Fashion-MNIST",
            train=train,
            train_labels=_read(folder, "train-labels-idx1-ubyte.gz").long(),
            test=test,
            test_labels=_read(folder, "t10k-labels-idx1-ubyte.gz").long(),
            stands_in=STANDS_IN,
        )


def _svhn(folder: Path, *, download: bool) -> Pictures:
    from torchvision.datasets import SVHN  # noqa: PLC0415  # takes seconds to import

    try:
        train, test = (SVHN(folder, split, download=download) for split in ("train", "test"))
    except (RuntimeError, OSError) as error:
        raise DataError(
            f"cannot read SVHN in {folder}: {error}",
            hint="fetch its files again, or take them away for the stand-in",
        ) from error
    return Pictures(
        name="SVHN",
        train=torch.from_numpy(train.data),
        train_labels=torch.from_numpy(train.labels),
        test=torch.from_numpy(test.data),
        test_labels=torch.from_numpy(test.labels),
    )


def _strips(path: Path) -> tuple[Tensor, Tensor]:
    """Images and classes from rows that hold some images each, one above the other, as WebP."""
    with disk_errors(f"read {path}"):
        table = parquet.read_table(path, columns=["strip_webp", "labels"])
    strips = [
        np.asarray(Image.open(io.BytesIO(each.as_py())).convert("RGB"))
        for each in table["strip_webp"]
    ]
    pixels = np.concatenate(strips)
    images = torch.from_numpy(pixels.reshape(-1, pixels.shape[1], pixels.shape[1], 3))
    labels = [label for row in table["labels"] for label in row.as_py()]
    return images.permute(0, 3, 1, 2).contiguous(), torch.tensor(labels)
