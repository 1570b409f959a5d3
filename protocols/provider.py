"""AssistDeep round logic, provider's side. No sockets, files, clocks or torch in here.

The mirror of ``learner.py``: a trajectory comes in and is selected from, then one goes out.
"""

from collections.abc import Collection, Mapping
from enum import Enum
from typing import Final

from assistlearn.errors import LocalProtocolError, PeerProtocolError
from assistlearn.losses import LocalLoss
from protocols.agreement import Agreement
from protocols.events import Event, Received, Sampled, Scored, Started, Work
from protocols.messages import Carriage, Message, SessionClosed
from protocols.roles import Role
from protocols.selection import Criterion
from protocols.trajectory import IncomingTrajectory, OutgoingTrajectory
from protocols.turns import Transitions, states_after


class ProviderState(Enum):
    """Where a provider stands."""

    RECEIVING = "receiving"
    TRAINING = "training"
    DONE = "done"


TRANSITIONS: Final[Transitions[ProviderState]] = {
    ProviderState.RECEIVING: {
        Received: (
            ProviderState.RECEIVING,
            ProviderState.TRAINING,
            ProviderState.DONE,
        ),
        Scored: (ProviderState.RECEIVING, ProviderState.TRAINING),
    },
    ProviderState.TRAINING: {Sampled: (ProviderState.TRAINING, ProviderState.RECEIVING)},
    ProviderState.DONE: {},
}


class ProviderMachine:
    """A provider's place in the assistance rounds of one session."""

    def __init__(self, agreement: Agreement, *, own_samples: int) -> None:
        """A provider that awaits the first round.

        Raises:
            LocalProtocolError: the agreement says another number of samples.
        """
        self.state = ProviderState.RECEIVING
        self.round = 1
        self.rounds_provided = 0
        self.result = ""
        """Digest of the model that the learner said it keeps; empty until then."""
        self._agreement = agreement
        self._criterion = Criterion.of(agreement, Role.PROVIDER, own_samples=own_samples)
        self._outgoing: OutgoingTrajectory | None = None
        self._offered: set[str] = set()
        self._incoming = self._awaited(held=None, known={})

    def handle(self, event: Event) -> list[Message]:
        """Move on by one event and say what to send.

        Raises:
            PeerProtocolError: the learner's message does not belong here. Nothing changes.
            LocalProtocolError: our own side told this out of turn. Nothing changes.
        """
        allowed = states_after(TRANSITIONS, self.state, event)
        messages = self._respond(event)
        assert self.state in allowed, f"{self.state} is not in TRANSITIONS"
        return messages

    @property
    def work(self) -> Work | None:
        """What the process with the data should be doing now, if anything."""
        if self.state is ProviderState.TRAINING and self._outgoing is not None:
            return self._outgoing.work(steps_per_round=self._agreement.provider_steps)
        return self._incoming.work() if self.state is ProviderState.RECEIVING else None

    @property
    def needed(self) -> frozenset[str]:
        """Digests of the checkpoints that a later message of either side may refer to."""
        if self.state is ProviderState.DONE:
            return frozenset()
        needed = set(self._incoming.needed)
        if self._outgoing is not None and not self._incoming.messages:
            needed |= self._outgoing.digests
        if self.state is ProviderState.TRAINING and self._outgoing is not None:
            needed |= self._outgoing.digests
        return frozenset(needed)

    @property
    def done(self) -> bool:
        """Whether the learner has closed the session."""
        return self.state is ProviderState.DONE

    def _respond(self, event: Event) -> list[Message]:
        match event:
            case Sampled():
                return self._sampled(event)
            case Received(message=SessionClosed() as message):
                self._close(message)
                return []
            case Received(message=message):
                if self.round > self._agreement.affordable_rounds:
                    raise PeerProtocolError(
                        f"the learner began round {self.round}, the agreement and its budget allow"
                        f" {self._agreement.affordable_rounds}"
                    )
                self._incoming.receive(message)
            case Scored():
                self._incoming.score(event)
            case Started():
                raise LocalProtocolError("a provider does not start rounds")
        return self._assist() if self._incoming.complete else []

    def _sampled(self, event: Sampled) -> list[Message]:
        assert self._outgoing is not None
        messages = self._outgoing.add(event)
        self._await_round_if_closed()
        return messages

    def _assist(self) -> list[Message]:
        winner = self._incoming.winner
        self._outgoing = OutgoingTrajectory(
            round_=self.round,
            grid=self._agreement.grid(Role.PROVIDER),
            start=winner.digest,
            start_loss=self._incoming.own_loss(winner.digest),
            carriage=Carriage.HELD,
            criterion=self._criterion,
        )
        self.state = ProviderState.TRAINING
        opening = self._outgoing.opening()
        self._await_round_if_closed()
        return opening

    def _await_round_if_closed(self) -> None:
        assert self._outgoing is not None
        if self._outgoing.closed:
            self.rounds_provided = self.round
            self.round += 1
            self.state = ProviderState.RECEIVING
            self._offered |= self._outgoing.digests
            self._incoming = self._awaited(held=self._outgoing.digests, known=self._outgoing.losses)

    def _awaited(
        self, *, held: Collection[str] | None, known: Mapping[str, LocalLoss]
    ) -> IncomingTrajectory:
        return IncomingTrajectory(
            round_=self.round,
            grid=self._agreement.grid(Role.LEARNER),
            held=held,
            known=known,
            criterion=self._criterion,
        )

    def _close(self, message: SessionClosed) -> None:
        if self._incoming.messages or message.round != self.round:
            raise PeerProtocolError(
                f"the learner closed the session in the place of round {message.round}, while in"
                f" round {self.round}"
            )
        if message.result not in self._offered:
            raise PeerProtocolError(
                f"the learner says it keeps {message.result[:12]}, which we never sent"
            )
        self.result = message.result
        self.state = ProviderState.DONE
