"""What ``assistlearn defer`` leaves behind and shows: names, sources, folders, sureness."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv

from assistlearn.deferral.report import Table
from assistlearn.deferral.saving import load
from parties.cli import main
from parties.deferral.screen import narrowed

QUICK = ("--surrogate", "two_stage")


def columns(rows=200, *, seed=0, small="small", large="large"):
    """Agent ``small`` is right mostly where ``x`` is above 0, ``large`` nearly always."""
    generator = np.random.default_rng(seed)
    x, noise = generator.normal(size=(2, rows))
    return {
        "x": x,
        "noise": noise,
        f"correct:{small}": (x + 0.3 * noise > 0).astype(int),
        f"correct:{large}": (generator.random(rows) < 0.95).astype(int),
    }


@pytest.fixture
def write(tmp_path):
    def write_(made):
        path = tmp_path / "outcomes.csv"
        csv.write_csv(pa.table(made), path)
        return path

    return write_


@pytest.fixture
def run(capsys):
    def run_(*arguments):
        with pytest.raises(SystemExit) as caught:
            main(["defer", *map(str, arguments)])
        captured = capsys.readouterr()
        return caught.value.code, captured.out, captured.err

    return run_


def events(out):
    return [*map(json.loads, out.splitlines())]


def guesses(rows, seed):
    """Outcomes that no feature tells anything of."""
    generator = np.random.default_rng(seed)
    made = {f"x{number}": generator.normal(size=rows) for number in range(3)}
    for agent, right in (("a", 0.7), ("b", 0.7)):
        made[f"correct:{agent}"] = (generator.random(rows) < right).astype(int)
    return made


def test_fit_says_where_what_it_saves_does_worse_on_held_out_rows_than_one_agent(
    write, run, tmp_path
):
    """Of tables of mere chance some make a rejector look good to validation alone."""
    said = []
    for seed in range(8):
        path = write(guesses(100, seed))
        _, out, _ = run("fit", path, "--output", tmp_path / "out", "--json")
        last = events(out)[-1]
        figures = {
            e["name"]: e["deferral_loss"]["mean"] for e in events(out) if e["event"] == "method"
        }
        worse = figures[last["chosen"]] > figures["best agent"]
        sentence = last["findings"][-1]
        assert worse == ("does worse than asking" in sentence)
        assert worse == (last["beyond_best_agent"]["mean"] > 0)
        if last["chosen"] != "best agent":
            assert "standard error of the difference" in sentence
        said.append(worse)
        assert sentence in json.loads((tmp_path / "out" / "results.json").read_text())["findings"]

    assert any(said)


def test_fit_says_where_validation_cannot_tell_the_chosen_method_from_the_next(
    write, run, tmp_path
):
    chance, clear = guesses(100, 0), columns(600)

    _, out, _ = run("fit", write(chance), "--output", tmp_path / "out")
    _, sure, _ = run("fit", write(clear | {"x": np.abs(clear["x"])}), "--output", tmp_path / "out")

    assert "validation cannot tell the two apart" in out
    assert "within one standard error" in out
    assert "held-out rows" in sure


def test_intervals_over_seeds_are_corrected_for_dividing_one_table(write, run, tmp_path):
    folder = tmp_path / "out"

    _, out, _ = run("report", write(columns()), *QUICK, "--seeds", 2, "--output", folder)

    assert "The 95 % interval over 2 seeds, corrected for overlapping divisions, is ±" in out
    assert json.loads((folder / "results.json").read_text())["overlap"] == 0.25


@pytest.mark.parametrize("command", ["fit", "report"])
def test_names_with_brackets_are_shown_as_they_are(write, run, tmp_path, command):
    path = write(columns(small="gpt [v1]", large="Dr [/x]"))

    code, out, err = run(command, path, "--output", tmp_path / "out", *QUICK)

    assert (code, err) == (0, "")
    assert "always gpt [v1]" in out
    assert "always Dr [/x]" in out


@pytest.mark.parametrize("bad", ["\x1b[2Jq", "a\nb"])
def test_names_with_control_characters_never_reach_the_terminal(write, run, tmp_path, bad):
    code, out, err = run("fit", write(columns(large=bad)), "--output", tmp_path / "out")

    assert code == 12
    assert bad not in out + err
    assert repr(bad)[1:-1] in err


def test_groups_are_on_the_screen_with_their_labels_made_harmless(write, run):
    made = columns()
    made["ward"] = [("", "\x1b[2Jq", "[/x]")[row % 3] for row in range(200)]
    path = write(made)

    code, out, _ = run("report", path, *QUICK, "--seeds", 1, "--group", "ward")

    assert code == 0
    assert "\x1b" not in out
    for label in ("(none)", "[2Jq", "[/x]"):
        assert any(line.startswith("chosen: ") and label in line for line in out.splitlines())


def test_agents_alone_and_groups_are_events_for_programs(write, run):
    path = write(columns() | {"ward": ["a", "b"] * 100})

    _, out, _ = run("report", path, *QUICK, "--seeds", 2, "--group", "ward", "--json")

    methods = {event["name"]: event for event in events(out) if event["event"] == "method"}
    groups = [event for event in events(out) if event["event"] == "group"]
    assert methods["always small"]["coverage"]["mean"] == 1
    assert methods["always large"]["accuracy"]["mean"] > 0.8
    chosen = [group for group in groups if group["name"] == "chosen"]
    assert [group["label"] for group in chosen] == ["a", "b"]
    parts = [
        count * loss
        for group in chosen
        for count, loss in [(sum(group["examples"]), group["deferral_loss"]["mean"])]
    ]
    assert sum(sum(group["examples"]) for group in chosen) == 80
    assert sum(parts) / 80 == pytest.approx(methods["chosen"]["deferral_loss"]["mean"], abs=0.02)


def test_results_say_where_they_come_from(write, run, tmp_path):
    made = columns() | {"Unnamed: 0": np.arange(200), "note": ["u"] * 200}
    made |= {f"feature {number}": made["x"] + number for number in range(9)}
    path, folder = write(made), tmp_path / "out"

    _, out, _ = run("fit", path, "--price", "large=0.2", "--seed", 3, "--output", folder)

    source = json.loads((folder / "results.json").read_text())["source"]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert (source["file"], source["sha256"]) == ("outcomes.csv", digest)
    assert (source["rows"], source["rows_left_out"], source["seeds"]) == (200, 0, [3])
    assert source["prices"] == {"small": 0.0, "large": 0.2}
    assert source["columns_left_out"] == ["note", "Unnamed: 0"]
    assert source["features"] == ["x", "noise", *(f"feature {number}" for number in range(9))]
    assert "feature 8" not in out
    text = (folder / "report.md").read_text().replace("\\", "")
    assert digest in text
    assert "feature 8" in text
    saved = json.loads((folder / "results.json").read_text())["rejector_sha256"]
    assert saved == hashlib.sha256((folder / "rejector.safetensors").read_bytes()).hexdigest()


def test_features_that_look_wrong_are_named_in_a_warning(write, run, tmp_path):
    made = columns() | {"id": np.arange(200), "seen": 1 - columns()["correct:small"]}

    _, out, _ = run("fit", write(made), "--output", tmp_path / "out")

    assert "warning: feature 'id' holds a different whole number in every row" in out
    assert "warning: feature 'seen' alone tells every error of 'small'" in out


@pytest.mark.parametrize("command", ["fit", "report"])
def test_a_folder_that_cannot_be_written_is_found_out_before_the_work(write, run, command):
    folder = Path("/proc/self")  # there, but nobody can write in it
    if not folder.is_dir():
        pytest.skip("no folder that even an administrator cannot write in")

    code, out, _ = run(command, write(columns()), "--output", folder, "--json")

    assert code == 60
    assert "cannot write in /proc/self" in events(out)[-1]["error"]
    assert "progress" not in {event.get("event") for event in events(out)}


def test_nothing_but_results_is_left_and_a_link_is_not_followed(write, run, tmp_path):
    folder, victim = tmp_path / "out", tmp_path / "victim"
    folder.mkdir()
    victim.write_text("mine", encoding="utf-8")
    for name in ("report.md", "results.json", "rates.png"):
        (folder / name).symlink_to(victim)

    code, _, _ = run("fit", write(columns()), "--output", folder)

    assert code == 0
    assert victim.read_text(encoding="utf-8") == "mine"
    assert not (folder / "report.md").is_symlink()
    assert sorted(each.name for each in folder.iterdir()) == [
        "allocation.png", "rates.png", "recall.png", "rejector.safetensors", "rejector.toml",
        "report.md", "results.json",
    ]  # fmt: skip


def test_a_second_fit_says_that_it_replaces_the_rejector(write, run, tmp_path):
    folder = tmp_path / "out"

    _, first, _ = run("fit", write(columns()), "--output", folder)
    _, second, _ = run("fit", write(columns(seed=1)), "--output", folder)

    assert "replaces" not in first
    assert f"note: replaces the rejector in {folder}" in second
    assert load(folder / "rejector.safetensors").agents_.tolist() == ["small", "large"]


@pytest.mark.parametrize("command", ["fit", "report"])
def test_an_output_without_a_name_is_refused(write, run, command):
    code, _, err = run(command, write(columns()), "--output", "")

    assert code == 2
    assert "the name is empty" in err


def test_a_long_name_is_shortened_before_a_figure_is_left_out(write, run):
    long = f"always the same {'m' * 150} model"

    _, out, _ = run("report", write(columns(large=long)), *QUICK, "--seeds", 2)

    head = next(line for line in out.splitlines() if line.startswith("method "))
    for figure in ("accuracy %", "deferral loss", "coverage %", "regret", "over random"):
        assert figure in head
    assert long not in out.partition("\n\n")[2].partition("\ndeferral loss: ")[0]


def test_names_that_would_be_alike_when_shortened_are_left_whole():
    names = [f"{'a' * 30}{number}{'b' * 30}" for number in range(2)]
    table = Table(
        title="", columns=("name", "one", "two"), rows=tuple((name, "1", "2") for name in names)
    )

    assert narrowed(table, 20).rows == table.rows
    other = Table(title="", columns=table.columns, rows=((f"{names[0]}c", "1", "2"),))
    assert narrowed(other, 40).fits(40)
