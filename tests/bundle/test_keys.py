"""Key files, cards, sealing keys."""

import os
from pathlib import Path

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st
from zmq.utils.z85 import encode as z85_of_zeromq

from assistlearn.bundle import Card, Identity, SealingKey, open_note, sealing_public_key
from assistlearn.bundle.cards import z85
from assistlearn.errors import BundleError, CardError, KeyFileError, LocalProtocolError

NAMES = st.from_regex(r"\A[a-z0-9][a-z0-9.-]{0,62}\Z")
CARDS = st.builds(
    Card,
    name=NAMES,
    ed25519=st.binary(min_size=32, max_size=32),
    mldsa44=st.randoms(use_true_random=False).map(lambda random: random.randbytes(1312)),
    curve=st.binary(min_size=32, max_size=32),
)


def test_keys_that_were_created_can_be_loaded(tmp_path: Path) -> None:
    created = Identity.create(tmp_path / "keys", name="hospital.example")

    loaded = Identity.load(tmp_path / "keys")

    assert loaded.card == created.card
    assert loaded.curve_secret_key == created.curve_secret_key
    assert open_note(loaded.sign("a\n"), created.card) == "a\n"
    assert Card.parse((tmp_path / "keys" / "card.txt").read_text()) == created.card


def test_only_the_owner_may_read_the_key_file(tmp_path: Path) -> None:
    old_mask = os.umask(0)
    try:
        Identity.create(tmp_path / "keys", name="a")
    finally:
        os.umask(old_mask)

    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "keys" / "identity.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601, 0o644])
def test_key_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    Identity.create(tmp_path, name="a")
    (tmp_path / "identity.key").chmod(mode)

    with pytest.raises(KeyFileError, match="open to other users") as caught:
        Identity.load(tmp_path)
    assert caught.value.hint.startswith("run: chmod 600")


def test_creating_keys_twice_keeps_the_first(tmp_path: Path) -> None:
    first = Identity.create(tmp_path, name="a")

    with pytest.raises(KeyFileError, match="exists already"):
        Identity.create(tmp_path, name="b")
    assert Identity.load(tmp_path).card == first.card


@pytest.mark.parametrize(
    "text",
    ["", "assistlearn-secret-key-v1 a 00\n", "assistlearn-secret-key-v1 a " + "0" * 64, "\xff"],
)
def test_damaged_key_file_is_refused(tmp_path: Path, text: str) -> None:
    Identity.create(tmp_path, name="a")
    (tmp_path / "identity.key").write_text(text, encoding="utf-8")

    with pytest.raises(KeyFileError, match="damaged"):
        Identity.load(tmp_path)


def test_absent_key_file_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError) as caught:
        Identity.load(tmp_path)
    assert "assistlearn init" in caught.value.hint


def test_key_file_that_is_a_link_is_refused(tmp_path: Path) -> None:
    Identity.create(tmp_path / "real", name="a")
    (tmp_path / "identity.key").symlink_to(tmp_path / "real" / "identity.key")

    with pytest.raises(KeyFileError):
        Identity.load(tmp_path)


def test_key_file_that_is_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "identity.key", 0o600)

    with pytest.raises(KeyFileError, match="is not a file"):
        Identity.load(tmp_path)


def test_folder_that_cannot_be_written_is_our_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(KeyFileError, match="cannot write keys"):
        Identity.create(tmp_path / "file" / "keys", name="a")


def test_bad_name_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(CardError):
        Identity.create(tmp_path / "keys", name="Bad Name")
    assert not (tmp_path / "keys").exists()


def test_keys_of_one_seed_are_unrelated_and_stable() -> None:
    identity = Identity(name="a", seed=bytes(32))

    assert len({identity.card.ed25519, identity.card.curve, identity.card.mldsa44[:32]}) == 3
    assert identity.card.fingerprint == Identity(name="a", seed=bytes(32)).card.fingerprint
    assert identity.card.fingerprint != Identity(name="b", seed=bytes(32)).card.fingerprint


