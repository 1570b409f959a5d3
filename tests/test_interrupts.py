"""A request to stop waits for the end of the block, then does what it always does."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from assistlearn.interrupts import SIGNALS, Stopped, stop_on_signals, uninterrupted


@pytest.fixture(autouse=True)
def handlers():
    signal.signal(signal.SIGINT, signal.default_int_handler)
    stop_on_signals()


def stop_in_the_middle(number, done):
    with uninterrupted():
        signal.raise_signal(number)
        done.append("inside")
    done.append("after")


@pytest.mark.parametrize("number", SIGNALS)
def test_the_block_is_finished_before_the_request_is_obeyed(number):
    done = []

    with pytest.raises(KeyboardInterrupt):
        stop_in_the_middle(number, done)
    assert done == ["inside"]


def test_an_error_from_inside_is_not_lost():
    with pytest.raises(ZeroDivisionError), uninterrupted():
        raise ZeroDivisionError


def test_a_block_inside_another_waits_for_the_outer_one():
    done = []

    def nested():
        with uninterrupted():
            stop_in_the_middle(signal.SIGINT, done)
            done.append("outer")

    with pytest.raises(KeyboardInterrupt):
        nested()
    assert done == ["inside", "after", "outer"]


def test_outside_of_blocks_a_request_is_obeyed_at_once_and_once():
    with pytest.raises(Stopped):
        signal.raise_signal(signal.SIGTERM)

    with uninterrupted():  # as when tidying up afterwards
        pass


def test_an_ignored_ctrl_c_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    stop_on_signals()

    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_a_request_while_classes_are_made_leaves_a_program_its_own_exit_code(tmp_path):
    (tmp_path / "interrupted.py").write_text(
        "import signal, sys\n"
        "from assistlearn.interrupts import stop_on_signals\n"
        "stop_on_signals()\n"
        "try:\n"
        "    exec('signal.raise_signal(signal.SIGINT)')\n"
        "except KeyboardInterrupt:\n"
        "    sys.exit(130)\n"
    )
    run = [sys.executable, "-m", "interrupted"]
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{Path.cwd()}"}

    process = subprocess.run(run, check=False, cwd=tmp_path, env=environment)

    assert process.returncode == 130


def test_other_threads_may_use_it():
    done = []

    def work():
        with uninterrupted():
            done.append("inside")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == ["inside"]
