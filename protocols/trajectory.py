"""The two halves of every round: a trajectory that goes out, and one that comes in.

The learner's round is out, then in; the provider's is in, then out. Both machines are made of
these two classes, so that the rules for either side cannot differ by accident.
"""

import math
from collections.abc import Collection, Mapping

from assistlearn.errors import LocalProtocolError, PeerProtocolError
from assistlearn.losses import LocalLoss
from protocols.codec import encode_message
from protocols.events import Sampled, Score, Scored, Train
from protocols.messages import Carriage, CheckpointMessage, Message, TrajectoryClosed
from protocols.selection import Criterion, select_checkpoint


class OutgoingTrajectory:
    """Our own local training in one round, told checkpoint by checkpoint."""

    def __init__(  # noqa: PLR0913  (by keyword, each a fact of the round)
        self,
        *,
        round_: int,
        grid: tuple[int, ...],
        start: str,
        start_loss: LocalLoss | None,
        carriage: Carriage,
        criterion: Criterion,
    ) -> None:
        self.round = round_
        self.start = start
        self.losses: dict[str, LocalLoss] = {} if start_loss is None else {start: start_loss}
        self._grid = grid
        self._criterion = criterion
        report = None if start_loss is None else criterion.report(start_loss, start=True, noise=0.0)
        self._told = [
            CheckpointMessage(round=round_, step=0, carriage=carriage, digest=start, loss=report)
        ]

    def opening(self) -> list[Message]:
        """What to send first: step 0, and the end if there is nothing else."""
        return [*self._told, *self._closing()]

    def add(self, event: Sampled) -> list[Message]:
        """Take in the next sampled checkpoint and say what to send of it.

        Raises:
            LocalProtocolError: the step is not the one that was asked for.
        """
        if self.closed or event.step != self._grid[len(self._told)]:
            raise LocalProtocolError(f"step {event.step} was sampled out of turn")
        if event.digest and event.loss is not None:
            message = CheckpointMessage(
                round=self.round,
                step=event.step,
                carriage=Carriage.ATTACHED,
                digest=event.digest,
                # Training may not have moved it at all: that is still the model that came.
                loss=self._criterion.report(
                    event.loss, start=event.digest == self.start, noise=event.noise
                ),
            )
            self.losses[event.digest] = event.loss
        else:
            message = CheckpointMessage(
                round=self.round, step=event.step, carriage=Carriage.WITHHELD, digest="", loss=None
            )
        self._told.append(message)
        return [message, *self._closing()]

    def work(self, *, steps_per_round: int) -> Train | None:
        """The stretch of training that comes next; none when the trajectory is closed."""
        if self.closed:
            return None
        reached, target = self._told[-1].step, self._grid[len(self._told)]
        return Train(
            round=self.round,
            start=self.start,
            from_step=reached,
            to_step=target,
            first_update=(self.round - 1) * steps_per_round + reached,
            last=target == self._grid[-1],
        )

    @property
    def closed(self) -> bool:
        """Whether every step of the grid was told."""
        return len(self._told) == len(self._grid)

    @property
    def digests(self) -> frozenset[str]:
        """Every checkpoint that the peer may choose."""
        return frozenset(message.digest for message in self._told if message.digest)

    def _closing(self) -> list[Message]:
        if not self.closed:
            return []
        return [TrajectoryClosed(round=self.round, checkpoints=tuple(self._told))]


