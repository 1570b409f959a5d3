"""Fully connected layers as arrays: what a fitted rejector predicts with, without torch.

Letters: B examples, A agents, H units of the last hidden layer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
import numpy.typing as npt
from torch import nn

from assistlearn.deferral.rejectors.arrays import Floats, Layout, State


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layers:
    """Linear layers with ReLU between them, first layer first."""

    weights: tuple[Floats, ...]
    """Shape ``(in, out)`` each."""

    biases: tuple[Floats, ...]
    """Shape ``(out,)`` each."""

    @classmethod
    def of(cls, linears: Sequence[nn.Linear]) -> Self:
        """The layers of a torch module."""
        weights = (each.weight.detach().cpu().numpy().T for each in linears)
        return cls(
            weights=tuple(map(np.ascontiguousarray, weights)),
            biases=tuple(each.bias.detach().cpu().numpy() for each in linears),
        )

    def hidden(self, scaled: Floats) -> Floats:
        """What the scores are linear in. Shape ``(B, H)``."""
        for weights, biases in zip(self.weights[:-1], self.biases[:-1], strict=True):
            scaled = scaled @ weights
            scaled += biases
            np.maximum(scaled, 0, out=scaled)
        return scaled

    def scores(self, scaled: Floats) -> Floats:
        """Shape ``(B, A)``."""
        scores: Floats = self.hidden(scaled) @ self.weights[-1]
        scores += self.biases[-1]
        return scores

    @staticmethod
    def layout(widths: Sequence[int], dtype: npt.DTypeLike) -> Layout:
        """What :meth:`state` gives for layers of these widths, from features to agents."""
        layers: dict[str, tuple[tuple[int, ...], npt.DTypeLike]] = {}
        for number, (width, out) in enumerate(pairwise(widths)):
            layers[f"layers.{number}.weights"] = ((width, out), dtype)
            layers[f"layers.{number}.biases"] = ((out,), dtype)
        return layers

    def state(self) -> State:
        """The arrays to save."""
        pairs = zip(self.weights, self.biases, strict=True)
        return {
            f"layers.{number}.{name}": array
            for number, pair in enumerate(pairs)
            for name, array in zip(("weights", "biases"), pair, strict=True)
        }

    @classmethod
    def restored(cls, state: State) -> Self:
        """The inverse of :meth:`state`."""
        count = sum(name.startswith("layers.") for name in state) // 2
        return cls(
            weights=tuple(state[f"layers.{number}.weights"] for number in range(count)),
            biases=tuple(state[f"layers.{number}.biases"] for number in range(count)),
        )
