"""One party's examples as batches: all in memory, or read by torch's DataLoader.

Inputs have shape ``(B, ...)``, targets ``(B,)`` or ``(B, ...)``.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from assistlearn.errors import DataError
from assistlearn.randomness import derive_seed

Batch = tuple[Tensor, Tensor]
Indices = npt.NDArray[np.int64]


class Examples(Protocol):
    """Inputs with their targets, taken by number or in order. Never empty."""

    def __len__(self) -> int: ...

    def on(self, device: torch.device) -> Self:
        """The same examples, with batches on ``device``."""

    def subset(self, indices: Indices) -> Self:
        """The examples with these numbers, in this order."""

    def batches(self, numbers: Iterable[Tensor]) -> Iterator[Batch]:
        """One batch for each tensor of example numbers."""

    def in_order(self, batch_size: int) -> Iterator[Batch]:
        """All examples in batches; the last one may be shorter."""


class TensorExamples:
    """Examples that fit into the device's memory: batches are single gather operations.

    Args:
        inputs: shape ``(N, ...)``.
        targets: shape ``(N,)`` or ``(N, ...)``.
        prepare: applied to each batch of inputs on the device, such as scaling of 8-bit images
            that are kept small in memory; None for none.
    """

    def __init__(
        self,
        inputs: Tensor,
        targets: Tensor,
        *,
        prepare: Callable[[Tensor], Tensor] | None = None,
        device: torch.device | None = None,
    ) -> None:
        if not 0 < len(inputs) == len(targets):
            raise DataError(
                f"got {len(inputs)} inputs with {len(targets)} targets",
                hint="give at least one example, and one target for each",
            )
        self._inputs = inputs.to(device)
        self._targets = targets.to(device)
        self._prepare = prepare
        self._device = self._inputs.device

    def __len__(self) -> int:
        return len(self._targets)

    def on(self, device: torch.device) -> "TensorExamples":
        return TensorExamples(self._inputs, self._targets, prepare=self._prepare, device=device)

    def subset(self, indices: Indices) -> "TensorExamples":
        chosen = torch.from_numpy(indices).to(self._device)
        return TensorExamples(self._inputs[chosen], self._targets[chosen], prepare=self._prepare)

    def batches(self, numbers: Iterable[Tensor]) -> Iterator[Batch]:
        for chosen in numbers:
            index = chosen.to(self._device)
            yield self._batch(self._inputs[index], self._targets[index])

    def in_order(self, batch_size: int) -> Iterator[Batch]:
        for start in range(0, len(self), batch_size):
            part = slice(start, start + batch_size)
            yield self._batch(self._inputs[part], self._targets[part])

    def _batch(self, inputs: Tensor, targets: Tensor) -> Batch:
        return (inputs if self._prepare is None else self._prepare(inputs)), targets


class DatasetExamples:
    """Any map-style torch Dataset of (input, target), read by a DataLoader.

    Args:
        dataset: items are pairs that torch's default collation can stack.
        workers: processes that read ahead; 0 reads in this one. With random augmentation the
            count changes the random numbers, so keep it fixed within a session.
    """

    def __init__(
        self, dataset: Dataset[Any], *, workers: int = 0, device: torch.device | None = None
    ) -> None:
        self._dataset = dataset
        self._workers = workers
        self._device = device or torch.device("cpu")
        if not len(self):
            raise DataError("the data set is empty", hint="give at least one example")

    def __len__(self) -> int:
        return len(self._dataset)  # type: ignore[arg-type]  # Dataset declares no __len__

    def on(self, device: torch.device) -> "DatasetExamples":
        return DatasetExamples(self._dataset, workers=self._workers, device=device)

    def subset(self, indices: Indices) -> "DatasetExamples":
        chosen = Subset(self._dataset, indices.tolist())
        return DatasetExamples(chosen, workers=self._workers, device=self._device)

    def batches(self, numbers: Iterable[Tensor]) -> Iterator[Batch]:
        return self._read(batch_sampler=(chosen.tolist() for chosen in numbers))

    def in_order(self, batch_size: int) -> Iterator[Batch]:
        return self._read(batch_size=batch_size)

    def _read(self, **order: Any) -> Iterator[Batch]:
        cuda = self._device.type == "cuda"
        loader = DataLoader(self._dataset, num_workers=self._workers, pin_memory=cuda, **order)
        for inputs, targets in loader:
            yield (
                inputs.to(self._device, non_blocking=cuda),
                targets.to(self._device, non_blocking=cuda),
            )


class ShuffledEpochs:
    """Which examples each update sees: a function of the update's number alone.

    Updates run through endless epochs; epoch e is shuffled by a generator seeded with
    ``derive_seed(seed, "epoch", e)``. No batch spans two epochs: the last of an epoch is
    shorter. If it would hold one example only, that one joins the batch before, because
    BatchNorm cannot be trained on a single example.

    Args:
        count: number of examples, at least 1.
        batch_size: examples in a batch, at least 1.
        seed: seed of all shuffles.
    """

    def __init__(self, *, count: int, batch_size: int, seed: int) -> None:
        lone = batch_size > 1 and count > batch_size and count % batch_size == 1
        self.updates_per_epoch = -(-count // batch_size) - lone
        self._count = count
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = -1
        self._order = torch.empty(0)

    def numbers(self, update: int) -> Tensor:
        """Numbers of the examples in this update's batch. Shape ``(B,)``."""
        epoch, batch = divmod(update, self.updates_per_epoch)
        if epoch != self._epoch:  # only a cache: going back gives the same order again
            generator = torch.Generator().manual_seed(derive_seed(self._seed, "epoch", epoch))
            self._order = torch.randperm(self._count, generator=generator)
            self._epoch = epoch
        last = batch == self.updates_per_epoch - 1
        start = batch * self._batch_size
        return self._order[start : None if last else start + self._batch_size]
