"""What a kill after a session's last entry leaves behind is swept at the next start."""

import pytest
from house import House

from assistlearn.errors import LedgerError
from assistlearn.ledger import EntryKind
from parties.gate.leftovers import sweep
from parties.secrets import SessionSecrets
from protocols.record import Closed, encode_record
from protocols.roles import Role


@pytest.fixture
def house(tmp_path):
    made = House(tmp_path)
    yield made
    made.close()


def folder_of(party):
    return party.directory.session_folder(party.session.id)


def test_an_open_session_keeps_its_secrets(house):
    provider = house.parties[Role.PROVIDER]

    assert sweep(provider.directory) == ()
    assert SessionSecrets.load(folder_of(provider)) is not None


@pytest.mark.parametrize("role", list(Role))
def test_a_session_closed_in_the_ledger_loses_its_secrets_and_folder(house, role):
    party = house.parties[role]
    reason = encode_record(Closed(reason="completed"))
    party.session.books.record(EntryKind.CLOSED, reason)  # killed right after this
    party.die()

    assert sweep(party.directory) == (folder_of(party).name,)
    assert not folder_of(party).exists()


def test_a_session_that_never_reached_a_ledger_goes_too_and_a_pending_one_stays(house):
    provider = house.parties[Role.PROVIDER]
    orphan = provider.directory.session_folder("ab" * 32)
    SessionSecrets.draw().store(orphan)
    SessionSecrets.draw().store(provider.directory.pending)

    assert sweep(provider.directory) == (orphan.name,)
    assert SessionSecrets.load(folder_of(provider)) is not None
    assert SessionSecrets.load(provider.directory.pending) is not None


def test_nothing_is_deleted_while_a_ledger_cannot_be_read(house):
    provider = house.parties[Role.PROVIDER]
    orphan = provider.directory.session_folder("ab" * 32)
    SessionSecrets.draw().store(orphan)
    (provider.directory.ledgers / "other.sqlite").write_bytes(b"not a ledger" * 1000)

    with pytest.raises(LedgerError):
        sweep(provider.directory)
    assert SessionSecrets.load(orphan) is not None


def test_a_directory_without_sessions_needs_no_sweep(tmp_path, house):
    del tmp_path
    learner = house.parties[Role.LEARNER]
    learner.session.close("completed")

    assert sweep(learner.directory) == ()
