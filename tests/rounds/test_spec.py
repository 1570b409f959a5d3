"""SPEC.md says what the tables say."""

from pathlib import Path

import pytest

import protocols
from protocols import learner, provider

SPEC = (Path(protocols.__file__).parent / "SPEC.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("module", [learner, provider], ids=["learner", "provider"])
def test_every_transition_is_a_row_of_the_specification(module):
    heading = f"| {module.__name__.rpartition('.')[2]} in | hears | goes to |"
    table = SPEC.split(heading)[1].split("\n\n")[0].splitlines()[2:]

    rows = [
        f"| {state.value} | {event.__name__} | {', '.join(s.value for s in targets)} |"
        for state, events in module.TRANSITIONS.items()
        for event, targets in events.items()
    ]

    assert table == rows
