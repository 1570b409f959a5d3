"""Signed notes: both signatures of each party, in one spelling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistlearn.bundle import Identity, cosign, open_cosigned, open_note, sign_note
from assistlearn.errors import BundleError

TEXT = "assistlearn/example/v1\nround 3\n"
TEXTS = st.from_regex(r"\A([ -~]{0,40}\n){1,5}\Z")


@given(TEXTS)
def test_opening_a_signed_text_gives_the_text(text: str) -> None:
    identity = Identity(name="a", seed=b"a" * 32)

    assert open_note(sign_note(text, identity), identity.card) == text


@given(TEXTS)
def test_opening_a_cosigned_text_gives_the_text_in_either_order(text: str) -> None:
    a, b = Identity(name="a", seed=b"a" * 32), Identity(name="b", seed=b"b" * 32)
    note = cosign(sign_note(text, a), b)

    assert open_cosigned(note, (a.card, b.card)) == text
    assert open_cosigned(note, (b.card, a.card)) == text


@pytest.mark.parametrize(
    "text", ["", "no line break", "a\r\n", "a\tb\n", "\x1b[2J\n", "é\n", "a\0\n"]
)
def test_text_that_could_hide_something_is_not_signed(alice: Identity, text: str) -> None:
    with pytest.raises(BundleError, match="printable ASCII"):
        alice.sign(text)


def test_text_that_is_too_long_is_not_signed(alice: Identity) -> None:
    with pytest.raises(BundleError, match="longer than"):
        alice.sign("a" * 16_000 + "\n")


def test_text_with_an_empty_line_and_what_looks_like_a_signature_is_only_text(
    alice: Identity,
) -> None:
    text = "a\n\n- b c\n\n"

    assert open_note(alice.sign(text), alice.card) == text


def test_note_of_another_party_is_refused(alice: Identity, mallory: Identity) -> None:
    with pytest.raises(BundleError):
        open_note(mallory.sign(TEXT), alice.card)


def test_note_of_another_party_with_the_same_name_is_refused(alice: Identity) -> None:
    impostor = Identity(name=alice.card.name, seed=b"i" * 32)

    with pytest.raises(BundleError, match="another key"):
        open_note(impostor.sign(TEXT), alice.card)


def test_signature_of_one_text_does_not_fit_another(alice: Identity) -> None:
    changed = alice.sign(TEXT).replace(b"round 3", b"round 4")

    with pytest.raises(BundleError, match="altered"):
        open_note(changed, alice.card)


def _lines(note: bytes) -> tuple[bytes, bytes, bytes]:
    text, _, signatures = note.rpartition(b"\n\n")
    first, second, _ = signatures.split(b"\n")
    return text + b"\n\n", first + b"\n", second + b"\n"


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("ML-DSA line stripped", "e"),
        ("Ed25519 line stripped", "m"),
        ("two Ed25519 lines", "ee"),
        ("two ML-DSA lines", "mm"),
        ("lines swapped", "me"),
        ("three lines", "emm"),
        ("no signatures", ""),
        ("four lines", "emem"),
    ],
)
def test_any_but_exactly_two_signatures_in_order_is_refused(
    alice: Identity, name: str, order: str
) -> None:
    text, ed25519, mldsa44 = _lines(alice.sign(TEXT))
    note = text + b"".join({"e": ed25519, "m": mldsa44}[letter] for letter in order)

    with pytest.raises(BundleError):
        open_note(note, alice.card)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\n", b"\r\n"),
        ("—".encode(), b"--"),
        ("— ".encode(), "—  ".encode()),
        (b"=\n", b"=\n\n"),
        (b"=\n", b"\n"),
        (b"round", b"rou\x00nd"),
        (b"round", "ro\u202eund".encode()),
        (b"round", b"\xff"),
        (b"\n\n", b"\n"),
        (b"\n\n", b"\n\n\n"),
    ],
)
def test_note_in_another_spelling_is_refused(alice: Identity, old: bytes, new: bytes) -> None:
    note = alice.sign(TEXT)
    assert old in note

    with pytest.raises(BundleError):
        open_note(note.replace(old, new), alice.card)


def test_signature_in_base64_with_spare_bits_is_refused(alice: Identity) -> None:
    note = alice.sign(TEXT)  # the Ed25519 line has 68 bytes: two spare bits, one "="
    at = note.index(b"=\n") - 1
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    spare = alphabet[alphabet.index(note[at]) | 1]

    with pytest.raises(BundleError, match="canonical base64"):
        open_note(note[:at] + bytes([spare]) + note[at + 1 :], alice.card)


def test_note_that_is_too_long_is_refused_unread(alice: Identity) -> None:
    with pytest.raises(BundleError, match="longer than"):
        open_note(b"a" * (16 << 10) + b"\n", alice.card)


def test_every_flipped_bit_of_a_note_is_refused(alice: Identity) -> None:
    note = bytearray(alice.sign(TEXT))
    for at in range(len(note)):
        note[at] ^= 1 << at % 8

        with pytest.raises(BundleError):
            open_note(bytes(note), alice.card)
        note[at] ^= 1 << at % 8


def test_cosigned_note_needs_both_parties(
    alice: Identity, bob: Identity, mallory: Identity
) -> None:
    both = (alice.card, bob.card)
    signed = alice.sign(TEXT)
    for note in (
        signed,
        cosign(signed, alice),
        cosign(signed, mallory),
        cosign(mallory.sign(TEXT), bob),
        cosign(signed, bob).replace(b"round 3", b"round 4"),
    ):
        with pytest.raises(BundleError):
            open_cosigned(note, both)


def test_cosigned_note_with_interleaved_lines_is_refused(alice: Identity, bob: Identity) -> None:
    note = cosign(alice.sign(TEXT), bob)
    text, _, signatures = note.rpartition(b"\n\n")
    a, b, c, d, _ = signatures.split(b"\n")

    for order in ([a, c, b, d], [a, b, d, c], [a, b, a, b], [a, b, c, d, d]):
        with pytest.raises(BundleError):
            open_cosigned(b"\n".join([text, b"", *order, b""]), (alice.card, bob.card))


def test_third_signature_pair_is_not_added(alice: Identity, bob: Identity) -> None:
    with pytest.raises(BundleError, match="has 4 signatures"):
        cosign(cosign(alice.sign(TEXT), bob), alice)


def test_two_cards_of_one_party_are_not_two_parties(alice: Identity) -> None:
    note = cosign(alice.sign(TEXT), alice)

    with pytest.raises(BundleError, match="twice"):
        open_cosigned(note, (alice.card, alice.card))
