"""Two whole gates without sockets: crashes and losses at any instant change nothing."""

import dataclasses
import random

import pytest
from house import House, small_spec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assistlearn.errors import (
    BundleError,
    DigestMismatchError,
    PeerProtocolError,
    QuotaError,
    TensorError,
)
from assistlearn.ledger import EntryKind, verify_ledger
from parties.gate.handshake import round_bytes_bound
from parties.gate.receiver import Receiver
from protocols.events import Started
from protocols.messages import Refusal, RefusalCode, SessionClosed, Status
from protocols.provider import ProviderState
from protocols.record import decode_record
from protocols.roles import Role

MIXED = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def house(tmp_path):
    made = House(tmp_path)
    yield made
    made.close()


def test_a_session_ends_with_every_round_made_and_both_ledgers_whole(house):
    results = house.run()

    assert len(results) == 3
    for role, party in house.parties.items():
        party.session.close("completed")
        party.ledger.write_head(party.identity)
        peer = house.parties[role.peer].identity.card
        party.die()
        path = party.directory.ledger_path(peer)
        report = verify_ledger(path, own=party.identity.card, peer=peer)
        assert report.verified_notes > 20


@given(seed=st.integers(0, 10**9))
@MIXED
def test_crashes_and_cuts_at_any_instant_change_no_result(tmp_path_factory, seed):
    rng = random.Random(seed)
    calm = House(tmp_path_factory.mktemp("calm"), seed=7, rounds=2)
    expected = calm.run()
    rough = House(tmp_path_factory.mktemp("rough"), seed=7, rounds=2)

    crashes = 0
    for _ in range(3000):
        if rough.finished:
            break
        if crashes < 25 and rng.random() < 0.08:
            crashes += 1
            rough.cut() if rng.random() < 0.3 else rough.restart(rng.choice(list(Role)))
        rough.step(rng.choice(list(Role)), rng.randrange(3))
    found = rough.run()

    assert crashes > 0
    assert found == expected
    said = [rough.parties[role].session.round_bytes(1) for role in Role]
    assert said == [calm.parties[role].session.round_bytes(1) for role in Role]
    calm.close()
    rough.close()


def test_a_crash_in_the_middle_of_a_payload_sends_only_the_rest_again(tmp_path):
    spec = small_spec(numbers=10 << 18)  # ten pieces and a little
    house = House(tmp_path, spec=spec, rounds=1)
    learner = house.parties[Role.LEARNER]
    while learner.session.work or not learner.session.machine.round:
        learner.work()
    house.send(Role.PROVIDER)
    house.hear(Role.LEARNER)
    for _ in range(8):  # status, offer and six pieces
        house.send(Role.LEARNER)
        house.hear(Role.PROVIDER)

    house.restart(Role.PROVIDER)
    house.send(Role.PROVIDER)
    house.hear(Role.LEARNER)
    house.send(Role.LEARNER)  # its status
    house.hear(Role.PROVIDER)
    house.send(Role.LEARNER)

    (next_,) = house.wire[Role.PROVIDER]
    assert next_[0] == 16
    assert int.from_bytes(next_[37:45], "big") == 6  # goes on with the seventh piece
    house.close()


def test_a_frame_changed_on_the_way_is_refused_and_named_in_the_ledger(tmp_path):
    spec = small_spec(numbers=1 << 16)
    house = House(tmp_path, spec=spec, rounds=1)
    learner, provider = (house.parties[role] for role in Role)
    learner.work()
    house.send(Role.PROVIDER)
    house.hear(Role.LEARNER)
    for _ in range(3):
        house.send(Role.LEARNER)
    frames = house.wire[Role.PROVIDER]
    piece = bytearray(frames[-1])
    assert piece[0] == 16
    piece[5000] ^= 1
    frames[-1] = bytes(piece)
    house.hear(Role.PROVIDER)
    house.hear(Role.PROVIDER)

    with pytest.raises(BundleError, match="altered") as caught:
        house.hear(Role.PROVIDER)
    refusal = provider.session.refuse(caught.value)

    assert refusal.code == "bundle"
    assert provider.session.closed
    kinds = [entry.kind.value for entry in provider.ledger.entries()]
    assert kinds[-2:] == ["refusal", "closed"]
    assert not list((provider.root / "rounds").glob("*/spool/*.safetensors"))
    house.close()


