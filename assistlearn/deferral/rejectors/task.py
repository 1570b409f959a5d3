"""A rejector as a task, so that two parties can train one in assistance rounds.

Each party has features and its agents' costs on its own examples; neither shows them. Settings
name :func:`outcomes_task`.

Letters: B examples, A agents.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from assistlearn.deferral.rejectors.modules import TableRejector
from assistlearn.deferral.surrogates import SurrogateSettings, named_surrogate
from assistlearn.deferral.two_stage import Surrogate
from assistlearn.errors import ConfigError, DataError
from assistlearn.tasks.columns import numbers, read_npz
from assistlearn.tasks.examples import ShuffledEpochs
from assistlearn.tasks.optimizers import make_optimizer
from assistlearn.tasks.schema import schema
from assistlearn.tasks.splits import Share, share_indices
from assistlearn.training.devices import autocast, choose_device

EVALUATION_BATCH: Final = 4096
EVALUATION_NUMBERS: Final = 1 << 22  # of all pairs of agents in one such batch
FITTED_TO_COSTS: Final = frozenset({"class_balanced", "ldam", "logit_adjusted"})


class RejectorTask:
    """A :class:`assistlearn.task.Task`: features, costs, a rejector and its surrogate.

    Args:
        build: returns a new rejector: a module from the features (several as several arguments)
            to scores of shape ``(B, A)``. Both parties must build the same one.
        features: this party's, one tensor or several, examples along the first axis.
        costs_BA: what each agent's answer costs on them, prices included. Shape ``(B, A)``.
        surrogate: a name of :func:`assistlearn.deferral.surrogates.surrogate_names`, or a function
            of scores and costs to losses >= 0 of shape ``(B,)``, the same on both sides.
        surrogate_settings: keyword arguments of a named one.
        test: features and costs for :meth:`metrics`; None to measure on one's own.
        optimizer: a class of ``torch.optim`` by name.
        optimizer_settings: its keyword arguments.
        batch_size: examples in one update.
        device: see :func:`assistlearn.training.devices.choose_device`.
        precision: ``"float32"``, or ``"bfloat16"`` for mixed precision.
        seed: of the order of examples.
        schema: what both sides must have alike; see :class:`assistlearn.task.Task`.

    Raises:
        ConfigError: a setting is wrong, or the surrogate would follow from one party's costs.
        DataError: features and costs do not fit each other, or the surrogate.
    """

    def __init__(  # noqa: PLR0913  # the parts of a task, by keyword
        self,
        *,
        build: Callable[[], nn.Module],
        features: Tensor | Sequence[Tensor],
        costs_BA: Tensor,
        surrogate: str | Surrogate = "two_stage",
        surrogate_settings: Mapping[str, Any] | None = None,
        test: tuple[Tensor | Sequence[Tensor], Tensor] | None = None,
        optimizer: str = "Adam",
        optimizer_settings: Mapping[str, Any] | None = None,
        batch_size: int = 64,
        device: str = "auto",
        precision: str = "float32",
        seed: int = 0,
        schema: str = "",
    ) -> None:
        self.schema = schema
        self.device = choose_device(device)
        self._precision = precision
        autocast(self.device, precision)  # refuse now what would fail in the first round
        self._build = build
        self._own = self._on_device(features, costs_BA)
        self._test = self._own if test is None else self._on_device(*test)
        self._prefix = "train_" if test is None else ""
        self._loss = _alike(surrogate, surrogate_settings or {}, self._own[1])
        self._optimizer = optimizer
        self._optimizer_settings = dict(optimizer_settings or {})
        make_optimizer(optimizer, [nn.Parameter(torch.zeros(1))], self._optimizer_settings)
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}, must be >= 1", hint="set it to 64")
        self._epochs = ShuffledEpochs(count=len(costs_BA), batch_size=batch_size, seed=seed)

    def build_model(self) -> nn.Module:
        """A new rejector on this task's device."""
        return self._build().to(self.device)

    def build_optimizer(self, model: nn.Module) -> Optimizer:
        """A new optimiser over all parameters that require gradients."""
        trainable = [each for each in model.parameters() if each.requires_grad]
        return make_optimizer(self._optimizer, trainable, self._optimizer_settings)

    def train(self, model: nn.Module, optimizer: Optimizer, steps: range) -> None:
        """One update for each number in ``steps``, on the mean surrogate of its batch."""
        model.train()
        inputs, costs_BA = self._own
        for numbers_B in map(self._epochs.numbers, steps):
            rows = numbers_B.to(self.device)
            scores_BA = self._scores(model, [each[rows] for each in inputs])
            loss = self._loss(scores_BA, costs_BA[rows]).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    def losses(self, model: nn.Module) -> Iterator[Tensor]:
        """Surrogate losses of this party's own examples, in their own order."""
        for scores_BA, costs_BA in self._in_order(model, self._own):
            yield self._loss(scores_BA, costs_BA)

    @torch.no_grad()
    def metrics(self, model: nn.Module) -> Mapping[str, float]:
        """Deferral loss beside its bounds, and the share that agent 0 answers.

        On the test examples; without any, on one's own, and named ``train_...``.
        """
        chosen, coverage, examples = 0.0, 0, 0
        for scores_BA, costs_BA in self._in_order(model, self._test):
            agents_B1 = scores_BA.argmax(dim=1, keepdim=True)
            chosen += float(costs_BA.gather(1, agents_B1).sum(dtype=torch.float64))
            coverage += int((agents_B1 == 0).sum())
            examples += len(costs_BA)
        costs_BA = self._test[1].double()
        figures = {
            "deferral_loss": chosen / examples,
            "coverage": coverage / examples,
            "best_fixed_agent_loss": float(costs_BA.mean(dim=0).min()),
            "oracle_loss": float(costs_BA.amin(dim=1).mean()),
        }
        return {f"{self._prefix}{name}": value for name, value in figures.items()}

    def _in_order(
        self, model: nn.Module, data: tuple[tuple[Tensor, ...], Tensor]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        inputs, costs_BA = data
        size = min(EVALUATION_BATCH, max(EVALUATION_NUMBERS // costs_BA.shape[1] ** 2, 64))
        for start in range(0, len(costs_BA), size):
            rows = slice(start, start + size)
            yield self._scores(model, [each[rows] for each in inputs]), costs_BA[rows]

    def _scores(self, model: nn.Module, inputs: Sequence[Tensor]) -> Tensor:
        with autocast(self.device, self._precision):
            scores_BA: Tensor = model(*inputs)
        return scores_BA.float()

    def _on_device(
        self, features: Tensor | Sequence[Tensor], costs_BA: Tensor
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        several = isinstance(features, list | tuple)
        inputs = tuple(features) if several else (cast("Tensor", features),)
        for each in (*inputs, costs_BA):
            if not isinstance(each, Tensor):
                raise DataError(
                    f"features or costs are a {type(each).__name__}, must be tensors",
                    hint="make them with torch.from_numpy(...).float()",
                )
        lengths = [len(each) for each in inputs]
        if not len(costs_BA) or set(lengths) != {len(costs_BA)}:
            raise DataError(
                f"there are {lengths} features for {len(costs_BA)} costs",
                hint="give at least one example, with features and costs for each",
            )
        return tuple(each.to(self.device) for each in inputs), costs_BA.float().to(self.device)


def outcomes_task(  # noqa: PLR0913  # settings of a file, by keyword
    *,
    train: str | Path,
    agents: Sequence[str],
    test: str | Path | None = None,
    features: str = "features",
    costs: str = "costs",
    mean: float | Sequence[float] = 0.0,
    std: float | Sequence[float] = 1.0,
    hidden: Sequence[int] = (),
    surrogate: str = "two_stage",
    surrogate_settings: Mapping[str, Any] | None = None,
    optimizer: str = "Adam",
    optimizer_settings: Mapping[str, Any] | None = None,
    batch_size: int = 64,
    device: str = "auto",
    precision: str = "float32",
    seed: int = 0,
    share: Share | None = None,
) -> RejectorTask:
    """A table's rejector from NPZ files: ``assistlearn.deferral.rejectors.task:outcomes_task``.

    Args:
        train: this party's file.
        agents: their names in the order of the costs' columns, the same on both sides.
        test: file of held-out examples.
        features: name of the array of features, shape ``(N, F)``.
        costs: name of the array of costs, prices included, shape ``(N, A)``.
        mean: subtracted from the features, the same on both sides.
        std: the features are divided by it afterwards.
        hidden: widths of the rejector's hidden layers.
        surrogate: by name; see :class:`RejectorTask`, also for what follows.
        surrogate_settings: keyword arguments of the surrogate.
        optimizer: a class of ``torch.optim`` by name.
        optimizer_settings: its keyword arguments.
        batch_size: examples in one update.
        device: where to train.
        precision: of forward passes.
        seed: of the order of examples.
        share: which part to take, the classes being the cheapest agents; None for all.

    Raises:
        DataError: a file or array is missing, or a value cannot be used.
        ConfigError: a setting is wrong.
    """

    def read(path: Path) -> tuple[Tensor, Tensor]:
        x, y = (
            numbers(each, name, path).astype(np.float32)
            for each, name in zip(read_npz(path, features, costs), (features, costs), strict=True)
        )
        if x.ndim != 2 or y.ndim != 2 or y.shape[1] != len(agents):  # noqa: PLR2004
            raise DataError(
                f"{path} has features of shape {x.shape} and costs of {y.shape}, for"
                f" {len(agents)} agents",
                hint="save features as (N, F) and costs as (N, A)",
            )
        x -= _scale("mean", mean, x.shape[1])
        x /= _scale("std", std, x.shape[1])
        if not (np.isfinite(x).all() and np.isfinite(y).all() and (y >= 0).all()):
            raise DataError(
                f"{path} holds values that are not finite, or costs below 0",
                hint="remove these examples",
            )
        return torch.from_numpy(x), torch.from_numpy(y)

    own = read(Path(train))
    held_out = None if test is None else read(Path(test))
    if share is not None:
        mine = torch.from_numpy(share_indices(own[1].argmin(dim=1).numpy(), share))
        own = own[0][mine], own[1][mine]
    width, count = own[0].shape[1], len(agents)
    return RejectorTask(
        build=lambda: TableRejector(width, count, hidden=hidden),
        features=own[0],
        costs_BA=own[1],
        surrogate=surrogate,
        surrogate_settings=surrogate_settings,
        test=held_out,
        optimizer=optimizer,
        optimizer_settings=optimizer_settings,
        batch_size=batch_size,
        device=device,
        precision=precision,
        seed=seed,
        schema=schema(
            None,
            {
                "rejector": [width, *hidden],
                "agents": [*agents],
                "surrogate": surrogate,
                "surrogate_settings": surrogate_settings or {},
                "mean": mean,
                "std": std,
            },
        ),
    )


def _scale(what: str, given: float | Sequence[float], features: int) -> npt.NDArray[np.float32]:
    values = np.asarray(given, np.float32)
    if values.shape not in {(), (features,)}:
        raise ConfigError(
            f"{what} has shape {values.shape}, for {features} features",
            hint="give one number, or one for each feature",
        )
    if not np.isfinite(values).all() or (what == "std" and not (values > 0).all()):
        raise ConfigError(
            f"{what} is {values.tolist()}, must be finite{', and above 0' * (what == 'std')}",
            hint="take it from training features; 1 for a feature that is constant",
        )
    return values


def _alike(surrogate: str | Surrogate, given: Mapping[str, Any], costs_BA: Tensor) -> Surrogate:
    """The loss, if it is the same for both parties."""
    if not isinstance(surrogate, str):
        return surrogate
    settings: SurrogateSettings = named_surrogate(surrogate, **given)
    if settings.name in FITTED_TO_COSTS or getattr(settings, "margins", ()) is None:
        raise ConfigError(
            f"surrogate {surrogate!r} takes counts or margins from one party's own costs",
            hint='use "two_stage", or set margins in surrogate_settings, the same on both sides',
        )
    return settings.prepare(costs_BA)
