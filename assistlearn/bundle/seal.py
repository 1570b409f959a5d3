"""Sealing one bundle: sign what it is for, encrypt what it holds, so that each binds the other.

The same inputs give the same bundle key after a crash, so a note that was recorded and perhaps
sent stays the note of the pieces that are sealed later.
"""

import hashlib
from dataclasses import dataclass, field, replace
from typing import Final

from cryptography.cobblestone import Cobblestone256Encryptor
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from assistlearn.bundle.cards import Card
from assistlearn.bundle.header import BundleHeader
from assistlearn.bundle.keys import BUNDLE_KEY_BYTES, SUITE, Identity, sealing_public_key
from assistlearn.errors import LocalProtocolError

MAX_BODY_BYTES: Final = 1 << 20  # one message of the transport
SALT_BYTES: Final = 32
SECRET_BYTES: Final = 32
BODY_CONTEXT: Final = b"assistlearn/v1/body\0"
KEY_INFO: Final = b"assistlearn/v1/key\0"
BUNDLE_KEY_INFO: Final = b"assistlearn/v1/bundle-key\0"
SALT_INFO: Final = b"assistlearn/v1/salt\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedBundle:
    """A bundle to send, but for the pieces of its payload."""

    note: bytes
    """The header, signed."""

    sealed_key: bytes
    """The bundle key, sealed to the recipient: 1168 bytes."""

    sealed_body: bytes
    """Salt and body, encrypted under the bundle key."""

    header: BundleHeader
    """What ``note`` says."""

    key: bytes = field(repr=False)
    """The bundle key itself, for :class:`PieceSealer`. Secret: never written anywhere."""


def seal_bundle(  # noqa: PLR0913  # the header has as many fields
    *,
    identity: Identity,
    recipient: Card,
    recipient_key: bytes,
    session: str,
    round: int,  # noqa: A002  # the header's own word
    seq: int,
    transcript: str,
    spec: str,
    payload: int,
    ledger_size: int,
    ledger_root: str,
    body: bytes,
    session_secret: bytes,
) -> SealedBundle:
    """Sign and encrypt ``body`` for ``recipient``, and no one else, at this place in the session.

    Args:
        identity: who sends.
        recipient: who may read.
        recipient_key: the recipient's public sealing key for this session, 1216 bytes.
        session: as the header's fields of the same names, down to ``ledger_root``.
        round: see ``BundleHeader``.
        seq: see ``BundleHeader``.
        transcript: see ``BundleHeader``.
        spec: see ``BundleHeader``.
        payload: plaintext bytes of the payload whose pieces will be sealed under ``.key``.
        ledger_size: see ``BundleHeader``.
        ledger_root: see ``BundleHeader``.
        body: canonical msgpack of one message, at most 1 MiB; names the payload by digest.
        session_secret: 32 random bytes of the sender's, the same for the whole session.

    Raises:
        LocalProtocolError: the body is too long or the secret too short.
        BundleError: a header field is out of bounds, or ``recipient_key`` is no key.
    """
    if len(body) > MAX_BODY_BYTES:
        raise LocalProtocolError(f"a body of {len(body)} bytes is longer than {MAX_BODY_BYTES}")
    public = sealing_public_key(recipient_key)
    sender = identity.card.fingerprint
    salt = _salt(session_secret, session=session, sender=sender, seq=seq)
    salted_body = salt + body
    header = BundleHeader(
        session=session,
        round=round,
        seq=seq,
        sender=sender,
        recipient=recipient.fingerprint,
        transcript=transcript,
        spec=spec,
        content=hashlib.sha256(salted_body).hexdigest(),
        payload=payload,
        sealed_key="0" * 64,  # known only after the bind, which does not cover it
        ledger_size=ledger_size,
        ledger_root=ledger_root,
    )
    bind = header.bind()
    key = derive_bundle_key(session_secret, bind)
    sealed_key = SUITE.encrypt(key, public, info=KEY_INFO + bind)
    header = replace(header, sealed_key=hashlib.sha256(sealed_key).hexdigest())
    stream = Cobblestone256Encryptor(key, BODY_CONTEXT + bind)
    sealed_body = stream.update(salted_body) + stream.finalize()
    return SealedBundle(
        note=identity.sign(header.text()),
        sealed_key=sealed_key,
        sealed_body=sealed_body,
        header=header,
        key=key,
    )


def derive_bundle_key(session_secret: bytes, bind: bytes) -> bytes:
    """The key of the bundle with this bind: what a sender needs to go on sealing pieces.

    Raises:
        LocalProtocolError: the secret does not have 32 bytes.
    """
    return _derive(session_secret, BUNDLE_KEY_INFO + bind, length=BUNDLE_KEY_BYTES)


def _salt(session_secret: bytes, *, session: str, sender: str, seq: int) -> bytes:
    """Nobody without the secret can tell which of two guessed bodies was committed to."""
    place = bytes.fromhex(session) + bytes.fromhex(sender) + seq.to_bytes(8, "big")
    return _derive(session_secret, SALT_INFO + place, length=SALT_BYTES)


def _derive(session_secret: bytes, info: bytes, *, length: int) -> bytes:
    if len(session_secret) != SECRET_BYTES:
        raise LocalProtocolError(f"a session secret has {len(session_secret)} bytes, not 32")
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(session_secret)
