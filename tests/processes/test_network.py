"""Networks that cut, freeze, slow down, slice and corrupt: the session ends the same."""

import random

import pytest
from patience import until
from proxy import Proxy
from twoparties import LEARNER, PROVIDER, TwoParties

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),  # seconds; the first test's include the fixture that all share
]

ROUNDS = 3


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """Digest and bytes of a session through a network that does nothing."""
    world = Bad(tmp_path_factory.mktemp("calm"))
    try:
        assert world.play() == 0
        yield world.parties.result()["sha256"], dict(world.proxy.carried)
    finally:
        world.close()


class Bad:
    """Two parties with a proxy between them."""

    def __init__(self, root, **settings):
        self.proxy = Proxy()
        self.parties = TwoParties(
            root,
            through=self.proxy.port,
            terms={"rounds": 3},
            task={"factory": "toytasks:held_arrays"},
            **settings,
        )
        self.proxy.target = self.parties.port

    def play(self):
        self.provider = self.parties.provide()
        self.learner = self.parties.start(LEARNER)
        return self.learner.wait()

    def digest(self):
        return self.parties.result()["sha256"]

    def close(self):
        self.parties.close()
        self.proxy.close()


@pytest.fixture
def bad(tmp_path):
    world = Bad(tmp_path)
    yield world
    world.close()


def test_connections_reset_at_random_bytes_change_nothing(bad, calm):
    expected, carried = calm
    total = sum(carried.values())
    rng = random.Random("cuts")
    # One in the first handshake, one right behind it, the others anywhere.
    bad.proxy.cuts.extend(sorted([150, 1500, *(rng.randrange(3000, total) for _ in range(8))]))

    assert bad.play() == 0

    assert bad.digest() == expected
    assert bad.proxy.reset >= 5  # the last may lie beyond the end, if the calm session took long
    assert bad.parties.ledger(PROVIDER)[-1][0] == "closed"


def test_bytes_changed_on_the_way_cost_the_connection_and_nothing_else(bad, calm):
    expected, carried = calm
    for way in ("up", "down"):
        bad.proxy.flips.extend((way, int(carried[way] * part)) for part in (0.4, 0.7))
    bad.proxy.flips = type(bad.proxy.flips)(sorted(bad.proxy.flips, key=lambda flip: flip[1]))

    assert bad.play() == 0

    assert bad.digest() == expected
    assert bad.proxy.connections >= 3
    assert all(kind != "refusal" for kind, _, _ in bad.parties.ledger(PROVIDER))


def test_a_slow_line_that_passes_single_bytes_changes_nothing(bad, calm):
    expected, carried = calm
    bad.proxy.slices = 20_000
    bad.proxy.rate = 100_000

    assert bad.play() == 0

    assert bad.digest() == expected
    assert sum(bad.proxy.carried.values()) < 1.3 * sum(carried.values()) + 10_000


def test_a_link_frozen_beyond_the_deadline_ends_with_41_and_the_same_command_goes_on(bad, calm):
    hold = bad.parties.hold(LEARNER, 40)  # the first update of the second round
    hurried(bad.parties, PROVIDER)  # a session that it gives up too soon, it takes up again
    provider, learner = bad.parties.provide(), bad.parties.start(LEARNER)
    learner.wait_for("round")
    learner.kill()
    hurried(bad.parties, LEARNER)  # not before: it would give up too soon on a busy machine
    learner = bad.parties.start(LEARNER)
    until(lambda: learner.named("connected") or not learner.alive)
    bad.proxy.freeze()

    assert learner.wait() == 41

    assert "run the same command again" in learner.error["hint"]
    provider.wait_for("silent")
    bad.proxy.cut()
    bad.proxy.thaw()
    hold.unlink()
    bad.parties.write(LEARNER)
    again = bad.parties.start(LEARNER)
    assert again.wait() == 0
    assert again.named("resumed")
    assert bad.digest() == calm[0]


def hurried(parties, role):
    """Let the next process of that side give a silent link up soon."""
    patience, parties.deadline_s = parties.deadline_s, 4.0
    parties.write(role)
    parties.deadline_s = patience


def test_a_provider_that_is_restarted_is_found_again_by_a_learner_that_kept_running(bad, calm):
    hold = bad.parties.hold(LEARNER, 40)
    provider, learner = bad.parties.provide(), bad.parties.start(LEARNER)
    learner.wait_for("round")
    provider.kill()
    bad.parties.provide()
    hold.unlink()

    assert learner.wait() == 0

    assert bad.digest() == calm[0]
    assert bad.parties.ledger(PROVIDER)[-1][0] == "closed"


def test_nobody_at_the_address_ends_with_41_not_with_a_wrong_suspicion(tmp_path):
    bad = Bad(tmp_path, deadline_s=5.0)
    try:
        learner = bad.parties.start(LEARNER)  # the proxy takes the call and hangs up each time

        assert learner.wait() == 41
        assert "nobody answered" in learner.error["error"]
    finally:
        bad.close()
