"""What a provider can say that no provider may, heard by the parts of a learner's gate."""

import dataclasses
import struct

import pytest
import zmq
from callee import CONTROL, Callee, audited, held, own_side, sealed_offer, step, withheld
from house import House
from twoparties import LEARNER, PROVIDER, TwoParties, free_port

from assistlearn.bundle import Identity, pack
from assistlearn.digests import digest
from assistlearn.errors import (
    AgreementMismatchError,
    BundleError,
    ConfigError,
    LocalProtocolError,
    PeerProtocolError,
    ProtocolError,
    RefusedByPeerError,
)
from parties.gate.handshake import LearnerHandshake, ProviderHandshake
from parties.gate.link import LearnerLink
from parties.secrets import SessionSecrets
from protocols.codec import MAX_FRAME_BYTES, decode_frame, encode_frame
from protocols.messages import (
    Acceptance,
    CloseReason,
    Hello,
    Proposal,
    Refusal,
    RefusalCode,
    SessionClosed,
    Status,
    TrajectoryClosed,
)
from protocols.roles import Role

HELLO = Hello(version=1, nonce=bytes(32), sealing_key=bytes(1216), samples=1, terms=b"x")
ESCAPES = "\x1b[2J\r\n\x1b]0;x\x07"


@pytest.fixture(scope="module")
def sides(tmp_path_factory):
    """What a learner and its provider bring to an agreement."""
    parties = TwoParties(tmp_path_factory.mktemp("sides"))
    samples = {LEARNER: 60, PROVIDER: 200}
    yield {role: own_side(parties.home(role), samples=n) for role, n in samples.items()}
    parties.close()


# Before there is an agreement


@pytest.fixture
def answering(sides):
    """A learner's handshake that has said Hello, and an honest provider's."""
    handshake = LearnerHandshake(sides[LEARNER], SessionSecrets.draw())
    provider = ProviderHandshake(sides[PROVIDER], handshake.hello(), SessionSecrets.draw())
    return handshake, provider


def weak(key):
    """A sealing key with which everybody knows the secret of its X25519 half."""
    return key[:-32] + bytes(32)


def test_a_key_that_everybody_can_open_is_refused_before_anything_is_signed(answering, sides):
    handshake, provider = answering
    welcome = provider.welcome()
    with pytest.raises(BundleError, match="or weak"):
        handshake.answer(dataclasses.replace(welcome, sealing_key=weak(welcome.sealing_key)))

    hello = handshake.hello()
    weak_hello = dataclasses.replace(hello, sealing_key=weak(hello.sealing_key))
    provider = ProviderHandshake(sides[PROVIDER], weak_hello, SessionSecrets.draw())
    proposal = handshake.answer(dataclasses.replace(welcome, hello_nonce=hello.nonce))
    with pytest.raises(BundleError, match="or weak"):
        provider.accept(proposal)


def test_what_the_provider_told_is_named_where_it_makes_the_terms_impossible(answering, sides):
    handshake, provider = answering
    welcome = dataclasses.replace(provider.welcome(), samples=10**15)
    terms = dataclasses.replace(
        handshake._side.terms, total_steps=10**6, learner_steps=None, provider_steps=None
    )
    handshake._side = dataclasses.replace(handshake._side, terms=terms)

    with pytest.raises((ConfigError, LocalProtocolError), match=f"with {10**15} examples at the"):
        handshake.answer(welcome)


def test_the_provider_is_not_named_where_its_data_changed_nothing(answering):
    handshake, provider = answering
    terms = dataclasses.replace(handshake._side.terms, round_bytes=1)
    handshake._side = dataclasses.replace(handshake._side, terms=terms)

    with pytest.raises(ConfigError, match=r"^terms\.round_bytes is 1, "):
        handshake.answer(provider.welcome())


LEARNERS_OWN = {
    "hello": HELLO,
    "proposal": Proposal(note=b"x"),
    "status": Status(session=bytes(32), seq=0, piece=0, credit=0, resend=0),
}