def test_transport_keys_are_a_pair_to_zeromq() -> None:
    identity = Identity(name="a", seed=b"x" * 32)

    assert zmq.curve_public(identity.curve_secret_key) == identity.curve_public_key


@given(st.binary(max_size=40).filter(lambda data: len(data) % 4 == 0))
def test_our_z85_is_zeromqs(data: bytes) -> None:
    assert z85(data) == z85_of_zeromq(data)


@given(CARDS)
def test_card_survives_its_line(card: Card) -> None:
    assert Card.parse(card.line()) == card
    assert Card.parse(card.line() + "\n") == card


@given(CARDS, st.integers(0, 1900), st.characters())
def test_card_line_with_one_other_character_is_another_card_or_refused(
    card: Card, at: int, other: str
) -> None:
    line = card.line()
    at %= len(line)
    changed = line[:at] + other + line[at + 1 :]

    try:
        found = Card.parse(changed)
    except CardError:
        return
    assert found.line() == changed.removesuffix("\n")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda line: line + "=", id="padding"),
        pytest.param(lambda line: line + "\r\n", id="crlf"),
        pytest.param(lambda line: line + "\n\n", id="two line breaks"),
        pytest.param(lambda line: " " + line, id="leading space"),
        pytest.param(lambda line: line.replace(" ", "  ", 1), id="two spaces"),
        pytest.param(lambda line: line[:-2], id="cut short"),
        pytest.param(lambda line: line[:-1], id="impossible length"),
        pytest.param(lambda line: line + "AAAA", id="too long"),
        pytest.param(lambda line: line.upper(), id="upper case"),
        pytest.param(lambda line: line.replace("v1", "v2"), id="another version"),
        pytest.param(lambda line: line.replace("hospital", "Hospital"), id="name in capitals"),
        pytest.param(lambda line: "", id="nothing"),
    ],
)
def test_card_in_any_other_spelling_is_refused(alice: Identity, change: object) -> None:
    assert callable(change)

    with pytest.raises(CardError):
        Card.parse(change(alice.card.line()))


def test_a_slip_in_copying_a_card_is_noticed(alice: Identity) -> None:
    line = alice.card.line()
    for place in (len(alice.card.name) + 22, len(line) // 2, len(line) - 1):
        other = "A" if line[place] != "A" else "B"
        with pytest.raises(CardError, match="changed on its way"):
            Card.parse(line[:place] + other + line[place + 1 :])


def test_card_with_keys_of_wrong_length_is_refused(alice: Identity) -> None:
    with pytest.raises(CardError, match="wrong lengths"):
        Card(name="a", ed25519=b"", mldsa44=alice.card.mldsa44, curve=alice.card.curve)


def test_short_fingerprint_is_five_groups_of_four_letters(alice: Identity, bob: Identity) -> None:
    groups = alice.card.short.split("-")

    assert [len(group) for group in groups] == [4] * 5
    assert alice.card.short != bob.card.short


def test_sealing_key_of_the_same_seed_is_the_same() -> None:
    assert SealingKey(b"x" * 32).public == SealingKey(b"x" * 32).public
    assert len(SealingKey(b"x" * 32).public) == 1216


def test_seed_of_another_length_is_our_own_mistake() -> None:
    with pytest.raises(LocalProtocolError, match="31 bytes"):
        SealingKey(bytes(31))
    with pytest.raises(LocalProtocolError, match="33 bytes"):
        Identity(name="a", seed=bytes(33))


def test_sealed_key_of_another_length_is_refused() -> None:
    with pytest.raises(BundleError, match="1167 bytes"):
        SealingKey(bytes(32)).unseal_key(bytes(1167), info=b"")


@pytest.mark.parametrize("data", [b"", bytes(1215), bytes(1217), b"\xff" * 1216])
def test_bytes_that_are_no_sealing_key_are_refused(data: bytes) -> None:
    with pytest.raises(BundleError):
        sealing_public_key(data)
