"""``assistlearn audit`` shows words as they were said, and says what cannot be known."""

import json
import shutil
import subprocess
import sys

import pytest
from house import House
from twoparties import ledger_file

from protocols.messages import Refusal, RefusalCode
from protocols.roles import Role

SAID = ("[/boom]", "[link=file:///etc/passwd]yes[/link]", "[conceal]no[/conceal]")


def typed(*arguments):
    """What a person gets for ``assistlearn audit ARGUMENTS``, without a terminal."""
    return subprocess.run(
        [sys.executable, "-m", "parties", "audit", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    """A learner's directory, after its provider said what it liked."""
    house = House(tmp_path_factory.mktemp("house"))
    learner = house.parties[Role.LEARNER]
    for own in SAID:
        learner.desk.note_refusal(
            Refusal(session=b"", code=RefusalCode.TERMS, field="rounds", own=own, peer="2")
        )
    learner.desk.note_refusal("before\x1b[2Kafter")
    learner.ledger.write_head(learner.identity)
    house.close()
    return learner.root


def test_words_of_the_peers_are_shown_as_they_are_and_not_obeyed(refused):
    shown = typed("show", refused)

    assert shown.returncode == 0, shown.stderr
    for own in SAID:
        assert own in shown.stdout
    assert "before?[2Kafter" in shown.stdout
    assert "\x1b" not in shown.stdout


def test_programs_are_told_what_the_signed_head_covers_or_that_there_is_none(refused, tmp_path):
    copy = tmp_path / "learner"
    shutil.copytree(refused, copy)
    head = ledger_file(copy, "provider").with_suffix(".sqlite.head")

    with_head = typed("verify", copy, "--json")
    head.unlink()
    without = typed("verify", copy, "--json")

    for done, signed in ((with_head, True), (without, False)):
        assert done.returncode == 0, done.stdout
        events = [json.loads(line) for line in done.stdout.splitlines()]
        (verified,) = [each for each in events if each["event"] == "verified"]
        expected = {"size": verified["size"], "root": verified["root"]} if signed else None
        assert verified["signed"] == expected
