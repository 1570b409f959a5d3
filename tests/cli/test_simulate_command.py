"""``assistlearn simulate`` as people and programs use it."""

import json
import os

import pytest
from pyarrow import csv
from simulating import small_settings

from assistlearn.errors import ConfigError, DataError
from parties.cli import main
from parties.simulate.toml import toml_text

FILES = ("results.json", "results.csv", "rounds.png", "costs.png")


@pytest.fixture
def config(tmp_path):
    settings = small_settings(seeds=[0, 1], baselines=["learner_only", "provider_only"])
    table = settings.model_dump(exclude_none=True)
    path = tmp_path / "digits.toml"
    path.write_text(toml_text(table))
    return path


@pytest.fixture
def run(capsys):
    def run_(*arguments):
        with pytest.raises(SystemExit) as caught:
            main(["simulate", *map(str, arguments)])
        captured = capsys.readouterr()
        return caught.value.code, captured.out, captured.err

    return run_


def test_prints_a_table_and_advice_and_writes_results_and_figures(config, tmp_path, run):
    code, out, err = run(config, "--output", tmp_path / "out", "--seeds", 1)

    assert code == 0
    assert "\x1b" not in out + err
    assert "learner alone" in out
    assert "too few to say whether round 4 is worth buying" in out
    for name in FILES:
        assert (tmp_path / "out" / name).stat().st_size > 0
        assert f"wrote {tmp_path / 'out' / name}" in out


def test_more_seeds_than_the_settings_list_are_refused_with_both_numbers(config, tmp_path, run):
    code, _, err = run(config, "--output", tmp_path / "out", "--seeds", 3)

    assert code == ConfigError.exit_code
    assert "--seeds asks for 3" in err
    assert "lists 2" in err
    assert not (tmp_path / "out").exists()


def test_json_is_one_object_a_line_and_nothing_else(config, tmp_path, run):
    code, out, err = run(config, "--output", tmp_path / "out", "--json")

    events = [json.loads(line) for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert [event["event"] for event in events] == ["progress"] * 18 + ["finished"]
    assert events[17]["done"] == events[17]["total"] == 18
    assert [path.rsplit("/", 1)[1] for path in events[-1]["files"]] == list(FILES)


def test_a_scaled_simulation_says_so_before_after_and_in_its_results(config, tmp_path, run):
    _, out, _ = run(config, "--output", tmp_path / "out", "--seeds", 1, "--scale", 0.34)

    assert out.startswith("scaled down by 0.34: rounds 1 for 3")
    assert out.rstrip().endswith("These are not the study's figures.")
    document = json.loads((tmp_path / "out" / "results.json").read_text())
    assert document["scaled"].startswith("scaled down by 0.34")
    table = csv.read_csv(tmp_path / "out" / "results.csv")
    assert set(table.column("scale").to_pylist()) == {0.34}


def test_results_go_to_a_folder_named_after_the_file(config, tmp_path, run, monkeypatch):
    monkeypatch.chdir(tmp_path)

    run(config, "--seeds", 1)
    before = (tmp_path / "results" / "digits" / "results.json").read_bytes()
    run(config, "--seeds", 1, "--scale", 0.1)

    assert (tmp_path / "results" / "digits-scale-0.1" / "results.json").is_file()
    assert (tmp_path / "results" / "digits" / "results.json").read_bytes() == before
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == [
        "digits", "digits-scale-0.1",
    ]  # fmt: skip


def test_the_error_beside_a_mean_is_explained_where_there_is_one(config, tmp_path, run):
    _, two, _ = run(config, "--output", tmp_path / "out")
    _, one, _ = run(config, "--output", tmp_path / "out", "--seeds", 1)

    assert "\n±: standard error over 2 seeds\n" in two
    assert "±" not in one


@pytest.mark.parametrize("as_json", [False, True])
def test_a_bad_file_is_reported_whole(tmp_path, run, as_json):
    path = tmp_path / "bad.toml"
    path.write_text("[terms]\nrouns = 3\n[task]\nfactory = 'a:b'\n[split]\nimbalance = 7\n")

    code, out, err = run(path, *(["--json"] if as_json else []))

    said = json.loads(out)["error"] if as_json else err
    assert code == 10
    assert "bad.toml has 4 problems:" in said
    assert "terms.rouns: unknown, did you mean rounds?" in said
    assert "split.imbalance: 7 should be less than or equal to 1" in said


def test_a_task_that_cannot_divide_its_data_is_named(config, run):
    text = config.read_text().replace("assistlearn.tasks:digits", "torch.nn:Identity")
    config.write_text(text)

    code, _, err = run(config, "--output", config.parent / "out")

    assert code in {10, 11}
    assert "assistlearn: hint:" in err


def test_a_task_that_cannot_be_imported_leaves_no_folder_behind(config, tmp_path, run):
    text = config.read_text().replace("assistlearn.tasks:digits", "absent_module:make")
    config.write_text(text)

    code, _, err = run(config, "--output", tmp_path / "out")

    assert code == ConfigError.exit_code
    assert "absent_module" in err
    assert not (tmp_path / "out").exists()


ELSEWHERE = """
import os

from assistlearn import Share
from assistlearn.errors import DataError
from assistlearn.tasks import digits


def make(*, share: Share, **settings):
    if os.getpid() != int(os.environ["TEST_PROCESS"]):
        raise DataError("no data in this process", hint="bring some")
    return digits(share=share, **settings)
"""


@pytest.mark.slow
def test_what_ends_one_of_two_processes_ends_the_command_with_the_same_words_and_code(
    config, tmp_path, run, monkeypatch
):
    (tmp_path / "elsewhere.py").write_text(ELSEWHERE)
    config.write_text(config.read_text().replace("assistlearn.tasks:digits", "elsewhere:make"))
    monkeypatch.chdir(tmp_path)  # from where the processes take the task
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("TEST_PROCESS", str(os.getpid()))

    code, _, err = run(config, "--processes", "--seeds", 1)

    assert code == DataError.exit_code
    assert "'s process ended: no data in this process" in err
    assert "assistlearn: hint: bring some" in err
