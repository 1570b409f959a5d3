"""A bundle's header: what is signed, as text with one fixed order of lines.

The lines down to ``payload`` are what the bundle is *for*: their hash, the bind, goes into
every encryption of the bundle, so that no part of it can be used anywhere else.
"""

import hashlib
import re
from dataclasses import dataclass, fields
from typing import Final, Self

from assistlearn.errors import BundleError

TAG: Final = "assistlearn/bundle/v1"
MAX_PAYLOAD_BYTES: Final = 64 << 30  # what one bundle may ask the peer's disk for
MAX_NUMBER: Final = (1 << 63) - 1  # fits SQLite's and msgpack's integers
TRANSCRIPT_CONTEXT: Final = b"assistlearn/v1/transcript\0"
DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_DIGEST: Final = "([0-9a-f]{64})"
_NUMBER: Final = "(0|[1-9][0-9]{0,18})"
HEADER: Final = re.compile(
    rf"{TAG}\n"
    rf"session {_DIGEST}\nround {_NUMBER}\nseq {_NUMBER}\n"
    rf"sender {_DIGEST}\nrecipient {_DIGEST}\n"
    rf"transcript {_DIGEST}\nspec {_DIGEST}\ncontent {_DIGEST}\npayload {_NUMBER}\n"
    rf"sealed-key {_DIGEST}\nledger {_NUMBER} {_DIGEST}\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleHeader:
    """What a sender signs. Digests and fingerprints are 64 lower-case hex digits."""

    session: str
    """Digest of the agreement."""

    round: int
    """Assistance round, counted from 1; 0 before the first."""

    seq: int
    """How many bundles the sender sent before this one in the session."""

    sender: str
    """Fingerprint of the sender's card."""

    recipient: str
    """Fingerprint of the recipient's card."""

    transcript: str
    """Hash over all earlier notes of the session (:func:`next_transcript`)."""

    spec: str
    """Digest of the agreed ``ModelSpec``."""

    content: str
    """SHA-256(salt || body): says what is inside without letting anybody guess it."""

    payload: int
    """Plaintext bytes of the payload; 0 if there is none."""

    sealed_key: str
    """SHA-256 of the sealed bundle key."""

    ledger_size: int
    """Entries in the sender's own ledger when it signed."""

    ledger_root: str
    """Merkle root of those entries."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is int:
                limit = MAX_PAYLOAD_BYTES if field.name == "payload" else MAX_NUMBER
                if not 0 <= value <= limit:
                    raise BundleError(f"header field {field.name} is {value}, not 0 to {limit}")
            elif not DIGEST.fullmatch(value):
                raise BundleError(f"header field {field.name} is not 64 hex digits: {value[:80]!r}")

    def text(self) -> str:
        """What is signed."""
        return (
            f"{self._bound_text()}"
            f"sealed-key {self.sealed_key}\nledger {self.ledger_size} {self.ledger_root}\n"
        )

    def bind(self) -> bytes:
        """SHA-256 of the text down to the ``payload`` line: 32 bytes."""
        return hashlib.sha256(self._bound_text().encode()).digest()

    def _bound_text(self) -> str:
        return (
            f"{TAG}\n"
            f"session {self.session}\nround {self.round}\nseq {self.seq}\n"
            f"sender {self.sender}\nrecipient {self.recipient}\n"
            f"transcript {self.transcript}\nspec {self.spec}\n"
            f"content {self.content}\npayload {self.payload}\n"
        )

    @classmethod
    def parse(cls, text: str) -> Self:
        """The inverse of :meth:`text`.

        Raises:
            BundleError: the text is not one that :meth:`text` writes.
        """
        match = HEADER.fullmatch(text)
        if match is None:
            raise BundleError(
                f"not a bundle header: {text[:80]!r}",
                hint="check that both parties run the same version",
            )
        return cls(
            session=match[1],
            round=int(match[2]),
            seq=int(match[3]),
            sender=match[4],
            recipient=match[5],
            transcript=match[6],
            spec=match[7],
            content=match[8],
            payload=int(match[9]),
            sealed_key=match[10],
            ledger_size=int(match[11]),
            ledger_root=match[12],
        )


def next_transcript(transcript: str, note: bytes) -> str:
    """The transcript after ``note``: SHA-256(context || transcript || SHA-256(note)), in hex.

    Both parties see the same notes in the same order, so they have the same transcript or
    one of them was shown another history.
    """
    note_digest = hashlib.sha256(note).digest()
    return hashlib.sha256(TRANSCRIPT_CONTEXT + bytes.fromhex(transcript) + note_digest).hexdigest()
