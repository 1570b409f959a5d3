"""``assistlearn defer`` as people and programs use it."""

import json

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from assistlearn.deferral.saving import load
from parties.cli import main

SECRET = "Jane-Doe-4711"  # noqa: S105  (a record's value)
FILES = ("results.json", "report.md", "allocation.png", "rates.png", "recall.png")


def columns(rows=200, *, seed=0):
    """Agent ``small`` is right where ``x`` is above 0, ``large`` nearly always."""
    generator = np.random.default_rng(seed)
    x, noise = generator.normal(size=(2, rows))
    return {
        "x": x,
        "noise": noise,
        "prompt": [f"{SECRET} {row}" for row in range(rows)],
        "correct:small": (x > 0).astype(int),
        "correct:large": (generator.random(rows) < 0.95).astype(int),
        "ward": np.where(noise > 1, "rare", "common"),
    }


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "outcomes.csv"
    csv.write_csv(pa.table(columns()), path)
    return path


@pytest.fixture
def run(capsys):
    def run_(*arguments):
        with pytest.raises(SystemExit) as caught:
            main(["defer", *map(str, arguments)])
        captured = capsys.readouterr()
        return caught.value.code, captured.out, captured.err

    return run_


def unescaped(markdown):
    """What a reader of the file sees of its names."""
    return markdown.read_text().replace("\\", "")


def test_fit_saves_a_rejector_that_decides_like_the_one_reported(table, tmp_path, run):
    folder = tmp_path / "router"
    code, out, err = run("fit", table, "--price", "large=0.2", "--output", folder)

    assert (code, err) == (0, "")
    assert "chosen: two_stage" in out
    assert "left out, no numbers: prompt, ward" in out
    for name in ("rejector.safetensors", "rejector.toml", *FILES):
        assert (folder / name).stat().st_size > 0
        assert f"wrote {folder / name}" in out
    rejector = load(folder / "rejector.safetensors")
    assert rejector.feature_names_in_.tolist() == ["x", "noise"]
    assert rejector.prices_.tolist() == [0, 0.2]
    with pytest.warns(UserWarning, match="valid feature names"):
        decided = rejector.decide(np.array([[3.0, 0.0], [-3.0, 0.0]]))
    assert decided.names.tolist() == ["small", "large"]


def test_fit_says_so_where_no_rejector_beats_one_agent(table, tmp_path, run):
    code, out, _ = run(
        "fit", table, "--feature", "noise", "--price", "large=0.1", "--output", tmp_path / "out"
    )

    assert code == 0
    assert "no rejector beats asking large every time" in out


def test_fit_reads_parquet_and_takes_agent_0_by_name(tmp_path, run):
    path = tmp_path / "outcomes.parquet"
    parquet.write_table(pa.table(columns()), path)

    code, out, _ = run("fit", path, "--main", "large", "--output", tmp_path / "out")

    assert code == 0
    assert "agents: large (agent 0), small" in out


def test_report_shows_tables_says_what_they_mean_and_writes_what_is_asked_for(table, tmp_path, run):
    folder = tmp_path / "out"
    options = ("--surrogate", "two_stage", "--seeds", 3, "--price", "large=0.2")
    code, out, err = run("report", table, *options, "--group", "ward", "--output", folder)

    assert code == 0
    assert "\x1b" not in out + err
    assert "40 held-out examples, mean and 95 % interval over 3 seeds" in out
    assert "less than always asking the agent that was best in training" in out
    for name in FILES:
        assert (folder / name).stat().st_size > 0
    assert "two_stage: rare" in unescaped(folder / "report.md")
    document = json.loads((folder / "results.json").read_text())
    assert document["seeds"] == [0, 1, 2]
    assert document["summary"]["chosen"]["deferral_loss"]["count"] == 3


