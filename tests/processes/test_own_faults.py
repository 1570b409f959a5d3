"""What is wrong on one's own side is never booked as the peer's, and can be mended."""

import shutil

import pytest
from twoparties import LEARNER, PROVIDER, TwoParties

from assistlearn.bundle import unpack
from parties.directory import PartyDirectory
from parties.secrets import SessionSecrets
from protocols.record import decode_record

pytestmark = pytest.mark.slow


@pytest.fixture
def parties(tmp_path):
    made = TwoParties(tmp_path, terms={"rounds": 1}, task={"factory": "toytasks:make"})
    yield made
    made.close()


def kinds(parties, role):
    return [kind for kind, _, _ in parties.ledger(role)]


def session_folder(parties, role):
    directory = PartyDirectory(parties.home(role))
    (session,) = {session for kind, session, _ in parties.ledger(role) if kind == "agreement"}
    return directory.session_folder(session)


def endings(parties, role):
    """Why sessions were closed, in a party's ledger, in order."""
    rows = parties.ledger(role)
    return [decode_record(body).reason for kind, _, body in rows if kind == "closed"]


@pytest.mark.parametrize("role", [LEARNER, PROVIDER], ids=["learner", "provider"])
def test_a_task_that_breaks_its_own_promises_costs_nothing_but_time(parties, role):
    parties.write(role, kind="extra")
    provider = parties.provide()

    stopped = parties.start(LEARNER)

    assert stopped.wait() == (34 if role is LEARNER else 25)
    if role is PROVIDER:
        assert "can go on later" in stopped.error["error"]
        told = provider.wait_for("suspended")
        assert told["exit_code"] == 34
        assert "extra" in told["why"]
    for each in (LEARNER, PROVIDER):
        assert not {"refusal", "closed"} & set(kinds(parties, each))

    parties.write(role)  # the task is mended
    again = parties.start(LEARNER)

    assert again.wait() == 0
    assert again.named("resumed")
    for each in (LEARNER, PROVIDER):
        assert kinds(parties, each).count("agreement") == 1


def test_a_session_whose_folder_was_deleted_is_given_up_by_both(parties):
    parties.write(LEARNER, kind="extra")
    provider = parties.provide()
    assert parties.start(LEARNER).wait() == 34
    provider.kill()
    parties.write(LEARNER)
    folder, theirs = (session_folder(parties, each) for each in (LEARNER, PROVIDER))
    shutil.rmtree(folder)
    assert SessionSecrets.load(theirs) is not None

    parties.provide()
    learner = parties.start(LEARNER)

    assert learner.wait() == 0
    assert learner.named("lost")[0]["folder"] == str(folder)
    parties.processes[-2].stop()
    assert not theirs.exists()
    assert endings(parties, LEARNER)[0].startswith("given up")
    assert endings(parties, PROVIDER) == ["given up for a new one", "completed"]
    for each in (LEARNER, PROVIDER):
        assert parties.verify(each)[0] == 0


def test_a_ledger_that_is_damaged_keeps_out_nobody_else(parties):
    home = parties.home(PROVIDER)
    (home / "ledger").mkdir()
    (home / "ledger" / "other-0000000000000000.sqlite").write_bytes(b"no ledger" * 1000)
    (home / "rounds" / "left over").mkdir(parents=True)

    provider = parties.provide()

    assert "other-0000000000000000.sqlite" in provider.named("damaged")[0]["why"]
    assert parties.start(LEARNER).wait() == 0
    assert (home / "rounds" / "left over").exists()


def test_a_refusal_by_the_provider_is_recorded_as_its_own(parties):
    parties.learner_extra = {"terms": {"price": 7, "budget": 7}}
    parties.write(LEARNER)
    parties.provide()

    assert parties.start(LEARNER).wait() == 22

    said = [unpack(body, max_bytes=4096) for _, _, body in parties.ledger(LEARNER)]
    assert said == [["peer", "terms", "price", "0", "7"]]
    refused = [unpack(body, max_bytes=4096) for _, _, body in parties.ledger(PROVIDER)]
    assert refused == [["own", "no session", "price: 0 / 7"]]
