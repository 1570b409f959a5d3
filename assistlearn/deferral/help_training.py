"""Training a server model and a rejector side by side, with the link always or rarely there.

The schedule of arXiv:2501.13810: in every iteration the server model takes a step on its own
cross-entropy, then the rejector one on the surrogate, against what it *sees* of the server:

* :class:`LiveServer`: the server model itself (synchronous; pay per request, bounded reject rate);
* :class:`ServerCopy`: a copy, refreshed every S iterations (asynchronous; intermittent
  availability);
* :class:`ServerBits`: whether the server is right on each training example, which is all that the
  surrogate asks of the copy: as many bits as examples cross the link instead of the weights.

The server model never sees rejector, costs or S: its training is the same whatever they are.
"""

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from assistlearn.errors import ConfigError, DataError


class Batch(NamedTuple):
    """Examples of one iteration, as a data loader over (number, input, class) gives them."""

    indices: Tensor
    """Number of each example in the training set, from 0; only :class:`ServerBits` looks. (B,)."""

    inputs: Tensor
    """What all three models take, first dimension B."""

    targets: Tensor
    """Right classes. Shape ``(B,)``."""


RejectorLoss: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From scores (B, 2), client right (B,) and server right (B,) to one loss for each example."""


class ServerView(Protocol):
    """What the client knows of the server while the rejector trains."""

    def refresh(self) -> None:
        """Fetch the server's present state."""

    def is_right(self, batch: Batch) -> Tensor:
        """Whether the server, as last fetched, names each example's class. Shape ``(B,)``."""


class LiveServer:
    """The server model itself: the link is always there."""

    def __init__(self, server_model: nn.Module) -> None:
        self._model = server_model

    def refresh(self) -> None:
        """Nothing to fetch."""

    def is_right(self, batch: Batch) -> Tensor:
        """Of the model as it is now."""
        return is_right(self._model, batch)


class ServerCopy:
    """A copy of the server model, as it was when last refreshed; at first untrained."""

    def __init__(self, server_model: nn.Module) -> None:
        self._model = server_model
        self._copy = copy.deepcopy(server_model)

    def refresh(self) -> None:
        """Copy all parameters and buffers."""
        self._copy.load_state_dict(self._model.state_dict())

    def is_right(self, batch: Batch) -> Tensor:
        """Of the copy."""
        return is_right(self._copy, batch)


class ServerBits:
    """One bit for each training example, worked out at the server when refreshed."""

    def __init__(self, server_model: nn.Module, batches: Iterable[Batch]) -> None:
        """Work out the first bits.

        Args:
            server_model: the model that is being trained.
            batches: all training examples, numbered from 0, in any order; gone through once at
                each refresh.
        """
        self._model = server_model
        self._batches = batches
        self.refresh()

    def refresh(self) -> None:
        """Ask the model about every training example.

        Raises:
            DataError: there are none, or their numbers are not 0, 1, 2, ..., once each.
        """
        # Data loaders draw a random seed when gone through, even to no end.
        with torch.random.fork_rng(devices=()):
            pieces = [(b[0], is_right(self._model, Batch(*b))) for b in self._batches]
        if not pieces:
            raise DataError("there are no examples to ask the server about", hint=_AGAIN)
        numbers_N, order_N = torch.cat([indices_B for indices_B, _ in pieces]).sort()
        if not torch.equal(numbers_N, torch.arange(len(numbers_N), device=numbers_N.device)):
            raise DataError(
                f"{len(numbers_N)} examples are numbered from {numbers_N[0].item()} to"
                f" {numbers_N[-1].item()}, must be 0, 1, 2, ... once each",
                hint="number the whole training set, and drop no last batch here",
            )
        self._right_N = torch.cat([right_B for _, right_B in pieces])[order_N]

    def is_right(self, batch: Batch) -> Tensor:
        """Look the bits up; inputs and classes are not read."""
        return self._right_N[batch.indices]


@dataclass(frozen=True, slots=True, kw_only=True)
class HelpStep:
    """What happened in one iteration."""

    epoch: int
    """Counted from 0."""

    iteration: int
    """Counted from 0 in each epoch."""

    server_loss: float
    """Mean of L_1 over the batch, before the step, in nats."""

    rejector_loss: float
    """Mean of the rejector's loss over the batch, before the step."""

    refreshed: bool
    """Whether the client fetched the server's state between the two steps."""


