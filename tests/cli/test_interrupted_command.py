"""What Ctrl-C promises: only commands that keep what they did go on where they stopped."""

import pytest

from parties import cli


@pytest.mark.parametrize("command", ["learn", "provide", "simulate"])
def test_what_is_kept_is_promised_to_go_on(command):
    hint = cli._after_interrupt([command, "clinic"])

    assert hint == f"type the same again to go on: assistlearn {command} clinic"


def test_what_was_being_bought_again_is_not_promised_before_both_signed():
    hint = cli._after_interrupt(["learn", "clinic", "--again"])

    assert "go on: assistlearn learn clinic (with --again if it had not said yet" in hint


@pytest.mark.parametrize(
    "arguments", [["defer", "fit", "o.csv"], ["demo"], ["--debug", "doctor", "clinic"]]
)
def test_what_is_not_kept_is_said_to_start_over(arguments):
    hint = cli._after_interrupt(arguments)

    assert hint == f"type the same again to start over: assistlearn {' '.join(arguments)}"
