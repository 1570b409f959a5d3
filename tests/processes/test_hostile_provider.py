"""An enrolled provider that breaks every rule: refused by number, recorded, and nothing kept."""

import dataclasses
import os
import subprocess
import sys
import time
from contextlib import suppress

import numpy as np
import psutil
import pytest
import zmq
from callee import CONTROL, Callee, audited, held, own_side, step, withheld
from patience import PATIENCE_S
from twoparties import LEARNER, PROVIDER, ROOT, TERMS, TwoParties

from assistlearn.bundle import pack, unpack
from assistlearn.digests import digest, file_digest
from protocols.codec import MAX_FRAME_BYTES
from protocols.messages import (
    Acceptance,
    Hello,
    Offer,
    Proposal,
    Status,
    TrajectoryClosed,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),  # seconds; the first test's include the fixture that all share
]

MIB = 1 << 20
UNKNOWN_CODE = "because"
HURRY_S = 10.0  # nobody here is busy for so long, nor waits for it long


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A learner whose provider is Mallory. An honest one with the same keys comes last."""
    parties = TwoParties(tmp_path_factory.mktemp("hostile"))
    try:
        yield parties
    finally:
        parties.close()


@pytest.fixture(scope="module")
def sides(house):
    """What the learner and Mallory bring to an agreement."""
    return {
        role: own_side(house.home(role), samples=n) for role, n in ((LEARNER, 60), (PROVIDER, 200))
    }


@pytest.fixture
def mallory(house, sides):
    with Callee(house.port, sides[PROVIDER]) as callee:
        yield callee


def refusals(parties):
    """What the learner's ledger says was refused, by whom and in which session."""
    rows = parties.ledger(LEARNER)
    return [(s, *unpack(body, max_bytes=1 << 16)) for kind, s, body in rows if kind == "refusal"]


def ended(parties, learner, *, result=False):
    """Wait for the end, which must be in order whatever its reason; its exit code."""
    code = learner.wait()
    said = learner.log.read_text() + learner.log.with_suffix(".out").read_text()
    assert "Traceback" not in said
    assert not CONTROL.search(said)
    assert not [e for e in learner.events if CONTROL.search(str(e.get("error", "")))]
    audited(parties.home(LEARNER))
    assert (parties.home(LEARNER) / "models/assisted.toml").exists() == result
    assert code == 0 or learner.error["exit_code"] == code
    return code


def hurried(parties):
    """Let the next learner give a silent link up soon."""
    parties.learner_extra = {"link": {"deadline_s": HURRY_S}}
    parties.write(LEARNER)


def patient(parties):
    parties.learner_extra = {}
    parties.write(LEARNER)


def trained(parties, mallory):
    """A learner that has said its first trajectory to Mallory, and that trajectory."""
    learner = parties.start(LEARNER)
    mallory.shake_hands()
    return learner, mallory.take_trajectory()


