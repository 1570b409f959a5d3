"""Callers who are not on file: turned away before anything of theirs is read or kept."""

import os
import socket
import time

import psutil
import pytest
import zmq
from caller import Caller
from patience import PATIENCE_S
from twoparties import LEARNER, PROVIDER, TwoParties

from assistlearn.bundle import Identity
from parties.directory import PartyDirectory

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),  # seconds; the first test's include the fixture that all share
]

MIB = 1 << 20
ALLOWED = 20 * MIB
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00%s" + b"\x00" + bytes(31)


@pytest.fixture(scope="module")
def visited(tmp_path_factory):
    """A provider on its own, a learner on file who has never called, and a stranger."""
    parties = TwoParties(tmp_path_factory.mktemp("strangers"))
    card = PartyDirectory(parties.home(PROVIDER)).identity.card
    parties.join("stranger", card, known=False)
    provider = parties.provide()
    try:
        yield parties, provider
    finally:
        parties.close()


def rss(process):
    return psutil.Process(process.popen.pid).memory_info().rss


def snapshot(home):
    """Everything in a directory with its bytes."""
    return {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}


def test_a_learner_who_is_not_on_file_ends_with_32_and_leaves_no_trace(visited):
    parties, provider = visited
    home = parties.home(PROVIDER)
    before, memory, events = snapshot(home), rss(provider), len(provider.events)

    learner = parties.start(LEARNER, name="stranger")

    assert learner.wait() == 32
    assert "refused our key" in learner.error["error"]
    assert "peer add" in learner.error["hint"]
    assert snapshot(home) == before
    assert len(provider.events) == events
    assert rss(provider) - memory < ALLOWED


def test_a_caller_without_curve_is_not_heard(visited):
    parties, provider = visited
    memory = rss(provider)
    context = zmq.Context()
    plain = context.socket(zmq.DEALER)
    plain.setsockopt(zmq.LINGER, 0)
    plain.setsockopt(zmq.SNDTIMEO, 50)
    plain.connect(f"tcp://127.0.0.1:{parties.port}")
    for _ in range(200):
        try:
            plain.send(bytes(MIB), zmq.NOBLOCK)
        except zmq.Again:
            time.sleep(0.005)

    assert not plain.poll(300)
    context.destroy(linger=0)
    assert rss(provider) - memory < ALLOWED
    assert provider.alive
    assert parties.ledger(PROVIDER) == []


def raw(port, data, *, repeat=1):
    """Send bytes until they are all gone or the provider hangs up; how many went."""
    sent = 0
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        connection.settimeout(2)
        try:
            for _ in range(repeat):
                connection.sendall(data)
                sent += len(data)
        except OSError:
            pass
    return sent


def zmtp(mechanism, as_server=False):
    head = b"\xff" + bytes(7) + b"\x01\x7f\x03\x00" + mechanism.ljust(20, b"\x00")
    return head + bytes([as_server]) + bytes(31)


FLOODS = {
    "noise": (os.urandom(MIB), 32),
    "zeros": (bytes(MIB), 32),
    "http": (b"GET / HTTP/1.1\r\n\r\n" * 1000, 100),
    "old protocol": (b"\x01\x00" + b"\x7f" + bytes(1000), 1000),
    "more, without mechanism": (zmtp(b"NULL") + b"\x01\xffx" * 300_000, 20),
    "empty parts, as if encrypted": (zmtp(b"CURVE") + b"\x01\x00" * 500_000, 30),
    "large parts, as if encrypted": (
        zmtp(b"CURVE") + (b"\x03" + (65_000).to_bytes(8) + bytes(65_000)) * 16,
        20,
    ),
    "a giant claim": (zmtp(b"CURVE") + b"\x02" + (1 << 40).to_bytes(8) + bytes(MIB), 8),
    "commands": (zmtp(b"CURVE") + (b"\x04\x06\x05HELLO") * 10_000, 10),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_bytes_from_nobody_cost_no_memory(visited, flood):
    parties, provider = visited
    data, repeat = FLOODS[flood]
    memory = rss(provider)

    raw(parties.port, data, repeat=repeat)

    assert rss(provider) - memory < ALLOWED
    assert provider.alive
    assert parties.ledger(PROVIDER) == []


def test_half_open_calls_do_not_keep_a_good_one_out(visited):
    parties, provider = visited
    memory = rss(provider)
    calls = []
    for _ in range(300):
        try:
            call = socket.create_connection(("127.0.0.1", parties.port), timeout=5)
        except OSError:
            continue
        call.sendall(zmtp(b"CURVE")[:20])
        calls.append(call)

    learner = parties.start(LEARNER)
    code = learner.wait()

    for call in calls:
        call.close()
    assert code == 0
    assert rss(provider) - memory < ALLOWED + 60 * MIB  # and it served a session meanwhile


def test_a_caller_with_our_key_and_a_wrong_one_of_the_provider_gets_no_answer(visited, tmp_path):
    parties, provider = visited
    impostor = Identity.create(tmp_path / "keys", name="impostor")
    own = PartyDirectory(parties.home(LEARNER)).identity

    with Caller(parties.port, identity=own, provider=impostor.card) as caller:
        caller.socket.setsockopt(zmq.IMMEDIATE, 1)
        assert caller.silent(ms=1500)
    assert provider.alive
