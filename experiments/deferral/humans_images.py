"""A small network's answers about CIFAR-10 images that it never saw, for ``defer_humans``.

Trained on the first 30,000 training images with their right labels, so it has seen none of the
other 20,000, for which CIFAR-10N has three annotators' labels, and none of the 10,000 test images,
for which CIFAR-10H has about fifty votes each: nothing has to be cross-fitted. It is no good
network (about 80 % right): a model worth deferring from.

Letters: B images, F features, K classes.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from assistlearn.deferral.arrays import Ints
from assistlearn.durable import disk_errors
from assistlearn.randomness import derive_seed
from experiments.deferral.devices import CPU

CLASSES: Final = 10
MODEL_IMAGES: Final = 30_000  # the first ones; the model learns from these
SIDE: Final = 32
MARGIN: Final = 4  # pixels by which a training image is moved, at most
WIDTH: Final = 32  # channels of the first layer
EPOCHS: Final = 12
BATCH: Final = 256
PEAK_RATE: Final = 0.4
MEANS: Final = (0.4914, 0.4822, 0.4465)
DEVIATIONS: Final = (0.2470, 0.2435, 0.2616)

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """What the network makes of images that it was not trained on."""

    features: npt.NDArray[np.float32]
    """Its last hidden layer. Shape ``(B, F)``."""
    probabilities: npt.NDArray[np.float32]
    """Of the classes. Shape ``(B, K)``."""


def read_images(path: Path) -> tuple[Pixels, Ints]:
    """Images, shape ``(B, 32, 32, 3)``, and their classes, from strips of 100 in a Parquet file.

    Raises:
        StorageError: the file cannot be read.
    """
    with disk_errors(f"read {path}"):
        table = pq.read_table(path, columns=["strip_webp", "labels"])
    strips = [
        np.asarray(Image.open(io.BytesIO(strip)).convert("RGB")).reshape(-1, SIDE, SIDE, 3)
        for strip in table["strip_webp"].to_pylist()
    ]
    return np.concatenate(strips), np.concatenate(table["labels"].to_pylist()).astype(np.int64)


class SmallNetwork(nn.Module):
    """Four convolutions with batch normalisation, and one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, WIDTH, 2 * WIDTH, 4 * WIDTH, 4 * WIDTH)
        layers: list[nn.Module] = []
        for number, (before, after) in enumerate(pairwise(widths)):
            layers += [
                nn.Conv2d(before, after, 3, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
                nn.MaxPool2d(2) if number < len(widths) - 2 else nn.AdaptiveAvgPool2d(1),
            ]
        self.body = nn.Sequential(*layers, nn.Flatten())
        self.head = nn.Linear(widths[-1], CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Class scores. Shape ``(B, K)``."""
        scores: Tensor = self.head(self.body(images))
        return scores


def trained(
    pixels: Pixels,
    labels: Ints,
    *,
    epochs: int = EPOCHS,
    seed: int = 0,
    device: torch.device = CPU,
) -> SmallNetwork:
    """A network trained on these images, moved and mirrored at random.

    Matrix products are in bfloat16, which halves the time on processors that have it.
    """
    generator = torch.Generator().manual_seed(derive_seed(seed, "images"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "network"))
        network = SmallNetwork().to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        network.parameters(), lr=PEAK_RATE, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    steps = epochs * -(-len(labels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=steps)
    targets = torch.from_numpy(labels).to(device)
    network.train()
    for _ in range(epochs):
        for rows in torch.split(torch.randperm(len(labels), generator=generator), BATCH):
            images = _normalised(pixels[rows.numpy()], device)
            with torch.autocast(device.type, dtype=torch.bfloat16):
                scores = network(_varied(images, generator))
            right = targets[rows.to(device)]
            loss = functional.cross_entropy(scores.float(), right, label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return network.eval()


@torch.no_grad()
def seen(network: SmallNetwork, pixels: Pixels) -> Seen:
    """Its features and probabilities."""
    features, probabilities = [], []
    device = network.head.weight.device
    for part in _parts(pixels):
        hidden = network.body(_normalised(part, device))
        features.append(hidden.cpu().numpy())
        probabilities.append(network.head(hidden).softmax(dim=1).cpu().numpy())
    return Seen(features=np.concatenate(features), probabilities=np.concatenate(probabilities))


def kept_outputs(
    data: Path, cache: Path, *, scale: float, device: torch.device = CPU
) -> tuple[Seen, Seen]:
    """What the network makes of training images 30,000 on and of the test images.

    Trained, which takes minutes, unless it is in ``cache`` already.

    Args:
        data: folder with ``cifar10``.
        cache: folder to keep the outputs in.
        scale: share of the 30,000 images that the network learns from.
        device: where it is trained, if it is.
    """
    path = cache / f"defer_humans_cifar10_{scale:g}.npz"
    if not path.exists():
        pixels, labels = read_images(data / "cifar10" / "cifar10_train.parquet")
        some = slice(round(scale * MODEL_IMAGES))
        network = trained(pixels[some], labels[some], device=device)
        rest = seen(network, pixels[MODEL_IMAGES:])
        test = seen(network, read_images(data / "cifar10" / "cifar10_test.parquet")[0])
        with disk_errors(f"write {path}"):
            cache.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_suffix(".part")
            with unfinished.open("wb") as stream:
                np.savez(
                    stream,
                    rest_features=rest.features,
                    rest_probabilities=rest.probabilities,
                    test_features=test.features,
                    test_probabilities=test.probabilities,
                )
            unfinished.rename(path)
    with disk_errors(f"read {path}"), np.load(path) as found:
        rest, test = (
            Seen(features=found[f"{part}_features"], probabilities=found[f"{part}_probabilities"])
            for part in ("rest", "test")
        )
    return rest, test


def _parts(pixels: Pixels) -> Iterator[Pixels]:
    for start in range(0, len(pixels), BATCH):
        yield pixels[start : start + BATCH]


def _normalised(pixels: Pixels, device: torch.device) -> Tensor:
    images = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float().div_(255)
    means, deviations = (
        torch.tensor(each, device=device).view(3, 1, 1) for each in (MEANS, DEVIATIONS)
    )
    return ((images - means) / deviations).contiguous(memory_format=torch.channels_last)


def _varied(images: Tensor, generator: torch.Generator) -> Tensor:
    """The whole batch moved alike, each image mirrored or not."""
    padded = functional.pad(images, (MARGIN,) * 4)
    down, right = torch.randint(2 * MARGIN + 1, (2,), generator=generator).tolist()
    moved = padded[:, :, down : down + SIDE, right : right + SIDE]
    mirrored = torch.rand(len(images), generator=generator) < 0.5  # noqa: PLR2004  (half of them)
    moved = torch.where(mirrored.view(-1, 1, 1, 1).to(images.device), moved.flip(3), moved)
    return moved.contiguous(memory_format=torch.channels_last)
