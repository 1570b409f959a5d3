"""Repeated simulations: what is kept, and what is run again."""

import importlib
import json
import sys
from pathlib import Path

import pytest
from simulating import made_round, small_settings

from assistlearn.errors import StorageError
from parties.simulate import runs
from parties.simulate.outcome import ASSISTED, SessionOutcome
from parties.simulate.runs import run_all

BASELINES = ("learner_only",)


def told_by(settings, folder, **arguments):
    lines = []
    result = run_all(settings, folder=folder, told=lines.append, **arguments)
    return result, lines


def test_a_second_run_reads_what_the_first_one_finished(tmp_path):
    settings = small_settings(seeds=[0], baselines=list(BASELINES))

    first, _ = told_by(settings, tmp_path)
    second, lines = told_by(settings, tmp_path)

    assert second == first
    assert {line.split(": ")[1] for line in lines} == {"done before"}
    assert len(lines) == 2 * settings.terms.rounds  # progress reaches its end all the same


def test_all_methods_of_a_seed_start_from_the_same_model(tmp_path):
    settings = small_settings(seeds=[3], baselines=list(BASELINES))

    assisted, alone = run_all(settings, folder=tmp_path)

    assert assisted.rounds[0] == alone.rounds[0]
    assert (assisted.method, alone.method) == (ASSISTED, "learner_only")
    assert (assisted.seed, alone.seed) == (3, 3)


@pytest.mark.parametrize(
    "change", [{"imbalance": 0.3}, {"rounds": 2}, {"optimizer_settings": {"lr": 0.01}}]
)
def test_a_changed_setting_is_run_again_and_the_old_result_is_kept(tmp_path, change):
    kept = {"seeds": [0], "baselines": []}
    first, _ = told_by(small_settings(**kept), tmp_path)

    changed, lines = told_by(small_settings(**kept, **change), tmp_path)

    assert changed != first
    assert not any("done before" in line for line in lines)
    assert told_by(small_settings(**kept), tmp_path)[0] == first
    assert len(list(tmp_path.iterdir())) == 2


OWN_TASK = """
from assistlearn.tasks import digits


def make_task(*, share=None, **settings):
    return digits(model="linear", optimizer_settings={"lr": 0.05}, share=share, device="cpu")
"""


def test_a_changed_task_is_run_again_and_the_old_result_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    task = Path("changing_task.py")
    settings = small_settings(
        seeds=[0], baselines=[], task={"factory": "changing_task:make_task", "device": "cpu"}
    )
    task.write_text(OWN_TASK)
    first, _ = told_by(settings, tmp_path / "runs")

    task.write_text(OWN_TASK.replace("0.05", "0.0"))
    sys.modules.pop("changing_task")  # as in a process of its own
    importlib.invalidate_caches()
    changed, lines = told_by(settings, tmp_path / "runs")

    assert not any("done before" in line for line in lines)
    accuracy = [each.metrics["accuracy"] for each in changed[0].rounds]
    assert len(set(accuracy)) == 1  # nothing was learned
    task.write_text(OWN_TASK)
    assert told_by(settings, tmp_path / "runs")[0] == first


def test_a_minimum_gain_concerns_assisted_learning_only(tmp_path):
    settings = small_settings(seeds=[0], baselines=list(BASELINES))
    run_all(settings, folder=tmp_path)

    _, lines = told_by(settings.model_copy(update={"minimum_gain": 100.0}), tmp_path)

    assert [line for line in lines if "stopped" in line] == ["seed 0, assisted: stopped"]
    assert all("done before" in line for line in lines if "learner_only" in line)


def test_a_damaged_file_and_force_run_again(tmp_path):
    settings = small_settings(seeds=[0], baselines=[])
    first, _ = told_by(settings, tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_text(path.read_text()[:-20])

    again, lines = told_by(settings, tmp_path)
    assert not any("done before" in line for line in lines)
    assert [r.global_loss for r in again[0].rounds] == [r.global_loss for r in first[0].rounds]

    _, lines = told_by(settings, tmp_path, force=True)
    assert not any("done before" in line for line in lines)


def test_a_session_in_processes_takes_the_place_of_the_one_in_this_process(tmp_path):
    settings = small_settings(seeds=[0], baselines=[])
    asked = []

    def run_session(given, seed, folder):
        asked.append((given, seed))
        return SessionOutcome(rounds=tuple(made_round(n, 0.5) for n in (1, 2, 3)))

    (run,) = run_all(settings, folder=tmp_path, run_session=run_session)

    assert asked == [(settings, 0)]
    assert [each.metrics["accuracy"] for each in run.rounds[1:]] == [0.5] * 3
    # another way of running is another result
    (own,) = run_all(settings, folder=tmp_path)
    assert own != run


def test_an_interrupted_simulation_leaves_only_whole_files(tmp_path):
    settings = small_settings(seeds=[0], baselines=list(BASELINES))

    def interrupt(line):
        if "learner_only, round 2" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_all(settings, folder=tmp_path, told=interrupt)

    (path,) = tmp_path.iterdir()
    assert json.loads(path.read_text())["method"] == ASSISTED
    _, lines = told_by(settings, tmp_path)
    assert sum("done before" in line for line in lines) == settings.terms.rounds


def test_infinite_losses_survive_the_file(tmp_path):
    settings = small_settings(seeds=[0], baselines=[])
    outcome = SessionOutcome(rounds=(made_round(1, 0.1, loss=float("inf")),))
    run_all(settings, folder=tmp_path, run_session=lambda *_: outcome)

    (run,) = run_all(settings, folder=tmp_path, run_session=lambda *_: outcome)

    assert run.rounds[1].global_loss == float("inf")


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(StorageError):
        runs.run_all(small_settings(), folder=tmp_path / "file" / "runs")
