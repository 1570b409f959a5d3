"""Signed notes: text that a lawyer can read, signed with Ed25519 and with ML-DSA-44.

The form is C2SP's signed note: the text, an empty line, one line for each signature. Both
signatures of a party are required, in that order, so that a forger has to break both schemes
and no part can be left off. Never sign bytes that a peer chose without reading them first.
"""

import base64
import binascii
import hashlib
import re
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from assistlearn.bundle.cards import Card
from assistlearn.errors import BundleError

MAX_NOTE_BYTES: Final = 16 << 10  # text and four signatures of 3.4 KiB each pair
MLDSA_CONTEXT: Final = b"assistlearn/v1/note"
ED25519_TYPE: Final = b"\x01"  # assigned by C2SP
MLDSA44_TYPE: Final = b"\xffassistlearn/v1/mldsa44-note"  # 0xff: a type named in full, by us
KEY_ID_BYTES: Final = 4
TEXT: Final = re.compile(r"(?:[\x20-\x7e]*\n)+")  # ASCII only: no invisible or look-alike letters
SIGNATURE: Final = re.compile(r"— (\S{1,63}) ([A-Za-z0-9+/]+={0,2})")


class Signer(Protocol):
    """What can sign a note: an ``Identity``, without this module knowing its secrets."""

    @property
    def card(self) -> Card:
        """The public half."""

    def raw_signatures(self, text: bytes) -> tuple[bytes, bytes]:
        """Ed25519 signature and ML-DSA-44 signature of ``text``, the latter in our context."""


def sign_note(text: str, signer: Signer) -> bytes:
    """``text`` with both signatures of ``signer``.

    Args:
        text: printable ASCII, every line ended by a line break.
        signer: whose signatures to add.

    Raises:
        BundleError: the text has other characters or is too long.
    """
    if not TEXT.fullmatch(text):
        raise BundleError(
            f"text of a note is not lines of printable ASCII: {text[:80]!r}",
            hint="end it with a line break and spell out other letters",
        )
    return _bounded(f"{text}\n{_signature_lines(text, signer)}".encode())


def cosign(note: bytes, signer: Signer) -> bytes:
    """``note`` with the signatures of ``signer`` after those that it has.

    The first signer's signatures are not checked here, because only the caller knows whose
    they should be: call :func:`open_note` first, and read what it returns.

    Raises:
        BundleError: ``note`` is not in the form of a note with one signer.
    """
    text, lines = _split(note)
    if len(lines) != 2:  # noqa: PLR2004  # both signatures of one signer
        raise BundleError(f"a note to be signed by a second party has {len(lines)} signatures")
    return _bounded(note + _signature_lines(text, signer).encode())


def open_note(note: bytes, card: Card) -> str:
    """The text of a note that the party on ``card``, and nobody else, has signed.

    Raises:
        BundleError: a signature is absent, wrong, doubled, of somebody else or misspelt.
    """
    text, lines = _split(note)
    if len(lines) != 2:  # noqa: PLR2004  # Ed25519 and ML-DSA-44
        raise BundleError(f"a note of {card.name} has {len(lines)} signatures, not two")
    _verify(text, lines, card)
    return text


def open_cosigned(note: bytes, cards: tuple[Card, Card]) -> str:
    """The text of a note that both parties have signed, whichever of them came first.

    Raises:
        BundleError: as :func:`open_note`, for either party.
    """
    first, second = cards
    if first.fingerprint == second.fingerprint:
        raise BundleError(f"a note needs two parties, got {first.name} twice")
    text, lines = _split(note)
    if len(lines) != 4:  # noqa: PLR2004  # two each
        raise BundleError(f"a note of two parties has {len(lines)} signatures, not four")
    if _key_id_of(lines[0]) == _ed25519_id(second):
        first, second = second, first
    _verify(text, lines[:2], first)
    _verify(text, lines[2:], second)
    return text


def _split(note: bytes) -> tuple[str, list[str]]:
    """Text and signature lines of anything that has the form of a note."""
    _bounded(note)
    try:
        text, gap, signatures = note.decode().rpartition("\n\n")
    except UnicodeDecodeError as error:
        raise BundleError("a note is not UTF-8") from error
    text += "\n"
    if not gap or not signatures.endswith("\n") or not TEXT.fullmatch(text):
        raise BundleError("a note is not printable text, an empty line and signatures")
    return text, signatures.removesuffix("\n").split("\n")


def _verify(text: str, lines: list[str], card: Card) -> None:
    """Raise unless the two lines are the party's two signatures of ``text``, in order."""
    signed = text.encode()
    ed25519 = _signature(lines[0], name=card.name, key_id=_ed25519_id(card))
    mldsa44 = _signature(lines[1], name=card.name, key_id=_mldsa44_id(card))
    try:
        Ed25519PublicKey.from_public_bytes(card.ed25519).verify(ed25519, signed)
        MLDSA44PublicKey.from_public_bytes(card.mldsa44).verify(mldsa44, signed, MLDSA_CONTEXT)
    except (InvalidSignature, ValueError) as error:
        raise BundleError(
            f"a note was not signed by {card.name}, or was altered since",
            hint="compare fingerprints with the other party over the telephone",
        ) from error


def _signature(line: str, *, name: str, key_id: bytes) -> bytes:
    """The signature on ``line``, if the line is the one spelling of it for this key."""
    match = SIGNATURE.fullmatch(line)
    if match is None or match[1] != name:
        raise BundleError(f"not a signature line of {name}: {line[:40]!r}")
    raw = _decode(match[2])
    if raw[:KEY_ID_BYTES] != key_id:
        raise BundleError(
            f"a signature line of {name} is for another key, or stands in the wrong place"
        )
    return raw[KEY_ID_BYTES:]


def _key_id_of(line: str) -> bytes:
    match = SIGNATURE.fullmatch(line)
    return b"" if match is None else _decode(match[2])[:KEY_ID_BYTES]


def _decode(text: str) -> bytes:
    """Base64 with no second spelling."""
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise BundleError(f"a signature is not base64: {error}") from error
    if base64.b64encode(raw).decode() != text:
        raise BundleError("a signature is not in canonical base64")
    return raw


def _signature_lines(text: str, signer: Signer) -> str:
    card = signer.card
    ed25519, mldsa44 = signer.raw_signatures(text.encode())
    signatures = (_ed25519_id(card) + ed25519, _mldsa44_id(card) + mldsa44)
    return "".join(f"— {card.name} {base64.b64encode(raw).decode()}\n" for raw in signatures)


def _ed25519_id(card: Card) -> bytes:
    return _key_id(card.name, ED25519_TYPE + card.ed25519)


def _mldsa44_id(card: Card) -> bytes:
    return _key_id(card.name, MLDSA44_TYPE + card.mldsa44)


def _key_id(name: str, typed_key: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + typed_key).digest()[:KEY_ID_BYTES]


def _bounded(note: bytes) -> bytes:
    if len(note) > MAX_NOTE_BYTES:
        raise BundleError(f"a note of {len(note)} bytes is longer than {MAX_NOTE_BYTES}")
    return note
