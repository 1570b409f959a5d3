"""Deadlines and signs of life: who is busy is not lost, who is silent is."""

import random
from itertools import pairwise
from types import SimpleNamespace

import pytest
from twoparties import LEARNER, PROVIDER, TwoParties

from assistlearn.errors import LinkLostError
from parties.gate.learner import _Pulse
from parties.gate.pace import POLL_MS, Heartbeat

SHORTEST_S = 1.0  # that settings allow


@pytest.fixture
def clock(monkeypatch):
    """What the gates take for the time."""
    made = SimpleNamespace(now=1000.0)
    made.monotonic = lambda: made.now
    monkeypatch.setattr("parties.gate.pace.time", made)
    monkeypatch.setattr("parties.gate.learner.time", made)
    return made


@pytest.mark.parametrize("own_deadline_s", [SHORTEST_S, 30.0, 86_400.0])
def test_signs_of_life_come_often_enough_for_any_deadline_of_the_peer(clock, own_deadline_s):
    heartbeat = Heartbeat(own_deadline_s)
    session = SimpleNamespace(status_due=False)
    rng = random.Random(4)
    said = [clock.now]

    for _ in range(500):
        clock.now += rng.uniform(0, POLL_MS / 1000)  # a turn of a gate to which nothing comes
        heartbeat.beat(session)
        if session.status_due:
            said.append(clock.now)
            session.status_due = False

    assert max(late - early for early, late in pairwise(said)) < SHORTEST_S


def test_a_link_lives_while_anything_arrives_and_is_lost_after_the_deadline(clock):
    pulse = _Pulse(10.0, clock.now)
    for _ in range(100):
        clock.now += 9.9
        pulse.check("nothing came")
        pulse.heard = clock.now

    clock.now += 10.1

    with pytest.raises(LinkLostError, match="nothing came for 10 s"):
        pulse.check("nothing came")


def test_a_silence_is_told_of_once_after_a_third_of_the_deadline(clock):
    pulse = _Pulse(9.0, clock.now)
    told = []

    for heard in (False, False, True, False, False):
        pulse.heard = clock.now if heard else pulse.heard
        for _ in range(2):
            clock.now += 1.6
            told.append(pulse.quiet())

    assert told == [False, True, False, False, False, True, False, False, False, False]


@pytest.mark.slow
def test_updates_that_take_longer_than_both_deadlines_do_not_end_a_session(tmp_path):
    parties = TwoParties(
        tmp_path,
        terms={"rounds": 1},
        task={"factory": "toytasks:make"},
        recipe={"kind": "slow"},
        deadline_s=10.0,
    )
    try:
        provider, learner = parties.provide(), parties.start(LEARNER)

        assert learner.wait() == 0

        provider.stop()
        assert not provider.named("silent")
        assert not provider.named("resumed")
        assert len(provider.named("sampled")) == 3  # it had its turn, as slow as the learner
        assert parties.ledger(PROVIDER)[-1][0] == "closed"
    finally:
        parties.close()
