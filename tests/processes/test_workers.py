"""A gate's worker ends when it should."""

import signal
import subprocess
import sys

import pytest
from patience import PATIENCE_S
from twoparties import PROVIDER, ROOT, TwoParties

from parties.gate.worker import WorkerProcess
from parties.worker.requests import LENGTH, MAX_BYTES, Describe

pytestmark = pytest.mark.slow


def test_a_busy_worker_is_ended_at_once_and_an_idle_one_ends_by_itself(tmp_path, monkeypatch):
    monkeypatch.setattr("parties.gate.worker.GRACE_S", PATIENCE_S)  # on a busy machine
    parties = TwoParties(tmp_path)
    parties.close()  # directories are all that is needed of it
    busy, idle = (WorkerProcess(parties.home(PROVIDER)) for _ in range(2))
    busy.ask(Describe())
    idle.describe()

    busy.stop()
    idle.stop()

    assert busy._process.returncode == -signal.SIGKILL
    assert idle._process.returncode == 0


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        (LENGTH.pack(MAX_BYTES + 1), f"a request of {MAX_BYTES + 1} bytes"),
        (LENGTH.pack(3) + b"\xc1\xc1\xc1", "BundleError"),
        (LENGTH.pack(2) + b"\x91\x63", "not on the list"),
    ],
    ids=["too long", "no value", "not on the list"],
)
def test_a_request_that_is_none_ends_the_worker_with_70_and_its_reason(tmp_path, request_, told):
    worker = subprocess.Popen(
        [sys.executable, "-m", "parties.worker", str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    )
    try:
        worker.stdin.write(request_)
        worker.stdin.flush()  # and stays open, as the gate's end does

        assert worker.wait(timeout=PATIENCE_S) == 70
        assert told in worker.stderr.read().decode()
    finally:
        worker.kill()
        worker.wait()
        worker.stdin.close()
        worker.stderr.close()
