"""Global loss, what a party reports of its own, and which checkpoint wins.

Source: AssistDeep, equation 2 and Algorithm 1 (arXiv:2109.09307), read as sums over both
parties' samples. Numbers here are Python floats, so both parties compute the same bits.
"""

import math
from dataclasses import dataclass
from typing import Self, TypeAlias

from assistlearn.errors import LocalProtocolError, PeerProtocolError
from assistlearn.losses import LEVELS, LocalLoss
from protocols.agreement import Agreement, LossPrecision, Weighting
from protocols.roles import Role

Report: TypeAlias = float | int | None
"""What a party says of a model: a sum or mean (float), a level of 0 to 255 (int), or nothing.

Nothing means that the checkpoint is no candidate: its loss is not finite, or may not be told.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """How one party reports its losses and adds the peer's to its own."""

    weighting: Weighting
    precision: LossPrecision
    clip: float
    noise: float
    own_count: int
    peer_count: int

    @classmethod
    def of(cls, agreement: Agreement, role: Role, *, own_samples: int) -> Self:
        """The criterion of ``role`` under ``agreement``, over ``own_samples`` of its own.

        Raises:
            LocalProtocolError: the agreement says another number of samples.
        """
        if agreement.samples(role) not in {0, own_samples}:
            raise LocalProtocolError(
                f"our loss is over {own_samples} samples, the agreement says"
                f" {agreement.samples(role)}",
                hint="do not change this party's data between rounds",
            )
        return cls(
            weighting=agreement.weighting,
            precision=agreement.loss_precision,
            clip=float(agreement.loss_clip),
            noise=float(agreement.loss_noise),
            own_count=own_samples,
            peer_count=agreement.samples(role.peer),
        )

    def report(self, loss: LocalLoss, *, start: bool, noise: float) -> Report:
        """What to tell the peer of a checkpoint (SPEC 4.4).

        In private mode it follows from the loss's level alone, so that hearing it again tells the
        peer nothing.

        Args:
            loss: our own loss of it.
            start: whether it is the model that the round's local training started from, never
                reported in private mode.
            noise: the secret standard normal draw that belongs to the loss's level.

        Raises:
            LocalProtocolError: the loss is over another number of samples than agreed.
        """
        self.check_count(loss)
        if not math.isfinite(loss.total):
            return None
        if self.precision is LossPrecision.EXACT:
            return loss.total if self.weighting is Weighting.SAMPLES else loss.mean
        level = loss.level(self.clip)
        if self.precision is LossPrecision.COARSE:
            return level
        if start:
            return None
        share = level / LEVELS + self.noise * noise / self.clip
        return round(LEVELS * min(max(share, 0.0), 1.0))

    def check_count(self, loss: LocalLoss) -> None:
        """Refuse a loss over other data than the session began with.

        Raises:
            LocalProtocolError: says how many samples there are now.
        """
        if loss.count != self.own_count:
            raise LocalProtocolError(
                f"the loss is over {loss.count} samples, it was over {self.own_count} before",
                hint="do not change this party's data between rounds",
            )

    def check_report(self, report: Report, *, step: int) -> None:
        """Refuse a report of the wrong form.

        Raises:
            PeerProtocolError: exactness, sign or size is not what was agreed.
        """
        if report is None:
            return
        if self.precision is LossPrecision.EXACT:
            valid = isinstance(report, float) and math.isfinite(report) and report >= 0
        else:
            valid = isinstance(report, int) and 0 <= report <= LEVELS
        if not valid or (self.precision is LossPrecision.PRIVATE and step == 0):
            raise PeerProtocolError(
                f"the peer reported {report!r} for step {step}, which {self.precision.value!r}"
                " losses do not allow"
            )

    def global_loss(self, own_total: float, report: Report) -> float:
        """Loss of a model over both parties' data, per example. Grows with ``own_total``.

        Returns:
            ``(S_own + S_peer) / (n_own + n_peer)``, or the sum of both means where the parties
            weigh the same; infinity where the peer reported nothing.
        """
        if report is None:
            return math.inf
        if self.weighting is Weighting.PARTIES:
            peer_mean = report if self._exact else report / LEVELS * self.clip
            return own_total / self.own_count + peer_mean
        peer_total = report if self._exact else report / LEVELS * self.clip * self.peer_count
        return (own_total + peer_total) / (self.own_count + self.peer_count)

    def cannot_win(self, report: Report, *, best: float, own_partial: float = 0.0) -> bool:
        """Whether part of our data is enough to see that a checkpoint is not chosen (SPEC 4.3).

        Exact, as per-example losses are >= 0: the rest of our data can only add to the sum, and
        floating-point addition and division by a positive number keep order. An equal one cannot
        win either, as ties go to the earlier step.

        Args:
            report: what the peer says of it.
            best: least global loss among the checkpoints before it.
            own_partial: sum of our losses over as many examples as were looked at.
        """
        return self.global_loss(own_partial, report) >= best

    @property
    def _exact(self) -> bool:
        return self.precision is LossPrecision.EXACT


def select_checkpoint(global_losses: tuple[float, ...]) -> int:
    """Index of the least global loss: ties to the earliest, the first if none is finite.

    Raises:
        LocalProtocolError: there is no candidate.
    """
    if not global_losses:
        raise LocalProtocolError("there is no candidate to select from")
    comparable = [math.inf if math.isnan(loss) else loss for loss in global_losses]
    return comparable.index(min(comparable))
