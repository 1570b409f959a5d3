"""Processes killed at any point, started again with the same command: one result, one account."""

import random
import signal
import time
from collections import Counter
from contextlib import suppress

import psutil
import pytest
from patience import PATIENCE_S
from proxy import Proxy
from twoparties import LEARNER, PROVIDER, TwoParties, ledger_rows, recorded_events

from protocols.record import decode_record

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),  # seconds; a dozen starts of a process that loads torch
]

# Entries of the victim's ledger (some 42 in all): before any, during agreement, local training,
# transfer, selection, and at the end.
PLACES = {
    "gates": [
        ("learner", 0),
        ("provider", 2),
        ("learner", 9),
        ("provider", 15),
        ("learner", 24),
        ("provider", 31),
        ("learner", 40),
    ],
    "workers": [("learner", 4), ("provider", 12), ("provider", 28)],
}
LAST_UPDATES = 100  # where the provider's last training begins
CERTAIN = 36  # entries that both ledgers have by then


def keep_running(parties, processes):
    """Start again whatever ended without being done; whether the learner is."""
    for role, process in processes.items():
        if process.alive:
            continue
        if role is LEARNER and process.wait() == 0:
            return True
        processes[role] = parties.start(role)
    return False


def entries(parties, role):
    peer = "radlab" if role is LEARNER else "clinic"
    return len(ledger_rows(parties.home(role), peer))


def struck(process, *, worker):
    """Kill a gate or its worker; whether there was anything left to kill."""
    if not worker:
        return process.kill() == -signal.SIGKILL
    with suppress(psutil.NoSuchProcess):
        for each in process.workers():
            each.kill()
            return True
    return False


def play(parties, plan, rng, *, kill_worker):
    """Kill as ``plan`` says, each at the first sight of so many entries, then run to the end."""
    hold = parties.hold(PROVIDER, LAST_UPDATES)  # or the session might end before all are done
    processes = {role: parties.start(role) for role in (PROVIDER, LEARNER)}
    waiting = [(LEARNER if who == "learner" else PROVIDER, at) for who, at in plan]
    end = time.monotonic() + 4 * PATIENCE_S
    done = 0
    while not keep_running(parties, processes):
        assert time.monotonic() < end, parties.root
        role, at = waiting[0] if waiting else (None, CERTAIN + 1)
        if at > CERTAIN:
            hold.unlink(missing_ok=True)
        if role and processes[role].alive and entries(parties, role) >= at:
            time.sleep(rng.uniform(0, 0.2))
            if struck(processes[role], worker=kill_worker):
                waiting.pop(0)
                done += 1
        time.sleep(0.005)
    # The last: it had been started again so lately that its interpreter was still being loaded.
    assert processes[PROVIDER].stop() in {0, 130, -signal.SIGTERM}
    return done


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """The result when nobody is killed."""
    parties = TwoParties(tmp_path_factory.mktemp("calm"))
    try:
        parties.provide()
        assert parties.start(LEARNER).wait() == 0
        yield parties.result()
    finally:
        parties.close()


@pytest.mark.parametrize("scenario", PLACES)
def test_kills_at_every_phase_change_neither_result_nor_account(calm, scenario, tmp_path):
    parties = TwoParties(tmp_path, task={"factory": "toytasks:held_arrays"})
    plan = PLACES[scenario]
    try:
        killed = play(parties, plan, random.Random(scenario), kill_worker=scenario == "workers")

        assert killed >= sum(at <= CERTAIN for _, at in plan)  # one after may come too late
        found = parties.result()
        assert found["sha256"] == calm["sha256"]
        assert found["global_losses"] == calm["global_losses"]
        check_account(parties, sessions=1)
        check_rubbish(parties)
    finally:
        parties.close()


def check_account(parties, *, sessions):
    """Each round once on both sides, every step of it once, and both ledgers whole."""
    for role in (LEARNER, PROVIDER):
        rows = parties.ledger(role)
        kinds = Counter(kind for kind, _, _ in rows)
        assert kinds["agreement"] == sessions
        assert kinds["closed"] == sessions
        counts = recorded_events(rows)
        assert counts["Sampled"] == {LEARNER: 4, PROVIDER: 6}[role]
        said = [decode_record(body) for kind, _, body in rows if kind == "event"]
        heard = Counter(
            (type(each.message).__name__, each.message.round, getattr(each.message, "step", None))
            for each in said
            if type(each).__name__ == "Received"
        )
        assert set(heard.values()) == {1}
        code, output = parties.verify(role)
        assert code == 0, output
    assert parties.result()["rounds"] == 2


def check_rubbish(parties):
    """Nothing half written and no session's secret stays behind."""
    left = [
        path
        for role in (LEARNER, PROVIDER)
        for pattern in ("**/*unfinished*", "**/*.part", "rounds/**/secrets.key")
        for path in parties.home(role).glob(pattern)
    ]
    assert left == []


def test_pieces_that_were_acknowledged_are_not_sent_again_after_kills(tmp_path):
    proxy = Proxy()
    proxy.rate = 12e6
    parties = TwoParties(
        tmp_path,
        through=proxy.port,
        terms={"rounds": 1, "learner_steps": 20, "provider_steps": 20},
        recipe={"model_settings": {"hidden": [1000, 2000]}},
    )
    proxy.target = parties.port
    megabytes = (8 * 1000 + 1000 + 1000 * 2000 + 2000 + 2000 * 2 + 2) * 4 / 1e6
    rng = random.Random("pieces")
    # Step 0 and 20 go up, step 20 comes down: kill both gates in the middle of each.
    for way, part in (("up", 0.4), ("up", 1.5), ("down", 0.5)):
        proxy.stops.append((way, part * megabytes * 1e6))
    try:
        processes = {role: parties.start(role) for role in (PROVIDER, LEARNER)}
        while not keep_running(parties, processes):
            if proxy.frozen:
                processes[rng.choice([LEARNER, PROVIDER])].kill()
                proxy.thaw()
            time.sleep(0.002)

        assert not proxy.stops
        # Beyond a calm run's, only what was under way: at most the credit of 24 MiB is sent
        # again in principle, a receipt every 6 MiB in practice.
        assert proxy.carried["up"] / 1e6 < 2 * megabytes + 2 * 7
        assert proxy.carried["down"] / 1e6 < megabytes + 7
        processes[PROVIDER].stop()
        assert parties.verify(PROVIDER)[0] == parties.verify(LEARNER)[0] == 0
    finally:
        parties.close()
        proxy.close()
