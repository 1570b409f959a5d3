"""Learning to help, its models and how they are trained: what ``--scale`` changes.

B, N examples; C, H, W of images; K classes.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, Optimizer

from assistlearn.randomness import derive_seed, seed_torch
from assistlearn.tasks.models import mlp
from experiments.deferral.devices import CPU

CLASSES: Final = 10
MISSING_CLASS: Final = 9
TRAINING: Final = 45_000
"""Training images at scale 1. The paper takes all; a tenth of CIFAR-10's are held out here."""

PAPER_ITERATIONS: Final = 3_125  # an epoch of CIFAR-10 in batches of 16
PAPER_INTERVALS: Final = (100, 1_000)  # S, beside 1 and once an epoch
MOMENTUM: Final = 0.9
SMALL_WIDTH: Final = 16
ASKED_AT_ONCE: Final = 1_000  # images


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How large everything is."""

    images: int
    """Training images of client, server and rejector."""
    calibration: int
    """Images that no model trains on: for thresholds and the reject rate."""
    pixels: int
    """A side of the images: 32, or 16 by averaging."""
    alexnet: bool
    """Whether the server model is the paper's."""
    folds: int
    """Of cross-fitting."""
    batch_size: int
    client_epochs: int
    epochs: int
    """Of server and rejector, in step."""
    client_rate: float
    server_rate: float
    rejector_rate: float
    """Learning rates of SGD; the rejector's is on the sum over a batch, as in the paper's code."""
    rejector_adam: bool
    """Adam for the rejector. In so few steps SGD learns little at rates at which the published
    surrogate, which is unbounded below, does not run away; Adam's steps are bounded."""
    query_costs: tuple[float, ...]
    """c_e of the sweep."""

    @property
    def intervals(self) -> tuple[int, int]:
        """S = 100 and 1,000, by as many refreshes an epoch as in the paper."""
        if self == PAPER:
            return PAPER_INTERVALS
        iterations = -(-self.images // self.batch_size)
        few, many = (round(each * iterations / PAPER_ITERATIONS) for each in PAPER_INTERVALS)
        return max(2, few), max(3, many)

    def __str__(self) -> str:
        if self == PAPER:
            return (
                "Scale 1: the paper's models and settings, on 45,000 training images (the paper:"
                " all 50,000), as 5,000 are held out for thresholds."
            )
        few, many = self.intervals
        return (
            f"SCALED DOWN: {self.images:,} training images of {self.pixels}x{self.pixels} pixels"
            f" (paper: 50,000 of 32x32), server a narrow CNN of three convolutions (paper:"
            f" AlexNet), client and rejector LeNet as in the paper on the smaller images,"
            f" {self.client_epochs} epochs for the client and {self.epochs} for server and rejector"
            f" (10 and 15) in batches of {self.batch_size} (16) at larger learning rates, the"
            f" rejector by Adam (SGD), {self.folds} folds, S = {few} and {many} for 100 and 1,000"
            " (as many refreshes an epoch)."
        )


PAPER: Final = Scale(
    images=TRAINING,
    calibration=5_000,
    pixels=32,
    alexnet=True,
    folds=5,
    batch_size=16,
    client_epochs=10,
    epochs=15,
    client_rate=1e-3,
    server_rate=1e-3,
    rejector_rate=1e-4,
    rejector_adam=False,
    query_costs=tuple(step / 40 for step in range(21)),
)
SMALL: Final = Scale(
    images=TRAINING // 5,
    calibration=2_000,
    pixels=16,
    alexnet=False,
    folds=3,
    batch_size=32,
    client_epochs=10,
    epochs=12,
    client_rate=0.01,
    server_rate=0.02,
    rejector_rate=1e-3,
    rejector_adam=True,
    query_costs=(0.0, 0.125, 0.25, 0.375, 0.5),
)
QUICK: Final = replace(
    SMALL, images=900, calibration=300, folds=2, client_epochs=1, epochs=2, query_costs=(0.0, 0.25)
)


def scaled(share: float) -> Scale:
    """Of that share of the training images; the paper's models and settings at 1 only."""
    return PAPER if share == 1 else replace(SMALL, images=round(share * TRAINING))


def lenet(shape: tuple[int, int, int]) -> nn.Module:
    """The client model: LeNet-5 with ReLU, 62,006 parameters for 32x32 RGB."""
    channels, height, _ = shape
    side = ((height - 4) // 2 - 4) // 2
    return nn.Sequential(
        nn.Conv2d(channels, 6, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        mlp((16, side, side), CLASSES, hidden=(120, 84)),
    )


def server_network(shape: tuple[int, int, int], *, alexnet: bool) -> nn.Module:
    """The server model: AlexNet on the image enlarged to 64x64, or a narrow CNN."""
    if alexnet:
        from torchvision.models import alexnet as torchvision_alexnet  # noqa: PLC0415  # slow import

        model = torchvision_alexnet(num_classes=CLASSES)
        model.features[0] = nn.Conv2d(shape[0], 64, 11, stride=4, padding=2)  # as it is, any C
        return nn.Sequential(nn.Upsample(size=64, mode="bilinear"), model)
    channels, height, width = shape
    layers: list[nn.Module] = []
    for outputs in (SMALL_WIDTH, 2 * SMALL_WIDTH, 4 * SMALL_WIDTH):
        layers += [
            nn.Conv2d(channels, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
        channels = outputs
    return nn.Sequential(*layers, mlp((channels, height // 8, width // 8), CLASSES, hidden=()))


def rejector_optimizer(parameters: Iterable[Tensor], scale: Scale) -> Optimizer:
    """For one rejector's parameters, or for those of many, stacked: each number by itself."""
    if scale.rejector_adam:
        return Adam(parameters, lr=scale.rejector_rate)
    return SGD(parameters, lr=scale.rejector_rate, momentum=MOMENTUM)


def epoch_order(count: int, *, seed: int, epoch: int) -> Tensor:
    """Numbers of all examples, in the order in which an epoch goes through them."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "order", epoch))
    return torch.randperm(count, generator=generator)


class Classifier:
    """A classifier that can be fitted and asked, as cross-fitting wants it."""

    def __init__(  # noqa: PLR0913  # a model and how it is trained, by keyword
        self,
        build: Callable[[], nn.Module],
        *,
        rate: float,
        epochs: int,
        batch_size: int,
        seed: int,
        label: str,
        device: torch.device = CPU,
    ) -> None:
        seed_torch(seed, label)
        self.model = build().to(device)
        self._device = device
        self._rate, self._epochs, self._batch_size = rate, epochs, batch_size
        self._seed = seed

    def fit(self, X: Any, y: Any) -> None:
        """Train on images X and classes y by SGD on the mean cross-entropy of batches."""
        images, labels = (torch.as_tensor(each).to(self._device) for each in (X, y))
        optimizer = SGD(self.model.parameters(), lr=self._rate, momentum=MOMENTUM)
        self.model.train()
        for epoch in range(self._epochs):
            order = epoch_order(len(labels), seed=self._seed, epoch=epoch).to(self._device)
            for rows_B in torch.split(order, self._batch_size):
                optimizer.zero_grad()
                loss = functional.cross_entropy(self.model(images[rows_B]), labels[rows_B])
                torch.autograd.backward(loss)
                optimizer.step()

    def predict(self, X: Any) -> Any:
        """Logits. Shape ``(N, K)``."""
        return logits(self.model, torch.as_tensor(X).to(self._device)).cpu().numpy()


@torch.no_grad()
def logits(model: nn.Module, images: Tensor) -> Tensor:
    """What the model says of all images, in eval mode. Shape ``(N, K)``."""
    model.eval()
    return torch.cat([model(part) for part in torch.split(images, ASKED_AT_ONCE)])