def test_strays_are_passed_over_and_escapes_reach_no_screen(house, mallory):
    learner = subprocess.Popen(
        [sys.executable, "-m", "parties", "learn", str(house.home(LEARNER))],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        welcome = mallory.welcome()
        mallory.send(Acceptance(note=b"x"))
        mallory.send(dataclasses.replace(welcome, hello_nonce=bytes(32)))
        mallory.send(welcome)
        mallory.hear(Proposal)

        mallory.send(pack([23, b"", "terms", "rounds", "\x1b[2J\r\n\x1b]0;x\x07", "1"]))

        said, _ = learner.communicate(timeout=PATIENCE_S)
    finally:
        learner.kill()
        learner.wait()
    assert learner.returncode == 21
    assert not CONTROL.search(said.decode())
    assert b"Traceback" not in said
    assert "may not cross" in refusals(house)[-1][-1]
    audited(house.home(LEARNER))


def test_a_message_of_several_parts_is_refused_and_recorded(house, mallory):
    learner = house.start(LEARNER)
    mallory.hear(Hello)

    mallory.send(b"x", b"y")

    assert ended(house, learner) == 42
    assert refusals(house)[-1][:2] == ("", "own")
    assert "several parts" in refusals(house)[-1][-1]


def test_a_message_of_endless_parts_cannot_fill_the_machine(house, mallory):
    hurried(house)
    learner = house.start(LEARNER)
    mallory.hear(Hello)
    patient(house)
    process = psutil.Process(learner.popen.pid)
    part = bytes(MIB)

    mallory.socket.send(mallory.route, zmq.SNDMORE)
    peak = 0
    for number in range(1400):
        mallory.socket.send(part, zmq.SNDMORE, copy=False)
        if number % 50 == 0 and learner.alive:
            peak = max(peak, process.memory_info().rss)
    mallory.socket.send(b"", copy=False)
    while learner.alive:
        with suppress(psutil.Error):
            peak = max(peak, process.memory_info().rss)
        time.sleep(0.05)

    assert peak < (768 + 300) * MIB
    assert ended(house, learner) == 41


def test_a_frame_too_large_costs_the_connection_and_an_idle_peer_costs_nothing(house, mallory):
    hurried(house)
    learner, told = trained(house, mallory)
    mallory.send(bytes(MAX_FRAME_BYTES + 1))
    assert ended(house, learner) == 41

    again = house.start(LEARNER)
    again.wait_for("connected")
    patient(house)
    end = time.monotonic() + 1.2 * HURRY_S
    while time.monotonic() < end:  # longer than the deadline: it lives while anything arrives
        mallory.hear(Status)
        mallory.send(mallory.status(credit=1 << 16))
    assert again.alive
    first = mallory.say(held(told[0].digest))
    mallory.send(first)
    mallory.send(first)
    mallory.send(pack([23, bytes.fromhex(mallory.books.session), UNKNOWN_CODE, "", "", ""]))

    assert again.named("resumed")
    assert ended(house, again) == 21
    assert refusals(house)[-1][0] == mallory.books.session
    assert refusals(house)[-1][1:3] == ("own", "protocol")
    rows = [kind for kind, s, _ in house.ledger(LEARNER) if s == mallory.books.session]
    assert rows.count("received") == 1
    assert rows[-1] == "closed"


def nan(mallory, told):
    content = mallory.checkpoint(1.0, np.nan)
    mallory.say(held(told[0].digest))
    mallory.say(step(20, content), content)


def beyond_bounds(mallory, told):
    content = mallory.checkpoint(1e30)
    mallory.say(held(told[0].digest))
    mallory.say(step(20, content), content)


def other_header(mallory, told):
    honest = mallory.checkpoint()
    content = honest.replace(b"3.bias", b"3.bios")
    mallory.say(held(told[0].digest))
    mallory.say(step(20, content), content)


def other_tensors(mallory, told):
    signed, content = mallory.checkpoint(1.0), mallory.checkpoint(2.0)
    mallory.say(held(told[0].digest))
    mallory.say(step(20, signed), content)


def fork(mallory, told):
    message = held(told[0].digest)
    mallory.say(message, transcript=digest(b"fork"))


def other_list(mallory, told):
    mallory.say(held(told[0].digest))
    for number in (20, 40, 60):
        mallory.say(withheld(number))
    mallory.say(TrajectoryClosed(round=1, checkpoints=tuple(reversed(mallory.told))))


LIES = {
    nan: (34, "tensors"),
    beyond_bounds: (34, "tensors"),
    other_header: (34, "tensors"),
    other_tensors: (35, "bundle"),
    fork: (33, "bundle"),
    other_list: (21, "protocol"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_signed_lie_ends_the_learner_and_is_recorded(house, mallory, lie):
    learner, told = trained(house, mallory)

    lie(mallory, told)

    assert (ended(house, learner), refusals(house)[-1][2]) == LIES[lie]
    assert house.ledger(LEARNER)[-1][:2] == ("closed", mallory.books.session)
    assert not list(house.home(LEARNER).glob("rounds/*/*"))


def test_what_is_said_after_the_end_is_refused_and_the_model_stays(house, mallory):
    learner, told = trained(house, mallory)
    for round_ in (1, 2):
        told = told if round_ == 1 else mallory.take_trajectory()
        mallory.told = []
        mallory.say(held(told[0].digest, round=round_))
        for number in (20, 40, 60):
            mallory.say(withheld(number, round=round_))
        mallory.say(TrajectoryClosed(round=round_, checkpoints=tuple(mallory.told)))
    learner.wait_for("kept")
    mallory.books.note_passed(mallory.hear(Offer).note)  # the end, to which it says nothing

    mallory.say(held(told[0].digest, round=2))

    assert ended(house, learner, result=True) == 21
    assert house.result()["sha256"] == told[0].digest
    assert not (house.home(LEARNER) / "models" / f"{house.result()['session'][:16]}.toml").exists()


def test_after_all_of_that_an_honest_session_ends_well(house):
    house.provide()

    learner = house.start(LEARNER, "--again")

    assert ended(house, learner, result=True) == 0
    assert house.result()["rounds"] == TERMS["rounds"]
    assert house.result()["session"] == learner.named("finished")[0]["session"]
    assert (
        file_digest(house.home(LEARNER) / "models" / "assisted.safetensors")
        == (house.result()["sha256"])
    )
    code, output = house.verify(LEARNER)
    assert code == 0, output
