"""The three jobs of the process that holds data: train and sample, score, measure.

What a job returns follows from its arguments and the files in the store alone. On the CPU,
killing the process between two jobs and asking a new one changes no bit.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from torch import nn
from torch.optim import Optimizer

from assistlearn.checkpoints.spec import ModelSpec
from assistlearn.checkpoints.store import CheckpointStore
from assistlearn.checkpoints.tensors import load_checkpoint, same_precision, save_checkpoint
from assistlearn.errors import LocalProtocolError, StorageError, TaskError
from assistlearn.losses import LocalLoss
from assistlearn.randomness import seed_torch
from assistlearn.task import Task
from assistlearn.training.evaluation import evaluating, local_loss
from assistlearn.training.memory import release_memory
from assistlearn.training.noise import standard_normal
from assistlearn.training.snapshots import SnapshotFolder
from assistlearn.training.user_code import user_code


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One sampled checkpoint of a local training."""

    step: int
    """Updates since the start of the round."""

    digest: str | None
    """The stored checkpoint; None when the model diverged (weights not finite or too large)."""

    loss: LocalLoss | None
    """This party's loss of the stored checkpoint; None when the model diverged."""

    noise: float
    """This party's secret standard normal draw for this level of loss, if it is reported
    privately. 0 where no loss is, or where losses are not clipped and so never told that way."""


@dataclass(slots=True, kw_only=True)
class _LiveTraining:
    """The model and optimiser that have just made ``step`` updates in ``round_``."""

    round_: int
    start: str
    step: int
    model: nn.Module
    optimizer: Optimizer


