"""Who may come in, as cards are put on file, taken away, replaced and damaged."""

import pytest
from house import House, small_spec

from assistlearn.bundle import unpack
from assistlearn.errors import LedgerError, LedgerTruncatedError
from assistlearn.ledger import Ledger
from assistlearn.ledger.heads import head_path
from parties.audit import ledgers, verify
from parties.directory import PartyDirectory
from parties.gate.guests import Guests
from parties.gate.handshake import LearnerHandshake, OwnSide
from parties.gate.leftovers import sweep
from parties.gate.reception import Reception
from parties.secrets import SessionSecrets
from parties.setup import add_peer, make_party
from parties.worker.requests import Described
from protocols.messages import Acceptance
from protocols.roles import Role


@pytest.fixture
def provider(tmp_path):
    make_party(tmp_path / "radlab", role=Role.PROVIDER, name="radlab")
    return PartyDirectory(tmp_path / "radlab")


@pytest.fixture
def cards(tmp_path, provider):
    made = {}
    for name in ("ada", "bob"):
        made[name] = make_party(tmp_path / name, role=Role.LEARNER, name=name)
        add_peer(provider, made[name])
    return made


@pytest.fixture
def reception(provider, cards):
    made = Reception(provider, Described(spec=small_spec().text(), samples=40, schema=""))
    yield made
    made.close()


def key(card):
    return card.curve_public_key.decode()


def test_a_card_that_is_taken_away_ends_its_owners_access_and_nobody_elses(
    provider, cards, reception
):
    counters = {name: reception.counter(card) for name, card in cards.items()}
    path = provider.peers / "ada.card"
    card = path.read_bytes()
    path.unlink()

    ((gone, why),) = reception.struck_off()

    assert gone is counters["ada"]
    assert "not on file any more" in str(why)
    assert not reception.admits(key(cards["ada"]))
    assert reception.guest(key(cards["ada"])) is None
    assert reception.guest(key(cards["bob"])) == cards["bob"]
    path.write_bytes(card)
    assert reception.admits(key(cards["ada"]))
    assert not list(reception.struck_off())  # it came back before anything was done


def test_a_learner_struck_off_leaves_its_ledger_to_others_and_can_come_back(
    provider, cards, reception
):
    path = provider.peers / "ada.card"
    card = path.read_bytes()
    counter = reception.counter(cards["ada"])
    counter.note_refusal("nothing yet")
    with pytest.raises(LedgerError, match="in use"):
        provider.open_ledger(cards["ada"])
    path.unlink()

    reception.dismiss(counter)

    provider.open_ledger(cards["ada"]).close()
    assert not list(reception.struck_off())
    path.write_bytes(card)
    again = reception.counter(reception.guest(key(cards["ada"])))
    assert again is not counter
    assert again.desk.ledger.head().size == 1


def test_another_card_under_a_known_name_strikes_the_old_one_off(
    tmp_path, provider, cards, reception
):
    counter = reception.counter(cards["ada"])
    (provider.peers / "ada.card").unlink()
    new = make_party(tmp_path / "new", role=Role.LEARNER, name="ada")
    add_peer(provider, new)

    gone = [each for each, _ in reception.struck_off()]

    assert gone == [counter]
    assert reception.guest(key(cards["ada"])) is None
    assert reception.guest(key(new)) == new


def test_another_card_under_a_known_name_begins_another_ledger_and_the_old_one_stays(tmp_path):
    house = House(tmp_path)
    house.run()
    house.close()
    provider = house.parties[Role.PROVIDER].directory
    (old,) = provider.cards().values()
    (provider.peers / "learner.card").unlink()
    new = make_party(tmp_path / "new", role=Role.LEARNER, name="learner")
    add_peer(provider, new)
    described = Described(spec=house.spec.text(), samples=40, schema="")
    reception = Reception(provider, described)

    assert not reception.counter(new).desk.recorded()
    reception.close()
    found = dict(ledgers(provider))
    assert set(found) == {old, new}
    assert len(verify(provider, old, found[old], passed=str)[1].histories) == 1


@pytest.mark.parametrize(
    "damage",
    [b"", b"\xff\xfe not text", b"assistlearn-card-v1 ada AAAA\n"],
    ids=["empty", "no text", "cut short"],
)
def test_a_damaged_card_keeps_out_its_owner_alone_and_is_told_of_once(
    provider, cards, reception, damage
):
    counters = {name: reception.counter(card) for name, card in cards.items()}
    (provider.peers / "ada.card").write_bytes(damage)

    gone = [counter for counter, _ in reception.struck_off()]
    told = [reception.newly_damaged(), reception.newly_damaged()]

    assert gone == [counters["ada"]]
    assert not reception.admits(key(cards["ada"]))
    assert reception.admits(key(cards["bob"]))
    assert "ada.card" in str(*told[0])
    assert told[1] == ()