@pytest.mark.parametrize("name", LEARNERS_OWN)
def test_a_frame_that_no_provider_sends_before_an_agreement_is_refused(answering, name):
    handshake, _ = answering

    with pytest.raises(PeerProtocolError, match="before there is an agreement"):
        handshake.answer(LEARNERS_OWN[name])


def test_answers_to_another_try_are_passed_over(answering):
    handshake, provider = answering
    welcome = provider.welcome()

    assert handshake.answer(Acceptance(note=b"x")) is None
    assert handshake.answer(dataclasses.replace(welcome, hello_nonce=bytes(32))) is None

    assert isinstance(handshake.answer(welcome), Proposal)


@pytest.mark.parametrize("note", ["noise", "one signature", "its own twice", "other text"])
def test_an_acceptance_that_is_not_signed_by_both_is_refused(answering, sides, note):
    handshake, provider = answering
    proposal = handshake.answer(provider.welcome())
    agreed = provider.accept(proposal)
    text = agreed.agreement.text()
    own = sides[PROVIDER].identity.sign(text)
    lies = {
        "noise": b"\xff\x1b[2J" * 9,
        "one signature": proposal.note,
        "its own twice": own + own.rpartition(b"\n\n")[2],
        "other text": agreed.note.replace(b"rounds 2\n", b"rounds 9\n"),
    }

    with pytest.raises(BundleError) as caught:
        handshake.answer(Acceptance(note=lies[note]))

    assert not CONTROL.search(str(caught.value))


def test_an_acceptance_of_what_the_learner_signed_before_is_refused(answering, sides):
    handshake, provider = answering
    hello = handshake.hello()
    first = provider.accept(handshake.answer(provider.welcome()))
    again = ProviderHandshake(sides[PROVIDER], hello, SessionSecrets.draw())
    handshake.answer(again.welcome())

    with pytest.raises(AgreementMismatchError, match="provider_nonce"):
        handshake.answer(Acceptance(note=first.note))


def test_a_welcome_with_sample_counts_that_make_no_agreement_is_the_providers_fault(answering):
    handshake, provider = answering

    with pytest.raises(PeerProtocolError, match="0 samples"):
        handshake.answer(dataclasses.replace(provider.welcome(), samples=0))


@pytest.mark.parametrize("code", RefusalCode)
def test_a_refusal_is_told_in_words_of_ours(answering, code):
    handshake, _ = answering
    text = "[red]\\n{x} %s"

    with pytest.raises((AgreementMismatchError, RefusedByPeerError)) as caught:
        handshake.answer(Refusal(session=b"", code=code, field="rounds", own=text, peer=text))

    assert caught.value.exit_code == (22 if code is RefusalCode.TERMS else 25)


REFUSALS = {
    "escapes": [23, b"", "terms", "rounds", ESCAPES, "1"],
    "line breaks": [23, b"", "terms", "rounds", "2", "1\nassistlearn: error: pay"],
    "hidden letters": [23, b"", "terms", "rounds", "\u202e2", "1"],
    "field of its own": [23, b"", "terms", "Rounds\x1b", "2", "1"],
    "unknown code": [23, b"", "because", "", "", ""],
    "list for a code": [23, b"", ["terms"], "", "", ""],
}
LINES = {
    "empty": b"",
    "noise": bytes(range(256)) * 40,
    "largest": b"\xc1" * MAX_FRAME_BYTES,
    "unknown kind": b"\x91\x63",
    "fields missing": b"\x92\x16\xc4\x20" + bytes(32),
    "map": b"\x81\x01\x02",
    "deep": b"\x91" * 5000,
    "void piece": struct.pack(">B32sIQ", 16, bytes(32), 0, 0),
    "piece beyond counting": struct.pack(">B32sIQ", 16, bytes(32), 2**32 - 1, 2**64 - 1) + b"x",
    **{f"refusal with {name}": pack(value) for name, value in REFUSALS.items()},
    "status with credit without end": pack([22, bytes(32), 0, 0, 1 << 40, 0]),
    "status of a number below zero": pack([22, bytes(32), -1, 0, 0, 0]),
}


