"""A task with everything that makes resuming hard: dropout, BatchNorm, shuffling, Adam."""

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from assistlearn.randomness import derive_seed


class ToyTask:
    def __init__(
        self,
        optimizer: Callable[[nn.Module], Optimizer] | None = None,
        *,
        examples: int = 30,
        dtype: torch.dtype = torch.float32,
        width: int = 8,
    ) -> None:
        generator = torch.Generator().manual_seed(5)
        self.inputs = torch.randn(examples, 4, generator=generator, dtype=dtype)
        self.targets = (self.inputs[:, 0] > 0).long()
        self.make = optimizer or (lambda model: torch.optim.Adam(model.parameters(), lr=0.05))
        self.dtype = dtype
        self.width = width
        self.updates: list[int] = []

    def build_model(self) -> nn.Module:
        return nn.Sequential(
            nn.Linear(4, self.width),
            nn.BatchNorm1d(self.width),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Linear(self.width, 2),
        ).to(self.dtype)

    def build_optimizer(self, model: nn.Module) -> Optimizer:
        return self.make(model)

    def train(self, model: nn.Module, optimizer: Optimizer, steps: range) -> None:
        for step in steps:
            self.updates.append(step)
            generator = torch.Generator().manual_seed(derive_seed("batch", step))
            batch = torch.randperm(len(self.inputs), generator=generator)[:10]
            loss = functional.cross_entropy(model(self.inputs[batch]), self.targets[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def losses(self, model: nn.Module) -> Iterator[Tensor]:
        for inputs, targets in zip(self.inputs.split(7), self.targets.split(7), strict=True):
            yield functional.cross_entropy(model(inputs), targets, reduction="none")

    def metrics(self, model: nn.Module) -> Mapping[str, float]:
        return {"accuracy": float((model(self.inputs).argmax(1) == self.targets).float().mean())}
