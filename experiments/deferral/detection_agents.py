"""Three detectors of growing size, and what each answers about images that it never saw.

Detectors are torchvision's Faster R-CNN with small backbones of our own, trained from nothing on
the training images (``detection_images.py``).

Letters: B images, D detections of an image.
"""

import time
from collections.abc import Callable
from dataclasses import astuple, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.ops import MultiScaleRoIAlign

from assistlearn.deferral.arrays import Floats
from assistlearn.durable import disk_errors
from assistlearn.randomness import derive_seed
from experiments.deferral.detection_images import (
    BLOOD_CELLS,
    HEIGHT,
    WIDTH,
    Images,
    Subject,
)
from experiments.deferral.detection_metrics import Boxes
from experiments.deferral.devices import CPU

EPOCHS: Final = 20
BATCH: Final = 8
LEARNING_RATE: Final = 2e-3
COUNTED: Final = 8  # images whose operations are counted
HALF: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large a detector is."""

    name: str
    height: int
    """Of the image that it looks at, in pixels."""
    channels: int
    """Of the first convolution; the last has four times as many."""
    extra: int
    """Convolutions behind the first three."""
    hidden: int
    """Width of the two layers that judge a region."""


SIZES: Final = (
    Size(name="model", height=96, channels=8, extra=0, hidden=64),
    Size(name="expert 1", height=128, channels=24, extra=2, hidden=128),
    Size(name="expert 2", height=192, channels=24, extra=2, hidden=128),
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answers:
    """What one detector finds on all images that it was not trained on, in their order."""

    boxes: tuple[Boxes, ...]
    scores: tuple[Floats, ...]
    """Each ``(D,)``, from 0 to 1."""
    gflops: float
    """For one image, multiplications and additions both counted; mean of :data:`COUNTED`."""
    seconds: float
    """Of one core, for training."""


def build(size: Size, subject: Subject = BLOOD_CELLS) -> FasterRCNN:
    """A detector with random weights."""
    widths = (3, *(size.channels * factor for factor in (1, 2, 4)))
    last = widths[-1]
    backbone = nn.Sequential(
        *(_convolution(*pair, stride=2) for pair in pairwise(widths)),
        *(_convolution(last, last, stride=1) for _ in range(size.extra)),
    )
    backbone.out_channels = last  # type: ignore[assignment]  # where torchvision looks for it
    width = size.height * WIDTH / HEIGHT
    anchors = tuple(width * each for each in subject.anchors)
    cells = 5  # a side, that a region is pooled to
    return FasterRCNN(
        backbone,
        min_size=size.height,
        max_size=round(width),
        size_divisible=8,
        rpn_anchor_generator=AnchorGenerator((anchors,), (subject.ratios,)),
        rpn_pre_nms_top_n_train=300,
        rpn_pre_nms_top_n_test=300,
        rpn_post_nms_top_n_train=150,
        rpn_post_nms_top_n_test=100,
        rpn_batch_size_per_image=64,
        box_roi_pool=MultiScaleRoIAlign(["0"], cells, 2),
        box_head=TwoMLPHead(last * cells * cells, size.hidden),
        box_predictor=FastRCNNPredictor(
            size.hidden, len(subject.classes) + 1
        ),  # and no object at all
        box_batch_size_per_image=64,
        box_detections_per_img=50,
    )


def trained(
    size: Size, images: Images, *, epochs: int, seed: int, device: torch.device = CPU
) -> FasterRCNN:
    """A detector trained on the training images and their mirror images."""
    rows = torch.from_numpy(np.flatnonzero(images.train))
    generator = torch.Generator().manual_seed(derive_seed(seed, size.name, "batches"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, size.name))
        detector = build(size, images.subject).to(device).train()
        optimizer = torch.optim.AdamW(detector.parameters(), LEARNING_RATE, weight_decay=1e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            LEARNING_RATE,
            total_steps=epochs * -(-len(rows) // BATCH),
            pct_start=0.15,
        )
        for _ in range(epochs):
            order = rows[torch.randperm(len(rows), generator=generator)]
            for batch in torch.split(order, BATCH):
                shown = [_mirrored(images, row, generator) for row in batch.tolist()]
                pictures = [picture.to(device) for picture, _ in shown]
                targets = [
                    {name: part.to(device) for name, part in target.items()} for _, target in shown
                ]
                loss = torch.stack([*detector(pictures, targets).values()]).sum()
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(detector.parameters(), 5.0)
                optimizer.step()
                schedule.step()
    return detector.eval()


@torch.no_grad()
def answers(detector: FasterRCNN, images: Images, *, seconds: float) -> Answers:
    """What it finds on the images that it was not trained on."""
    unseen = images.pixels[torch.from_numpy(~images.train)]
    device = next(detector.parameters()).device

    def asked(picture: Tensor) -> dict[str, Tensor]:
        (answer,) = detector([picture.to(device) / 255])
        return {name: part.cpu() for name, part in answer.items()}

    found = [asked(picture) for picture in unseen]
    with FlopCounterMode(display=False) as counter:
        for picture in unseen[:COUNTED]:
            asked(picture)
    return Answers(
        boxes=tuple(
            Boxes(corners=each["boxes"].double().numpy(), classes=each["labels"].numpy() - 1)
            for each in found
        ),
        scores=tuple(each["scores"].double().numpy() for each in found),
        gflops=counter.get_total_flops() / min(COUNTED, len(unseen)) / 1e9,
        seconds=seconds,
    )


def kept_answers(  # noqa: PLR0913  # a detector and how it is trained
    folder: Path,
    size: Size,
    images: Images,
    *,
    epochs: int,
    seed: int,
    device: torch.device = CPU,
) -> Answers:
    """The answers of one detector, from a file in ``folder`` if it is there.

    Raises:
        StorageError: the file cannot be read or written.
    """
    name = "-".join(map(str, astuple(size))).replace(" ", "")
    other = "" if images.subject == BLOOD_CELLS else f"{images.subject.name.replace(' ', '')}-"
    path = folder / f"defer_detection-{other}{name}-{epochs}-{seed}.npz"

    def make() -> Answers:
        start = time.process_time()
        detector = trained(size, images, epochs=epochs, seed=seed, device=device)
        return answers(detector, images, seconds=time.process_time() - start)

    if not path.exists():
        _write(path, make)
    with disk_errors(f"read {path}"), np.load(path) as found:
        ends = found["counts"].cumsum()[:-1]
        corners, classes, scores = (
            np.split(found[each], ends) for each in ("corners", "classes", "scores")
        )
        return Answers(
            boxes=tuple(
                Boxes(corners=one, classes=two) for one, two in zip(corners, classes, strict=True)
            ),
            scores=tuple(scores),
            gflops=float(found["gflops"]),
            seconds=float(found["seconds"]),
        )


def _write(path: Path, make: Callable[[], Answers]) -> None:
    made = make()
    with disk_errors(f"write {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part")
        with unfinished.open("wb") as stream:
            np.savez(
                stream,
                counts=np.array([len(each) for each in made.scores]),
                corners=np.concatenate([each.corners for each in made.boxes]),
                classes=np.concatenate([each.classes for each in made.boxes]),
                scores=np.concatenate(made.scores),
                gflops=np.array(made.gflops),
                seconds=np.array(made.seconds),
            )
        unfinished.rename(path)


def _convolution(inputs: int, outputs: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


def _mirrored(
    images: Images, row: int, generator: torch.Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """An image and its boxes, mirrored or not; in both directions where there is no up and down."""
    picture = images.pixels[row] / 255
    corners = torch.from_numpy(images.truth[row].corners).float()
    across, along = torch.rand(2, generator=generator) < HALF
    if across:
        picture = picture.flip(2)
        corners[:, [0, 2]] = WIDTH - corners[:, [2, 0]]
    if along and not images.subject.upright:
        picture = picture.flip(1)
        corners[:, [1, 3]] = HEIGHT - corners[:, [3, 1]]
    labels = torch.from_numpy(images.truth[row].classes) + 1  # 0 is no object
    return picture, {"boxes": corners, "labels": labels}
