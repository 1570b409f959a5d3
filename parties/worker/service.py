"""The worker's answers: one request at a time, from a task and a session's folder."""

from pathlib import Path
from typing import Final

from assistlearn.checkpoints import CheckpointStore, ModelSpec
from assistlearn.checkpoints.tensors import WireDType, model_spec
from assistlearn.errors import AssistLearnError, LocalProtocolError, TaskError
from assistlearn.randomness import seed_torch
from assistlearn.task import Task
from assistlearn.training import Trainer, local_loss
from assistlearn.training.user_code import user_code
from parties.work import carry_out
from parties.worker.requests import (
    Begin,
    Begun,
    Describe,
    Described,
    Failed,
    Initialise,
    Measure,
    Measured,
    Reply,
    Request,
)
from protocols.agreement import Agreement, LossPrecision
from protocols.events import Score, Started, Train
from protocols.roles import Role
from protocols.selection import Criterion

MAX_SCHEMA: Final = 1 << 20  # characters; only its digest is agreed on


class WorkerService:
    """Answers requests. What it returns depends on the task, the files and the request only."""

    def __init__(
        self, task: Task, *, role: Role, rounds: Path, wire_dtype: WireDType, seed: int
    ) -> None:
        """Serve ``task``.

        Args:
            task: the user's task.
            role: this party's role.
            rounds: folder with one folder a session.
            wire_dtype: precision of the weights in checkpoints.
            seed: this party's seed.
        """
        self._task = task
        self._role = role
        self._rounds = rounds
        self._wire_dtype = wire_dtype
        self._seed = seed
        self._spec: ModelSpec | None = None
        self._samples: int | None = None
        self._trainer: Trainer | None = None
        self._agreement: Agreement | None = None

    def answer(self, request: Request) -> Reply:
        """The answer; one of our errors becomes :class:`Failed`, anything else is raised."""
        try:
            return self._answer(request)
        except AssistLearnError as error:
            return Failed(error=type(error).__name__, message=str(error), hint=error.hint)

    def _answer(self, request: Request) -> Reply:
        match request:
            case Describe():
                # Optional for a task: what its data must have in common with the other side's.
                schema = str(getattr(self._task, "schema", ""))[:MAX_SCHEMA]
                return Described(
                    spec=self._model_spec().text(), samples=self._count(), schema=schema
                )
            case Begin():
                return self._begin(request)
            case Initialise():
                sample = self._begun().initial()
                assert sample.digest is not None
                assert sample.loss is not None
                return Started(digest=sample.digest, loss=sample.loss)
            case Train() | Score():
                return carry_out(request, self._begun(), self._criterion())
            case Measure():
                metrics = self._begun().metrics(request.digest)
                return Measured(digest=request.digest, metrics=tuple(metrics.items()))

    def _begin(self, request: Begin) -> Begun:
        agreement = Agreement.parse(request.agreement)
        spec = self._model_spec()
        if spec.digest != agreement.model:
            raise TaskError(
                f"the task builds another model than was agreed: {spec.digest[:16]}, not"
                f" {agreement.model[:16]}",
                hint="undo the change to [task], or finish the session with the old settings",
            )
        folder = self._rounds / agreement.session[:16]
        store = CheckpointStore(folder / "spool")
        store.discard_unfinished()  # of a worker that was killed; only we write here
        exact = agreement.loss_precision is LossPrecision.EXACT
        self._agreement = agreement
        self._trainer = Trainer(
            self._task,
            store=store,
            snapshots=folder / "snapshots",
            spec=spec,
            seed=self._seed,
            noise_seed=request.noise_seed,
            clip=None if exact else float(agreement.loss_clip),
            party=self._role.value,
        )
        return Begun()

    def _criterion(self) -> Criterion:
        agreement = self._agreement
        if agreement is None:
            raise LocalProtocolError("the worker was given no session to work on")
        # Only scoring needs the count, and counting is an evaluation: once a worker.
        return Criterion.of(agreement, self._role, own_samples=self._count())

    def _begun(self) -> Trainer:
        if self._trainer is None:
            raise LocalProtocolError("the worker was given no session to work on")
        return self._trainer

    def _model_spec(self) -> ModelSpec:
        if self._spec is None:
            seed_torch(self._seed, "describe")
            with user_code("build_model"):
                model = self._task.build_model()
            self._spec = model_spec(model, wire_dtype=self._wire_dtype)
        return self._spec

    def _count(self) -> int:
        if self._samples is None:
            seed_torch(self._seed, "describe")
            with user_code("build_model"):
                model = self._task.build_model()
            loss = local_loss(self._task, model, clip=None)
            assert loss is not None
            self._samples = loss.count
        return self._samples
