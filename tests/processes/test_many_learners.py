"""Several learners at one provider: at once, one after another, and one too many."""

import pytest
from twoparties import LEARNER, PROVIDER, TwoParties

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),  # seconds; the first test's include the fixture that all share
]

NAMES = ("ada", "bob", "cleo")


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """Two learners at once and a third who is turned away; then the third, alone."""
    parties = TwoParties(
        tmp_path_factory.mktemp("crowd"),
        names=NAMES,
        sessions=2,
        task={"factory": "toytasks:held_arrays"},
    )
    hold = parties.hold(LEARNER, 0)  # or the first would be done before the third comes
    try:
        provider = parties.provide()
        pair = {name: parties.start(LEARNER, name=name) for name in NAMES[:2]}
        for learner in pair.values():
            learner.wait_for("agreed")
        third = parties.start(LEARNER, name="cleo")
        codes = {"refused": third.wait()}
        hold.unlink()
        codes |= {name: learner.wait() for name, learner in pair.items()}
        alone = parties.start(LEARNER, name="cleo")
        codes["cleo"] = alone.wait()
        provider.stop()
        yield parties, codes, third
    finally:
        parties.close()


def test_learners_served_at_once_get_what_they_would_get_alone(crowd):
    parties, codes, _ = crowd

    assert codes["ada"] == codes["bob"] == codes["cleo"] == 0
    # All three have the same data and seed, and cleo was served alone.
    found = {name: parties.result(name) for name in NAMES}
    assert found["ada"]["sha256"] == found["bob"]["sha256"] == found["cleo"]["sha256"]
    assert len({found[name]["session"] for name in NAMES}) == 3


def test_a_learner_too_many_is_told_so_and_may_come_again(crowd):
    _, codes, third = crowd

    assert codes["refused"] == 25
    assert "as many learners as it can" in third.error["error"]
    assert "try again later" in third.error["hint"]
    assert not third.named("agreed")


def test_each_learner_has_a_ledger_of_its_own_that_names_no_other(crowd):
    parties, _, _ = crowd

    for name in NAMES:
        session = parties.result(name)["session"]
        rows = parties.ledger(PROVIDER, name)
        assert {row[1] for row in rows if row[1]} == {session}
        assert parties.verify(LEARNER, name)[0] == 0
        others = [parties.result(other)["session"] for other in NAMES if other != name]
        content = b"".join(row[2] for row in rows)
        assert not any(other.encode() in content for other in others)
    assert parties.verify(PROVIDER)[0] == 0
