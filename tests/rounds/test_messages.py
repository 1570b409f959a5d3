"""What may cross is a closed list; whatever else arrives leaves the decoder as an error."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistlearn.bundle.canonical import pack
from assistlearn.errors import LocalProtocolError, PeerProtocolError
from protocols import codec
from protocols.messages import (
    Acceptance,
    Carriage,
    CheckpointMessage,
    CloseReason,
    Hello,
    Offer,
    Piece,
    Proposal,
    Refusal,
    RefusalCode,
    SessionClosed,
    Status,
    TrajectoryClosed,
    Welcome,
)

digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
reports = st.none() | st.integers(0, 255) | st.floats(0, 1e300)
rounds = st.integers(1, 10**6)
octets32 = st.binary(min_size=32, max_size=32)
keys = st.binary(min_size=1216, max_size=1216)
seqs = st.integers(0, 10**9)
plain = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=200)


@st.composite
def checkpoints(draw):
    carriage = draw(st.sampled_from(Carriage))
    withheld = carriage is Carriage.WITHHELD
    return CheckpointMessage(
        round=draw(rounds),
        step=draw(st.integers(0, 10**12)),
        carriage=carriage,
        digest="" if withheld else draw(digests),
        loss=None if withheld else draw(reports),
    )


messages = st.one_of(
    checkpoints(),
    st.builds(
        TrajectoryClosed,
        round=rounds,
        checkpoints=st.lists(checkpoints(), min_size=1, max_size=5).map(tuple),
    ),
    st.builds(SessionClosed, round=rounds, reason=st.sampled_from(CloseReason), result=digests),
)
frames = st.one_of(
    st.builds(
        Hello,
        version=st.integers(1, 9),
        nonce=octets32,
        sealing_key=keys,
        samples=st.integers(0, 10**15),
        terms=st.binary(min_size=1, max_size=100),
    ),
    st.builds(
        Welcome,
        hello_nonce=octets32,
        nonce=octets32,
        sealing_key=keys,
        samples=st.integers(0, 10**15),
    ),
    st.builds(Proposal, note=st.binary(min_size=1, max_size=99)),
    st.builds(Acceptance, note=st.binary(min_size=1, max_size=99)),
    st.builds(
        Offer,
        session=octets32,
        seq=seqs,
        note=st.binary(min_size=1, max_size=99),
        sealed_key=st.binary(min_size=1168, max_size=1168),
        sealed_body=st.binary(min_size=1, max_size=99),
    ),
    st.builds(
        Status,
        session=octets32,
        seq=seqs,
        piece=st.integers(0, 1 << 26),
        credit=st.integers(0, 99),
        resend=st.integers(0, 1),
    ),
    st.builds(
        Refusal,
        session=st.just(b"") | octets32,
        code=st.sampled_from(RefusalCode),
        field=st.sampled_from(["", "rounds", "loss_clip"]),
        own=plain,
        peer=plain,
    ),
)


@given(messages)
def test_a_message_comes_back_as_it_was(message):
    assert codec.decode_message(codec.encode_message(message)) == message


@given(frames)
def test_a_frame_comes_back_as_it_was(frame):
    assert codec.decode_frame(codec.encode_frame(frame)) == frame


@given(octets32, seqs, st.integers(0, 1 << 26), st.binary(min_size=1, max_size=500))
def test_a_piece_comes_back_as_it_was(session, seq, index, sealed):
    piece = Piece(session=session, seq=seq, index=index, sealed=memoryview(sealed))

    back = codec.decode_frame(codec.encode_frame(piece))

    assert (back.session, back.seq, back.index, bytes(back.sealed)) == (session, seq, index, sealed)


@given(st.binary(max_size=300))
@settings(max_examples=500)
def test_arbitrary_bytes_are_a_frame_of_ours_or_refused(data):
    try:
        frame = codec.decode_frame(data)
    except PeerProtocolError:
        return
    assert codec.encode_frame(frame) == data


@given(messages, st.data())
@settings(max_examples=300)
def test_a_changed_byte_gives_another_message_or_a_refusal(message, data):
    encoded = bytearray(codec.encode_message(message))
    place = data.draw(st.integers(0, len(encoded) - 1))
    encoded[place] ^= data.draw(st.integers(1, 255))
    try:
        other = codec.decode_message(bytes(encoded))
    except PeerProtocolError:
        return
    assert other != message
    assert codec.encode_message(other) == bytes(encoded)


@pytest.mark.parametrize(
    "value",
    [
        [1, 1, 0, "attached", "ab" * 32, 0.5, "extra"],
        [1, 1, 0, "attached", "ab" * 32],
        [1, 0, 0, "attached", "ab" * 32, 0.5],
        [1, 1, 0, "attached", "AB" * 32, 0.5],
        [1, 1, 0, "attached", "../../../etc/passwd", 0.5],
        [1, 1, 0, "attached", "ab" * 32, -0.5],
        [1, 1, 0, "attached", "ab" * 32, float("inf")],
        [1, 1, 0, "withheld", "ab" * 32, None],
        [1, 1, 0, "withheld", "", 0.5],
        [1, 1, 0, "smuggled", "ab" * 32, 0.5],
        [1, 1, 0, ["attached"], "ab" * 32, 0.5],
        [1, 1, 0, "attached", ["ab" * 32], 0.5],
        [1, 1, 0, "attached", "ab" * 32, [0.5]],
        [2, 1, []],
        [2, 1, [[3, 1, "completed", "ab" * 32]]],
        [99, 1],
        [],
        "text",
        17,
    ],
    ids=str,
)
def test_what_is_not_on_the_list_is_refused(value):
    with pytest.raises(PeerProtocolError):
        codec.decode_message(pack(value))


def test_frames_are_no_messages_and_messages_no_frames():
    status = Status(session=bytes(32), seq=0, piece=0, credit=1, resend=0)
    closed = SessionClosed(round=2, reason=CloseReason.COMPLETED, result="ab" * 32)

    with pytest.raises(PeerProtocolError):
        codec.decode_message(codec.encode_frame(status))
    with pytest.raises(PeerProtocolError):
        codec.decode_frame(codec.encode_message(closed))


@pytest.mark.parametrize(
    "kind", [*codec.MESSAGE_KINDS.values(), *codec.FRAME_KINDS.values(), Piece]
)
def test_everything_that_crosses_is_frozen_and_checks_every_field(kind):
    assert kind.__dataclass_params__.frozen
    assert all("check" in field.metadata for field in dataclasses.fields(kind))


def test_our_own_mistakes_are_caught_before_they_leave():
    with pytest.raises(LocalProtocolError, match=r"CheckpointMessage\.round is '0'"):
        CheckpointMessage(round=0, step=0, carriage=Carriage.HELD, digest="ab" * 32, loss=None)
