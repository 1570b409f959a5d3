"""The images of ``defer_detection``: Pascal VOC 2007 where its files are, else blood cells.

VOC (Everingham et al., IJCV 2010), in torchvision's layout below ``voc``: detectors learn from its
``trainval`` images, deferral is learned and measured on ``test``. Objects marked as difficult are
left out, and images that have no others.

BCCD stands in: 364 images of blood smears with boxes of red cells, white cells and platelets (MIT
licence, Shenggan/BCCD_Dataset). Detectors learn from the source's training images and never see its
validation and test images.

Every image is brought to 320x240 pixels, whatever its shape was.

Letters: B images.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor

from assistlearn.deferral.arrays import Bools
from assistlearn.durable import disk_errors
from assistlearn.errors import DataError
from experiments.deferral.detection_metrics import Boxes

WIDTH, HEIGHT = 320, 240  # pixels, half of BCCD's
FILE: Final = Path("det_bccd", "det_bccd.parquet")
VOC_FOLDER: Final = Path("VOCdevkit", "VOC2007")
VOC_LISTS: Final = ("trainval", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is on the images."""

    name: str
    classes: tuple[str, ...]
    anchors: tuple[float, ...]
    """Widths of boxes to start from, in image widths."""
    ratios: tuple[float, ...]
    """Of their heights to their widths."""
    upright: bool
    """Whether an image upside down is no image of it."""
    stands_in: str = ""
    """For what, and why, if it does."""


BLOOD_CELLS: Final = Subject(
    name="BCCD",
    classes=("RBC", "WBC", "Platelets"),
    anchors=(0.062, 0.16, 0.31),  # platelet, red and white cell
    ratios=(1.0,),
    upright=False,
    stands_in="BCCD's blood cells stand in for Pascal VOC 2007, as the data folder's voc lacks its"
    f" files (put {VOC_FOLDER} there, or give --download)",
)
VOC: Final = Subject(
    name="VOC 2007",
    classes=(
        "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
        "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
        "train", "tvmonitor",
    ),
    anchors=(0.1, 0.2, 0.4, 0.8),
    ratios=(0.5, 1.0, 2.0),
    upright=True,
)  # fmt: skip
CLASSES: Final = BLOOD_CELLS.classes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Images:
    """All images."""

    pixels: Tensor
    """From 0 to 255. Shape ``(B, 3, HEIGHT, WIDTH)``."""
    truth: tuple[Boxes, ...]
    train: Bools
    """Whether detectors may see it. Shape ``(B,)``."""
    subject: Subject = BLOOD_CELLS


def images_of(data: Path, *, download: bool = False) -> Images:
    """VOC 2007 if it is in the folder of data sets or may be fetched, else BCCD.

    Raises:
        DataError: VOC is damaged or cannot be fetched.
        StorageError: a file cannot be read.
    """
    here = all(_list_of(data / "voc", name).is_file() for name in VOC_LISTS)
    if here or download:
        return pascal_voc(data / "voc", download=not here)
    return blood_cells(data)


def blood_cells(data: Path) -> Images:
    """Read BCCD from the folder of data sets.

    Raises:
        StorageError: the file cannot be read.
    """
    with disk_errors(f"read {data / FILE}"):
        rows = pq.read_table(data / FILE).to_pylist()
    pixels, truth = [], []
    for row in rows:
        pixels.append(_shrunk(Image.open(io.BytesIO(row["image_jpeg"]))))
        truth.append(
            _boxes(row["boxes_xyxy"], row["labels"], (row["width"], row["height"]), BLOOD_CELLS)
        )
    return Images(
        pixels=torch.stack(pixels),
        truth=tuple(truth),
        train=np.array([row["split"] == "train" for row in rows]),
    )


def pascal_voc(folder: Path, *, download: bool = False) -> Images:
    """Read VOC 2007 as torchvision has it. All images take 2.3 GB of memory.

    Raises:
        DataError: a file is missing or damaged, or cannot be fetched.
    """
    from torchvision.datasets import VOCDetection  # noqa: PLC0415  # takes seconds to import

    pixels, truth, train = [], [], []
    try:
        for name in VOC_LISTS:
            for image, found in VOCDetection(folder, "2007", name, download=download):
                objects = _of_annotation(found["annotation"], image.size)
                if not len(objects.classes):
                    continue
                pixels.append(_shrunk(image))
                truth.append(objects)
                train.append(name == "trainval")
    except (RuntimeError, OSError, SyntaxError, KeyError, ValueError) as error:
        raise DataError(
            f"cannot read Pascal VOC 2007 in {folder}: {error!r}",
            hint="fetch both archives again, or take the folder away for the stand-in",
        ) from error
    return Images(
        pixels=torch.stack(pixels), truth=tuple(truth), train=np.array(train), subject=VOC
    )


def _list_of(folder: Path, name: str) -> Path:
    return folder / VOC_FOLDER / "ImageSets" / "Main" / f"{name}.txt"


def _of_annotation(annotation: Any, size: tuple[int, int]) -> Boxes:
    """The boxes of an image. VOC counts pixels from 1, and the last one belongs to the box."""
    easy = [each for each in annotation["object"] if each.get("difficult", "0") != "1"]
    return _boxes(
        [[*_corners(each["bndbox"])] for each in easy], [each["name"] for each in easy], size, VOC
    )


def _corners(box: Any) -> Iterator[float]:
    yield from (float(box[each]) - 1 for each in ("xmin", "ymin"))
    yield from (float(box[each]) for each in ("xmax", "ymax"))


def _shrunk(image: Image.Image) -> Tensor:
    """Its pixels. Shape ``(3, HEIGHT, WIDTH)``."""
    small = image.convert("RGB").resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(small)).permute(2, 0, 1)


def _boxes(corners: Any, labels: Any, size: tuple[int, int], subject: Subject) -> Boxes:
    """On the small image. ``size`` is the width and height of the large one."""
    shrink = np.array([WIDTH / size[0], HEIGHT / size[1]] * 2)
    return Boxes(
        corners=np.array(corners, dtype=np.float64).reshape(-1, 4) * shrink,
        classes=np.array([subject.classes.index(each) for each in labels], dtype=np.int64),
    )
