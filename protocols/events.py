"""What the round machines are told, and what they want done. Plain values.

Events are the machines' only input and are recorded before they are acted on, so a machine is
rebuilt by feeding it its events again. Clocks, random numbers and key material arrive as
events or not at all.
"""

from dataclasses import dataclass

from assistlearn.losses import LocalLoss
from protocols.messages import Message
from protocols.selection import Report

# Events


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The learner has its initial model and its own loss of it."""

    digest: str
    loss: LocalLoss


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """Local training has reached ``step``."""

    step: int
    digest: str
    """The checkpoint's digest; empty where a value of it may not cross (SPEC 6.2)."""
    loss: LocalLoss | None
    """Own loss of it; nothing where there is no checkpoint."""
    noise: float
    """The secret standard normal draw that belongs to the level of ``loss``, for a private report
    (SPEC 4.4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """The peer's checkpoint was evaluated on our data."""

    digest: str
    loss: LocalLoss | None
    """Nothing where evaluation stopped early, as the checkpoint could not win any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A bundle of the peer's was opened and verified, and its payload is in the store."""

    message: Message


Event = Started | Sampled | Scored | Received

# Work: at most one piece at a time, for the process that holds the data


@dataclass(frozen=True, slots=True, kw_only=True)
class Train:
    """Make local training go on to the next sampled step."""

    round: int
    start: str
    """Digest of the model that this round's local training started from."""
    from_step: int
    to_step: int
    first_update: int
    """Number of the first update, counted over all rounds."""
    last: bool
    """Whether this is the end of the round's local training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Evaluate the peer's checkpoint, unless it turns out that it cannot win."""

    digest: str
    report: Report
    best: float
    """Global loss that it must stay below."""


Work = Train | Score


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundResult:
    """One assistance round, as the learner selected."""

    round: int
    digest: str
    global_loss: float
    provider_choice: str
    """The checkpoint of the learner's that the provider trained on from."""
    step: int
    """Where on the provider's trajectory the winner lies."""
