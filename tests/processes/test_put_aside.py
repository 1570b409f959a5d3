"""A session put aside again and again, for a card taken away or a full disk, then finished.

The limit on file size stands for a disk that is full: the kernel refuses to write on, in
whatever place that happens. It is set from outside, on processes that run.
"""

import os
import sys

import psutil
import pytest
from patience import PATIENCE_S, until
from twoparties import LEARNER, PROVIDER, TwoParties, write_whole

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),  # seconds; eight starts of a process that loads torch
    pytest.mark.skipif(sys.platform != "linux", reason="limits on other processes: Linux alone"),
]

NO_CHECKPOINT = 5 << 20  # bytes: less than a checkpoint's 8 MB, more than a ledger's log grows to
NO_ENTRY = 4096


def limit(pid, size_bytes=None):
    """Let a process write no file beyond so many bytes; without a number, as long as it likes."""
    unlimited = psutil.RLIM_INFINITY
    soft = unlimited if size_bytes is None else size_bytes
    psutil.Process(pid).rlimit(psutil.RLIMIT_FSIZE, (soft, unlimited))


class Trials:
    """One session of ada's, stopped in every way, at a provider that serves bob as well."""

    def __init__(self, root):
        self.parties = TwoParties(
            root,
            names=("ada", "bob"),
            sessions=2,
            terms={"rounds": 1},
            task={"factory": "toytasks:held_arrays"},
            recipe={"model_settings": {"hidden": [1000, 2000]}},
        )
        self.endings = {}

    def run(self):
        self.provider = self.parties.provide()
        self.gate = self.provider.popen.pid
        self.stop_learners_worker()
        self.stop_provider("ledger", NO_ENTRY)
        self.stop_provider("quarantine", NO_CHECKPOINT)
        self.take_card_away()
        self.stop_learners_gate()
        self.endings["last"] = self.ada().wait()
        self.provider.stop()

    def ada(self):
        return self.parties.start(LEARNER, name="ada")

    def ended(self, name, ada):
        self.endings[name] = ada.wait(), ada.error

    def stop_learners_worker(self):
        own = os.getpid()
        limit(own, NO_CHECKPOINT)  # ada inherits it, and ada's worker
        ada = self.ada()
        limit(own)
        self.ended("worker", ada)

    def stop_provider(self, what, size_bytes):
        limit(self.gate, size_bytes)
        self.ended(what, self.ada())
        limit(self.gate)

    def take_card_away(self):
        card = self.parties.home(PROVIDER) / "peers" / "ada.card"
        kept = card.read_bytes()
        self.hold = self.parties.hold(PROVIDER, 0)  # or both would be done too soon
        self.bob = self.parties.start(LEARNER, name="bob")
        self.bob.wait_for("agreed")
        (bobs,) = self.provider.workers()
        ada = self.ada()
        self.provider.wait_for("resumed", count=2)
        others = until(lambda: set(self.provider.workers()) - {bobs})  # just after that event
        write_whole(card.with_name("zoe.card"), b"no card at all")
        card.unlink()
        self.provider.wait_for("suspended", count=3)
        for worker in others:
            worker.wait(PATIENCE_S)  # or an error: it goes on
        self.ended("card", ada)
        write_whole(card, kept)

    def stop_learners_gate(self):
        ada = self.ada()
        ada.wait_for("connected")  # its worker runs by now
        limit(ada.popen.pid, NO_CHECKPOINT)
        self.hold.unlink()
        self.ended("gate", ada)
        self.endings["bob"] = self.bob.wait()


@pytest.fixture(scope="module")
def trials(tmp_path_factory):
    made = Trials(tmp_path_factory.mktemp("aside"))
    try:
        made.run()
        yield made
    finally:
        made.parties.close()


def test_without_its_card_a_learners_session_is_put_aside(trials):
    code, error = trials.endings["card"]
    told = trials.provider.named("suspended")[2]

    assert code == 25
    assert "can go on later" in error["error"]
    assert told["learner"] == "ada"
    assert told["exit_code"] == 32
    assert "peer add" in told["hint"]


def test_a_damaged_card_and_a_card_taken_away_disturb_nobody_else(trials):
    assert trials.endings["bob"] == 0
    assert trials.provider.named("finished")[0]["learner"] == "bob"
    (damaged,) = trials.provider.named("damaged")
    assert "zoe.card" in damaged["why"]


@pytest.mark.parametrize(("what", "place"), [("ledger", "ledger/ada-"), ("quarantine", ".part")])
def test_a_provider_that_cannot_write_says_so_and_serves_on(trials, what, place):
    code, error = trials.endings[what]
    told = trials.provider.named("suspended")[["ledger", "quarantine"].index(what)]

    assert code == 25
    assert "can go on later" in error["error"]
    assert told["learner"] == "ada"
    assert told["exit_code"] == 60
    assert place in told["why"]
    assert told["hint"]


@pytest.mark.parametrize(("what", "where"), [("worker", "spool"), ("gate", ".part")])
def test_a_learner_that_cannot_write_ends_with_the_disks_error(trials, what, where):
    code, error = trials.endings[what]

    assert code == error["exit_code"] == 60
    assert where in error["error"]
    assert "ulimit -f" in error["hint"]


def test_what_was_under_way_from_a_learner_sent_away_wakes_nothing(trials):
    named = trials.provider.named

    assert [each["learner"] for each in named("suspended")] == ["ada"] * 3
    # Not when it came first, and not when it came for the second time, to a session in memory.
    assert len(named("resumed")) == 3


def test_nothing_is_lost_by_all_that(trials):
    parties = trials.parties

    assert trials.endings["last"] == 0
    # Both have the same data and seed, and nothing ever stopped bob.
    assert parties.result("ada")["sha256"] == parties.result("bob")["sha256"]
    assert parties.result("ada")["session"] == trials.provider.named("agreed")[0]["session"]
    assert parties.verify(LEARNER, "ada")[0] == 0
    (parties.home(PROVIDER) / "peers" / "zoe.card").unlink()
    code, output = parties.verify(PROVIDER)
    assert code == 0, output
