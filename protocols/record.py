"""Events as bytes for the ledger, and back: what a machine is rebuilt from after a crash."""

import math
from dataclasses import dataclass
from typing import Final

from assistlearn.bundle.canonical import Value, pack, unpack
from assistlearn.errors import AssistLearnError, LedgerHistoryError
from assistlearn.losses import LocalLoss
from protocols.codec import decode_message, encode_message
from protocols.events import Event, Received, Sampled, Scored, Started

MAX_RECORD_BYTES: Final = 2 << 20  # a received message and a little


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """With what this party entered the session: recorded once, before the first event."""

    samples: int
    """Examples in its own local loss, at least 1; agreed on only where counts are not hidden."""
    minimum_gain: float | None
    """A learner's own rule for buying no further round. Never told to the peer."""
    peer_sealing_key: bytes
    """The peer's public key of the session, 1216 bytes; the agreement holds its digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """The session's end, as this party saw it."""

    reason: str


Record = Joined | Event | Closed


def encode_record(record: Record) -> bytes:
    """The bytes of a ledger entry of kind ``event``."""
    match record:
        case Joined():
            value: list[Value] = [1, record.samples, record.minimum_gain, record.peer_sealing_key]
        case Started():
            value = [2, record.digest, *_loss_fields(record.loss)]
        case Sampled():
            value = [3, record.step, record.digest, record.noise, *_loss_fields(record.loss)]
        case Scored():
            value = [4, record.digest, *_loss_fields(record.loss)]
        case Received():
            value = [5, encode_message(record.message)]
        case Closed():
            value = [6, record.reason]
    return pack(value)


def decode_record(data: bytes) -> Record:
    """The inverse of :func:`encode_record`.

    Raises:
        LedgerHistoryError: no version of this program wrote these bytes.
    """
    try:
        return _decoded(unpack(data, max_bytes=MAX_RECORD_BYTES))
    except (AssistLearnError, TypeError, ValueError) as error:
        raise LedgerHistoryError(
            f"a recorded event cannot be read: {error}",
            hint="restore the ledger from a backup, or run the version that wrote it",
        ) from error


def _decoded(value: object) -> Record:
    match value:
        case [1, int() as samples, None | float() as gain, bytes() as key] if samples > 0:
            return Joined(samples=samples, minimum_gain=gain, peer_sealing_key=key)
        case [2, str() as digest, *loss] if (found := _loss(loss)) is not None:
            return Started(digest=digest, loss=found)
        case [3, int() as step, str() as digest, float() as noise, *loss] if math.isfinite(noise):
            return Sampled(step=step, digest=digest, noise=noise, loss=_loss(loss))
        case [4, str() as digest, *loss]:
            return Scored(digest=digest, loss=_loss(loss))
        case [5, bytes() as message]:
            return Received(message=decode_message(message))
        case [6, str() as reason] if reason.isprintable():
            return Closed(reason=reason)
        case _:
            raise ValueError(f"no event has the form {str(value)[:60]}")


def _loss_fields(loss: LocalLoss | None) -> list[Value]:
    return [] if loss is None else [loss.total, loss.clipped, loss.count]


def _loss(fields: list[object]) -> LocalLoss | None:
    match fields:
        case []:
            return None
        case [float() as total, float() as clipped, int() as count] if not math.isnan(total):
            return LocalLoss(total=total, clipped=clipped, count=count)
        case _:
            raise ValueError(f"no loss has the form {fields}")