def test_a_card_under_another_name_is_nobodys(provider, cards, reception):
    (provider.peers / "ada.card").rename(provider.peers / "eve.card")

    assert not reception.admits(key(cards["ada"]))
    assert not list(reception.struck_off())
    assert "holds the card of ada" in str(*reception.newly_damaged())


def test_cards_are_read_again_only_when_one_has_changed(provider, cards):
    guests = Guests(provider.peers)
    first = guests.cards()

    unchanged = guests.cards()
    path = provider.peers / "ada.card"
    path.write_text(path.read_text().removesuffix("\n"))  # shorter, and as good
    changed = guests.cards()

    assert unchanged is first
    assert changed == first
    assert changed is not first
    assert set(changed.values()) == set(cards.values())


def test_without_its_folder_nobody_is_on_file(tmp_path):
    assert Guests(tmp_path / "nowhere").cards() == {}


def test_a_learner_fills_the_ledger_with_no_more_than_so_many_refusals(
    cards, reception, monkeypatch
):
    monkeypatch.setattr("parties.gate.reception.MOST_REFUSALS", 3)
    counter = reception.counter(cards["ada"])

    for number in range(5):
        counter.note_refusal(f"refusal {number}")

    entries = list(counter.desk.ledger.entries())
    assert [unpack(entry.body, max_bytes=4096)[2] for entry in entries] == [
        "refusal 0",
        "refusal 1",
        "refusal 2",
    ]


@pytest.fixture
def hello(tmp_path, provider, cards):
    """A Hello of ada's, and how to answer a welcome as she does."""
    directory = PartyDirectory(tmp_path / "ada")
    add_peer(directory, provider.identity.card)
    side = OwnSide.of(
        Described(spec=small_spec().text(), samples=10, schema=""),
        identity=directory.identity,
        peer=provider.identity.card,
        terms=directory.settings.terms.terms(),
    )
    return LearnerHandshake(side, SessionSecrets.draw())


def begun(reception, counter, learner):
    """A session that is agreed on; the secrets that the provider keeps for it."""
    welcome = reception.greet(counter, learner.hello(), full=False)
    acceptance, session = reception.accept(counter, learner.answer(welcome), full=False)
    assert isinstance(acceptance, Acceptance)
    return session


def test_a_hello_said_twice_is_answered_alike(cards, reception, hello):
    counter = reception.counter(cards["ada"])

    first = reception.greet(counter, hello.hello(), full=False)
    second = reception.greet(counter, hello.hello(), full=False)

    assert first == second


def test_secrets_are_of_one_session_though_a_learner_repeats_its_nonce(
    provider, cards, reception, hello
):
    counter = reception.counter(cards["ada"])
    first = begun(reception, counter, hello)
    secrets = SessionSecrets.load(provider.session_folder(first.id))
    other_key = SessionSecrets(
        nonce=hello._secrets.nonce,
        sealing_seed=b"o" * 32,
        bundle_secret=b"o" * 32,
        noise_seed=b"o" * 32,
    )
    again = LearnerHandshake(hello._side, other_key)

    second = begun(reception, counter, again)

    assert second.id != first.id
    kept = SessionSecrets.load(provider.session_folder(second.id))
    assert kept.noise_seed != secrets.noise_seed
    assert kept.sealing_seed != secrets.sealing_seed
    assert SessionSecrets.load(provider.session_folder(first.id)) is None
    found = {name: each.closed for name, each in counter.desk.recorded().items()}
    assert found == {first.id: "given up for a new one", second.id: None}


def test_a_learner_that_starts_again_gets_the_session_that_it_began(
    provider, cards, reception, hello
):
    counter = reception.counter(cards["ada"])
    first = begun(reception, counter, hello)
    reception.dismiss(counter)  # as after a restart
    counter = reception.counter(cards["ada"])

    welcome = reception.greet(counter, hello.hello(), full=True)
    acceptance, session = reception.accept(counter, hello.answer(welcome), full=True)

    assert session is None
    assert hello.answer(acceptance).agreement.session == first.id


@pytest.mark.parametrize("what", ["deleted", "cut"])
def test_a_ledger_that_lost_entries_is_not_gone_on_with_and_nothing_is_swept(
    provider, cards, reception, hello, what
):
    counter = reception.counter(cards["ada"])
    session = begun(reception, counter, hello)
    counter.note_refusal("something")
    reception.close()
    path = provider.ledger_path(cards["ada"])
    head = head_path(path).read_bytes()
    path.unlink()
    if what == "cut":
        Ledger.open(path, now_ms=lambda: 0).close()

    with pytest.raises(LedgerError):
        sweep(provider)
    assert SessionSecrets.load(provider.session_folder(session.id)) is not None
    with pytest.raises(LedgerTruncatedError, match="its signed head says 3"):
        provider.open_ledger(cards["ada"])
    assert head_path(path).read_bytes() == head