class IncomingTrajectory:
    """The peer's trajectory in one round: checked, scored, and the best of it kept."""

    def __init__(
        self,
        *,
        round_: int,
        grid: tuple[int, ...],
        held: Collection[str] | None,
        known: Mapping[str, LocalLoss],
        criterion: Criterion,
    ) -> None:
        """Await a trajectory.

        Args:
            round_: the round that it must be of.
            grid: the steps that it must have, in order.
            held: our own checkpoints, one of which must be its step 0; None in round 1, where
                step 0 comes with its tensors.
            known: our own losses of checkpoints that need no scoring.
            criterion: how losses add up.
        """
        self._round = round_
        self._grid = grid
        self._held = held
        self._criterion = criterion
        self._known = dict(known)
        self._messages: list[CheckpointMessage] = []
        self._global_losses: list[float] = []
        self._closed = False

    def receive(self, message: Message) -> None:
        """Take in the next message of the trajectory.

        Raises:
            PeerProtocolError: it is missing, added, repeated, out of order or of another round;
                nothing changes.
        """
        if isinstance(message, CheckpointMessage):
            self._check(message)
            self._messages.append(message)
            self._settle()
        elif isinstance(message, TrajectoryClosed):
            if self._closed or message.round != self._round:
                raise PeerProtocolError(f"the peer closed round {message.round} out of turn")
            if len(self._messages) != len(self._grid) or not self._same(message):
                raise PeerProtocolError(
                    f"the peer closed a trajectory of {len(message.checkpoints)} checkpoints that"
                    f" differs from the {len(self._messages)} received"
                )
            self._closed = True
        else:
            raise PeerProtocolError(f"{type(message).__name__} inside a trajectory")

    def score(self, event: Scored) -> None:
        """Take in our own loss of the checkpoint that :meth:`work` asked about.

        Raises:
            LocalProtocolError: nobody asked; nothing changes.
        """
        work = self.work()
        if work is None or work.digest != event.digest:
            raise LocalProtocolError(f"checkpoint {event.digest[:12]} was scored out of turn")
        if event.loss is None:
            self._global_losses.append(math.inf)
        else:
            self._criterion.check_count(event.loss)
            self._known[event.digest] = event.loss
        self._settle()

    def work(self) -> Score | None:
        """The checkpoint to score next, with the global loss that it has to beat."""
        if len(self._global_losses) == len(self._messages):
            return None
        message = self._messages[len(self._global_losses)]
        return Score(digest=message.digest, report=message.loss, best=self._best)

    @property
    def messages(self) -> tuple[CheckpointMessage, ...]:
        """Checkpoints received so far."""
        return tuple(self._messages)

    @property
    def complete(self) -> bool:
        """Whether the trajectory is closed and every checkpoint of it scored."""
        return self._closed and self.work() is None

    @property
    def winner(self) -> CheckpointMessage:
        """The checkpoint with the least global loss among those scored so far."""
        return self._messages[select_checkpoint(tuple(self._global_losses))]

    @property
    def winning_loss(self) -> float:
        """Global loss of the winner."""
        return self._global_losses[select_checkpoint(tuple(self._global_losses))]

    def own_loss(self, digest: str) -> LocalLoss | None:
        """Our own loss of a checkpoint, where it is known in full."""
        return self._known.get(digest)

    @property
    def needed(self) -> frozenset[str]:
        """Checkpoints that are still to be scored, or may be selected."""
        waiting = {message.digest for message in self._messages[len(self._global_losses) :]}
        best = {self.winner.digest} if self._global_losses else set()
        return frozenset((waiting | best) - {""})

    @property
    def _best(self) -> float:
        return min(self._global_losses, default=math.inf)

    def _same(self, closing: TrajectoryClosed) -> bool:
        """Whether the list says what the messages said, byte for byte: to Python, 200.0 == 200."""
        received = TrajectoryClosed(round=self._round, checkpoints=self.messages)
        return encode_message(closing) == encode_message(received)

    def _check(self, message: CheckpointMessage) -> None:
        position = len(self._messages)
        if self._closed or position == len(self._grid) or message.round != self._round:
            raise PeerProtocolError(
                f"the peer sent a checkpoint of round {message.round}, step {message.step} after"
                f" {position} of {len(self._grid)} in round {self._round}"
            )
        if message.step != self._grid[position]:
            raise PeerProtocolError(
                f"the peer sent step {message.step} where step {self._grid[position]} comes next"
            )
        if position > 0:
            allowed = message.carriage is not Carriage.HELD
        elif self._held is None:
            allowed = message.carriage is Carriage.ATTACHED
        else:
            allowed = message.carriage is Carriage.HELD and message.digest in self._held
        if not allowed:
            raise PeerProtocolError(
                f"the peer sent step {message.step} as {message.carriage.value}"
                f" ({message.digest[:12]}), which the round does not allow there"
            )
        self._criterion.check_report(message.loss, step=message.step)

    def _settle(self) -> None:
        """Give a global loss to every next checkpoint that needs no look at our data.

        That is one that we have scored before, and one whose report alone says that it cannot
        win: a checkpoint without a report is no candidate.
        """
        while len(self._global_losses) < len(self._messages):
            message = self._messages[len(self._global_losses)]
            own_loss = self._known.get(message.digest)
            if own_loss is not None:
                total = own_loss.total
            elif self._criterion.cannot_win(message.loss, best=self._best):
                total = math.inf
            else:
                return
            self._global_losses.append(self._criterion.global_loss(total, message.loss))
