"""Everything that may cross between the parties: a closed list, default deny.

*Messages* say something and are sealed in signed bundles. *Frames* move bundles and are seen
by whoever operates the wire. Each is a frozen dataclass whose fields carry their own check;
there is no free text, no optional extra, no way to add a kind at run time. A new kind is a new
class here, a new number in ``codec.py`` and a paragraph in ``SPEC.md``.
"""

import dataclasses
import math
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from assistlearn.errors import LocalProtocolError
from protocols.sampling import MAX_CHECKPOINTS
from protocols.selection import Report

PROTOCOL_VERSION: Final = 1
MAX_ROUND: Final = 1_000_000
MAX_STEP: Final = 10**12
MAX_SEQ: Final = 10**9
MAX_PIECES: Final = 1 << 26  # 64 TiB in pieces of 1 MiB
HEX_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
PLAIN: Final = re.compile(r"[ -~]{0,200}")


class Carriage(StrEnum):
    """How a checkpoint comes with its message."""

    ATTACHED = "attached"
    """Its tensors are the bundle's payload."""
    HELD = "held"
    """The receiver has them: only the digest travels. Step 0 after the first hand-over."""
    WITHHELD = "withheld"
    """Training diverged, and a value is not one that may cross: no tensors, no candidate."""


class CloseReason(StrEnum):
    """Why a learner ends the session."""

    COMPLETED = "completed"
    """Every affordable round was made."""
    STOPPED = "stopped"
    """The last round gained less than the learner asked for."""


class RefusalCode(StrEnum):
    """Why a party ends the session, or does not begin one (SPEC 6.6)."""

    TERMS = "terms"
    PROTOCOL = "protocol"
    BUNDLE = "bundle"
    TENSORS = "tensors"
    QUOTA = "quota"
    UNKNOWN_SESSION = "unknown-session"
    BUSY = "busy"
    SUSPENDED = "suspended"
    """Not a breach: this party stopped for now, and the session can be resumed."""


def _integer(low: int, high: int) -> Any:
    def check(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"must be an integer from {low} to {high}")
        return value

    return dataclasses.field(metadata={"check": check})


def _octets(low: int, high: int) -> Any:
    size = f"{low}" if low == high else f"{low} to {high}"

    def check(value: Any) -> bytes:
        if not isinstance(value, bytes) or not low <= len(value) <= high:
            raise ValueError(f"must be {size} bytes")
        return value

    return dataclasses.field(metadata={"check": check})


def _text(pattern: re.Pattern[str]) -> Any:
    def check(value: Any) -> str:
        if not isinstance(value, str) or pattern.fullmatch(value) is None:
            raise ValueError(f"must match {pattern.pattern}")
        return value

    return dataclasses.field(metadata={"check": check})


def _one_of(kind: type[StrEnum]) -> Any:
    def check(value: Any) -> StrEnum:
        if not isinstance(value, str) or value not in set(kind):  # a list cannot be looked up
            raise ValueError(f"must be one of {', '.join(kind)}")
        return kind(value)

    return dataclasses.field(metadata={"check": check})


def _report() -> Any:
    def check(value: Any) -> Report:
        if value is None or (type(value) is int and value >= 0):
            return value
        if isinstance(value, float) and math.isfinite(value) and value >= 0:
            return value
        raise ValueError("must be nothing, an integer or a finite float, not below 0")

    return dataclasses.field(metadata={"check": check})


def _checked(message: Any) -> None:
    for field in dataclasses.fields(message):
        given = getattr(message, field.name)
        try:
            value = field.metadata["check"](given)
        except ValueError as error:
            name = f"{type(message).__name__}.{field.name}"
            raise LocalProtocolError(f"{name} is {str(given)[:60]!r}: {error}") from error
        object.__setattr__(message, field.name, value)


