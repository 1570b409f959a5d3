"""Every attack that ``FORMAT.md`` names, by that name. All must be refused."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.cobblestone import Cobblestone256Encryptor

from assistlearn.bundle import (
    BundleHeader,
    Identity,
    SealingKey,
    open_note,
    sign_note,
)
from assistlearn.bundle.keys import SUITE, sealing_public_key
from assistlearn.bundle.seal import BODY_CONTEXT, KEY_INFO, MAX_BODY_BYTES
from assistlearn.errors import BundleError, DigestMismatchError, LocalProtocolError


def test_honest_bundle_opens(exchange: Any) -> None:
    opened = exchange.open()

    assert opened.body == exchange.body
    assert opened.header == exchange.sealed.header
    assert opened.key == exchange.sealed.key


@pytest.mark.parametrize(
    ("attack", "changes"),
    [
        ("replay", {"expect_seq": 8}),
        ("wrong round", {"expect_round": 4}),
        ("fork of the transcript", {"expect_transcript": "23" * 32}),
        ("other session", {"expect_session": "12" * 32}),
        ("other model specification", {"expect_spec": "34" * 32}),
        ("payload of a size that was not agreed", {"expect_payloads": frozenset({0})}),
    ],
)
def test_bundle_at_another_place_is_refused(
    exchange: Any, attack: str, changes: dict[str, Any]
) -> None:
    with pytest.raises(BundleError, match=r"expected was|agreed are"):
        exchange.open(**changes)


def test_redirect_to_a_third_party(
    exchange: Any, mallory: Identity, mallory_key: SealingKey
) -> None:
    with pytest.raises(BundleError, match="recipient"):
        exchange.open(recipient=mallory.card, sealing_key=mallory_key)


def test_recipient_who_passes_a_bundle_on_with_the_key_resealed(
    exchange: Any, mallory: Identity, mallory_key: SealingKey
) -> None:
    bind = exchange.sealed.header.bind()
    public = sealing_public_key(mallory_key.public)
    resealed = SUITE.encrypt(exchange.sealed.key, public, info=KEY_INFO + bind)

    with pytest.raises(BundleError, match="recipient"):
        exchange.open(recipient=mallory.card, sealing_key=mallory_key, sealed_key=resealed)


def test_sealed_to_another_key_of_ours(exchange: Any) -> None:
    with pytest.raises(BundleError, match="was not sealed to us"):
        exchange.open(sealing_key=SealingKey(b"old session's key" + bytes(15)))


def test_resigned_by_mallory_under_the_senders_fingerprint(
    exchange: Any, mallory: Identity
) -> None:
    note = sign_note(exchange.sealed.header.text(), mallory)

    with pytest.raises(BundleError):
        exchange.open(note=note)
    with pytest.raises(BundleError, match="sender"):
        exchange.open(note=note, sender=mallory.card)


def test_resigned_by_mallory_under_his_own_fingerprint(exchange: Any, mallory: Identity) -> None:
    stolen = replace(exchange.sealed.header, sender=mallory.card.fingerprint)

    with pytest.raises(BundleError, match="was not sealed to us"):
        exchange.open(note=mallory.sign(stolen.text()), sender=mallory.card)


def test_signature_of_another_kind_of_note_is_no_header(exchange: Any, alice: Identity) -> None:
    with pytest.raises(BundleError, match="not a bundle header"):
        exchange.open(note=alice.sign("assistlearn/agreement/v1\nrounds 3\n"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("round 3\n", "round 3\nround 3\n", id="newline injection"),
        pytest.param("round 3\n", "round 03\n", id="round 03"),
        pytest.param("bundle/v1", "bundle/v0", id="downgrade"),
    ],
)
def test_header_in_another_spelling_even_if_signed(
    exchange: Any, alice: Identity, old: str, new: str
) -> None:
    note = alice.sign(exchange.sealed.header.text().replace(old, new))

    with pytest.raises(BundleError, match="not a bundle header"):
        exchange.open(note=note)


def test_crlf_line_ends(exchange: Any) -> None:
    with pytest.raises(BundleError):
        exchange.open(note=exchange.sealed.note.replace(b"\n", b"\r\n"))


def test_stripped_mldsa_signature(exchange: Any) -> None:
    note = exchange.sealed.note

    with pytest.raises(BundleError, match="1 signatures"):
        exchange.open(note=note[: note.rindex("—".encode())])


def test_two_ed25519_signatures(exchange: Any) -> None:
    text, _, lines = exchange.sealed.note.rpartition(b"\n\n")
    ed25519 = lines.split(b"\n")[0]

    with pytest.raises(BundleError):
        exchange.open(note=b"\n".join([text, b"", ed25519, ed25519, b""]))


@pytest.mark.parametrize("part", ["note", "sealed_key", "sealed_body"])
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda data: data[:-1], id="last byte dropped"),
        pytest.param(lambda data: data[: -(16 << 10) - 16], id="last chunk dropped"),
        pytest.param(lambda data: data + b"\0", id="extended"),
        pytest.param(lambda data: data[1:], id="first byte dropped"),
        pytest.param(lambda data: data + data, id="doubled"),
        pytest.param(lambda data: b"", id="emptied"),
    ],
)
def test_truncated_or_extended(exchange: Any, part: str, change: Callable[[bytes], bytes]) -> None:
    with pytest.raises(BundleError):
        exchange.open(**{part: change(getattr(exchange.sealed, part))})


def test_body_truncated_at_a_chunk_that_decrypts(exchange: Any) -> None:
    whole_chunk = 56 + (16 << 10) + 16

    with pytest.raises(BundleError, match="altered"):
        exchange.open(sealed_body=exchange.sealed.sealed_body[:whole_chunk])


def test_swapped_chunks(exchange: Any) -> None:
    body = exchange.sealed.sealed_body
    chunk = (16 << 10) + 16
    first, second = body[56 : 56 + chunk], body[56 + chunk : 56 + 2 * chunk]

    with pytest.raises(BundleError, match="altered"):
        exchange.open(sealed_body=body[:56] + second + first + body[56 + 2 * chunk :])


@pytest.mark.parametrize("part", ["note", "sealed_key", "sealed_body"])
def test_flipped_bits(exchange: Any, part: str) -> None:
    places = random.Random(part)  # a fixed seed, no secret
    whole = getattr(exchange.sealed, part)
    for _ in range(2000 if part == "sealed_body" else 700):
        changed = bytearray(whole)
        changed[places.randrange(len(whole))] ^= 1 << places.randrange(8)

        with pytest.raises(BundleError):
            exchange.open(**{part: bytes(changed)})


@pytest.mark.parametrize("part", ["note", "sealed_key", "sealed_body"])
def test_part_of_another_valid_bundle(exchange: Any, part: str) -> None:
    other = exchange.seal(body=exchange.body, round=4)
    again = exchange.seal(body=exchange.body, session_secret=b"t" * 32)

    for donor in (other, again):
        with pytest.raises(BundleError):
            exchange.open(**{part: getattr(donor, part)})


def test_swapped_sealed_key_says_which_digest_was_signed(exchange: Any) -> None:
    other = exchange.seal(body=exchange.body)

    with pytest.raises(DigestMismatchError, match="sealed key") as caught:
        exchange.open(sealed_key=other.sealed_key)
    assert caught.value.signed == exchange.sealed.header.sealed_key


def test_sender_who_seals_another_body_than_it_signed(exchange: Any) -> None:
    sealed = exchange.sealed
    stream = Cobblestone256Encryptor(sealed.key, BODY_CONTEXT + sealed.header.bind())
    other = stream.update(bytes(32) + b"another body") + stream.finalize()

    with pytest.raises(DigestMismatchError, match="the body"):
        exchange.open(sealed_body=other)


@pytest.mark.parametrize(
    "change",
    [
        {"sealed_key": bytes(1 << 24)},
        {"sealed_body": bytes(1 << 24)},
        {"sealed_body": bytes(56 + 31 + 16)},
        {"note": bytes(1 << 24)},
    ],
    ids=lambda change: f"{next(iter(change))} {len(next(iter(change.values())))}",
)
def test_parts_beyond_their_bounds(exchange: Any, change: dict[str, bytes]) -> None:
    with pytest.raises(BundleError):
        exchange.open(**change)


def test_weak_sealing_key_of_a_peer(exchange: Any) -> None:
    weak = SealingKey(b"w" * 32).public[:1184] + bytes(32)

    with pytest.raises(BundleError, match="or weak"):
        exchange.seal(recipient_key=weak)


def test_guessing_the_body_from_its_commitment(exchange: Any) -> None:
    first = exchange.seal(session_secret=b"1" * 32).header.content
    second = exchange.seal(session_secret=b"2" * 32).header.content

    assert first != second


def test_secrets_are_not_shown_when_a_bundle_is_printed(exchange: Any) -> None:
    for shown in (repr(exchange.sealed), repr(exchange.open())):
        assert repr(exchange.sealed.key) not in shown
        assert repr(exchange.body[:8])[2:-1] not in shown


def test_sealing_again_after_a_crash_gives_the_same_key_and_header(exchange: Any) -> None:
    first, second = exchange.seal(), exchange.seal()

    assert first.key == second.key
    assert first.header.bind() == second.header.bind()
    assert first.sealed_body != second.sealed_body  # fresh salt in each stream


def test_keys_of_two_bundles_differ_in_whatever_their_headers_differ(exchange: Any) -> None:
    changes = [
        {}, {"round": 4}, {"seq": 8}, {"spec": "00" * 32}, {"payload": 0}, {"body": b"x"},
        {"session": "00" * 32}, {"transcript": "00" * 32}, {"session_secret": b"t" * 32},
    ]  # fmt: skip

    assert len({exchange.seal(**change).key for change in changes}) == len(changes)


@pytest.mark.parametrize("size", [0, 1, (16 << 10) - 32, MAX_BODY_BYTES])
def test_bodies_of_every_allowed_size_open(exchange: Any, size: int) -> None:
    body = bytes(size)
    sealed = exchange.seal(body=body)

    assert replace(exchange, sealed=sealed).open().body == body


def test_body_too_long_or_secret_too_short_is_our_own_mistake(exchange: Any) -> None:
    with pytest.raises(LocalProtocolError):
        exchange.seal(body=bytes(MAX_BODY_BYTES + 1))
    with pytest.raises(LocalProtocolError):
        exchange.seal(session_secret=b"short")


def test_header_of_a_bundle_reads_back_from_its_note(exchange: Any, alice: Identity) -> None:
    text = open_note(exchange.sealed.note, alice.card)

    assert BundleHeader.parse(text) == exchange.sealed.header
