"""What the README says is so: commands, exit codes, the example."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import assistlearn
from parties.cli import COMMANDS, cli, exit_codes

ROOT = Path(assistlearn.__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def code_table() -> str:
    rows = ["| code | error | meaning |", "| --- | --- | --- |"]
    rows += [f"| {code} | `{name}` | {line} |" for code, name, line in exit_codes()]
    return "\n".join(rows)


def block(name: str) -> str:
    match = re.search(rf"<!-- file: {re.escape(name)} -->\n```\w+\n(.*?)```", README, re.DOTALL)
    assert match is not None, name
    return match[1]


def test_exit_codes_are_those_of_the_program():
    _, _, rest = README.partition("<!-- exit codes -->\n")
    table, _, _ = rest.partition("\n<!-- end of exit codes -->")

    assert table == code_table()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme_and_its_help_has_an_example(name):
    help_text = CliRunner().invoke(cli, [name, "--help"]).output
    if "COMMAND [ARGS]" in help_text:  # a group: look at what it holds
        found = re.findall(r"^  (\w+)  ", help_text.partition("Commands:")[2], re.MULTILINE)
        for part in found:
            text = CliRunner().invoke(cli, [name, part, "--help"]).output
            assert "Example: assistlearn" in text
            assert "--json" in text
            assert f"{name} {part}" in README
    else:
        assert "Example: assistlearn" in help_text
        assert "--json" in help_text
        assert f"`assistlearn {name}" in README


def test_the_example_task_and_its_study_run_as_printed(tmp_path):
    for name in ("wine.py", "wine.toml"):
        (tmp_path / name).write_text(block(name), encoding="utf-8")
    command = [sys.executable, "-m", "parties", "simulate", "wine.toml", "--seeds", "1"]

    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert "pooled" in done.stdout
    assert (tmp_path / "results" / "wine" / "results.json").is_file()
    assert (tmp_path / "results" / "wine" / "results.csv").is_file()


def test_five_lines_that_learn_to_defer_run_as_printed(tmp_path):
    (tmp_path / "who_answers.py").write_text(block("who_answers.py"), encoding="utf-8")
    rows = [f"{i / 40 - 2},{int(i > 60 or i % 3 == 0)},{int(i % 10 != 0)}" for i in range(160)]
    header = "length,correct:small,correct:large"
    (tmp_path / "outcomes.csv").write_text("\n".join([header, *rows]), encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "who_answers.py"],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("'large' answers")
    assert "expected cost" in done.stdout


def test_files_that_the_readme_points_at_exist():
    for target in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / target).exists(), target
