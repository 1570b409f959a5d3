"""AssistDeep round logic, learner's side. No sockets, files, clocks or torch in here.

Tell it what happened with :meth:`LearnerMachine.handle`, send the messages it returns in that
order, and do the work that :attr:`LearnerMachine.work` names. Which event is legal when is
decided by ``TRANSITIONS`` alone; SPEC.md draws its diagram from it.
"""

import math
from enum import Enum
from typing import Final, assert_never

from assistlearn.losses import LocalLoss
from protocols.agreement import Agreement
from protocols.events import Event, Received, RoundResult, Sampled, Scored, Started, Work
from protocols.messages import Carriage, CloseReason, Message, SessionClosed
from protocols.roles import Role
from protocols.selection import Criterion, select_checkpoint
from protocols.trajectory import IncomingTrajectory, OutgoingTrajectory
from protocols.turns import Transitions, states_after


class LearnerState(Enum):
    """Where a learner stands."""

    IDLE = "idle"
    TRAINING = "training"
    RECEIVING = "receiving"
    DONE = "done"


TRANSITIONS: Final[Transitions[LearnerState]] = {
    LearnerState.IDLE: {Started: (LearnerState.TRAINING, LearnerState.RECEIVING)},
    LearnerState.TRAINING: {Sampled: (LearnerState.TRAINING, LearnerState.RECEIVING)},
    LearnerState.RECEIVING: {
        Received: (
            LearnerState.RECEIVING,
            LearnerState.TRAINING,
            LearnerState.DONE,
        ),
        Scored: (
            LearnerState.RECEIVING,
            LearnerState.TRAINING,
            LearnerState.DONE,
        ),
    },
    LearnerState.DONE: {},
}


class LearnerMachine:
    """A learner's place in its assistance rounds."""

    def __init__(
        self, agreement: Agreement, *, own_samples: int, minimum_gain: float | None = None
    ) -> None:
        """A learner before its first round.

        Args:
            agreement: what both parties signed.
            own_samples: examples in the learner's local loss.
            minimum_gain: buy no further round once one lowers the global loss by less, or ends
                without a finite one.

        Raises:
            LocalProtocolError: the agreement says another number of samples.
        """
        self.state = LearnerState.IDLE
        self.round = 0
        self.results: list[RoundResult] = []
        self._agreement = agreement
        self._criterion = Criterion.of(agreement, Role.LEARNER, own_samples=own_samples)
        self._minimum_gain = minimum_gain
        self._outgoing: OutgoingTrajectory | None = None
        self._incoming: IncomingTrajectory | None = None

    def handle(self, event: Event) -> list[Message]:
        """Move on by one event and say what to send.

        Raises:
            PeerProtocolError: the provider's message does not belong here. Nothing changes.
            LocalProtocolError: our own side told this out of turn. Nothing changes.
        """
        allowed = states_after(TRANSITIONS, self.state, event)
        messages = self._respond(event)
        assert self.state in allowed, f"{self.state} is not in TRANSITIONS"
        return messages

    @property
    def work(self) -> Work | None:
        """What the process with the data should be doing now, if anything."""
        if self.state is LearnerState.TRAINING and self._outgoing is not None:
            return self._outgoing.work(steps_per_round=self._agreement.learner_steps)
        if self.state is LearnerState.RECEIVING and self._incoming is not None:
            return self._incoming.work()
        return None

    @property
    def needed(self) -> frozenset[str]:
        """Digests of the checkpoints that later rounds, the peer or the result may refer to."""
        # The last round's too, though it may be worse than the best: its result is measured.
        needed = {self.best.digest, self.results[-1].digest} if self.results else set()
        if self._outgoing is not None:
            answered = self._incoming is not None and self._incoming.messages
            needed |= self._outgoing.digests if not answered else set()
        if self._incoming is not None:
            needed |= self._incoming.needed
        return frozenset(needed)

    @property
    def best(self) -> RoundResult:
        """The best round so far, by global loss; the earliest of equals."""
        losses = tuple(result.global_loss for result in self.results)
        return self.results[select_checkpoint(losses)]

    @property
    def done(self) -> bool:
        """Whether the last message of the session is said."""
        return self.state is LearnerState.DONE

    def _respond(self, event: Event) -> list[Message]:
        match event:
            case Started(digest=digest, loss=loss):
                return self._start_round(digest, loss, Carriage.ATTACHED)
            case Sampled():
                assert self._outgoing is not None
                messages = self._outgoing.add(event)
                self._await_answer_if_closed()
                return messages
            case Received(message=message):
                assert self._incoming is not None
                self._incoming.receive(message)
            case Scored():
                assert self._incoming is not None
                self._incoming.score(event)
            case _:
                assert_never(event)
        return self._finish_round() if self._incoming.complete else []

    def _start_round(self, start: str, loss: LocalLoss | None, carriage: Carriage) -> list[Message]:
        self.round += 1
        self._incoming = None
        self._outgoing = OutgoingTrajectory(
            round_=self.round,
            grid=self._agreement.grid(Role.LEARNER),
            start=start,
            start_loss=loss,
            carriage=carriage,
            criterion=self._criterion,
        )
        self.state = LearnerState.TRAINING
        self._await_answer_if_closed()
        return self._outgoing.opening()

    def _await_answer_if_closed(self) -> None:
        assert self._outgoing is not None
        if self._outgoing.closed:
            self.state = LearnerState.RECEIVING
            self._incoming = IncomingTrajectory(
                round_=self.round,
                grid=self._agreement.grid(Role.PROVIDER),
                held=self._outgoing.digests,
                known=self._outgoing.losses,
                criterion=self._criterion,
            )

    def _finish_round(self) -> list[Message]:
        assert self._incoming is not None
        winner = self._incoming.winner
        self.results.append(
            RoundResult(
                round=self.round,
                digest=winner.digest,
                global_loss=self._incoming.winning_loss,
                provider_choice=self._incoming.messages[0].digest,
                step=winner.step,
            )
        )
        reason = self._reason_to_stop()
        if reason is None:
            own_loss = self._incoming.own_loss(winner.digest)
            return self._start_round(winner.digest, own_loss, Carriage.HELD)
        self.state = LearnerState.DONE
        self._outgoing = self._incoming = None
        return [SessionClosed(round=self.round + 1, reason=reason, result=self.best.digest)]

    def _reason_to_stop(self) -> CloseReason | None:
        if self.round == self._agreement.affordable_rounds:
            return CloseReason.COMPLETED
        if self._minimum_gain is not None:
            last = self.results[-1].global_loss
            if math.isinf(last):  # nothing to compare was told: no gain that could be seen
                return CloseReason.STOPPED
            if len(self.results) > 1 and self.results[-2].global_loss - last < self._minimum_gain:
                return CloseReason.STOPPED
        return None
