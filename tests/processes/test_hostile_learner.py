"""A learner on file that breaks every rule: refused, recorded, and nobody else is disturbed."""

import struct

import psutil
import pytest
import zmq
from caller import Caller
from twoparties import LEARNER, PROVIDER, TERMS, TwoParties

from assistlearn.bundle import unpack
from assistlearn.checkpoints import ModelSpec
from assistlearn.checkpoints.spec import DType, TensorSpec
from assistlearn.digests import digest
from assistlearn.tasks import load_task
from parties.directory import PartyDirectory
from protocols.codec import MAX_FRAME_BYTES, encode_frame
from protocols.messages import (
    Hello,
    Offer,
    Proposal,
    Refusal,
    RefusalCode,
    Status,
    Welcome,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),  # seconds; the first test's include the fixture that all share
]

MIB = 1 << 20
STRAY = Status(session=bytes(32), seq=0, piece=0, credit=0, resend=0)
SHAPES = {"1.weight": (64, 8), "1.bias": (64,), "3.weight": (2, 64), "3.bias": (2,)}
SPEC = ModelSpec(
    tuple(
        TensorSpec(name=name, dtype=DType.F32, shape=shape, buffer=False)
        for name, shape in SHAPES.items()
    )
)


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A provider with an honest learner and Mallory on file. The honest one comes last."""
    parties = TwoParties(
        tmp_path_factory.mktemp("hostile"), names=("clinic", "mallory"), sessions=2
    )
    provider = parties.provide()
    try:
        yield parties, provider
    finally:
        parties.close()


@pytest.fixture
def mallory(house):
    parties, provider = house
    directory = PartyDirectory(parties.root / "mallory")
    caller = Caller(parties.port, identity=directory.identity, provider=directory.only_peer())
    caller.terms = directory.settings.terms.terms()
    task = directory.settings.task
    caller.schema = load_task(task.factory, task.settings, device="cpu").schema
    with caller:
        yield caller
    assert provider.alive


def refusals(parties):
    """What the provider's ledger says it refused Mallory."""
    rows = parties.ledger(PROVIDER, "mallory")
    return [unpack(body, max_bytes=1 << 16) for kind, _, body in rows if kind == "refusal"]


def after(mallory):
    """Wait until everything said before was heard: the answer to a stray status is certain."""
    mallory.send(STRAY)
    return mallory.refused()


def agreed(mallory):
    return mallory.shake_hands(terms=mallory.terms, spec=SPEC, samples=60, schema=mallory.schema)


