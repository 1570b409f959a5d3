"""What is added to a ledger whose entries are not all signed for is found by its replay."""

import pytest
from house import House

from assistlearn.bundle import pack
from assistlearn.errors import LedgerHistoryError
from assistlearn.ledger import EntryKind, Ledger
from assistlearn.losses import LocalLoss
from parties.audit import verify, view
from parties.directory import now_ms
from parties.gate.opening import Desk
from parties.secrets import SessionSecrets
from protocols.events import Started
from protocols.record import Closed, Joined, decode_record, encode_record
from protocols.roles import Role

LOSS = LocalLoss(total=1.0, clipped=1.0, count=10)
STARTED = encode_record(Started(digest="a" * 64, loss=LOSS))
CLOSED = encode_record(Closed(reason="completed"))


class Owner:
    """A learner who writes into its own ledger by hand."""

    def __init__(self, root):
        self.house = House(root)
        self.house.close()
        self.party, other = (self.house.parties[role] for role in Role)
        self.peer = other.identity.card
        self.path = self.party.directory.ledger_path(self.peer)
        self.session = self.house.agreement.session
        with Ledger.read(self.path) as ledger:
            self.agreed, self.joined = ledger.entries()

    def adds(self, *items):
        with Ledger.open(self.path, now_ms=now_ms) as ledger:
            ledger.append_many((kind, self.session, body) for kind, body in items)

    def begins_anew(self, *items):
        """Before anything left, no other entry says what was there."""
        self.path.unlink()
        self.adds(*items)

    def audited(self):
        return verify(self.party.directory, self.peer, self.path, passed=str)

    def desk(self, ledger):
        return Desk(
            directory=self.party.directory,
            identity=self.party.identity,
            peer=self.peer,
            ledger=ledger,
            role=Role.LEARNER,
        )


@pytest.fixture
def owner(tmp_path):
    return Owner(tmp_path)


def test_a_session_that_began_and_was_closed_passes(owner):
    owner.adds((EntryKind.EVENT, STARTED), (EntryKind.CLOSED, CLOSED))

    assert owner.audited()[1].histories[owner.session].order.over


def test_a_second_joining_does_not_set_the_bill_back(owner):
    owner.adds((EntryKind.EVENT, STARTED), (EntryKind.EVENT, owner.joined.body))

    with pytest.raises(LedgerHistoryError, match=r"entry 3 .* once each") as caught:
        owner.audited()

    assert caught.value.exit_code == 56


@pytest.mark.parametrize("kind", [EntryKind.REFUSAL, EntryKind.CLOSED, EntryKind.EVENT])
def test_a_session_that_nobody_joined_is_found(owner, kind):
    body = {
        EntryKind.REFUSAL: pack(["own", "protocol", "why"]),
        EntryKind.CLOSED: CLOSED,
        EntryKind.EVENT: STARTED,
    }[kind]
    owner.begins_anew((EntryKind.AGREEMENT, owner.agreed.body), (kind, body))

    with pytest.raises(LedgerHistoryError, match=r"entry 1 .* once each"):
        owner.audited()


@pytest.mark.parametrize(
    "later",
    [
        (EntryKind.EVENT, STARTED),
        (EntryKind.REFUSAL, pack(["own", "protocol", "why"])),
        (EntryKind.CLOSED, CLOSED),
    ],
    ids=lambda each: each[0].value,
)
def test_nothing_comes_after_the_end_of_a_session(owner, later):
    owner.adds((EntryKind.CLOSED, CLOSED), later)

    with pytest.raises(LedgerHistoryError, match=r"entry 3 .* was closed before"):
        owner.audited()


@pytest.mark.parametrize(
    "item",
    [(EntryKind.CLOSED, STARTED), (EntryKind.EVENT, CLOSED)],
    ids=["an event as the end", "the end as an event"],
)
def test_an_end_is_recorded_as_one_and_as_nothing_else(owner, item):
    owner.adds(item)

    with pytest.raises(LedgerHistoryError, match=r"entry 2 .* its kind is"):
        owner.audited()


@pytest.mark.parametrize(
    "record",
    [
        [1, 0, None, bytes(1216)],
        [1, -1, None, bytes(1216)],
        [3, 2, "b" * 64, float("inf"), 1.0, 1.0, 10],
        [3, 2, "b" * 64, float("-inf"), 1.0, 1.0, 10],
        [6, "over\x1b[2K"],
    ],
)
def test_events_that_would_break_arithmetic_or_a_screen_are_no_events(record):
    with pytest.raises(LedgerHistoryError, match="cannot be read"):
        decode_record(pack(record))


def test_a_made_up_event_is_no_internal_error(owner):
    body = pack([3, 2, "b" * 64, float("inf"), 1.0, 1.0, 10])
    owner.adds((EntryKind.EVENT, STARTED), (EntryKind.EVENT, body))

    with pytest.raises(LedgerHistoryError, match="entry 3"):
        owner.audited()


def test_a_note_that_is_no_text_is_no_internal_error(owner):
    owner.adds((EntryKind.EVENT, STARTED), (EntryKind.SENT, pack([b"\xff", b"", b""])))

    with pytest.raises(LedgerHistoryError, match="entry 3"):
        view(owner.party.directory, owner.peer, owner.path)  # reads without checking signatures


def test_another_key_to_seal_to_is_found_and_never_sealed_to(owner):
    joined = decode_record(owner.joined.body)
    theirs = SessionSecrets.draw().sealing_key.public
    forged = Joined(samples=joined.samples, minimum_gain=None, peer_sealing_key=theirs)
    owner.begins_anew(
        (EntryKind.AGREEMENT, owner.agreed.body), (EntryKind.EVENT, encode_record(forged))
    )

    with pytest.raises(LedgerHistoryError, match="entry 1 is not the one agreed on"):
        owner.audited()
    with (
        Ledger.open(owner.path, now_ms=now_ms) as ledger,
        pytest.raises(LedgerHistoryError, match="sealing key"),
    ):
        owner.desk(ledger)


def test_an_agreement_under_another_identifier_is_found(owner):
    owner.session = "ab" * 32
    owner.begins_anew((EntryKind.AGREEMENT, owner.agreed.body))

    with pytest.raises(LedgerHistoryError, match=r"entry 0 .* stands under abababababababab"):
        view(owner.party.directory, owner.peer, owner.path)


def test_a_session_that_is_over_is_found_again_without_reading_its_entries(owner, monkeypatch):
    owner.adds((EntryKind.EVENT, STARTED), (EntryKind.CLOSED, CLOSED))
    with Ledger.open(owner.path, now_ms=now_ms) as ledger:
        desk = owner.desk(ledger)
        taken, entries = [], ledger.entries

        def counted(*arguments, **named):
            for entry in entries(*arguments, **named):
                taken.append(entry)
                yield entry

        monkeypatch.setattr(ledger, "entries", counted)

        assert desk.find(owner.session).closed == "completed"
        assert desk.recorded()[owner.session].closed == "completed"
        assert not taken
        desk.note_refusal("why")
        assert desk.find(owner.session).closed == "completed"
        assert len(taken) == 1


def test_what_a_desk_knows_of_a_session_grows_with_its_ledger(tmp_path):
    house = House(tmp_path)
    desks = {role: party.desk for role, party in house.parties.items()}
    before = desks[Role.PROVIDER].find(house.agreement.session)
    house.run()

    after = desks[Role.PROVIDER].find(house.agreement.session)

    assert (before.received, before.closed) == (0, None)
    assert after.received > 6
    assert after.closed == "completed"
    assert desks[Role.LEARNER].find(house.agreement.session).closed is None
    house.close()
