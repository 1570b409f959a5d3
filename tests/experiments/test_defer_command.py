"""The command that results record: one that others can type, with no folder of this machine."""

import json

import click
import pytest
from click.testing import CliRunner

from experiments.study import without_paths, write_results


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("--data /home/me/sets --seeds 5", "--data DATA --seeds 5"),
        ("--seeds 5 --data=/home/me/sets", "--data DATA --seeds 5"),
        ("--data d --cache /tmp/x --output /tmp/y --scale 0.5", "--data DATA --scale 0.5"),
        ("--cache=/tmp/x --output=/tmp/y", ""),
        ("--seeds 10", "--seeds 10"),
    ],
)
def test_folders_are_left_out_or_named_data(given, expected):
    words = without_paths(given.split())

    assert " ".join(words) == expected


def test_data_is_asked_for_also_where_an_environment_variable_named_it(tmp_path, monkeypatch):
    @click.command()
    @click.option("--data", envvar="ASSISTLEARN_DATA", required=True)
    @click.option("--output")
    def main(data, output):
        write_results(tmp_path / "found.json", module="a.study", findings={"n": 1})

    monkeypatch.setenv("ASSISTLEARN_DATA", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["a.study", "--output", str(tmp_path)])
    result = CliRunner().invoke(main, ["--output", str(tmp_path)])

    assert result.exit_code == 0, result.output
    document = json.loads((tmp_path / "found.json").read_text())
    assert document["command"] == "python -m a.study --data DATA"
