"""An audit's replay and files: what no honest run leaves is found, what one leaves passes."""

import dataclasses
import json
import random
import shutil
import tomllib
from itertools import pairwise

import pytest
from house import House, small_spec, store_model

from assistlearn.digests import digest
from assistlearn.errors import LedgerDigestError, LedgerHistoryError, StorageError
from assistlearn.ledger import EntryKind, Ledger
from assistlearn.losses import LocalLoss
from parties.audit import check_results, verify
from parties.directory import PartyDirectory
from parties.gate.books import header_of, recorded_offer
from parties.gate.opening import recorded_sessions
from parties.gate.result import keep_early_result, keep_result
from parties.history import histories, lines
from protocols.events import Received, Sampled, Score, Scored, Train
from protocols.messages import Carriage, CheckpointMessage, TrajectoryClosed
from protocols.record import decode_record
from protocols.roles import Role


def end(house, *, reason="completed"):
    """Close both parties' sessions and ledgers, in order."""
    for party in house.parties.values():
        party.session.close(reason)
        party.ledger.write_head(party.identity)
        party.die()


def audited(house, role, directory=None):
    """All steps of a party's audit, its models' included."""
    party, peer = house.parties[role], house.parties[role.peer].identity.card
    directory = directory or party.directory
    _, view = verify(directory, peer, directory.ledger_path(peer), passed=str)
    return view, check_results(directory, [view])


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """Both parties' files after a session of three rounds, the result kept."""
    house = House(tmp_path_factory.mktemp("house"), price=700, budget=2100)
    house.run()
    learner, provider = (house.parties[role] for role in Role)
    keep_result(learner.directory, learner.session, provider.identity.card)
    end(house)
    return house


def replayed(house, role, change):
    """Replay a party's entries after ``change`` to the list of them."""
    party, peer = house.parties[role], house.parties[role.peer].identity.card
    with Ledger.read(party.directory.ledger_path(peer)) as ledger:
        recorded = recorded_sessions(ledger, own=party.identity.card, peer=peer)
        entries = list(ledger.entries())
    found = histories(recorded, role)
    return [words for _, words in lines(iter(change(entries)), found)]


def places(house, role, kind, event=object):
    """Where entries of a kind are."""
    found = []

    def note(entries):
        found.extend(
            entry.index
            for entry in entries
            if entry.kind is kind
            and (kind is not EntryKind.EVENT or isinstance(decode_record(entry.body), event))
        )
        return entries

    replayed(house, role, note)
    return found


@pytest.mark.parametrize("role", Role)
def test_every_beginning_of_an_honest_ledger_replays(ended, role):
    count = len(replayed(ended, role, list))

    for length in range(count):
        assert len(replayed(ended, role, lambda entries, n=length: entries[:n])) == length


@pytest.mark.parametrize("role", Role)
def test_a_message_without_a_bundle_on_record_is_found_wherever_it_is(ended, role):
    arrivals = places(ended, role, EntryKind.RECEIVED)
    assert len(arrivals) > 6

    for place in arrivals:
        with pytest.raises(LedgerHistoryError, match="no bundle is on record") as caught:
            replayed(ended, role, lambda entries, i=place: entries[:i] + entries[i + 1 :])
        assert caught.value.exit_code == 56


@pytest.mark.parametrize("role", Role)
def test_a_bundle_on_record_whose_message_never_came_in_is_found_at_the_next(ended, role):
    messages = places(ended, role, EntryKind.EVENT, Received)

    for place, later in pairwise(messages):
        with pytest.raises(LedgerHistoryError) as caught:
            replayed(ended, role, lambda entries, i=place: entries[:i] + entries[i + 1 :])
        index = int(str(caught.value).split()[1])
        assert place < index <= later


