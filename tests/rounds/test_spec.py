"""SPEC.md says what the tables say."""

from pathlib import Path

import pytest

import protocols
from protocols import learner, provider
from protocols.sampling import Sampling, sampled_steps

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


@pytest.mark.parametrize("sampling", Sampling)
def test_the_first_steps_of_every_sampling_strategy_are_a_row_of_the_specification(sampling):
    first = sampled_steps(100, 1, sampling=sampling)[: 5 if sampling is Sampling.DOUBLING else 4]

    shown = ", ".join("0" if step == 0 else f"{step}I".removeprefix("1") for step in first)

    assert f"| `{sampling.value}` | {shown}, ... |" in SPEC
