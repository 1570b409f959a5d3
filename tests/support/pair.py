"""Both round machines and a perfect link, over models that are only names with random losses."""

import dataclasses
import random
from collections import deque
from dataclasses import dataclass, field

from assistlearn.digests import digest
from assistlearn.losses import LocalLoss
from protocols.agreement import Agreement, LossPrecision, Weighting
from protocols.events import Event, Received, Sampled, Score, Scored, Started, Train
from protocols.learner import LearnerMachine
from protocols.messages import Message
from protocols.provider import ProviderMachine
from protocols.roles import Role
from protocols.sampling import Sampling
from protocols.selection import Criterion


def agreement(**changes: object) -> Agreement:
    """A small valid agreement."""
    plain = Agreement(
        learner=digest(b"learner"),
        provider=digest(b"provider"),
        learner_nonce=digest(b"nonce of the learner"),
        provider_nonce=digest(b"nonce of the provider"),
        learner_sealing_key=digest(b"key of the learner"),
        provider_sealing_key=digest(b"key of the provider"),
        learner_samples=10,
        provider_samples=40,
        model=digest(b"model"),
        data=digest(b""),
        task="toy",
        objective="minimise-loss",
        loss="cross_entropy",
        rounds=3,
        learner_steps=4,
        provider_steps=6,
        proposal="grid",
        sampling=Sampling.EVEN,
        sampling_period=2,
        include_last=1,
        weighting=Weighting.SAMPLES,
        loss_precision=LossPrecision.EXACT,
        loss_clip="4.0",
        loss_noise="0.0",
        optimiser_state="reset",
        round_bytes=10**9,
        price=0,
        currency="EUR",
        budget=0,
    )
    return dataclasses.replace(plain, **changes)


@dataclass
class World:
    """What one party would see of its data: a fixed random loss for every model."""

    role: Role
    samples: int
    seed: int
    diverges: float = 0.0
    """Share of sampled models whose weights are not finite."""
    examined: int = 0
    """Examples looked at in scoring."""

    def loss(self, name: str) -> LocalLoss:
        examples = self.examples(name)
        return LocalLoss(
            total=sum(examples), clipped=sum(min(x, 4.0) for x in examples), count=self.samples
        )

    def examples(self, name: str) -> list[float]:
        rng = random.Random(f"{self.seed} {self.role} {name}")
        level = rng.choice([0.0, 0.5, 1.0, 1.0, 2.0, 6.0])  # repeats make ties
        return [level * rng.choice([0.5, 1.0, 1.5]) for _ in range(self.samples)]

    def train(self, work: Train) -> Sampled:
        rng = random.Random(f"{self.seed} {self.role} {work.round} {work.to_step}")
        noise = rng.gauss(0, 1)
        if rng.random() < self.diverges:
            return Sampled(step=work.to_step, digest="", loss=None, noise=noise)
        name = digest(f"{self.role} {work.start} {work.to_step}".encode())
        return Sampled(step=work.to_step, digest=name, loss=self.loss(name), noise=noise)

    def score(self, work: Score, criterion: Criterion, *, stop_early: bool) -> Scored:
        total = 0.0
        for example in self.examples(work.digest):
            total += example
            self.examined += 1
            if stop_early and criterion.global_loss(total, work.report) >= work.best:
                return Scored(digest=work.digest, loss=None)
        return Scored(digest=work.digest, loss=self.loss(work.digest))


@dataclass
class Pair:
    """Two parties in one process. ``run`` plays the session to its end."""

    terms: Agreement
    seed: int = 0
    stop_early: bool = True
    diverges: float = 0.0
    minimum_gain: float | None = None
    sent: dict[Role, list[Message]] = field(default_factory=lambda: {r: [] for r in Role})
    events: dict[Role, list[Event]] = field(default_factory=lambda: {r: [] for r in Role})

    def __post_init__(self) -> None:
        counts = {Role.LEARNER: 10, Role.PROVIDER: 40}
        self.worlds = {r: World(r, counts[r], self.seed, self.diverges) for r in Role}
        self.criteria = {r: Criterion.of(self.terms, r, own_samples=counts[r]) for r in Role}
        self.learner = LearnerMachine(self.terms, own_samples=10, minimum_gain=self.minimum_gain)
        self.provider = ProviderMachine(self.terms, own_samples=40)

    def machine(self, role: Role) -> LearnerMachine | ProviderMachine:
        return self.learner if role is Role.LEARNER else self.provider

    def tell(self, role: Role, event: Event) -> None:
        self.events[role].append(event)
        for message in self.machine(role).handle(event):
            self.sent[role].append(message)
            self._links[role.peer].append(message)

    def run(self) -> "Pair":
        self._links: dict[Role, deque[Message]] = {r: deque() for r in Role}
        initial = digest(b"initial model")
        self.tell(
            Role.LEARNER,
            Started(digest=initial, loss=self.worlds[Role.LEARNER].loss(initial)),
        )
        while any(self._links.values()) or any(self.machine(r).work for r in Role):
            for role in Role:
                while self._links[role]:
                    self.tell(role, Received(message=self._links[role].popleft()))
                work = self.machine(role).work
                if isinstance(work, Train):
                    self.tell(role, self.worlds[role].train(work))
                elif isinstance(work, Score):
                    scored = self.worlds[role].score(
                        work, self.criteria[role], stop_early=self.stop_early
                    )
                    self.tell(role, scored)
        return self