@pytest.mark.parametrize("role", Role)
def test_a_bundle_of_another_round_or_payload_cannot_stand_behind_a_message(ended, role):
    arrivals = places(ended, role, EntryKind.RECEIVED)
    exchanged = 0

    def bodies(entries):
        return {i: entries[i] for i in arrivals}

    found = {}
    replayed(ended, role, lambda entries: found.update(bodies(entries)) or entries)
    headers = {
        i: header_of(recorded_offer(entry.body, session=entry.session).note)
        for i, entry in found.items()
    }
    for place, other in pairwise(arrivals):
        mine, others = headers[place], headers[other]
        if (mine.round, mine.payload) == (others.round, others.payload):
            continue
        exchanged += 1
        forged = dataclasses.replace(found[place], body=found[other].body)
        with pytest.raises(LedgerHistoryError, match="is signed for round"):
            replayed(
                ended,
                role,
                lambda entries, i=place, entry=forged: [*entries[:i], entry, *entries[i + 1 :]],
            )
    assert exchanged > 3


def test_rounds_of_which_the_learner_made_no_word_are_not_charged_for(tmp_path):
    house = House(tmp_path, price=5000, budget=5000)
    provider = house.parties[Role.PROVIDER]
    session = provider.session
    told = [
        CheckpointMessage(
            round=1,
            step=step,
            carriage=Carriage.ATTACHED,
            digest=digest(f"made up {step}".encode()),
            loss=1.0,
        )
        for step in house.agreement.grid(Role.LEARNER)
    ]
    for message in [*told, TrajectoryClosed(round=1, checkpoints=tuple(told))]:
        session.tell(Received(message=message))
        while isinstance(session.work, Score):
            loss = LocalLoss(total=40.0, clipped=40.0, count=40)
            session.tell(Scored(digest=session.work.digest, loss=loss))
    while isinstance(session.work, Train):
        made = store_model(session.store, house.spec, f"{session.work.to_step}")
        loss = LocalLoss(total=20.0, clipped=20.0, count=40)
        session.tell(Sampled(step=session.work.to_step, digest=made, loss=loss, noise=0.0))
    assert session.machine.rounds_provided == 1
    end(house)

    with pytest.raises(LedgerHistoryError, match="no bundle is on record"):
        audited(house, Role.PROVIDER)


@pytest.mark.parametrize("seed", range(4))
def test_ledgers_of_parties_that_were_killed_at_any_instant_pass(tmp_path, seed):
    rng = random.Random(seed)
    house = House(tmp_path, spec=small_spec(numbers=3 << 17), rounds=2, price=100, budget=200)
    kills = 0

    while not house.finished:
        if kills < 12 and rng.random() < 0.08:
            kills += 1
            house.restart(rng.choice(list(Role)))
        if not house.step(rng.choice(list(Role)), rng.randrange(3)):
            house.heartbeat()
    end(house)

    assert kills > 5
    for role in Role:
        view, _ = audited(house, role)
        (history,) = view.histories.values()
        assert (history.rounds, history.charge) == (2, 200)


def test_a_bundle_whose_payload_never_came_whole_passes_with_the_session_open_and_given_up(
    tmp_path,
):
    house = House(tmp_path, spec=small_spec(numbers=3 << 18))
    learner, provider = (house.parties[role] for role in Role)
    house.bring_under_way(pieces=1)
    house.restart(Role.PROVIDER)
    provider.die()

    view, _ = audited(house, Role.PROVIDER)

    (history,) = view.histories.values()
    assert (history.received, history.rounds) == (1, 0)
    provider.open(learner)
    provider.desk.give_up(house.agreement.session, "given up")
    learner.die()
    provider.ledger.close()
    assert audited(house, Role.PROVIDER)[0].histories


def test_the_result_and_its_card_are_compared_with_the_ledger(ended):
    assert audited(ended, Role.LEARNER)[1] == 1
    assert audited(ended, Role.PROVIDER)[1] == 0


