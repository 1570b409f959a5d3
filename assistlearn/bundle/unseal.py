"""Opening one bundle: nine checks in a fixed order, and nothing is returned before the last."""

import hashlib
from dataclasses import dataclass, field
from typing import Final

from cryptography.cobblestone import Cobblestone256Decryptor
from cryptography.exceptions import InvalidTag

from assistlearn.bundle.cards import Card
from assistlearn.bundle.header import BundleHeader
from assistlearn.bundle.keys import SEALED_KEY_BYTES, SealingKey
from assistlearn.bundle.notes import open_note
from assistlearn.bundle.pieces import sealed_piece_bytes
from assistlearn.bundle.seal import BODY_CONTEXT, KEY_INFO, MAX_BODY_BYTES, SALT_BYTES
from assistlearn.errors import BundleError, DigestMismatchError

MAX_SEALED_BODY_BYTES: Final = sealed_piece_bytes(SALT_BYTES + MAX_BODY_BYTES)
MIN_SEALED_BODY_BYTES: Final = sealed_piece_bytes(SALT_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedHeader:
    """What the next bundle must say, from our own side of the session."""

    session: str
    round: int
    seq: int
    transcript: str
    spec: str
    payloads: frozenset[int]
    """Every payload size in bytes that the agreement allows here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedBundle:
    """A bundle that passed every check, but for its payload."""

    header: BundleHeader
    body: bytes = field(repr=False)
    key: bytes = field(repr=False)
    """For :class:`PieceOpener`. Secret: never written anywhere."""


def open_bundle(  # noqa: PLR0913  # three parts, three keys, one expectation
    *,
    note: bytes,
    sealed_key: bytes,
    sealed_body: bytes,
    sender: Card,
    recipient: Card,
    sealing_key: SealingKey,
    expected: ExpectedHeader,
) -> OpenedBundle:
    """Check a bundle and give its body back.

    Args:
        note: the signed header.
        sealed_key: the bundle key, sealed to ``sealing_key``.
        sealed_body: the encrypted body.
        sender: the card of the party that we expect it from.
        recipient: our own card.
        sealing_key: our own key of the session.
        expected: what the header must say.

    Raises:
        BundleError: any check failed. Nothing of the bundle may be used.
    """
    # 1. Sizes, before anything is decoded or allocated.
    if len(sealed_key) != SEALED_KEY_BYTES:
        raise BundleError(f"a sealed key has {len(sealed_key)} bytes, not {SEALED_KEY_BYTES}")
    if not MIN_SEALED_BODY_BYTES <= len(sealed_body) <= MAX_SEALED_BODY_BYTES:
        raise BundleError(f"a sealed body cannot have {len(sealed_body)} bytes")
    # 2. The note: size, characters, exactly two signatures, both the sender's.
    text = open_note(note, sender)
    # 3. The header: every line in its one spelling.
    header = BundleHeader.parse(text)
    # 4. From whom, to whom: a bundle that was meant for somebody else is not ours to open.
    _check("sender", header.sender, sender.fingerprint)
    _check("recipient", header.recipient, recipient.fingerprint)
    # 5. The place in the session: no replay, no other round, no other history.
    _check("session", header.session, expected.session)
    _check("round", header.round, expected.round)
    _check("seq", header.seq, expected.seq)
    _check("transcript", header.transcript, expected.transcript)
    _check("spec", header.spec, expected.spec)
    if header.payload not in expected.payloads:
        sizes = ", ".join(map(str, sorted(expected.payloads)))
        raise BundleError(f"a payload of {header.payload} bytes came, agreed are: {sizes}")
    # 6. The sealed key is the one that was signed for.
    found = hashlib.sha256(sealed_key).hexdigest()
    if found != header.sealed_key:
        raise DigestMismatchError(what="the sealed key", signed=header.sealed_key, found=found)
    # 7. It opens with our key, for this bundle only.
    bind = header.bind()
    key = sealing_key.unseal_key(sealed_key, info=KEY_INFO + bind)
    # 8. The body decrypts to its very end.
    stream = Cobblestone256Decryptor(key, BODY_CONTEXT + bind)
    try:
        salted_body = stream.update(sealed_body) + stream.finalize()
    except InvalidTag as error:
        raise BundleError("a sealed body was altered or belongs to another bundle") from error
    # 9. It is the content that was signed for.
    found = hashlib.sha256(salted_body).hexdigest()
    if found != header.content:
        raise DigestMismatchError(what="the body", signed=header.content, found=found)
    return OpenedBundle(header=header, body=salted_body[SALT_BYTES:], key=key)


def _check(field: str, found: str | int, wanted: str | int) -> None:
    if found != wanted:
        raise BundleError(
            f"a bundle's {field} is {str(found)[:16]}, expected was {str(wanted)[:16]}",
            hint="end the session and compare both ledgers with `assistlearn audit`",
        )