def test_the_learners_last_word_closes_the_providers_session_in_the_same_entry(house):
    provider = house.parties[Role.PROVIDER]
    house.run()

    provider.ledger.close()  # killed before it has even answered

    with provider.directory.open_ledger(house.parties[Role.LEARNER].identity.card) as ledger:
        *_, said, last = ledger.entries(provider.session.id)
    assert isinstance(decode_record(said.body).message, SessionClosed)
    assert last.kind is EntryKind.CLOSED
    assert provider.session.work is None


def test_what_comes_after_a_sessions_end_is_not_recorded(house):
    provider = house.parties[Role.PROVIDER]
    house.run()
    before = len(list(provider.ledger.entries()))
    session = bytes.fromhex(provider.session.id)

    provider.session.receive(
        Refusal(session=session, code=RefusalCode.PROTOCOL, field="", own="", peer="")
    )
    provider.session.receive(Status(session=session, seq=10**9, piece=0, credit=1, resend=0))

    assert len(list(provider.ledger.entries())) == before


def test_a_last_model_that_is_not_the_best_is_kept_to_be_measured(house):
    house.run()
    machine = house.parties[Role.LEARNER].session.machine

    worse = dataclasses.replace(machine.results[-1], global_loss=1e9)  # as told with noise
    machine.results[-1] = worse

    assert machine.best.digest != worse.digest
    assert machine.needed == {machine.best.digest, worse.digest}


def test_values_that_are_not_finite_are_stopped_by_the_sender(house):
    learner = house.parties[Role.LEARNER]
    spec = house.spec
    poisoned = bytearray(spec.header + bytes(4 * spec.elements))
    poisoned[-4:] = b"\x00\x00\xc0\x7f"
    with learner.session.store.writer() as file:
        file.write(poisoned)
        name = file.commit()
    with pytest.raises(TensorError, match="nan"):
        learner.session.tell(Started(digest=name, loss=learner.world.loss(name)))

    assert [entry.kind.value for entry in learner.ledger.entries()] == [
        "agreement",
        "event",
        "event",
    ]


def test_nothing_beyond_the_quota_is_sealed(tmp_path):
    house = House(tmp_path, round_bytes=20_000)

    with pytest.raises(QuotaError, match="the agreement allows 20000"):
        house.run()

    house.close()


def test_no_round_takes_more_bytes_than_a_preview_says(house):
    bounds = {role: round_bytes_bound(len(house.agreement.grid(role)), house.spec) for role in Role}

    house.run()

    for role, party in house.parties.items():
        sent = [party.session.round_bytes(round_)[0] for round_ in (1, 2, 3)]
        assert max(sent) <= bounds[role]
        assert max(sent) > len(house.agreement.grid(role)) * house.spec.file_bytes


def test_a_receiver_keeps_one_checkpoint_whatever_the_number_sampled(tmp_path):
    house = House(tmp_path, learner_steps=80, provider_steps=80, rounds=1)
    provider = house.parties[Role.PROVIDER]
    most = 0
    while provider.session.machine.state is ProviderState.RECEIVING:
        moved = [house.step(role, action) for action in range(3) for role in Role]
        most = max(most, len(provider.session.store.digests()))
        if not any(moved):
            house.heartbeat()

    assert most <= 3
    house.close()


def test_acknowledging_what_was_never_sent_is_refused(house):
    session = house.parties[Role.LEARNER].session
    claim = Status(session=bytes.fromhex(session.id), seq=4, piece=0, credit=8, resend=0)

    with pytest.raises(PeerProtocolError, match="never sent"):
        session.receive(claim)


