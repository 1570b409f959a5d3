"""A gate's worker ends when it should."""

import signal

import pytest
from twoparties import PROVIDER, TwoParties

from parties.gate.worker import WorkerProcess
from parties.worker.requests import Describe

pytestmark = pytest.mark.slow


def test_a_busy_worker_is_ended_at_once_and_an_idle_one_ends_by_itself(tmp_path):
    parties = TwoParties(tmp_path)
    busy, idle = (WorkerProcess(parties.home(PROVIDER)) for _ in range(2))
    busy.ask(Describe())
    idle.describe()

    busy.stop()
    idle.stop()

    assert busy._process.returncode == -signal.SIGKILL
    assert idle._process.returncode == 0