BROKEN = {
    "empty": b"",
    "noise": bytes(range(256)) * 40,
    "largest": b"\xc1" * MAX_FRAME_BYTES,
    "unknown kind": b"\x91\x63",
    "kind of the other side": encode_frame(
        Welcome(hello_nonce=bytes(32), nonce=bytes(32), sealing_key=bytes(1216), samples=1)
    ),
    "fields missing": b"\x92\x16\xc4\x20" + bytes(32),
    "map": b"\x81\x01\x02",
    "deep": b"\x91" * 5000,
    "void piece": struct.pack(">B32sIQ", 16, bytes(32), 0, 0),
    "piece beyond counting": struct.pack(">B32sIQ", 16, bytes(32), 2**32 - 1, 2**64 - 1) + b"x",
    "session of one byte": b"\x96\x16\xc4\x01\x00\x00\x00\x00\x00",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_frame_that_is_none_is_refused_and_recorded(house, mallory, name):
    parties, _ = house
    before = len(refusals(parties))

    mallory.send(BROKEN[name])

    assert after(mallory) == "unknown-session"
    assert len(refusals(parties)) == before + 1


def test_a_message_of_several_parts_is_refused_and_recorded(house, mallory):
    parties, _ = house
    before = len(refusals(parties))

    mallory.send(b"", b"x")
    mallory.send(*[b"y"] * 5000)

    assert after(mallory) == "unknown-session"
    assert len(refusals(parties)) == before + 2
    assert "several parts" in refusals(parties)[-1][2]


def test_a_part_beyond_the_size_limit_costs_the_connection_only(house, mallory):
    _, provider = house

    mallory.send(bytes(MAX_FRAME_BYTES + 1))
    while mallory.silent():  # what was under way on the old connection is lost
        mallory.send(STRAY)

    assert mallory.refused() == "unknown-session"
    assert provider.alive


def test_hellos_with_hostile_texts_are_refused_with_harmless_ones(house, mallory):
    for terms in (b"\xff\x1b[2J\r\n", b"rounds 7\x07\x1b]0;x\n", b"x" * 4096, b"task \n" * 600):
        nonce = digest(terms).encode()[:32]
        mallory.send(
            Hello(version=1, nonce=nonce, sealing_key=bytes(1216), samples=60, terms=terms)
        )
        assert mallory.refused() == "terms"


def test_a_hello_that_makes_no_agreement_is_refused(house, mallory):
    """No samples although they weigh, and a sealing key that is no key."""
    text = mallory.terms.text().encode()
    mallory.send(Hello(version=1, nonce=bytes(32), sealing_key=bytes(1216), samples=0, terms=text))
    mallory.hear(Welcome)
    mallory.send(Proposal(note=b"not a note"))
    assert mallory.refused() == "protocol"

    mallory.send(Hello(version=2, nonce=bytes(32), sealing_key=bytes(1216), samples=1, terms=text))
    assert mallory.refused() == "terms"


LIES = {
    "wrong round": {"round": 2},
    "wrong session": {"session": digest(b"another")},
    "fork of the transcript": {"transcript": digest(b"fork")},
    "another model": {"spec": digest(b"another model")},
    "payload of 64 GiB": {"payload": 1 << 36},
    "no payload": {"payload": 0},
}


@pytest.mark.parametrize("lie", LIES)
def test_a_signed_lie_ends_the_session_and_is_recorded(house, mallory, lie):
    parties, _ = house
    agreed(mallory)
    before = len(refusals(parties))

    mallory.send(mallory.offer(content=lie.encode(), **LIES[lie]))

    assert mallory.refused() in {"bundle", "protocol"}
    assert len(refusals(parties)) == before + 1
    kinds = [kind for kind, s, _ in parties.ledger(PROVIDER, "mallory") if s == mallory.session]
    assert kinds[-1] == "closed"
    assert "received" not in kinds


def test_offers_replayed_or_out_of_order_are_taken_once_and_in_order(house, mallory):
    parties, _ = house
    agreed(mallory)
    first = mallory.offer(content=b"first")
    mallory.passed(first)
    second = mallory.offer(seq=1, step=20, content=b"second")

    mallory.send(second)
    status = mallory.hear(Status)
    while not status.resend or status.piece:
        status = mallory.hear(Status)
    for _ in range(5):
        mallory.send(first)
    mallory.send(second)
    after_all = mallory.status(seq=3)
    mallory.send(after_all)  # what was never sent: this ends it, once all else was heard

    assert (status.seq, status.piece) == (0, 0)
    assert mallory.refused() == "protocol"
    rows = parties.ledger(PROVIDER, "mallory")
    received = [kind for kind, s, _ in rows if s == mallory.session and kind == "received"]
    assert len(received) == 1


def test_a_piece_that_was_altered_ends_the_session(house, mallory):
    agreed(mallory)
    offer = mallory.offer(content=b"first")
    mallory.send(offer)
    head = struct.pack(">B32sIQ", 16, bytes.fromhex(mallory.session), 0, 0)

    mallory.send(head + bytes(SPEC.file_bytes + 56 + 16))

    assert mallory.refused() == "bundle"


def test_refusing_again_what_is_put_aside_costs_no_worker(house, mallory):
    _, provider = house
    agreed(mallory)
    session = bytes.fromhex(mallory.session)
    for_now = Refusal(session=session, code=RefusalCode.SUSPENDED, field="", own="", peer="")

    for _ in range(3):
        mallory.send(for_now)
        assert after(mallory) == "unknown-session"

    assert not [e for e in provider.named("resumed") if e["session"] == mallory.session]


def test_the_session_of_another_learner_cannot_be_touched(house, mallory):
    parties, _ = house
    learner = parties.start(LEARNER)
    session = learner.wait_for("agreed")["session"]

    agreed(mallory)
    stolen = bytes.fromhex(session)
    mallory.send(mallory.status(session=stolen, seq=7))
    assert mallory.refused() == "unknown-session"
    offer = mallory.offer(content=b"x")
    mallory.send(
        Offer(
            session=stolen,
            seq=0,
            note=offer.note,
            sealed_key=offer.sealed_key,
            sealed_body=offer.sealed_body,
        )
    )
    assert mallory.refused() == "unknown-session"

    assert learner.wait() == 0
    kinds = [kind for kind, _, _ in parties.ledger(PROVIDER, "clinic")]
    assert "refusal" not in kinds
    assert parties.result()["rounds"] == TERMS["rounds"]


def test_one_message_of_endless_parts_cannot_fill_the_machine(house, mallory):
    _, provider = house
    process = psutil.Process(provider.popen.pid)
    bound = (512 + 256 * 2) * MIB
    part = bytes(MIB)

    peak = 0
    for number in range(1400):
        mallory.socket.send(part, zmq.SNDMORE, copy=False)
        if number % 50 == 0:
            peak = max(peak, process.memory_info().rss)
    mallory.socket.send(b"", copy=False)
    while process.is_running() and mallory.silent(ms=500):
        peak = max(peak, process.memory_info().rss)
        mallory.send(STRAY)

    assert peak < bound + 300 * MIB
    assert mallory.refused() == "unknown-session"
    assert provider.alive


def test_after_all_of_that_an_honest_session_ends_well(house):
    parties, provider = house

    again = parties.start(LEARNER, "--again")

    assert again.wait() == 0
    assert provider.stop() in {0, 130}
    code, output = parties.verify(PROVIDER)
    assert code == 0, output
