"""What holds for every test: none fails for having been slow, none changes another's signals."""

import signal

import pytest
from hypothesis import settings

from assistlearn.interrupts import SIGNALS

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def _own_handlers():
    """A command that a test runs in this process takes the handlers of signals."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