@pytest.fixture(scope="module")
def linked(sides):
    """A learner's link to Mallory."""
    clinic, port = sides[LEARNER], free_port()
    address = f"tcp://127.0.0.1:{port}"
    with Callee(port, sides[PROVIDER]) as callee:
        link = LearnerLink(address, identity=clinic.identity, provider=clinic.peer)
        try:
            assert link.socket.poll(30_000, zmq.POLLOUT)
            link.send(encode_frame(HELLO))
            callee.hear(Hello)
            yield link, callee
        finally:
            link.close()


@pytest.mark.parametrize("name", LINES)
def test_a_frame_that_is_none_is_refused_without_a_byte_of_it_as_it_came(linked, name):
    link, callee = linked
    callee.send(LINES[name])
    assert link.socket.poll(30_000)

    with pytest.raises(PeerProtocolError) as caught:
        list(link.frames())

    assert not CONTROL.search(str(caught.value))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


# Inside a session


@pytest.fixture
def waiting(tmp_path):
    """A learner that has said its trajectory, and a provider that has all of it and denies it."""
    house = House(tmp_path)
    learner, provider = (house.parties[role].session for role in Role)
    while house.parties[LEARNER].work():
        pass
    learner.receive(place(provider.books))
    while house.send(LEARNER):
        house.hear(PROVIDER)
    assert provider.books.transcript == learner.books.transcript
    yield house, learner, provider.books
    house.close()


def place(books, **changes):
    """A status that acknowledges nothing and lets everything come."""
    fields = {"seq": 0, "piece": 0, "credit": 64, "resend": 0, **changes}
    return Status(**{"session": bytes.fromhex(books.session), **fields})


def refused(house, session, *frames):
    """The error of the last frame, once it is dealt with as the gate does; the ledger is whole."""
    for frame in frames[:-1]:
        session.receive(frame)
    with pytest.raises((ProtocolError, BundleError)) as caught:
        session.receive(frames[-1])
    session.refuse(caught.value)
    party = house.parties[LEARNER]
    kinds = [entry.kind.value for entry in party.ledger.entries()]
    assert kinds[-2:] == ["refusal", "closed"]
    party.die()
    audited(party.root)
    party.open(house.parties[PROVIDER])
    return caught.value, kinds


def first(learner, **changes):
    """The honest first message: one of the learner's own checkpoints was chosen."""
    return held(min(learner.machine.needed), **changes)


HEADERS = {
    "round": {"round": 2},
    "round before the first": {"round": 0},
    "session": {"session": digest(b"another")},
    "fork of the transcript": {"transcript": digest(b"fork")},
    "place": {"seq": 1},
    "model": {"spec": digest(b"another model")},
    "payload without pieces": {"payload": 1},
    "recipient": {"recipient": Identity(name="learner", seed=bytes(32)).card},
    "signature": {"identity": Identity(name="provider", seed=bytes(32))},
    "body": {"body": b"\xc1"},
}


@pytest.mark.parametrize("lie", HEADERS)
def test_a_header_that_lies_ends_the_session_before_anything_is_believed(waiting, lie):
    house, learner, books = waiting
    offer, _ = sealed_offer(books, first(learner), **HEADERS[lie])

    error, kinds = refused(house, learner, offer)

    assert error.exit_code == (21 if lie == "body" else 33)
    assert "received" not in kinds


def test_the_sealed_parts_of_another_bundle_end_the_session(waiting):
    house, learner, books = waiting
    offer, _ = sealed_offer(books, first(learner))
    other, _ = sealed_offer(books, first(learner, loss=0.0))
    mixed = dataclasses.replace(offer, sealed_body=other.sealed_body)

    error, kinds = refused(house, learner, mixed)

    assert error.exit_code == 33
    assert "received" not in kinds


MESSAGES = {
    "a closing list of nothing received": TrajectoryClosed(round=1, checkpoints=(step(0, b"x"),)),
    "the end of a session": SessionClosed(
        round=1, reason=CloseReason.COMPLETED, result=digest(b"x")
    ),
    "no step 0": withheld(2),
    "step 0 withheld": withheld(0),
    "step 0 of nobody": held(digest(b"unknown")),
    "step that was never agreed": withheld(1),
    "tensors that do not come": step(0, b"x"),
    "loss of another precision": held(digest(b"x"), loss=3),
}