@pytest.fixture
def copy(ended, tmp_path):
    """The learner's directory, to be changed."""
    root = tmp_path / "learner"
    shutil.copytree(ended.parties[Role.LEARNER].root, root)
    return PartyDirectory(root)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("session", lambda value: value[::-1]),
        ("provider", lambda value: value + "x"),
        ("provider_fingerprint", lambda value: value[::-1]),
        ("round", lambda value: value % 3 + 1),
        ("round", float),
        ("rounds", lambda value: value - 1),
        ("rounds", lambda value: value + 1),
        ("rounds", lambda _: True),
        ("rounds", str),
        ("price", lambda value: value - 1),
        ("currency", lambda value: value + "X"),
        ("global_loss", lambda value: value + 1),
        ("global_losses", lambda value: [*value[:-1], value[-1] + 1]),
        ("sha256", lambda value: value[::-1]),
    ],
)
def test_no_value_of_a_results_card_can_be_changed_unseen(ended, copy, name, change):
    card = copy.models / "assisted.toml"
    values = tomllib.loads(card.read_text())
    values[name] = change(values[name])
    card.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()))

    with pytest.raises(LedgerDigestError, match=r"assisted\.toml") as caught:
        audited(ended, Role.LEARNER, copy)

    assert caught.value.exit_code == 54
    assert caught.value.hint


@pytest.mark.parametrize(
    "name", ["session", "provider", "price", "global_losses", "rounds", "sha256"]
)
def test_no_line_of_a_results_card_can_be_taken_away_unseen(ended, copy, name):
    card = copy.models / "assisted.toml"
    kept = [line for line in card.read_text().splitlines() if not line.startswith(f"{name} ")]
    card.write_text("\n".join(kept))

    with pytest.raises(LedgerDigestError, match=r"assisted\.toml"):
        audited(ended, Role.LEARNER, copy)


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_result_that_is_not_the_recorded_one_is_found(ended, copy, damage):
    model = copy.models / "assisted.safetensors"
    model.write_bytes(model.read_bytes()[:-1] + b"\0") if damage == "changed" else model.unlink()

    with pytest.raises(LedgerDigestError, match=r"assisted\.safetensors") as caught:
        audited(ended, Role.LEARNER, copy)

    assert caught.value.hint


def test_a_result_that_cannot_be_read_is_disk_trouble(ended, copy):
    model = copy.models / "assisted.safetensors"
    model.unlink()
    model.mkdir()

    with pytest.raises(StorageError, match=r"assisted\.safetensors"):
        audited(ended, Role.LEARNER, copy)


def test_a_result_between_two_names_when_a_process_was_killed_passes(ended, copy):
    model = copy.models / "assisted.safetensors"
    model.rename(model.with_name(f"{ended.agreement.session[:16]}.safetensors"))

    assert audited(ended, Role.LEARNER, copy)[1] == 1


def test_an_agreement_that_was_taken_away_is_found(ended, copy):
    (agreement,) = copy.agreements.iterdir()
    agreement.unlink()

    with pytest.raises(LedgerDigestError, match="missing") as caught:
        audited(ended, Role.LEARNER, copy)

    assert caught.value.hint


@pytest.mark.parametrize("role", Role)
def test_a_result_of_nobodys_session_here_is_found(ended, tmp_path, role):
    """Of another learner's session, or with a provider, which makes none."""
    other = House(tmp_path / "other")
    end(other)
    whose = (ended if role is Role.PROVIDER else other).parties[role].root
    root = tmp_path / "copy"
    shutil.copytree(whose, root)
    shutil.copytree(ended.parties[Role.LEARNER].root / "models", root / "models")
    house = ended if role is Role.PROVIDER else other

    with pytest.raises(LedgerDigestError, match="do not record as a learner's"):
        audited(house, role, PartyDirectory(root))


def test_what_a_session_left_that_ended_early_is_compared_up_to_its_card(tmp_path):
    house = House(tmp_path, rounds=3)
    learner, provider = (house.parties[role] for role in Role)
    while len(learner.session.machine.results) < 2:
        for role in Role:
            for action in range(3):
                while len(learner.session.machine.results) < 2 and house.step(role, action):
                    pass
        house.heartbeat()
    kept = keep_early_result(learner.directory, learner.session, provider.identity.card)
    house.run()
    end(house)

    assert audited(house, Role.LEARNER)[1] == 1
    card = kept.with_suffix(".toml")
    card.write_text(card.read_text().replace("rounds = 2", "rounds = 1"))
    with pytest.raises(LedgerDigestError, match=card.name):
        audited(house, Role.LEARNER)
    card.rename(card.with_name("assisted.toml"))
    with pytest.raises(LedgerDigestError, match=r"assisted\.toml"):
        audited(house, Role.LEARNER)
