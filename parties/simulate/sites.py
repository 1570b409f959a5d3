"""The two parties' trainers of one seed, and the one that has both parties' data.

All methods of a seed share them: the same data, the same initial model, the same code.
"""

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Final

from assistlearn.checkpoints import CheckpointStore, ModelSpec
from assistlearn.checkpoints.tensors import model_spec
from assistlearn.digests import digest
from assistlearn.randomness import derive_seed, seed_torch
from assistlearn.task import Task
from assistlearn.tasks.splits import Party
from assistlearn.training import Trainer, choose_device, set_threads, use_deterministic
from assistlearn.training.user_code import user_code
from parties.settings import SimulationSettings
from parties.simulate.shares import share_of
from protocols.agreement import Agreement, LossPrecision, Side, Terms, Weighting, draw_up
from protocols.roles import Role
from protocols.selection import Criterion

PARTIES: Final[Mapping[Role, Party]] = {Role.LEARNER: "learner", Role.PROVIDER: "provider"}


class Sites:
    """Where the data are, in a simulation. Checkpoints go to one store, shared by all."""

    def __init__(self, settings: SimulationSettings, *, seed: int, folder: Path) -> None:
        """Load both parties' tasks and store the initial model.

        Args:
            settings: of the simulation; its seeds are not looked at.
            seed: of the split, the initial model, the data order and all other randomness.
            folder: for checkpoints; may be deleted afterwards.
        """
        problem = settings.task
        set_threads(problem.threads)
        use_deterministic(choose_device(problem.device))
        self.seed = seed
        self.store = CheckpointStore(folder / "checkpoints", durable=False)
        self._problem = problem
        self._imbalance = settings.split.imbalance
        self._clip = settings.terms.loss_clip
        self._terms = settings.terms.terms()
        self.tasks: Mapping[Role, Task] = {
            role: self._task(party) for role, party in PARTIES.items()
        }
        seed_torch(seed, "model specification")
        with user_code("build_model"):
            model = self.tasks[Role.LEARNER].build_model()
        self.spec: ModelSpec = model_spec(model, wire_dtype=problem.wire_dtype)
        self.trainers = {role: self._trainer(role, self.tasks[role]) for role in Role}
        self.initial = self.trainers[Role.LEARNER].initial()
        assert self.initial.loss is not None  # initial() raises where there is none

    @cached_property
    def pooled(self) -> Trainer:
        """A trainer that has both parties' data: what nobody may build in earnest."""
        return self._trainer("pooled", self._task("pooled"))

    @cached_property
    def samples(self) -> Mapping[Role, int]:
        """Examples in each party's local loss."""
        counts = {}
        for role in Role:
            loss = self.trainers[role].score(self.start)
            assert loss is not None  # nobody asked to stop early
            counts[role] = loss.count
        return counts

    @property
    def start(self) -> str:
        """Digest of the initial model."""
        assert self.initial.digest is not None
        return self.initial.digest

    @cached_property
    def agreement(self) -> Agreement:
        """What two parties with these terms and this seed would sign."""
        return draw_up(
            self._terms,
            learner=_side(Role.LEARNER, self.samples, self._terms),
            provider=_side(Role.PROVIDER, self.samples, self._terms),
            model=self.spec.digest,
            data=digest(b""),
        )

    def global_loss(self, name: str) -> float:
        """Exact loss of a stored checkpoint over both parties' data, per example."""
        own = self.trainers[Role.LEARNER].score(name)
        peer = self.trainers[Role.PROVIDER].score(name)
        assert own is not None
        assert peer is not None
        exact = dataclasses.replace(self._criterion(Role.LEARNER), precision=LossPrecision.EXACT)
        report = peer.total if self._terms.weighting is Weighting.SAMPLES else peer.mean
        return exact.global_loss(own.total, report)

    def metrics(self, name: str) -> Mapping[str, float]:
        """The learner's figures for people about a stored checkpoint."""
        return self.trainers[Role.LEARNER].metrics(name)

    def _criterion(self, role: Role) -> Criterion:
        return Criterion.of(self.agreement, role, own_samples=self.samples[role])

    def _task(self, party: Party) -> Task:
        return share_of(
            factory=self._problem.factory,
            settings=self._problem.settings,
            party=party,
            imbalance=self._imbalance,
            seed=self.seed,
            device=self._problem.device,
            precision=self._problem.precision,
        )

    def _trainer(self, party: str, task: Task) -> Trainer:
        return Trainer(
            task,
            store=self.store,
            snapshots=None,  # an interrupted run begins anew
            spec=self.spec,
            seed=self.seed,
            # Nobody to hide from here; a fixed seed makes private losses repeatable.
            noise_seed=derive_seed(self.seed, "loss noise", party).to_bytes(8) * 4,
            clip=self._clip if self._terms.loss_precision is not LossPrecision.EXACT else None,
            party=party,
        )


def _side(role: Role, samples: Mapping[Role, int], terms: Terms) -> Side:
    """Names in place of keys: nothing is sealed where both parties are one process."""
    hidden = terms.weighting is Weighting.PARTIES
    return Side(
        fingerprint=digest(role.encode()),
        nonce=digest(f"nonce of the {role}".encode()),
        sealing_key=digest(f"sealing key of the {role}".encode()),
        samples=0 if hidden else samples[role],
    )
