"""A party's public card: its name and public keys, as one line of text to hand over.

A card is not secret, but it must not be exchanged for another on its way: compare the short
fingerprint by voice, or put the long one into the contract.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

from assistlearn.errors import CardError

TAG: Final = "assistlearn-card-v1"
NAME: Final = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")  # fits a host name and a file name
LINE: Final = re.compile(rf"{TAG} (\S{{1,63}}) ([A-Za-z0-9_-]+)")
ED25519_BYTES: Final = 32
MLDSA44_BYTES: Final = 1312  # FIPS 204, table 2
CURVE_BYTES: Final = 32
CHECK_BYTES: Final = 4
KEY_BYTES: Final = ED25519_BYTES + MLDSA44_BYTES + CURVE_BYTES
Z85: Final = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"


@dataclass(frozen=True, kw_only=True)
class Card:
    """What everybody may know of a party. Two cards are equal when names and keys are."""

    name: str
    """1 to 63 of ``a-z 0-9 . -``, for instance the organisation's domain."""

    ed25519: bytes
    """Public key of the classical signature, 32 bytes."""

    mldsa44: bytes
    """Public key of the post-quantum signature, 1312 bytes."""

    curve: bytes
    """X25519 public key of the transport, 32 bytes."""

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise CardError(
                f"{self.name[:80]!r} is not a party's name",
                hint="choose 1 to 63 of a-z 0-9 . - that begin with a letter or digit",
            )
        lengths = (len(self.ed25519), len(self.mldsa44), len(self.curve))
        if lengths != (ED25519_BYTES, MLDSA44_BYTES, CURVE_BYTES):
            raise CardError(f"the keys of {self.name} have wrong lengths: {lengths} bytes")

    def line(self) -> str:
        """The card as one line of text, without a line break at its end."""
        keys = self.ed25519 + self.mldsa44 + self.curve
        text = base64.urlsafe_b64encode(keys + _check(self.name, keys))
        return f"{TAG} {self.name} {text.decode().rstrip('=')}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The card that :meth:`line` wrote, with or without one line break at its end.

        Raises:
            CardError: the text is anything else, even if it differs only in its spelling.
        """
        text = text.removesuffix("\n")
        match = LINE.fullmatch(text)
        if match is None:
            raise CardError(
                f"not a card: {text[: len(TAG)]!r}...",
                hint=f"pass the whole line that begins with {TAG}, unbroken",
            )
        try:
            keys = base64.urlsafe_b64decode(match[2] + "=" * (-len(match[2]) % 4))
        except binascii.Error as error:
            raise CardError(
                f"the card of {match[1]} was cut short or changed on its way: {error}",
                hint="copy the line again, unbroken and complete",
            ) from error
        keys, check = keys[:KEY_BYTES], keys[KEY_BYTES:]
        if check != _check(match[1], keys):
            raise CardError(
                f"the card of {match[1]} was cut short or changed on its way",
                hint="copy the line again, unbroken and complete",
            )
        curve_at = ED25519_BYTES + MLDSA44_BYTES
        card = cls(
            name=match[1],
            ed25519=keys[:ED25519_BYTES],
            mldsa44=keys[ED25519_BYTES:curve_at],
            curve=keys[curve_at:],
        )
        if card.line() != text:  # unused bits of the last base64 digit
            raise CardError(f"the card of {match[1]} is not in canonical form")
        return card

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of :meth:`line`, as 64 lower-case hex digits: the party's name in headers."""
        return hashlib.sha256(self.line().encode()).hexdigest()

    @property
    def short(self) -> str:
        """The first 100 bits of the fingerprint, to read aloud: 5 groups of 4 letters."""
        letters = base64.b32encode(bytes.fromhex(self.fingerprint)).decode()[:20]
        return "-".join(letters[i : i + 4] for i in range(0, 20, 4))

    @cached_property
    def curve_public_key(self) -> bytes:
        """The transport's public key as ZeroMQ wants it: 40 characters."""
        return z85(self.curve)


def _check(name: str, keys: bytes) -> bytes:
    """Four bytes that notice a slip in copying. Against intent, only the fingerprint helps."""
    return hashlib.sha256(TAG.encode() + name.encode() + keys).digest()[:CHECK_BYTES]


def z85(data: bytes) -> bytes:
    """ZeroMQ's base 85 (RFC 32): 5 characters for each 4 bytes of ``data``."""
    assert len(data) % 4 == 0, "Z85 has no padding"
    text = ""
    for i in range(0, len(data), 4):
        number = int.from_bytes(data[i : i + 4], "big")
        text += "".join(Z85[number // 85**power % 85] for power in range(4, -1, -1))
    return text.encode()