def test_report_compares_the_surrogates_asked_for_and_names_those_left_out(table, run):
    wanted = ("two_stage", "mild_log", "mao_2023", "one_vs_all")
    surrogates = [part for name in wanted for part in ("--surrogate", name)]
    code, out, _ = run("report", table, "--seeds", 1, "--price", "large=0.2", *surrogates)

    assert code == 0
    assert (
        "left out, as they take costs up to 1 and the largest is 1.2: mao_2023, one_vs_all" in out
    )
    for name in ("two_stage", "mild_log", "plug-in", "always large", "oracle"):
        assert f"\n{name} " in out
    assert "One seed cannot say how sure that is" in out
    assert "with --output FOLDER" in out


def test_json_is_one_object_a_line_and_nothing_else(table, run):
    code, out, err = run("report", table, "--seeds", 1, "--surrogate", "two_stage", "--json")

    events = [json.loads(line) for line in out.splitlines()]
    kinds = [event["event"] for event in events]
    assert (code, err) == (0, "")
    assert kinds == ["table", *["progress"] * 3, *["method"] * 8, "finished"]
    assert events[0]["agents"] == ["small", "large"]
    assert {event["name"] for event in events[4:12]} == {
        "chosen", "two_stage", "plug-in", "best agent", "random as chosen", "always small",
        "always large", "oracle",
    }  # fmt: skip
    assert events[-1]["files"] == []


def test_fit_as_json_ends_with_the_choice_and_the_files(table, tmp_path, run):
    code, out, err = run("fit", table, "--output", tmp_path / "out", "--json")

    last = json.loads(out.splitlines()[-1])
    assert (code, err) == (0, "")
    assert last["chosen"] in last["validation_loss"]
    assert [path.rsplit("/", 1)[1] for path in last["files"]] == [
        "rejector.safetensors", "rejector.toml", *FILES,
    ]  # fmt: skip


def test_the_same_seed_gives_the_same_rejector_byte_for_byte(table, tmp_path, run):
    for folder in ("one", "two"):
        run("fit", table, "--output", tmp_path / folder)

    one, two = (tmp_path / folder / "rejector.safetensors" for folder in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("command", ["fit", "report"])
@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (lambda t: t.pop("correct:large"), 12, "one agent only, 'small'"),
        (lambda t: t.update({"correct:large": [SECRET] * 200}), 12, "no number in row 1"),
        (lambda t: t.update(x=[*t["x"][:-1], np.nan]), 12, "has no value in row 200"),
        (
            lambda t: t.update({name: values[:5] for name, values in t.items()}),
            12,
            "5 rows are too",
        ),
        (lambda t: (t.pop("x"), t.pop("noise")), 12, "no column of numbers to decide by"),
        (lambda t: t.update({"price:nobody": [1.0] * 200}), 10, "price of 'nobody'"),
    ],
)
def test_a_bad_table_is_named_by_column_and_row_and_never_quoted(  # noqa: PLR0913, PLR0917
    tmp_path, run, change, code, said, command, as_json
):
    made = columns()
    change(made)
    path = tmp_path / "outcomes.csv"
    csv.write_csv(pa.table(made), path)

    found, out, err = run(
        command, path, "--output", tmp_path / "out", *(["--json"] if as_json else [])
    )

    error = json.loads(out.splitlines()[-1])["error"] if as_json else err
    assert found == code
    assert said in error
    assert SECRET not in out + err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--price", "large"], 2, "'large' is not of the form NAME=NUMBER"),
        (["--price", "large=much"], 2, "'large=much' is not of the form"),
        (["--price", "large=1", "--price", "large=2"], 2, "'large' has two prices"),
        (["--price", "large=inf"], 10, "'large' is inf, must be a finite number"),
        (["--feature", "correct:large"], 10, "holds an outcome"),
        (["--price", "large=-1"], 10, "price of 'large' is -1.0"),
        (["--price", "lagre=1"], 10, "did you mean 'large'?"),
        (["--feature", "z"], 12, "no column 'z'"),
        (["--surrogate", "two_stag"], 10, "no surrogate 'two_stag'"),
        (["--surrogate", "mao_2023", "--price", "large=1"], 10, "takes costs up to 1"),
        (["--main", "nobody"], 10, "no agent 'nobody'"),
    ],
)
def test_wrong_options_say_what_is_wrong(  # noqa: PLR0913, PLR0917
    table, tmp_path, run, arguments, code, said
):
    found, _, err = run("fit", table, *arguments, "--output", tmp_path / "out")

    assert found == code
    assert said in err
    assert not (tmp_path / "out").exists()


