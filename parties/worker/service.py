"""The worker's answers: one request at a time, from a task and a session's folder."""

from pathlib import Path
from typing import Final

from torch import nn

from assistlearn.checkpoints import CheckpointStore, ModelSpec
from assistlearn.checkpoints.tensors import WireDType, model_spec
from assistlearn.errors import AssistLearnError, LocalProtocolError, TaskError
from assistlearn.randomness import seed_torch
from assistlearn.task import Task
from assistlearn.training import Trainer, local_loss
from assistlearn.training.memory import release_memory
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
        self._begun: tuple[Trainer, Criterion] | None = None

    def answer(self, request: Request) -> Reply:
        """The answer; one of our errors becomes :class:`Failed`, anything else is raised."""
        try:
            return self._answer(request)
        except AssistLearnError as error:
            return Failed(error=type(error).__name__, message=str(error), hint=error.hint)

    def _answer(self, request: Request) -> Reply:
        match request:
            case Describe():
                return self._describe()
            case Begin():
                return self._begin(request)
            case Initialise():
                sample = self._session[0].initial()
                assert sample.digest is not None
                assert sample.loss is not None
                return Started(digest=sample.digest, loss=sample.loss)
            case Train() | Score():
                return carry_out(request, *self._session)
            case Measure():
                metrics = self._session[0].metrics(request.digest)
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
        trainer = Trainer(
            self._task,
            store=store,
            snapshots=folder / "snapshots",
            spec=spec,
            seed=self._seed,
            noise_seed=request.noise_seed,
            clip=None if exact else float(agreement.loss_clip),
            party=self._role.value,
        )
        criterion = Criterion.of(agreement, self._role, own_samples=request.samples)
        self._begun = (trainer, criterion)
        return Begun()

    @property
    def _session(self) -> tuple[Trainer, Criterion]:
        if self._begun is None:
            raise LocalProtocolError("the worker was given no session to work on")
        return self._begun

    def _describe(self) -> Described:
        loss = local_loss(self._task, self._model(), clip=None)
        assert loss is not None
        described = Described(
            spec=self._model_spec().text(),
            samples=loss.count,
            # Optional for a task: what its data must have in common with the other side's.
            schema=self._schema(),
        )
        release_memory()  # of the models built for this: a provider may now wait for days
        return described

    def _schema(self) -> str:
        schema = str(getattr(self._task, "schema", ""))
        if len(schema) > MAX_SCHEMA:
            raise TaskError(
                f"the task's schema has {len(schema)} characters, more than {MAX_SCHEMA}",
                hint="let the task state a digest of what is long",
            )
        return schema

    def _model(self) -> nn.Module:
        seed_torch(self._seed, "describe")
        with user_code("build_model"):
            return self._task.build_model()

    def _model_spec(self) -> ModelSpec:
        if self._spec is None:
            self._spec = model_spec(self._model(), wire_dtype=self._wire_dtype)
        return self._spec
