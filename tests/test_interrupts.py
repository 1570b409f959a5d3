"""A request to stop waits for the end of the block, then does what it always does."""

import signal
import threading

import pytest

from assistlearn.interrupts import SIGNALS, stop_on_sigterm, uninterrupted


@pytest.fixture(autouse=True)
def usual_handlers():
    before = {number: signal.getsignal(number) for number in SIGNALS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def stop_in_the_middle(number, done):
    with uninterrupted():
        signal.raise_signal(number)
        done.append("inside")
    done.append("after")


@pytest.mark.parametrize("number", SIGNALS)
def test_the_block_is_finished_before_the_request_is_obeyed(number):
    stop_on_sigterm()
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


def test_handlers_are_as_before_afterwards():
    before = [signal.getsignal(number) for number in SIGNALS]
    with uninterrupted():
        assert [signal.getsignal(number) for number in SIGNALS] != before
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_other_threads_may_use_it():
    done = []

    def work():
        with uninterrupted():
            done.append("inside")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == ["inside"]