# Messages: sealed, signed, in the ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointMessage:
    """One checkpoint of the sender's trajectory, with its loss as far as it may be told."""

    round: int = _integer(1, MAX_ROUND)
    step: int = _integer(0, MAX_STEP)
    carriage: Carriage = _one_of(Carriage)
    digest: str = _text(re.compile(r"([0-9a-f]{64})?"))
    """SHA-256 of the checkpoint file; empty where the checkpoint is withheld."""
    loss: Report = _report()

    def __post_init__(self) -> None:
        _checked(self)
        withheld = self.carriage is Carriage.WITHHELD
        if withheld != (not self.digest) or (withheld and self.loss is not None):
            raise LocalProtocolError(
                f"a checkpoint that is {self.carriage.value} cannot have digest"
                f" {self.digest[:12]!r} and loss {self.loss!r}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrajectoryClosed:
    """The end of a trajectory: every checkpoint message of it, in order, signed once more."""

    round: int = _integer(1, MAX_ROUND)
    checkpoints: tuple[CheckpointMessage, ...] = dataclasses.field(
        metadata={"check": lambda value: _checkpoints(value)}  # noqa: PLW0108  (defined below)
    )

    def __post_init__(self) -> None:
        _checked(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionClosed:
    """The learner is done and names the model it keeps."""

    round: int = _integer(1, MAX_ROUND)
    """The round that it stands in the place of: one more than were made."""
    reason: CloseReason = _one_of(CloseReason)
    result: str = _text(HEX_DIGEST)

    def __post_init__(self) -> None:
        _checked(self)


Message = CheckpointMessage | TrajectoryClosed | SessionClosed


def _checkpoints(value: Any) -> tuple[CheckpointMessage, ...]:
    if not isinstance(value, tuple | list) or not 0 < len(value) <= MAX_CHECKPOINTS:
        raise ValueError(f"must be 1 to {MAX_CHECKPOINTS} checkpoints")
    if not all(isinstance(item, CheckpointMessage) for item in value):
        raise ValueError("must hold checkpoint messages only")
    return tuple(value)


# Frames: they carry bundles over a link, and settle who and where


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """Learner to provider: a new session, please. Repeated unchanged after a restart."""

    version: int = _integer(1, 1 << 16)
    nonce: bytes = _octets(32, 32)
    sealing_key: bytes = _octets(1216, 1216)
    samples: int = _integer(0, 10**15)
    """Examples in its local loss; 0 where the weighting hides it."""
    terms: bytes = _octets(1, 4096)
    """The learner's [terms] as text, so that a difference can be named before anything else."""

    def __post_init__(self) -> None:
        _checked(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """Provider to learner: my half of the agreement, for the Hello with this nonce."""

    hello_nonce: bytes = _octets(32, 32)
    nonce: bytes = _octets(32, 32)
    sealing_key: bytes = _octets(1216, 1216)
    samples: int = _integer(0, 10**15)

    def __post_init__(self) -> None:
        _checked(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Learner to provider: the agreement, signed by the learner."""

    note: bytes = _octets(1, 16384)

    def __post_init__(self) -> None:
        _checked(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """Provider to learner: the same agreement, signed by both."""

    note: bytes = _octets(1, 16384)

    def __post_init__(self) -> None:
        _checked(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The head of a bundle: signed header, sealed key, sealed message."""

    session: bytes = _octets(32, 32)
    seq: int = _integer(0, MAX_SEQ)
    note: bytes = _octets(1, 16384)
    sealed_key: bytes = _octets(1168, 1168)
    sealed_body: bytes = _octets(1, (1 << 20) + (1 << 15))

    def __post_init__(self) -> None:
        _checked(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One sealed piece of a bundle's payload."""

    session: bytes = _octets(32, 32)
    seq: int = _integer(0, MAX_SEQ)
    index: int = _integer(0, MAX_PIECES)
    sealed: memoryview = dataclasses.field(metadata={"check": lambda value: value})

    def __post_init__(self) -> None:
        _checked(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How far the sender of this frame has the peer's bundles: receipt, credit and heartbeat.

    Everything before (``seq``, ``piece``) has arrived; bundles before ``seq`` are checked and on
    disk for good. Piece 0 stands for the offer, piece k for the k-th piece of the payload.
    """

    session: bytes = _octets(32, 32)
    seq: int = _integer(0, MAX_SEQ)
    piece: int = _integer(0, MAX_PIECES)
    credit: int = _integer(0, 1 << 16)
    """Offers and pieces that may be sent beyond that place before the next status."""
    resend: int = _integer(0, 1)
    """1: whatever was sent beyond that place is lost; go on from there."""

    def __post_init__(self) -> None:
        _checked(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The session ends here, or does not begin. Names of fields and their values only."""

    session: bytes = _octets(0, 32)
    """Empty before there is an agreement."""
    code: RefusalCode = _one_of(RefusalCode)
    field: str = _text(re.compile(r"[a-z_]{0,64}"))
    own: str = _text(PLAIN)
    peer: str = _text(PLAIN)

    def __post_init__(self) -> None:
        _checked(self)


Frame = Hello | Welcome | Proposal | Acceptance | Offer | Piece | Status | Refusal
