"""The ablation of sampling: its arms, and what it says of them."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread

from experiments.sampling_ablation import (
    CONTROL,
    DOUBLING,
    EVEN,
    Arm,
    Study,
    arms,
    by_chance,
    compared,
    draw,
    local_steps,
    sentences,
    settings_of,
)
from parties.simulate.outcome import ASSISTED
from parties.simulate.results import Results, Spread
from parties.simulate.runs import run_all
from protocols.sampling import Sampling, sampled_steps

STUDY = Study(
    name="digits",
    imbalance=0.1,
    rounds=2,
    total_steps=40,
    seeds=2,
    factory="assistlearn.tasks:digits",
    settings={"model": "linear"},
)


def arm(above, *, sent=100.0):
    return Arm(
        sampling=Sampling.EVEN,
        period=1,
        checkpoints=(3, 9),
        accuracy=Spread(mean=90.0 + above, error=0.1, count=5),
        sent=Spread(mean=sent, error=0.0, count=5),
        above_even=Spread(mean=above, error=0.1, count=5),
        loss_above_even=Spread(mean=0.0, error=0.1, count=5),
        by_seed=(90.0 + above, 90.0 + 2 * above),
        chosen=(0.0, 0.25, 0.5, 0.8, 1.0),
        seconds=1.0,
    )


@given(st.integers(2, 2000))
def test_the_control_has_no_more_checkpoints_than_doubling_and_few_less(longest):
    chosen = arms(STUDY, longest)

    doubling, control = (
        len(sampled_steps(longest, period, sampling=sampling))
        for sampling, period in (chosen[DOUBLING], chosen[CONTROL])
    )

    assert doubling // 2 <= control <= doubling


def test_arms_differ_in_sampling_alone():
    study = dataclasses.replace(STUDY, total_steps=120)
    settings = [settings_of(study, *each) for each in arms(study, 100).values()]

    assert len({s.model_dump_json() for s in settings}) == 4
    alike = {"sampling": "even", "sampling_period": 1}
    bare = [s.model_copy(update={"terms": s.terms.model_copy(update=alike)}) for s in settings]
    assert all(each == bare[0] for each in bare)


def test_a_small_run_has_fewer_bytes_with_doubling_and_no_difference_from_itself(tmp_path):
    steps = local_steps(STUDY)
    runs = {}
    for name, (sampling, period) in arms(STUDY, max(steps)).items():
        settings = settings_of(STUDY, sampling, period)
        made = run_all(settings, folder=tmp_path, methods=(ASSISTED,))
        runs[name] = Results(settings=settings, runs=made)

    found = compared(runs, steps)

    assert sum(steps) == STUDY.total_steps
    assert found[EVEN].above_even.mean == 0
    assert found[EVEN].checkpoints == tuple(step + 1 for step in steps)  # a period of 1
    assert found[DOUBLING].sent.mean < 0.6 * found[EVEN].sent.mean
    for each in found.values():  # step 0 crosses by digest from the second trajectory on
        attached = STUDY.rounds * (sum(each.checkpoints) - 2) + 1
        assert each.sent.mean == pytest.approx(attached * 8_000, rel=0.5)


def test_sentences_tell_better_worse_and_not_told_apart():
    found = {
        EVEN: arm(0.0),
        "doubling": arm(1.0, sent=25.0),
        DOUBLING: arm(-1.0, sent=50.0),
        CONTROL: arm(0.1),
    }

    better, worse, neither, against_control, chosen = sentences(STUDY, found)

    assert "sends 25 % of the bytes, accuracy +1.00 ± 0.10 points" in better
    assert better.endswith("better than the paper's grid.")
    assert worse.endswith("worse than the paper's grid.")
    assert neither.endswith("not told apart from the paper's grid.")
    assert "-1.65 ± 0.55 points" in against_control  # -1.1 and -2.2
    assert "25 % lie in the first quarter of the trajectory, 50 % in the last" in chosen


def test_intervals_beside_zero_are_held_against_what_chance_gives():
    found = {EVEN: arm(0.0), "a": arm(1.0), "b": arm(-1.0), "c": arm(0.1)}

    said = by_chance([found] * 5)

    assert "Of 15 intervals 10 do not contain zero" in said
    assert "about 0.8 would not" in said


def test_the_figure_has_a_panel_for_each_study(tmp_path):
    found = {name: arm(0.1 * n, sent=100.0 / (n + 1)) for n, name in enumerate(arms(STUDY, 30))}

    draw(tmp_path / "figure.png", {"one": found, "two": found})

    height, width, _ = imread(tmp_path / "figure.png").shape
    assert width > 1.3 * height