_AGAIN = "give batches that can be gone through once an epoch, such as a DataLoader"


def train_help(  # noqa: PLR0913  # three models and their surroundings, by keyword
    *,
    client_model: nn.Module,
    server_model: nn.Module,
    rejector: nn.Module,
    server_optimizer: Optimizer,
    rejector_optimizer: Optimizer,
    batches: Iterable[Batch],
    rejector_loss: RejectorLoss,
    epochs: int,
    server_view: ServerView | None = None,
    sync_interval: int | Literal["epoch"] = 1,
) -> tuple[HelpStep, ...]:
    """Train server model and rejector in place, one step each in every iteration.

    As in the paper's code, the server's step is on the batch's *mean* loss and the rejector's on
    its *sum*, so with plain SGD the rejector's rate is multiplied by the batch size. Unlike there,
    the server is judged in eval mode: its dropout does not disturb the bits.

    Args:
        client_model: m, fixed: put in eval mode where it is asked, never changed.
        server_model: e, giving logits of shape ``(B, K)``.
        rejector: r, giving scores of shape ``(B, 2)``, LOCAL first.
        server_optimizer: over the server model's parameters.
        rejector_optimizer: over the rejector's parameters.
        batches: gone through once an epoch; shuffle them anew each time, as data loaders do.
        rejector_loss: such as ``partial(rejector_surrogate, costs=HelpCosts(...))``.
        epochs: passes over ``batches``.
        server_view: what the rejector sees of the server; the live model if not given.
        sync_interval: S. The view is refreshed after the server's step in every iteration whose
            number in the epoch is divisible by S (so always in the first); with ``"epoch"`` in
            the last of each epoch only.

    Returns:
        One record for each iteration.

    Raises:
        ConfigError: the interval is not ``"epoch"`` or a whole number >= 1.
        DataError: an epoch has no batches.
    """
    if sync_interval != "epoch" and not (isinstance(sync_interval, int) and sync_interval >= 1):
        raise ConfigError(
            f"sync_interval is {sync_interval!r}, must be >= 1",
            hint='set it to "epoch" for one refresh at the end of each epoch',
        )
    view = server_view or LiveServer(server_model)
    steps = []
    for epoch in range(epochs):
        for iteration, (batch, is_last) in enumerate(_mark_last(batches)):
            server_losses_B = functional.cross_entropy(
                server_model(batch.inputs), batch.targets, reduction="none"
            )
            _step(server_optimizer, server_losses_B.mean())
            refreshed = is_last if sync_interval == "epoch" else iteration % sync_interval == 0
            if refreshed:
                view.refresh()
            rejector_losses_B = rejector_loss(
                rejector(batch.inputs), is_right(client_model, batch), view.is_right(batch)
            )
            _step(rejector_optimizer, rejector_losses_B.sum())
            steps.append(
                HelpStep(
                    epoch=epoch,
                    iteration=iteration,
                    server_loss=server_losses_B.mean().item(),
                    rejector_loss=rejector_losses_B.mean().item(),
                    refreshed=refreshed,
                )
            )
    return tuple(steps)


@torch.no_grad()
def is_right(model: nn.Module, batch: Batch) -> Tensor:
    """Whether the model, in eval mode, names each example's class. Shape ``(B,)``.

    Every part of the model is left in the mode it was in, parameters and buffers as they were.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        right_B: Tensor = model(batch.inputs).argmax(dim=1) == batch.targets
    finally:
        for module, was_training in modes:  # one by one: a part may be frozen in eval mode
            module.training = was_training
    return right_B


def _step(optimizer: Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    optimizer.step()


def _mark_last(batches: Iterable[Batch]) -> Iterator[tuple[Batch, bool]]:
    """Each batch, and whether it is the last. Looks one ahead, whatever S is: same random state."""
    iterator = iter(batches)
    current = next(iterator, None)
    if current is None:
        raise DataError("an epoch has no batches", hint=_AGAIN)
    for following in iterator:
        yield Batch(*current), False
        current = following
    yield Batch(*current), True
