"""Any torch rejector by Adam over mini-batches, with the best epoch by held-out deferral loss.

Letters: B examples, A agents.
"""

import copy
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from assistlearn.deferral.two_stage import Surrogate
from assistlearn.errors import ConfigError, DataError
from assistlearn.randomness import derive_seed

Indices = npt.NDArray[np.int64]
EVALUATION_ROWS: Final = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class AdamSettings:
    """How to train. The defaults suit tables of some thousand rows."""

    learning_rate: float = 3e-3
    batch_size: int = 256
    epochs: int = 200
    """At most; see ``patience``."""

    patience: int = 15
    """Epochs without a better one until training ends."""

    validation_fraction: float = 0.1
    """Share of the rows that is held out to choose the epoch by, at least one row; 0 for none,
    which keeps the last epoch."""

    weight_decay: float = 1e-4
    """Half of this times the squared weights is added to the loss. Biases are free."""

    seed: int = 0
    """Of the held-out rows and the order of batches."""

    def __post_init__(self) -> None:
        for name in ("learning_rate", "batch_size", "epochs", "patience"):
            if not getattr(self, name) > 0:
                raise ConfigError(
                    f"{name} is {getattr(self, name)}, must be above 0",
                    hint=f"leave {name} out for the default",
                )
        if not 0 <= self.validation_fraction < 1 or not self.weight_decay >= 0:
            raise ConfigError(
                f"validation_fraction is {self.validation_fraction}, weight_decay"
                f" {self.weight_decay}: must be in [0, 1) and >= 0",
                hint="leave them out for the defaults",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What came of it."""

    epochs: int
    """Passes over the training rows."""

    best_epoch: int
    """The one that was kept, counted from 1; 0 is the start."""

    deferral_loss: float
    """Of the epoch that was kept, on held-out rows; NaN if there were none."""

    converged: bool
    """Whether it ended by ``patience`` and not by ``epochs``. True without held-out rows."""


def train_rejector(
    rejector: nn.Module,
    features: Tensor | Sequence[Tensor],
    costs_BA: Tensor,
    surrogate: Surrogate,
    settings: AdamSettings | None = None,
) -> Training:
    """Train in place on ``surrogate``; keep the epoch with the least held-out *deferral loss*.

    The true loss chooses, as it is what counts and the surrogates of a family do not compare; equal
    losses are told apart by the surrogate. Held-out rows are a random share, so agents' costs must
    not come from data that the agents were fitted on (:mod:`.cross_fitting`).

    Args:
        rejector: takes the features (several as several arguments) to scores of shape ``(B, A)``.
        features: one tensor or several, with the examples along the first axis.
        costs_BA: cost of each agent's answer. Shape ``(B, A)``.
        surrogate: per-example loss of scores and costs.
        settings: how to train.

    Raises:
        DataError: there are fewer than two examples, or the loss stopped being a number.
    """
    settings = settings or AdamSettings()
    inputs = (features,) if isinstance(features, Tensor) else tuple(features)
    rows = len(costs_BA)
    if rows < 2 or any(len(each) != rows for each in inputs):  # noqa: PLR2004
        raise DataError(
            f"there are {[len(each) for each in inputs]} features for {rows} costs",
            hint="give at least two examples, with features and costs for each",
        )
    train_rows, held_rows = map(
        torch.from_numpy,
        held_out_rows(rows, fraction=settings.validation_fraction, seed=settings.seed),
    )
    lesson = _Lesson(rejector, inputs, costs_BA, surrogate)
    optimizer = _optimizer(rejector, settings)
    generator = torch.Generator().manual_seed(derive_seed(settings.seed, "batches"))
    # The start counts too: nothing is kept that does worse on the held-out rows.
    best = lesson.losses(held_rows) if len(held_rows) else (math.nan, math.nan)
    epoch, best_epoch, state = 0, 0, copy.deepcopy(rejector.state_dict())
    for epoch in range(1, settings.epochs + 1):
        order = train_rows[torch.randperm(len(train_rows), generator=generator)]
        lesson.train(optimizer, torch.split(order, settings.batch_size))
        if not len(held_rows):
            continue
        found = lesson.losses(held_rows)
        if found < best:
            best, best_epoch, state = found, epoch, copy.deepcopy(rejector.state_dict())
        elif epoch - best_epoch >= settings.patience:
            break
    if len(held_rows):
        rejector.load_state_dict(state)
    rejector.eval()
    return Training(
        epochs=epoch,
        best_epoch=best_epoch if len(held_rows) else epoch,
        deferral_loss=best[0],
        converged=not len(held_rows) or epoch - best_epoch >= settings.patience,
    )


def held_out_rows(rows: int, *, fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Numbers of the rows to train on and of those held out, ascending, none in both.

    Args:
        rows: at least 2.
        fraction: in [0, 1); any above 0 holds out at least one row and leaves at least one.
        seed: of the draw.
    """
    held = min(max(round(fraction * rows), 1), rows - 1) if fraction else 0
    generator = torch.Generator().manual_seed(derive_seed(seed, "held out"))
    order = torch.randperm(rows, generator=generator).numpy()
    return np.sort(order[held:]), np.sort(order[:held])


def _optimizer(rejector: nn.Module, settings: AdamSettings) -> torch.optim.Optimizer:
    parameters = [each for each in rejector.parameters() if each.requires_grad]
    groups = [
        {"params": [each for each in parameters if each.ndim > 1], "decay": True},
        {"params": [each for each in parameters if each.ndim <= 1], "decay": False},
    ]
    return torch.optim.Adam(
        [
            {
                "params": group["params"],
                "weight_decay": settings.weight_decay if group["decay"] else 0.0,
            }
            for group in groups
            if group["params"]
        ],
        lr=settings.learning_rate,
    )


class _Lesson(NamedTuple):
    """What is learned from what."""

    rejector: nn.Module
    inputs: tuple[Tensor, ...]
    costs: Tensor
    surrogate: Surrogate

    def train(self, optimizer: torch.optim.Optimizer, batches: Iterable[Tensor]) -> None:
        """One update for the rows of each batch."""
        self.rejector.train()
        for rows_B in batches:
            scores_BA, costs_BA = self._batch(rows_B)
            loss = self.surrogate(scores_BA, costs_BA).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    @torch.no_grad()
    def losses(self, rows_B: Tensor) -> tuple[float, float]:
        """Mean deferral loss and mean surrogate on these rows."""
        self.rejector.eval()
        true_loss = stand_in = 0.0
        for part_B in torch.split(rows_B, EVALUATION_ROWS):
            scores_BA, costs_BA = self._batch(part_B)
            chosen_B1 = costs_BA.gather(1, scores_BA.argmax(dim=1, keepdim=True))
            true_loss += float(chosen_B1.sum(dtype=torch.float64))
            stand_in += float(self.surrogate(scores_BA, costs_BA).sum(dtype=torch.float64))
        if not math.isfinite(stand_in):
            raise DataError(
                f"the surrogate is {stand_in} on held-out examples: training diverged",
                hint="lower learning_rate, or look for outliers among features and costs",
            )
        return true_loss / len(rows_B), stand_in / len(rows_B)

    def _batch(self, rows_B: Tensor) -> tuple[Tensor, Tensor]:
        rows_B = rows_B.to(self.costs.device)
        return self.rejector(*(each[rows_B] for each in self.inputs)), self.costs[rows_B]
