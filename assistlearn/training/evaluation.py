"""A party's loss of one model on its own data: exact, repeatable, and no longer than needed."""

import math
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager

import torch
from torch import Tensor, nn

from assistlearn.errors import TaskError
from assistlearn.losses import LocalLoss
from assistlearn.task import Task
from assistlearn.training.user_code import user_code


def local_loss(
    task: Task,
    model: nn.Module,
    *,
    clip: float | None = None,
    hopeless: Callable[[float], bool] | None = None,
) -> LocalLoss | None:
    """Sum of the per-example losses of ``model``, in eval mode and without gradients.

    Batches are summed in float64 and in order, so equal models give equal sums. A per-example
    loss that is NaN counts as +inf. Losses are >= 0, so a partial sum can only grow.

    Args:
        task: whose losses are taken.
        model: left as it was found, the mode of every submodule included.
        clip: bound on each example's part in ``LocalLoss.clipped``, > 0; None for no bound.
        hopeless: asked after each batch with the partial (unclipped) sum; evaluation ends as
            soon as it says that the model cannot be chosen any more.

    Returns:
        None if ``hopeless`` said so.

    Raises:
        TaskError: the task broke a promise about its losses, or raised.
    """
    total = clipped = 0.0
    count = 0
    with evaluating(model), closing(_batches(task, model)) as batches:
        for losses_B in batches:
            values_B = _checked(losses_B)
            count += len(values_B)
            total += float(values_B.sum())
            # Element by element no larger and added in the same order: never above the total.
            clipped += float((values_B if clip is None else values_B.clamp(max=clip)).sum())
            if hopeless is not None and hopeless(total):
                return None
    return LocalLoss(total=total, clipped=clipped, count=count)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode without gradients; afterwards every submodule is back in its own mode."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        # Not inference_mode: a module that caches tensors could not be trained afterwards.
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


def _batches(task: Task, model: nn.Module) -> Generator[Tensor, None, None]:
    with user_code("losses"):
        yield from task.losses(model)


def _checked(losses_B: Tensor) -> Tensor:
    """The batch in float64 on the CPU, with +inf in place of NaN. Shape ``(B,)``."""
    if not isinstance(losses_B, Tensor) or losses_B.ndim != 1:
        got = (
            f"shape {tuple(losses_B.shape)}"
            if isinstance(losses_B, Tensor)
            else type(losses_B).__name__
        )
        raise TaskError(
            f"the task's losses() must yield tensors of shape (B,), got {got}",
            hint='yield one loss per example, for example with reduction="none"',
        )
    values_B = losses_B.detach().cpu().to(torch.float64)  # MPS has no float64: move first
    if bool((values_B < 0).any()):
        raise TaskError(
            f"the task's losses() yielded {float(values_B.min())}, must be >= 0",
            hint="add a constant to losses that can be negative, such as log-likelihoods",
        )
    return values_B.nan_to_num(nan=math.inf, posinf=math.inf)