def test_pieces_lost_with_the_power_are_sent_again(tmp_path):
    house = House(tmp_path, spec=small_spec(numbers=4 << 18), rounds=1)
    house.bring_under_way(pieces=3)
    provider = house.parties[Role.PROVIDER]
    provider.session.status_due = True
    house.send(Role.PROVIDER)
    house.hear(Role.LEARNER)
    (quarantined,) = provider.root.glob("rounds/*/spool/quarantine/*.part")
    provider.session.suspend()
    with quarantined.open("r+b") as file:
        file.truncate(1 << 20)

    house.restart(Role.PROVIDER)

    assert len(house.run()) == 1
    house.close()


@pytest.mark.parametrize("damage", [b"\xff" * 8, b"?" * 8], ids=["not finite", "finite"])
def test_pieces_damaged_on_our_disk_come_again_and_nobody_is_blamed(tmp_path, damage):
    house = House(tmp_path, spec=small_spec(numbers=4 << 18), rounds=1)
    house.bring_under_way(pieces=3)
    provider = house.parties[Role.PROVIDER]
    (quarantined,) = provider.root.glob("rounds/*/spool/quarantine/*.part")
    provider.session.suspend()
    with quarantined.open("r+b") as file:
        file.seek(1 << 20)
        file.write(damage)

    house.restart(Role.PROVIDER)

    assert len(house.run()) == 1
    house.close()


def test_a_payload_that_is_wrong_again_after_it_came_again_is_the_senders_fault(tmp_path):
    house = House(tmp_path, spec=small_spec(numbers=4 << 18), rounds=1)
    house.bring_under_way(pieces=3)
    for file in house.parties[Role.LEARNER].session.store.folder.glob("*.safetensors"):
        with file.open("r+b") as opened:
            opened.seek(3 << 20)
            opened.write(b"?" * 8)

    house.restart(Role.PROVIDER)

    with pytest.raises(DigestMismatchError):
        house.run()
    house.close()


def test_a_value_that_is_not_finite_is_refused_with_its_piece(tmp_path, monkeypatch):
    house = House(tmp_path, spec=small_spec(numbers=4 << 18), rounds=1)
    monkeypatch.setattr("parties.gate.sender.check_file", lambda *_: None)  # a cheating learner
    house.bring_under_way(pieces=0)
    learner, provider = house.parties[Role.LEARNER], house.parties[Role.PROVIDER]
    for file in learner.session.store.folder.glob("*.safetensors"):
        with file.open("r+b") as opened:
            opened.seek(3 << 20)
            opened.write(b"\xff" * 8)

    for _ in range(3):
        house.send(Role.LEARNER)
        house.hear(Role.PROVIDER)
    house.send(Role.LEARNER)
    with pytest.raises(TensorError, match="must be finite"):
        house.hear(Role.PROVIDER)

    (quarantined,) = provider.root.glob("rounds/*/spool/quarantine/*.part")
    assert quarantined.stat().st_size == 3 << 20  # the bad piece was not written
    house.close()


def test_a_payload_that_was_whole_before_a_crash_is_handed_on_after_it(tmp_path, monkeypatch):
    house = House(tmp_path, spec=small_spec(numbers=3 << 18), rounds=1)
    with monkeypatch.context() as crash:
        crash.setattr(Receiver, "delivered", lambda self: None)
        house.bring_under_way(pieces=4)  # three and the rest

    house.restart(Role.PROVIDER)

    assert len(house.run()) == 1
    house.close()


def test_made_up_session_is_looked_up_without_reading_the_ledger(house, monkeypatch):
    house.run()
    party = house.parties[Role.PROVIDER]
    session = party.session.id
    found = party.desk.find(session)

    monkeypatch.setattr(party.ledger, "entries", None)  # whoever reads it fails

    assert found is not None
    assert found.agreement.session == session
    assert party.desk.find("ab" * 32) is None
    with pytest.raises(TypeError):
        party.desk.find(session)
