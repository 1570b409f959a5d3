"""Supervised learning as a task: a model, examples with targets, a loss, an optimiser."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import Dataset

from assistlearn.errors import ConfigError
from assistlearn.tasks.examples import DatasetExamples, Examples, ShuffledEpochs, TensorExamples
from assistlearn.tasks.objectives import (
    PerExampleLoss,
    classification_metrics,
    per_example_loss,
    regression_metrics,
)
from assistlearn.tasks.optimizers import make_optimizer
from assistlearn.training.devices import autocast, choose_device

Data = tuple[Tensor, Tensor] | Dataset[Any] | Examples


class SupervisedTask:
    """A :class:`assistlearn.task.Task` from its parts.

    Args:
        build: returns a freshly initialised model. Both parties must build the same one.
        train: this party's examples: a pair of tensors (inputs, targets), a map-style Dataset
            of such pairs, or :class:`Examples`.
        test: held-out examples for :meth:`metrics`; None to measure on ``train``.
        loss: ``"cross_entropy"``, ``"mse"``, ``"package.module:function"``, or a function from
            outputs and targets to losses of shape ``(B,)``.
        optimizer: a class of ``torch.optim`` by name, or ``"package.module:Class"``.
        optimizer_settings: its keyword arguments.
        batch_size: examples in one update; see :class:`ShuffledEpochs`.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.
        precision: ``"float32"``, or ``"bfloat16"`` for mixed precision.
        seed: seed of the order of examples.
        schema: what the other party's data and loss must have in common with these, in any fixed
            wording; a first line ``loss NAME`` is held against the terms. Empty for no check.

    Raises:
        ConfigError: a name or number above is wrong.
        DeviceError: there is no such device or precision here.
        DataError: there are no examples.
    """

    def __init__(  # noqa: PLR0913  # the parts of a task, by keyword
        self,
        *,
        build: Callable[[], nn.Module],
        train: Data,
        test: Data | None = None,
        loss: str | PerExampleLoss = "cross_entropy",
        optimizer: str = "SGD",
        optimizer_settings: Mapping[str, Any] | None = None,
        batch_size: int = 64,
        device: str = "auto",
        precision: str = "float32",
        seed: int = 0,
        schema: str = "",
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}, must be >= 1", hint="set it to 64")
        self.schema = schema
        self.device = choose_device(device)
        autocast(self.device, precision)  # refuse now what would fail in the first round
        self._precision = precision
        self._build = build
        self._train = _examples(train).on(self.device)
        self._test = None if test is None else _examples(test).on(self.device)
        self._loss = per_example_loss(loss)
        self._kind = loss if isinstance(loss, str) else ""
        self._optimizer = optimizer
        self._optimizer_settings = dict(optimizer_settings or {})
        self._evaluation_batch = 4 * batch_size  # no gradients, so a quarter of the memory each
        self._epochs = ShuffledEpochs(count=len(self._train), batch_size=batch_size, seed=seed)
        dummy = nn.Parameter(torch.zeros(1))
        make_optimizer(optimizer, [dummy], self._optimizer_settings)  # refuse wrong names now

    @property
    def examples(self) -> int:
        """Number of this party's own training examples."""
        return len(self._train)

    @property
    def updates_per_epoch(self) -> int:
        """Updates that pass over this party's examples once."""
        return self._epochs.updates_per_epoch

    def build_model(self) -> nn.Module:
        """A new model on this task's device. Initialised on the CPU, so alike on every device."""
        return self._build().to(self.device)

    def build_optimizer(self, model: nn.Module) -> Optimizer:
        """A new optimiser over all parameters that require gradients."""
        trainable = [each for each in model.parameters() if each.requires_grad]
        return make_optimizer(self._optimizer, trainable, self._optimizer_settings)

    def train(self, model: nn.Module, optimizer: Optimizer, steps: range) -> None:
        """One update for each number in ``steps``, on the mean loss of its batch."""
        model.train()
        for inputs, targets in self._train.batches(map(self._epochs.numbers, steps)):
            loss = self._loss(self._outputs(model, inputs), targets).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    def losses(self, model: nn.Module) -> Iterator[Tensor]:
        """Per-example losses of this party's training examples, in their own order."""
        for inputs, targets in self._train.in_order(self._evaluation_batch):
            yield self._loss(self._outputs(model, inputs), targets)

    @torch.no_grad()
    def metrics(self, model: nn.Module) -> Mapping[str, float]:
        """Accuracy and macro recall, or RMSE and R squared, or the mean of a loss of your own.

        On the test examples; without any, on the training examples, and named ``train_...``.
        """
        data, prefix = (self._train, "train_") if self._test is None else (self._test, "")
        predictions = (
            (self._outputs(model, inputs), targets)
            for inputs, targets in data.in_order(self._evaluation_batch)
        )
        match self._kind:
            case "cross_entropy":
                figures = classification_metrics(predictions)
            case "mse":
                figures = regression_metrics(predictions)
            case _:
                losses = [self._loss(outputs, targets).cpu() for outputs, targets in predictions]
                figures = {"loss": float(torch.cat(losses).double().mean())}
        return {f"{prefix}{name}": value for name, value in figures.items()}

    def _outputs(self, model: nn.Module, inputs: Tensor) -> Tensor:
        with autocast(self.device, self._precision):
            outputs: Tensor = model(inputs)
        # Losses in float32 whatever the precision: they are summed over many examples.
        return outputs.float()


def _examples(data: Data) -> Examples:
    if isinstance(data, tuple):
        inputs, targets = data
        return TensorExamples(inputs, targets)
    if isinstance(data, Dataset):
        return DatasetExamples(data)
    return data
