"""The command line: every ending has words, a code, and a JSON form."""

import importlib.util
import json
import os
import subprocess
import sys

import click
import pytest

from assistlearn.errors import AssistLearnError, ConfigError
from parties import cli


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command line with one more command, ``try``, that does what the test says."""

    def run_(ending, *arguments):
        @click.command("demo")
        @click.option("--json", "as_json", is_flag=True)
        def command(as_json):
            if isinstance(ending, BaseException):
                raise ending

        def get_command(self, context, name):
            return command if name == "demo" else None

        monkeypatch.setattr(cli.LazyGroup, "get_command", get_command)
        monkeypatch.delenv(cli.DEBUG_VARIABLE, raising=False)
        with pytest.raises(SystemExit) as caught:
            cli.main(["demo", *arguments] if ending != "usage" else list(arguments))
        captured = capsys.readouterr()
        return caught.value.code, captured.out, captured.err

    return run_


def test_our_errors_become_message_hint_and_exit_code(run):
    code, out, err = run(ConfigError("no seed", hint="write one"))

    assert (code, out) == (10, "")
    assert err == "assistlearn: error: no seed\nassistlearn: hint: write one\n"


def test_our_errors_become_one_json_object_where_json_was_asked_for(run):
    code, out, err = run(ConfigError("no seed", hint="write one"), "--json")

    assert (code, err) == (10, "")
    assert json.loads(out) == {"error": "no seed", "hint": "write one", "exit_code": 10}


def test_interruption_is_one_line_and_says_what_to_type(run):
    code, _, err = run(KeyboardInterrupt())

    assert code == 130
    assert err.strip().splitlines() == [  # a line break first: the terminal shows ^C
        "assistlearn: error: interrupted",
        "assistlearn: hint: type the same again to start over: assistlearn demo",
    ]


def test_a_bug_asks_to_be_reported_and_shows_a_traceback_only_on_request(run, monkeypatch):
    code, _, err = run(ZeroDivisionError("by zero"))
    assert code == 70
    assert "ZeroDivisionError: by zero" in err
    assert "report" in err
    assert "Traceback" not in err

    monkeypatch.setattr(cli, "_debug", lambda: True)
    _, _, err = run(ZeroDivisionError("by zero"))
    assert "Traceback" in err


def test_success_is_silent_and_0(run):
    assert run(None) == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["simulat"], "no such command 'simulat', did you mean simulate?"),
        (["--bogus"], "no such option"),
        (["demo", "--bogus"], "no such option"),
    ],
)
def test_usage_errors_are_2_in_our_words(run, arguments, told):
    code, out, err = run("usage", *arguments)

    assert (code, out) == (2, "")
    assert told in err.lower()
    assert "--help" in err


def test_a_reader_that_stops_reading_is_no_error():
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run(
        [sys.executable, "-m", "parties", "--help"],
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write)

    assert process.stderr == b""
    assert process.returncode == 1


@pytest.mark.parametrize("arguments", [["learn", "nowhere", "--json"], ["bogus", "--json"]])
def test_a_failure_that_nobody_reads_shows_no_traceback(tmp_path, arguments):
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run(
        [sys.executable, "-m", "parties", *arguments],
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
        cwd=tmp_path,
    )
    os.close(write)

    assert process.stderr == b""
    assert process.returncode == 1


def test_a_service_manager_may_end_a_command_that_is_still_being_loaded():
    loading = (
        "import signal\nfrom parties import cli\n"
        "cli.importlib.import_module = lambda name: signal.raise_signal(signal.SIGTERM)\n"
        "cli.main(['provide', 'radlab'])"
    )
    process = subprocess.run(
        [sys.executable, "-c", loading], capture_output=True, text=True, check=False
    )

    assert process.returncode == 130
    assert "type the same again to go on: assistlearn provide radlab" in process.stderr


def test_help_needs_no_torch_and_no_command():
    check = (
        "import sys\nfrom parties.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'matplotlib', 'pyarrow', 'zmq'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert not [m for m in sys.modules if m.startswith('parties.commands')]"
    )
    process = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=True
    )

    assert "simulate" in process.stdout
    assert "\x1b" not in process.stdout


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_exists_and_speaks_json(name):
    assert importlib.util.find_spec(f"parties.commands.{name}") is not None
    command = cli.cli.get_command(click.Context(cli.cli), name)

    leaves = command.commands.values() if isinstance(command, click.Group) else [command]
    for leaf in leaves:
        assert "--json" in [option for p in leaf.params for option in p.opts], leaf.name
        assert leaf.help


def test_exit_codes_are_published_once_for_every_error():
    table = cli.exit_codes()

    assert (10, "ConfigError", "A settings file is missing, unreadable or wrong.") in table
    assert all(code > 2 for code, _, _ in table)
    assert all(first for _, _, first in table)
    assert len(table) == len(_all_subclasses(AssistLearnError))
    assert [row[0] for row in table] == sorted(row[0] for row in table)


def _all_subclasses(kind):
    return {kind_ for each in kind.__subclasses__() for kind_ in {each, *_all_subclasses(each)}}
