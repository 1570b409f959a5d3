"""What the gate may ask its worker, and what the worker may answer: a closed list.

The two share a spool folder; only small values pass here, as length-prefixed canonical msgpack
over a pipe. There is no request that would hand out a record, and none that runs code.
"""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from assistlearn.bundle.canonical import Value, pack, unpack
from assistlearn.errors import WorkerError
from protocols.events import Sampled, Score, Scored, Started, Train
from protocols.record import decode_record, encode_record

LENGTH: Final = struct.Struct(">I")
MAX_BYTES: Final = 16 << 20  # a model specification of 100,000 tensors


@dataclass(frozen=True, slots=True, kw_only=True)
class Describe:
    """What model is it, and over how many examples is the local loss?"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """Work on this session from now on."""

    agreement: str
    """Its text."""
    noise_seed: bytes
    samples: int
    """Examples in the local loss, as described when the session began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Initialise:
    """Make the model that the first round starts from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """The task's own figures of a checkpoint, for people."""

    digest: str


Request = Describe | Begin | Initialise | Train | Score | Measure


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """Answer to :class:`Describe`."""

    spec: str
    samples: int
    schema: str
    """What both parties' data must have in common, as far as the task says it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """Answer to :class:`Begin`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Answer to :class:`Measure`."""

    digest: str
    metrics: tuple[tuple[str, float], ...]
    """Those that are numbers: a figure that does not exist for these data is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The request could not be met: one of our errors, by class name."""

    error: str
    message: str
    hint: str


Reply = Described | Begun | Started | Sampled | Scored | Measured | Failed


def encode_request(request: Request) -> bytes:
    """A request's bytes, with their length in front."""
    match request:
        case Describe():
            value: list[Value] = [1]
        case Begin():
            value = [2, request.agreement.encode(), request.noise_seed, request.samples]
        case Initialise():
            value = [3]
        case Train():
            value = [
                4,
                request.round,
                request.start,
                request.from_step,
                request.to_step,
                request.first_update,
                int(request.last),
            ]
        case Score():
            value = [5, request.digest, request.report, request.best]
        case Measure():
            value = [6, request.digest]
    return _framed(pack(value))


def decode_request(data: bytes) -> Request:
    """A request as the worker reads it.

    Raises:
        WorkerError: it is none.
    """
    match unpack(data, max_bytes=MAX_BYTES):
        case [1]:
            return Describe()
        case [2, bytes() as agreement, bytes() as seed, int() as samples]:
            return Begin(agreement=agreement.decode(), noise_seed=seed, samples=samples)
        case [3]:
            return Initialise()
        case [
            4,
            int() as round_,
            str() as start,
            int() as a,
            int() as b,
            int() as first,
            int() as last,
        ]:
            return Train(
                round=round_,
                start=start,
                from_step=a,
                to_step=b,
                first_update=first,
                last=bool(last),
            )
        case [5, str() as digest, (None | int() | float()) as report, float() as best]:
            return Score(digest=digest, report=report, best=best)
        case [6, str() as digest]:
            return Measure(digest=digest)
        case _:
            raise WorkerError("the gate asked for something that is not on the list")


def encode_reply(reply: Reply) -> bytes:
    """A reply's bytes, with their length in front."""
    match reply:
        case Described():
            value: list[Value] = [1, reply.spec.encode(), reply.samples, reply.schema.encode()]
        case Begun():
            value = [2]
        case Started() | Sampled() | Scored():
            value = [3, encode_record(reply)]
        case Measured():
            figures: list[Value] = [
                [name, each] for name, each in reply.metrics if not math.isnan(each)
            ]
            value = [4, reply.digest, figures]
        case Failed():
            value = [5, reply.error, reply.message[:1000], reply.hint[:1000]]
    return _framed(pack(value))


def decode_reply(data: bytes) -> Reply:
    """A reply as the gate reads it. The worker runs a user's code, so it is checked too.

    Raises:
        WorkerError: it is none.
    """
    match unpack(data, max_bytes=MAX_BYTES):
        case [1, bytes() as spec, int() as samples, bytes() as schema]:
            return Described(spec=spec.decode(), samples=samples, schema=schema.decode())
        case [2]:
            return Begun()
        case [3, bytes() as record]:
            event = decode_record(record)
            if isinstance(event, Started | Sampled | Scored):
                return event
        case [4, str() as digest, list() as metrics]:
            return Measured(digest=digest, metrics=tuple(_figures(metrics)))
        case [5, str() as error, str() as message, str() as hint]:
            return Failed(error=error, message=message, hint=hint)
        case _:
            pass
    raise WorkerError("the worker answered something that is not on the list")


def _figures(metrics: list[object]) -> Iterator[tuple[str, float]]:
    for item in metrics:
        match item:
            case [str() as name, float() as figure]:
                yield name, figure
            case _:
                raise WorkerError("the worker answered figures that are not on the list")


def _framed(data: bytes) -> bytes:
    return LENGTH.pack(len(data)) + data
