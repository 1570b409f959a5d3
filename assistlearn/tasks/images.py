"""Images: torchvision's data sets, and folders with one subfolder for each class."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from assistlearn.errors import ConfigError, DataError
from assistlearn.tasks.examples import DatasetExamples, TensorExamples
from assistlearn.tasks.recipe import Recipe, assemble
from assistlearn.tasks.references import did_you_mean
from assistlearn.tasks.splits import Share
from assistlearn.tasks.supervised import SupervisedTask

CLASSES: Final = {
    "CIFAR10": 10,
    "CIFAR100": 100,
    "SVHN": 10,
    "MNIST": 10,
    "FashionMNIST": 10,
    "KMNIST": 10,
}
FETCH: Final = (
    "fetch it beforehand: run `assistlearn simulate` with download = true in [task.settings], or"
    " call torchvision_images(..., download=True) in Python"
)
MIDDLE: Final = 0.5  # pixels in [0, 1] become [-1, 1]: constants, so that both parties scale alike


def torchvision_images(
    *,
    name: str = "CIFAR10",
    root: str | Path = "data",
    download: bool = False,
    share: Share | None = None,
    **recipe: Any,
) -> SupervisedTask:
    """One of torchvision's small image data sets, with its own test set.

    Pixels are scaled to [-1, 1]. Nothing is augmented.

    Args:
        name: ``CIFAR10``, ``CIFAR100``, ``SVHN``, ``MNIST``, ``FashionMNIST`` or ``KMNIST``.
        root: folder in which torchvision keeps the data.
        download: fetch them if they are missing. Off by default: nothing here goes to the
            network unasked. A party's process that reads data has no network: fetch beforehand.
        share: which part to take; None for all.
        **recipe: fields of :class:`Recipe`. Default: ``alexnet32``, batches of 256 (the paper's).

    Raises:
        DataError: the data are not there, or cannot be fetched.
        ConfigError: a setting is wrong.
    """
    settings = Recipe.read(recipe, torchvision_images, {"model": "alexnet32", "batch_size": 256})
    if name not in CLASSES:
        raise ConfigError(f"image data set {name!r} is unknown", hint=did_you_mean(name, CLASSES))
    images, labels = _pixels(name, Path(root), train=True, download=download)
    test_images, test_labels = _pixels(name, Path(root), train=False, download=download)
    return assemble(
        settings,
        train=TensorExamples(images, labels, prepare=_scaled),
        test=TensorExamples(test_images, test_labels, prepare=_scaled),
        labels=labels.numpy(),
        kind="classification",
        input_shape=tuple(images.shape[1:]),
        outputs=CLASSES[name],
        classes=CLASSES[name],
        share=share,
        name=name,
    )


def _pixels(name: str, root: Path, *, train: bool, download: bool) -> tuple[Tensor, Tensor]:
    """Images of 8 bits, shape ``(N, C, H, W)``, and class numbers, shape ``(N,)``."""
    from torchvision import datasets  # noqa: PLC0415  # takes seconds to import

    split = {"split": "train" if train else "test"} if name == "SVHN" else {"train": train}
    try:
        found = getattr(datasets, name)(root=root, download=download, **split)
    except (RuntimeError, OSError, EOFError) as error:
        if download:
            raise DataError(
                f"cannot fetch {name} into {root.absolute()}: {error}",
                hint="check the network and the disk, or copy the folder from elsewhere; where a"
                f" party may not use the network, {FETCH}",
            ) from error
        raise DataError(
            f"{name} is not in {root.absolute()}",
            hint=f"set root to the folder that holds it, or {FETCH}",
        ) from error
    labels = found.labels if name == "SVHN" else found.targets
    images = torch.as_tensor(found.data)
    if images.ndim == 3:  # noqa: PLR2004  # grey images come without a channel
        images = images.unsqueeze(1)
    elif name != "SVHN":  # CIFAR comes with the channel last
        images = images.permute(0, 3, 1, 2)
    return images.contiguous(), torch.as_tensor(np.asarray(labels)).long()


def _scaled(pixels: Tensor) -> Tensor:
    return pixels.float().div_(255 * MIDDLE).sub_(1)


def image_folder(  # noqa: PLR0913  # settings of a file, by keyword
    *,
    train: str | Path,
    test: str | Path | None = None,
    size: int = 224,
    classes: Sequence[str] | None = None,
    workers: int = 0,
    share: Share | None = None,
    **recipe: Any,
) -> SupervisedTask:
    """Images in folders, one subfolder for each class, read from disk as they are needed.

    Images become RGB of ``size`` by ``size`` pixels, scaled to [-1, 1]. Nothing is augmented.

    Args:
        train: folder of this party's images.
        test: folder of held-out images.
        size: height and width after resizing.
        classes: names of all classes, the same list on both sides. Needed where a party may lack
            a class; None takes the subfolders of ``train``.
        workers: processes that read images ahead; 0 reads in the training process.
        share: which part to take; None for all.
        **recipe: fields of :class:`Recipe`. Default: ``resnet18`` with its full-size stem.

    Raises:
        DataError: a folder is missing, empty, or has a class that ``classes`` does not name.
        ConfigError: a setting is wrong.
    """
    defaults = {"model": "resnet18", "model_settings": {"small_images": False}}
    given = Recipe.read(recipe, image_folder, {} if "model" in recipe else defaults)
    names = _classes(Path(train)) if classes is None else tuple(classes)
    own = _ImageFiles(Path(train), names, size)
    held_out = None if test is None else _ImageFiles(Path(test), names, size)
    return assemble(
        given,
        train=DatasetExamples(own, workers=workers),
        test=None if held_out is None else DatasetExamples(held_out, workers=workers),
        labels=np.array([label for _, label in own.files]),
        kind="classification",
        input_shape=(3, size, size),
        outputs=len(names),
        classes=names,
        share=share,
        size=size,
    )


def _classes(folder: Path) -> tuple[str, ...]:
    """Names of the subfolders, sorted."""
    if not folder.is_dir():
        raise DataError(
            f"there is no folder {folder.absolute()}",
            hint="give the folder that holds one subfolder for each class",
        )
    return tuple(sorted(each.name for each in folder.iterdir() if each.is_dir()))


class _ImageFiles(Dataset[tuple[Tensor, int]]):
    """As torchvision's ImageFolder, but the classes are given, and some may have no image."""

    def __init__(self, folder: Path, classes: Sequence[str], size: int) -> None:
        from torchvision.datasets import folder as torchvision_folder  # noqa: PLC0415  # slow
        from torchvision.transforms import v2  # noqa: PLC0415

        for name in _classes(folder):
            if name not in classes:
                raise DataError(
                    f"{folder} has a subfolder {name!r} that is no class",
                    hint=did_you_mean(name, classes),
                )
        self.files: list[tuple[str, int]] = torchvision_folder.make_dataset(
            str(folder),
            class_to_idx={name: index for index, name in enumerate(classes)},
            extensions=torchvision_folder.IMG_EXTENSIONS,
            allow_empty=True,
        )
        if not self.files:
            raise DataError(
                f"there are no images in {folder.absolute()}",
                hint="put images (png, jpg, ...) into one subfolder for each class",
            )
        self._load = torchvision_folder.default_loader
        self._prepare = v2.Compose(
            [
                v2.ToImage(),
                v2.Resize((size, size)),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize([MIDDLE] * 3, [MIDDLE] * 3),
            ]
        )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self.files[index]
        return self._prepare(self._load(path)), label
