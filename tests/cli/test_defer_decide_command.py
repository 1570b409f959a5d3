"""``assistlearn defer decide``: a saved rejector on new rows, in a file and on the screen."""

import csv
import json

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv as arrow

from assistlearn.deferral.rejectors import PlugInRejector
from assistlearn.deferral.saving import load, save
from assistlearn.errors import ConfigError, StorageError
from parties.cli import main


@pytest.fixture
def run(capsys):
    def run_(*arguments):
        with pytest.raises(SystemExit) as caught:
            main([*map(str, arguments)])
        captured = capsys.readouterr()
        return caught.value.code, captured.out, captured.err

    return run_


@pytest.fixture
def router(tmp_path):
    """Small is right where x is above 0, large everywhere, at a price."""
    generator = np.random.default_rng(0)
    features = generator.normal(size=(300, 2))
    errors = np.stack([features[:, 0] < 0, np.zeros(300)], axis=1).astype(float)
    rejector = PlugInRejector(agents=["small", "large"], prices=[0, 0.3]).fit(features, errors)
    rejector.feature_names_in_ = np.array(["x", "y"], dtype=object)
    (tmp_path / "router").mkdir()
    save(rejector, tmp_path / "router" / "rejector.safetensors")
    return tmp_path / "router"


@pytest.fixture
def table(tmp_path):
    """Columns in another order than in fitting, and one more."""
    path = tmp_path / "new.csv"
    columns = {"y": [0.5, 0.1, -0.2], "name": ["u", "v", "w"], "x": [2.0, -2.0, 0.1]}
    arrow.write_csv(pa.table(columns), path)
    return path


def decided(path):
    with path.open(newline="", encoding="utf-8") as file:
        return [*csv.DictReader(file)]


def test_every_row_has_its_agent_why_and_what_each_would_cost(run, router, table, tmp_path):
    target = tmp_path / "decisions.csv"

    code, out, err = run("defer", "decide", router, table, "--output", target)

    with pytest.warns(UserWarning, match="valid feature names"):
        expected = load(router / "rejector.safetensors").decide(
            np.array([[2.0, 0.5], [-2.0, 0.1], [0.1, -0.2]])
        )
    rows = decided(target)
    assert (code, err) == (0, "")
    assert [row["row"] for row in rows] == ["1", "2", "3"]
    assert [row["agent"] for row in rows] == expected.names.tolist()
    assert {row["agent"] for row in rows} == {"small", "large"}
    assert rows[1]["explanation"] == expected.explain(1)
    assert rows[1]["reason"] == "deferred"
    costs = [[float(row[f"expected_cost:{name}"]) for name in ("small", "large")] for row in rows]
    assert costs == expected.expected_costs.tolist()
    assert "who answers 3 rows" in out
    assert f"wrote {target}" in out


def test_a_threshold_and_an_agent_that_cannot_be_had_change_who_answers(
    run, router, table, tmp_path
):
    target = tmp_path / "decisions.csv"

    run("defer", "decide", router, table, "--output", target, "--threshold", 10)
    kept = decided(target)
    run("defer", "decide", router, table, "--output", target, "--unavailable", "large")
    alone = decided(target)

    assert {row["agent"] for row in kept} == {"small"}
    assert "below the threshold" in {row["reason"] for row in kept}
    assert {row["agent"] for row in alone} == {"small"}
    assert "next best" in {row["reason"] for row in alone}


@pytest.mark.parametrize("name", ["rejector.safetensors", "rejector.toml"])
def test_the_rejector_is_found_by_either_file_and_json_is_one_object_a_line(
    run, router, table, name
):
    code, out, _ = run("defer", "decide", router / name, table, "--json")

    events = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [event["event"] for event in events] == ["decided", "finished"]
    assert sum(events[0]["counts"].values()) == 3
    assert events[1]["files"] == []


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--unavailable", "lagre"], 10, "did you mean 'large'?"),
        (["--threshold", "nan"], 10, "NaN"),
        (["--output", ""], 2, "the name is empty"),
        (["--output", "absent/decisions.csv"], 10, "in one that is not there"),
    ],
)
def test_wrong_options_say_what_is_wrong(run, router, table, arguments, code, said):  # noqa: PLR0913, PLR0917
    found, _, err = run("defer", "decide", router, table, *arguments)

    assert found == code
    assert said.lower() in err.lower()


@pytest.mark.parametrize("name", ["router", "router.safetensors", "x" * 300])
def test_a_rejector_that_is_not_there_is_said_not_to_be_there(run, table, tmp_path, name):
    code, _, err = run("defer", "decide", tmp_path / name, table)

    if len(name) > 255:  # which no file system has
        assert code == StorageError.exit_code
    else:
        assert code == ConfigError.exit_code
        assert f"there is no file or folder '{tmp_path / name}'" in err
        assert "pass the folder that `defer fit --output` made" in err


def test_the_rejector_is_never_written_over(run, router, table):
    for name in ("rejector.safetensors", "rejector.toml"):
        before = (router / name).read_bytes()

        code, _, err = run("defer", "decide", router, table, "--output", router / name)

        assert code == 10
        assert "is itself what is read" in err
        assert (router / name).read_bytes() == before


def test_missing_features_are_named_and_the_table_is_never_written_over(run, router, tmp_path):
    path = tmp_path / "new.csv"
    path.write_text("y,z\n1,2\n", encoding="utf-8")

    code, _, err = run("defer", "decide", router, path)

    assert code == 12
    assert "lacks 1 of 2 features: 'x'" in err
    assert run("defer", "decide", router, path, "--output", path)[0] == 10
    assert path.read_text(encoding="utf-8") == "y,z\n1,2\n"


def test_a_rejector_without_names_of_features_is_for_python_only(run, tmp_path, table):
    features, errors = np.eye(4), np.eye(4)[:, :2]
    save(PlugInRejector().fit(features, errors), tmp_path / "rejector.safetensors")

    code, _, err = run("defer", "decide", tmp_path, table)

    assert code == 10
    assert "names none of its 4 features" in err


def test_inspect_shows_a_rejectors_card_in_plain_words(run, router):
    code, out, _ = run("inspect", router / "rejector.toml")

    assert code == 0
    assert "rejector's card" in out
    assert "a PlugInRejector that decides between 2 agents by 2 features" in out
    assert "agent 'large', price 0.3" in out
    assert "features: 'x', 'y'" in out
    facts = json.loads(run("inspect", router / "rejector.toml", "--json")[1])
    assert facts["agents"] == ["small", "large"]


def test_inspect_says_that_a_card_was_changed(run, router):
    card = router / "rejector.toml"
    card.write_text(card.read_text().replace("0.3", "0.1"), encoding="utf-8")

    code, _, err = run("inspect", card)

    assert code == 12
    assert "changed" in err
