"""Tasks without data of their own: one that costs next to nothing, one that costs as real ones."""

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from assistlearn.tasks import SupervisedTask, model_factory

ROW: Final = 187_500  # numbers: 45 MB are 60 rows, as a ResNet-18 of that size has 62 tensors
IMAGE: Final = (3, 32, 32)
CLASSES: Final = 10


class Table(nn.Module):
    """Numbers in rows."""

    def __init__(self, numbers: int) -> None:
        super().__init__()
        sizes = [min(ROW, numbers - start) for start in range(0, numbers, ROW)]
        self.rows = nn.ParameterList(nn.Parameter(torch.randn(size)) for size in sizes)


class Shrinking:
    """A task whose loss is the mean square of all numbers; one SGD step makes them smaller."""

    def __init__(self, *, numbers: int, examples: int) -> None:
        self._numbers = numbers
        self._examples = examples

    def build_model(self) -> nn.Module:
        """A new table."""
        return Table(self._numbers)

    def build_optimizer(self, model: nn.Module) -> Optimizer:
        """Plain SGD, which has no state."""
        return SGD(model.parameters(), lr=0.01)

    def train(self, model: nn.Module, optimizer: Optimizer, steps: range) -> None:
        """Real backward passes, so that gradients take their memory."""
        for _ in steps:
            optimizer.zero_grad(set_to_none=True)
            loss = sum((row.square().mean() for row in model.parameters()), torch.zeros(()))
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    def losses(self, model: nn.Module) -> Iterator[Tensor]:
        """The same loss for every example."""
        yield next(model.parameters())[:64].square().mean().expand(self._examples)

    def metrics(self, model: nn.Module) -> Mapping[str, float]:
        """None of interest."""
        return {"first": float(next(model.parameters())[0].detach())}


def shrinking(*, numbers: int, examples: int = 100, **_common: object) -> Shrinking:
    """For settings files."""
    return Shrinking(numbers=numbers, examples=examples)


class TimedTask(SupervisedTask):
    """Images without meaning, and a count of the seconds that its local loss takes."""

    loss_seconds = 0.0

    def losses(self, model: nn.Module) -> Iterator[Tensor]:
        """As the parent's."""
        started = time.perf_counter()
        for losses_B in super().losses(model):
            self.loss_seconds += time.perf_counter() - started
            yield losses_B
            started = time.perf_counter()


def noise_images(
    *,
    model: str,
    model_settings: Mapping[str, Any] | None = None,
    examples: int = 1024,
    batch_size: int = 64,
    seed: int = 0,
) -> TimedTask:
    """Random images of 3x32x32 in ten random classes: as much work as real ones."""
    inputs, targets = noise(examples, seed)
    return TimedTask(
        build=model_factory(model, input_shape=IMAGE, outputs=CLASSES, settings=model_settings),
        train=(inputs, targets),
        optimizer="SGD",
        optimizer_settings={"lr": 0.01, "momentum": 0.9},
        batch_size=batch_size,
        device="cpu",
        seed=seed,
    )


def noise(examples: int, seed: int) -> tuple[Tensor, Tensor]:
    """The images and classes of :func:`noise_images`."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(examples, *IMAGE, generator=generator)
    return inputs, torch.randint(CLASSES, (examples,), generator=generator)
