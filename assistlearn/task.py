"""A problem as one party sees it: the only thing a user writes.

Name yours in the settings as ``factory = "my_package.my_module:make_task"``. Any object with
these five methods will do; there is nothing to inherit from. Data never leave the object.

A task may also have an attribute ``schema``: text that must be the same on both sides, such as the
names of features and classes in order. Its digest is part of what both parties sign.
"""

from collections.abc import Iterator, Mapping
from typing import Protocol, runtime_checkable

from torch import Tensor, nn
from torch.optim import Optimizer


@runtime_checkable
class Task(Protocol):
    """A model, a way to train it, and one party's data."""

    def build_model(self) -> nn.Module:
        """A freshly initialised model, on the device it trains on.

        Both parties must build the same architecture. The learner's initial weights start the
        first round; initialise from torch's generator, which is seeded before this call.
        """

    def build_optimizer(self, model: nn.Module) -> Optimizer:
        """Any torch optimiser over ``model``. Called at the start of every local training."""

    def train(self, model: nn.Module, optimizer: Optimizer, steps: range) -> None:
        """Make one optimiser update for each number in ``steps``, in place.

        ``steps`` counts this party's updates over the whole session, so that data order can
        follow from it alone: update number k must see the same batch whether or not the
        process was restarted before it. torch's generator is seeded before each call.
        """

    def losses(self, model: nn.Module) -> Iterator[Tensor]:
        """Per-example losses of this party's own data, batch by batch, in a fixed order.

        Called in eval mode without gradients. Each tensor has shape ``(B,)`` and values >= 0.
        """

    def metrics(self, model: nn.Module) -> Mapping[str, float]:
        """Figures for people, such as ``{"accuracy": 0.93}``, on held-out data if there is any.

        Never sent to the peer, and never used to choose a checkpoint.
        """
