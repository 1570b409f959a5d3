"""What a supervised task minimises, and the figures that people read about it."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from assistlearn.errors import ConfigError, TaskError
from assistlearn.tasks.references import did_you_mean, import_reference

PerExampleLoss = Callable[[Tensor, Tensor], Tensor]
"""Outputs ``(B, ...)`` and targets ``(B, ...)`` to losses >= 0 of shape ``(B,)``."""

Predictions = Iterable[tuple[Tensor, Tensor]]
"""Batches of outputs and targets."""


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy in nats, averaged over an example's own positions if it has several.

    Args:
        outputs: logits. Shape ``(B, C)`` or ``(B, C, ...)``.
        targets: class numbers. Shape ``(B,)`` or ``(B, ...)``.
    """
    losses = functional.cross_entropy(outputs.float(), targets.long(), reduction="none")
    return losses.reshape(len(losses), -1).mean(dim=1)


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Squared error, averaged over an example's outputs; in the target's unit, squared."""
    if outputs.numel() != targets.numel():  # broadcasting would hide (B, 1) against (B, C)
        raise TaskError(
            f"the model gives shape {tuple(outputs.shape)}, the targets have"
            f" {tuple(targets.shape)}",
            hint="give the model one output for each target value",
        )
    difference = outputs.float().reshape(len(outputs), -1) - targets.reshape(len(targets), -1)
    return difference.square().mean(dim=1).float()


LOSSES: Final[Mapping[str, PerExampleLoss]] = {"cross_entropy": cross_entropy, "mse": squared_error}


def per_example_loss(loss: str | PerExampleLoss) -> PerExampleLoss:
    """The loss called ``cross_entropy``, ``mse`` or ``package.module:function``.

    Raises:
        ConfigError: there is no such loss.
    """
    if callable(loss):
        return loss
    if ":" in loss:
        found: PerExampleLoss = import_reference(loss, what="loss")
        return found
    if loss not in LOSSES:
        raise ConfigError(f"loss {loss!r} is unknown", hint=did_you_mean(loss, LOSSES))
    return LOSSES[loss]


def classification_metrics(predictions: Predictions) -> dict[str, float]:
    """Share of examples whose most likely class is right, overall and averaged over classes.

    Macro recall averages over the classes that occur, so that small classes count fully.
    """
    hits = counts = torch.zeros(0, dtype=torch.int64)
    for outputs, targets in predictions:
        truth = targets.long().reshape(-1)
        right = outputs.argmax(dim=1).reshape(-1) == truth
        classes = outputs.shape[1]
        if not len(counts):
            hits = counts = torch.zeros(classes, dtype=torch.int64)
        counts = counts + torch.bincount(truth.cpu(), minlength=classes)
        hits = hits + torch.bincount(truth[right].cpu(), minlength=classes)
    occurring = counts > 0
    recalls = hits[occurring].double() / counts[occurring]
    return {
        "accuracy": float(hits.sum().double() / counts.sum()),
        "macro_recall": float(recalls.mean()),
    }


def regression_metrics(predictions: Predictions) -> dict[str, float]:
    """Root mean squared error in the target's unit, and R squared (NaN for constant targets)."""
    pairs = [
        (outputs.cpu().double().reshape(-1), targets.cpu().double().reshape(-1))
        for outputs, targets in predictions
    ]
    outputs, targets = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    squared = (outputs - targets).square().sum()
    spread = (targets - targets.mean()).square().sum()
    return {
        "rmse": float((squared / len(targets)).sqrt()),
        "r2": float(1 - squared / spread) if spread > 0 else float("nan"),
    }
