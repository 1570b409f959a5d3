"""Messages and frames as bytes, and back: canonical msgpack, one form for each value.

Whatever arrives leaves here as a valid message or as a :class:`PeerProtocolError`. The numbers
are the closed list of what may cross; they are never re-used.
"""

import dataclasses
import struct
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from assistlearn.bundle.canonical import pack, unpack
from assistlearn.errors import BundleError, LocalProtocolError, PeerProtocolError
from protocols import messages
from protocols.messages import CheckpointMessage, Frame, Message, Piece, TrajectoryClosed

Kind = TypeVar("Kind", Message, Frame)
MESSAGE_KINDS: Final[dict[int, type[Message]]] = {
    1: messages.CheckpointMessage,
    2: messages.TrajectoryClosed,
    3: messages.SessionClosed,
}
FRAME_KINDS: Final[dict[int, type[Frame]]] = {
    17: messages.Hello,
    18: messages.Welcome,
    19: messages.Proposal,
    20: messages.Acceptance,
    21: messages.Offer,
    22: messages.Status,
    23: messages.Refusal,
}
MAX_MESSAGE_BYTES: Final = 1 << 20
MAX_FRAME_BYTES: Final = (1 << 20) + (1 << 16)  # one sealed piece, or one offer
PIECE_HEAD: Final = struct.Struct(">B32sIQ")  # kind, session, seq, index
PIECE_KIND: Final = 16  # no canonical array starts with this byte, so one look tells


def encode_message(message: Message) -> bytes:
    """A message's bytes, to be sealed."""
    return pack(_fields(message, MESSAGE_KINDS))


def decode_message(data: bytes) -> Message:
    """A message from the inside of an opened bundle.

    Raises:
        PeerProtocolError: these bytes are no message of this version.
    """
    return _decoded(data, MESSAGE_KINDS, MAX_MESSAGE_BYTES)


def encode_frame(frame: Frame) -> bytes:
    """A frame's bytes. For pieces use :func:`piece_head` and send the sealed bytes behind it."""
    if isinstance(frame, Piece):
        return piece_head(frame.session, frame.seq, frame.index) + bytes(frame.sealed)
    return pack(_fields(frame, FRAME_KINDS))


def piece_head(session: bytes, seq: int, index: int) -> bytes:
    """The bytes before a sealed piece."""
    return PIECE_HEAD.pack(PIECE_KIND, session, seq, index)


def decode_frame(data: bytes | memoryview) -> Frame:
    """A frame from the wire. A piece's bytes are a view of ``data``, not a copy.

    Raises:
        PeerProtocolError: these bytes are no frame of this version.
    """
    view = memoryview(data)
    if not 0 < len(view) <= MAX_FRAME_BYTES:
        raise PeerProtocolError(f"the peer sent a frame of {len(view)} bytes")
    if view[0] != PIECE_KIND:
        return _decoded(bytes(view), FRAME_KINDS, MAX_FRAME_BYTES)
    if len(view) <= PIECE_HEAD.size:
        raise PeerProtocolError("the peer sent a piece without content")
    _, session, seq, index = PIECE_HEAD.unpack_from(view)
    try:
        return Piece(session=session, seq=seq, index=index, sealed=view[PIECE_HEAD.size :])
    except LocalProtocolError as error:
        raise PeerProtocolError(f"the peer sent a void piece: {error}") from error


def _fields(message: Any, kinds: dict[int, Any]) -> list[Any]:
    for number, kind in kinds.items():
        if kind is type(message):
            return [number, *(_plain(getattr(message, f.name)) for f in dataclasses.fields(kind))]
    raise LocalProtocolError(f"{type(message).__name__} is not on the list of what may cross")


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_fields(item, MESSAGE_KINDS) for item in value]
    return str(value) if isinstance(value, str) else value


def _decoded(data: bytes, kinds: Mapping[int, type[Kind]], max_bytes: int) -> Kind:
    try:
        return _built(unpack(data, max_bytes=max_bytes), kinds)
    except (BundleError, LocalProtocolError) as error:
        raise PeerProtocolError(f"the peer sent something that may not cross: {error}") from error


def _built(value: Any, kinds: Mapping[int, type[Kind]]) -> Kind:
    if not isinstance(value, list) or not value or type(value[0]) is not int:
        raise LocalProtocolError("not a list that starts with a kind")
    number, *values = value
    kind = kinds.get(number)
    if kind is None:
        raise LocalProtocolError(f"kind {number} is not on the list of what may cross")
    names = [field.name for field in dataclasses.fields(kind)]
    if len(values) != len(names):
        raise LocalProtocolError(f"{kind.__name__} has {len(names)} fields, got {len(values)}")
    fields = dict(zip(names, values, strict=True))
    if kind is TrajectoryClosed and isinstance(fields["checkpoints"], list):
        fields["checkpoints"] = tuple(
            _built(item, {1: CheckpointMessage}) for item in fields["checkpoints"]
        )
    return kind(**fields)