class Trainer:
    """One party's trainer. Holds at most two models: one in training, one for evaluation.

    Args:
        task: the user's task. Whatever it raises becomes TaskError.
        store: where checkpoints are written and looked up.
        snapshots: folder for what resuming needs; made if absent. None: cannot be resumed.
        spec: the agreed tensors, with their precision in checkpoint files.
        seed: the session's seed. Equal seeds give equal initial models on both sides.
        noise_seed: at least 16 secret bytes of this party.
        clip: bound on each example's part in clipped losses; None for no bound.
        party: ``"learner"`` or ``"provider"``: the two draw different random numbers.
    """

    def __init__(  # noqa: PLR0913  # a trainer's surroundings, by keyword
        self,
        task: Task,
        *,
        store: CheckpointStore,
        snapshots: Path | None,
        spec: ModelSpec,
        seed: int,
        noise_seed: bytes,
        clip: float | None,
        party: str,
    ) -> None:
        self._task = task
        self._store = store
        self._snapshots = None if snapshots is None else SnapshotFolder(snapshots)
        self._spec = spec
        self._seed = seed
        self._noise_seed = noise_seed
        self._clip = clip
        self._party = party
        self._live: _LiveTraining | None = None
        self._spare: nn.Module | None = None  # for evaluation only

    def initial(self) -> Sample:
        """Build the model that the first round starts from, store it and evaluate it.

        Raises:
            TaskError: the initial weights are not finite, or the task raised.
            TensorError: the task builds a model other than the agreed one.
        """
        seed_torch(self._seed, "initial model")
        with user_code("build_model"):
            model = self._task.build_model()
        sample = self._sample(model, step=0)
        if sample.digest is None:
            raise TaskError(
                "the model that build_model() returns holds values that are not finite",
                hint="initialise every parameter and buffer",
            )
        return sample

    def train(  # noqa: PLR0913  # one job's whole description, by keyword
        self,
        *,
        round_: int,
        start: str,
        from_step: int,
        to_step: int,
        first_update: int,
        last: bool = False,
    ) -> Sample:
        """Make the updates between two sampled steps of a round, and sample the model after them.

        When this returns, the checkpoint and (unless ``last``) a snapshot are on disk, so the
        next call may come from a new process.

        Args:
            round_: assistance round, from 1.
            start: digest of the checkpoint that the round started from.
            from_step: updates made in this round so far. At 0 the optimiser starts afresh.
            to_step: updates made in this round afterwards.
            first_update: this party's updates in all earlier rounds and in this one so far.
            last: nothing will be trained on from ``to_step``.

        Raises:
            TaskError: the task raised, or broke its promises.
            StorageError: a file is missing, or the disk is full, read-only or failing.
        """
        live = self._at(round_=round_, start=start, step=from_step)
        self._live = None  # until the updates below are done it is at no step at all
        seed_torch(self._seed, self._party, "train", round_, from_step)
        updates = range(first_update, first_update + to_step - from_step)
        with user_code("train"):
            self._task.train(live.model, live.optimizer, updates)
        live.step = to_step
        live.model.zero_grad(set_to_none=True)  # a new process would have none either
        release_memory()

        # The local loss only reads the model, and the disk has nothing to do meanwhile.
        with ThreadPoolExecutor(max_workers=1) as writer:
            written = None
            if self._snapshots is not None and not last:
                save = self._snapshots.save
                written = writer.submit(save, round_, start, to_step, live.model, live.optimizer)
            sample = self._sample(live.model, step=to_step)
            if written is not None:
                written.result()
        if self._snapshots is not None:
            self._snapshots.keep_only(round_, start, (from_step, to_step))
        self._live = None if last else live
        return sample

    def score(
        self, digest: str, *, hopeless: Callable[[float], bool] | None = None
    ) -> LocalLoss | None:
        """This party's loss of a stored checkpoint; see :func:`local_loss` for ``hopeless``.

        Raises:
            TaskError: the task raised, or broke its promises.
            StorageError: the checkpoint is not in the store.
        """
        return self._loss(self._loaded(digest), hopeless)

    def metrics(self, digest: str) -> Mapping[str, float]:
        """The task's figures for people about a stored checkpoint.

        Raises:
            TaskError: the task raised, or returned something other than names and numbers.
            StorageError: the checkpoint is not in the store.
        """
        model = self._loaded(digest)
        self._seed_evaluation()
        with evaluating(model), user_code("metrics"):
            return {str(name): float(value) for name, value in self._task.metrics(model).items()}

    def _at(self, *, round_: int, start: str, step: int) -> _LiveTraining:
        """The training at exactly this point: still in memory, from its snapshot, or new."""
        live = self._live
        if (
            step
            and live is not None
            and (live.round_, live.start, live.step) == (round_, start, step)
        ):
            return live
        # Free both old models before the next one is built; the spare one is not needed soon.
        self._live = live = self._spare = None
        release_memory()
        seed_torch(self._seed, self._party, "build", round_)
        # Always a new object, so that nothing outside its state survives from the last round:
        # a new process could not know of it.
        with user_code("build_model"):
            model = self._task.build_model()
        if step == 0:
            self._load(model, start)
        with user_code("build_optimizer"):
            optimizer = self._task.build_optimizer(model)
        if step:
            if self._snapshots is None:
                raise LocalProtocolError(f"no snapshots are kept, so step {step} is out of reach")
            self._snapshots.load(round_, start, step, model, optimizer)
        return _LiveTraining(
            round_=round_, start=start, step=step, model=model, optimizer=optimizer
        )

    def _sample(self, model: nn.Module, *, step: int) -> Sample:
        digest = save_checkpoint(model, self._spec, self._store)
        loss = None
        if digest is not None:
            # What is evaluated must be what was stored, so a rounded checkpoint is read back.
            exact = same_precision(model, self._spec)
            loss = self._loss(model if exact else self._loaded(digest), None)
        noise = 0.0
        if loss is not None and self._clip is not None:
            noise = standard_normal(self._noise_seed, level=loss.level(self._clip))
        return Sample(step=step, digest=digest, loss=loss, noise=noise)

    def _loss(self, model: nn.Module, hopeless: Callable[[float], bool] | None) -> LocalLoss | None:
        self._seed_evaluation()
        return local_loss(self._task, model, clip=self._clip, hopeless=hopeless)

    def _seed_evaluation(self) -> None:
        # The same numbers for every model: a loss that draws samples is then still a function
        # of the model alone, and two models are compared on the same draws.
        seed_torch(self._seed, self._party, "evaluate")

    def _loaded(self, digest: str) -> nn.Module:
        """The second model, holding a stored checkpoint. Never the one in training."""
        if self._spare is None:
            with user_code("build_model"):
                self._spare = self._task.build_model()
        self._load(self._spare, digest)
        return self._spare

    def _load(self, model: nn.Module, digest: str) -> None:
        if digest not in self._store:
            raise StorageError(
                f"checkpoint {digest[:16]} is not in the store",
                hint="restore the party's directory from a copy, or delete"
                f" {self._store.folder.parent} to give the session up",
            )
        load_checkpoint(model, self._spec, self._store.path(digest))
