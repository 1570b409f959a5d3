"""A session of both real machines in one process: no network, no keys, the same winners.

Trainers get the same seeds and machines the same events as in two real processes, so every
choice and every checkpoint has the same bits.
"""

import time
from collections import deque
from collections.abc import Iterator

from parties.simulate.outcome import MethodRound
from parties.simulate.sites import Sites
from parties.simulate.traffic import Traffic
from parties.work import carry_out
from protocols.events import Event, Received, RoundResult, Started
from protocols.learner import LearnerMachine
from protocols.messages import CheckpointMessage, Message
from protocols.provider import ProviderMachine
from protocols.roles import Role
from protocols.selection import Criterion


class LocalSession:
    """Both machines, and the letter boxes between them."""

    def __init__(self, sites: Sites, *, minimum_gain: float | None = None) -> None:
        agreement, samples = sites.agreement, sites.samples
        self.learner = LearnerMachine(
            agreement, own_samples=samples[Role.LEARNER], minimum_gain=minimum_gain
        )
        self.provider = ProviderMachine(agreement, own_samples=samples[Role.PROVIDER])
        self.traffic = Traffic(sites.spec.file_bytes)
        self._sites = sites
        self._criteria = {
            role: Criterion.of(agreement, role, own_samples=samples[role]) for role in Role
        }
        self._letters: dict[Role, deque[Message]] = {role: deque() for role in Role}
        self._steps: dict[tuple[int, str], int] = {}

    def rounds(self) -> Iterator[RoundResult]:
        """Play the session and give each round's result when the learner has it."""
        initial = self._sites.initial
        assert initial.digest is not None
        assert initial.loss is not None
        self._tell(Role.LEARNER, Started(digest=initial.digest, loss=initial.loss))
        told = 0
        while not (self.learner.done and self.provider.done):
            moved = [self._turn(role) for role in Role]
            assert any(moved), "both parties wait for each other"
            if len(self.learner.results) > told:
                yield self.learner.results[told]
                told += 1
        self._keep_needed()

    def learner_step(self, result: RoundResult) -> int:
        """Where on the learner's trajectory the provider's choice of this round lies."""
        return self._steps[result.round, result.provider_choice]

    def _turn(self, role: Role) -> bool:
        """Read what has come, do the work that follows from it, and say if there was any."""
        letters = self._letters[role]
        read = len(letters)
        while letters:
            self._tell(role, Received(message=letters.popleft()))
        work = self._machine(role).work
        if work is not None:
            event = carry_out(work, self._sites.trainers[role], self._criteria[role])
            self._tell(role, event)
            self._keep_needed()
        return bool(read) or work is not None

    def _keep_needed(self) -> None:
        needed = self.learner.needed | self.provider.needed
        self._sites.store.keep_only(needed | {self._sites.start})

    def _machine(self, role: Role) -> LearnerMachine | ProviderMachine:
        return self.learner if role is Role.LEARNER else self.provider

    def _tell(self, role: Role, event: Event) -> None:
        for message in self._machine(role).handle(event):
            self._letters[role.peer].append(message)
            self.traffic.count(role, message)
            if role is Role.LEARNER and isinstance(message, CheckpointMessage):
                self._steps.setdefault((message.round, message.digest), message.step)


def assisted(sites: Sites, *, minimum_gain: float | None = None) -> Iterator[MethodRound]:
    """The method under study: what the learner holds after each round that it buys."""
    session = LocalSession(sites, minimum_gain=minimum_gain)
    started = time.perf_counter()
    for result in session.rounds():
        seconds = time.perf_counter() - started
        held = session.learner.best  # the round's own result, unless losses are private
        sent, received = session.traffic.of(result.round)
        yield MethodRound(
            round=result.round,
            global_loss=sites.global_loss(held.digest),
            metrics=sites.metrics(held.digest),
            sent_bytes=sent,
            received_bytes=received,
            seconds=seconds,
            learner_step=session.learner_step(result),
            provider_step=result.step,
        )
        started = time.perf_counter()