def test_an_empty_file_and_a_missing_one_are_refused(tmp_path, run):
    empty = tmp_path / "empty.csv"
    empty.touch()

    assert run("report", empty)[0] == 12
    assert "there is no file" in run("report", tmp_path / "absent.csv")[2]


@pytest.mark.parametrize("command", ["fit", "report"])
def test_a_folder_that_cannot_be_made_is_a_storage_error(table, tmp_path, run, command):
    (tmp_path / "file").touch()

    code, _, err = run(command, table, "--output", tmp_path / "file" / "out")

    assert code == 60
    assert "cannot make" in err


def test_help_explains_the_columns(run):
    code, out, _ = run("fit", "--help")

    assert code == 0
    assert "correct:NAME" in out
    assert "Example: assistlearn defer fit outcomes.csv" in out
    assert "confidence:NAME" in out


def test_a_confidence_and_labels_bring_in_the_methods_that_need_them(tmp_path, run):
    made = columns()
    made |= {"confidence:small": 1 / (1 + np.exp(-made["x"])), "class": made["ward"]}
    path, folder = tmp_path / "outcomes.csv", tmp_path / "out"
    csv.write_csv(pa.table(made), path)
    options = ("--surrogate", "two_stage", "--seeds", 2, "--price", "large=0.2")

    code, out, _ = run("report", path, *options, "--label", "class", "--output", folder)

    assert code == 0
    assert "\nleft out:" not in out
    assert "take costs up to 1 and the largest is 1.2: one-stage one-vs-all" in out
    for name in ("confidence threshold", "one-stage cross-entropy", "always own classifier"):
        assert f"\n{name} " in out
    assert "| one-stage realizable |" in unescaped(folder / "report.md")
    document = json.loads((folder / "one_stage_cross_entropy.json").read_text())
    assert document["summary"]["one-stage cross-entropy"]["deferral_loss"]["count"] == 2


def test_methods_that_lack_a_column_are_left_out_in_a_line_each(table, run):
    _, out, _ = run("report", table, "--surrogate", "two_stage", "--seeds", 1)

    lines = out.splitlines()
    assert "left out: confidence threshold, as no feature is called confidence:small" in lines
    assert "left out: one-stage methods, as no --label names the right classes" in lines
    assert "\nconfidence threshold " not in out


def test_chance_is_reported_at_the_budget_of_the_chosen_method(table, run):
    _, out, _ = run("report", table, "--surrogate", "two_stage", "--seeds", 2, "--json")

    figures = {
        event["name"]: event
        for event in map(json.loads, out.splitlines())
        if event["event"] == "method"
    }
    chosen, chance = figures["chosen"], figures["random as chosen"]
    assert chosen["coverage"] == chance["coverage"]
    assert chosen["deferral_loss"]["mean"] < chance["deferral_loss"]["mean"]
    assert "with the same shares" in json.loads(out.splitlines()[-1])["findings"][-1]


def test_a_validated_mild_rejector_is_saved_with_its_margins(table, tmp_path, run):
    options = ("--surrogate", "mild_log", "--price", "large=0.2", "--output", tmp_path / "out")
    code, out, _ = run("fit", table, *options)

    assert code == 0
    assert "chosen: mild_log" in out
    rejector = load(tmp_path / "out" / "rejector.safetensors")
    assert len(rejector.surrogate_settings["margins"]) == 2
    assert rejector.prices_.tolist() == [0, 0.2]