@pytest.mark.parametrize("lie", MESSAGES)
def test_a_message_that_does_not_belong_there_ends_the_session(waiting, lie):
    house, learner, books = waiting
    offer, _ = sealed_offer(books, MESSAGES[lie])

    error, _ = refused(house, learner, offer)

    assert isinstance(error, PeerProtocolError)
    assert not learner.machine.results


def test_a_message_of_another_round_than_its_header_ends_the_session(waiting):
    house, learner, books = waiting
    message = dataclasses.replace(first(learner), round=2)
    offer, _ = sealed_offer(books, message, round=1)

    error, _ = refused(house, learner, offer)

    assert isinstance(error, PeerProtocolError)


STATUSES = {
    "what was never sent": {"seq": 4, "piece": 1},
    "a bundle far ahead": {"seq": 10**9},
    "another session": {"session": bytes(32), "seq": 4},
}


@pytest.mark.parametrize("lie", STATUSES)
def test_a_status_that_lies_ends_the_session(waiting, lie):
    house, learner, books = waiting

    error, _ = refused(house, learner, place(books, **STATUSES[lie]))

    assert isinstance(error, PeerProtocolError)


def test_a_status_cannot_take_back_what_was_acknowledged(waiting):
    house, learner, books = waiting

    error, _ = refused(house, learner, place(books, seq=4), place(books, resend=1))

    assert "acknowledged up to (4, 0)" in str(error)


@pytest.mark.parametrize("restarted", [False, True])
def test_nobody_who_answered_to_a_checkpoint_can_ask_for_it_again(waiting, restarted):
    """It is deleted by then: sending it again would look like a disk of ours that fails."""
    house, learner, books = waiting
    learner.receive(sealed_offer(books, first(learner))[0])
    learner.forget()
    if restarted:
        house.restart(LEARNER)
        learner = house.parties[LEARNER].session

    error, _ = refused(house, learner, place(books, resend=1))

    assert isinstance(error, PeerProtocolError)


def test_repetitions_are_passed_over(waiting):
    house, learner, books = waiting
    offer, _ = sealed_offer(books, first(learner))

    for _ in range(3):
        learner.receive(offer)

    kinds = [entry.kind.value for entry in house.parties[LEARNER].ledger.entries()]
    assert kinds.count("received") == 1


def test_what_comes_too_early_is_passed_over_and_asked_for_again(waiting):
    house, learner, books = waiting
    learner.link_restored()
    house.send(LEARNER)
    later, _ = sealed_offer(books, withheld(2), place=1)
    piece = struct.pack(">B32sIQ", 16, bytes.fromhex(books.session), 0, 0) + bytes(72)

    learner.receive(later)
    learner.receive(decode_frame(piece))

    status = decode_frame(learner.next_frame())
    assert (status.seq, status.piece, status.resend) == (0, 0, 1)
    assert not learner.closed


def test_an_answer_before_the_question_is_over_ends_the_session(tmp_path):
    house = House(tmp_path)
    learner, provider = (house.parties[role].session for role in Role)
    house.parties[LEARNER].work()
    while house.send(LEARNER) or house.send(PROVIDER):
        house.hear(PROVIDER)
        house.hear(LEARNER)
    offer, _ = sealed_offer(provider.books, first(learner))

    error, kinds = refused(house, learner, offer)

    assert "not allowed while training" in str(error)
    assert "received" in kinds  # what it signed is kept against it
    house.close()


@pytest.mark.parametrize("code", RefusalCode)
def test_a_refusal_inside_a_session_is_recorded_as_the_peers(waiting, code):
    house, learner, books = waiting
    said = Refusal(session=bytes.fromhex(books.session), code=code, field="", own="[b]", peer="%s")

    with pytest.raises(RefusedByPeerError):
        learner.receive(said)

    kinds = [entry.kind.value for entry in house.parties[LEARNER].ledger.entries()]
    assert (kinds[-2:] == ["refusal", "closed"]) == (code is not RefusalCode.SUSPENDED)
