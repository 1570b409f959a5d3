"""What ``assistlearn learn`` says in the end can be copied into a shell."""

import shlex
from pathlib import Path

import pytest

from parties.commands.learn import _last_lines
from parties.gate.result import SessionResult


@pytest.mark.parametrize("new", [True, False])
def test_the_directory_stays_one_word_in_a_shell(new):
    directory = "our clinic's data"
    result = SessionResult(
        session="a", round=1, rounds=2, global_loss=0.5, digest="d", model=Path("m"), new=new
    )

    *_, last = _last_lines(result, Path(directory))

    assert directory in shlex.split(last.partition(": ")[2])
