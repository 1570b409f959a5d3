"""A party's secret keys: one master seed in one file, everything else derived from it.

The long-lived keys only sign and open the transport. What is encrypted is encrypted to a
:class:`SealingKey` that lives for one session, so that a seed stolen later opens nothing.
"""

import hashlib
import os
import re
import stat
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from assistlearn.bundle.cards import Card, z85
from assistlearn.bundle.notes import MLDSA_CONTEXT, sign_note
from assistlearn.errors import BundleError, KeyFileError, LocalProtocolError

KEY_FILE: Final = "identity.key"
CARD_FILE: Final = "card.txt"
TAG: Final = "assistlearn-secret-key-v1"
KEY_TEXT: Final = re.compile(rf"{TAG} ([a-z0-9.-]{{1,63}}) ([0-9a-f]{{64}})\n")
SEED_BYTES: Final = 32
MLKEM_SEED_BYTES: Final = 64  # FIPS 203: d || z
MLKEM_PUBLIC_BYTES: Final = 1184
SEALING_PUBLIC_BYTES: Final = MLKEM_PUBLIC_BYTES + 32
BUNDLE_KEY_BYTES: Final = 32
SEALED_KEY_BYTES: Final = 1120 + BUNDLE_KEY_BYTES + 16  # encapsulation, key, tag
WEAKNESS_PROBE: Final = X25519PrivateKey.from_private_bytes(bytes(32))  # any key does; no secret
SUITE: Final = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


class Identity:
    """One party's signing keys and transport key, all derived from one seed of 32 bytes."""

    def __init__(self, *, name: str, seed: bytes) -> None:
        _check_seed(seed)
        self._ed25519 = Ed25519PrivateKey.from_private_bytes(_derive(seed, "ed25519"))
        self._mldsa44 = MLDSA44PrivateKey.from_seed_bytes(_derive(seed, "mldsa44"))
        self._curve = X25519PrivateKey.from_private_bytes(_derive(seed, "curve"))
        self.card = Card(
            name=name,
            ed25519=self._ed25519.public_key().public_bytes_raw(),
            mldsa44=self._mldsa44.public_key().public_bytes_raw(),
            curve=self._curve.public_key().public_bytes_raw(),
        )

    @classmethod
    def create(cls, folder: Path, *, name: str) -> Self:
        """Make new keys in ``folder``: ``identity.key`` (secret) and ``card.txt`` (public).

        Raises:
            CardError: ``name`` is not a party's name. Nothing is written.
            KeyFileError: there are keys already, or the folder cannot be written. Keys that
                are there stay as they are.
        """
        seed = os.urandom(SEED_BYTES)
        identity = cls(name=name, seed=seed)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
            _write_new(folder / KEY_FILE, f"{TAG} {name} {seed.hex()}\n")
            # The card is a copy for people to send on: loading never reads it.
            (folder / CARD_FILE).write_text(identity.card.line() + "\n", encoding="ascii")
        except FileExistsError as error:
            raise KeyFileError(
                f"{error.filename} exists already",
                hint="use the keys that are there, or name another folder",
            ) from error
        except OSError as error:
            raise KeyFileError(
                f"cannot write keys to {folder}: {error.strerror}",
                hint="check that the folder is writable and the disk has room",
            ) from error
        return identity

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The keys in ``folder``.

        Raises:
            KeyFileError: the key file is absent, damaged, a link, or open to other users.
        """
        path = folder / KEY_FILE
        try:
            text = _read_private(path)
        except OSError as error:
            raise KeyFileError(
                f"cannot read {path}: {error.strerror}",
                hint="restore it from a backup, or make a new party with `assistlearn init`",
            ) from error
        match = KEY_TEXT.fullmatch(text)
        if match is None:
            raise KeyFileError(
                f"{path} is damaged: it is not one line that begins with {TAG}",
                hint="restore it from a backup",
            )
        return cls(name=match[1], seed=bytes.fromhex(match[2]))

    def sign(self, text: str) -> bytes:
        """``text`` as a note with both our signatures."""
        return sign_note(text, self)

    def raw_signatures(self, text: bytes) -> tuple[bytes, bytes]:
        """Both signatures of ``text``, for ``notes.py`` only."""
        return self._ed25519.sign(text), self._mldsa44.sign(text, MLDSA_CONTEXT)

    @property
    def curve_public_key(self) -> bytes:
        """The transport's public key as ZeroMQ wants it: 40 characters."""
        return self.card.curve_public_key

    @property
    def curve_secret_key(self) -> bytes:
        """The transport's secret key as ZeroMQ wants it: 40 characters."""
        return z85(self._curve.private_bytes_raw())


class SealingKey:
    """A hybrid key pair (ML-KEM-768 and X25519) for one session, from a seed of 32 bytes.

    The seed is expanded as age's post-quantum format does, so that its vectors test this too.
    """

    def __init__(self, seed: bytes) -> None:
        _check_seed(seed)
        expanded = hashlib.shake_256(seed).digest(MLKEM_SEED_BYTES + 32)
        mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:MLKEM_SEED_BYTES])
        x25519 = X25519PrivateKey.from_private_bytes(expanded[MLKEM_SEED_BYTES:])
        self._private = MLKEM768X25519PrivateKey(mlkem, x25519)
        self.public = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
        """ML-KEM-768 public key, then X25519 public key: 1216 bytes."""

    def unseal_key(self, sealed: bytes, *, info: bytes) -> bytes:
        """The bundle key of 32 bytes that was sealed to us under the same ``info``.

        Raises:
            BundleError: it was sealed to another key or for another bundle, or was altered.
        """
        if len(sealed) != SEALED_KEY_BYTES:
            raise BundleError(f"a sealed key has {len(sealed)} bytes, not {SEALED_KEY_BYTES}")
        try:
            return SUITE.decrypt(sealed, self._private, info=info)
        except InvalidTag as error:
            raise BundleError("a sealed key was not sealed to us for this bundle") from error


def sealing_public_key(data: bytes) -> MLKEM768X25519PublicKey:
    """The peer's public sealing key from its 1216 bytes.

    Raises:
        BundleError: the bytes are no such key, or one with which everybody knows the secret.
    """
    if len(data) != SEALING_PUBLIC_BYTES:
        raise BundleError(f"a sealing key has {len(data)} bytes, not {SEALING_PUBLIC_BYTES}")
    try:
        x25519 = X25519PublicKey.from_public_bytes(data[MLKEM_PUBLIC_BYTES:])
        WEAKNESS_PROBE.exchange(x25519)  # a point of low order shows only in use
        mlkem = MLKEM768PublicKey.from_public_bytes(data[:MLKEM_PUBLIC_BYTES])
    except ValueError as error:
        raise BundleError(f"a sealing key is not valid, or weak: {error}") from error
    return MLKEM768X25519PublicKey(mlkem, x25519)


def _check_seed(seed: bytes) -> None:
    if len(seed) != SEED_BYTES:
        raise LocalProtocolError(f"a seed has {len(seed)} bytes, not {SEED_BYTES}")


def _derive(seed: bytes, label: str) -> bytes:
    info = f"assistlearn/v1/{label}".encode()
    return HKDF(algorithm=SHA512(), length=32, salt=None, info=info).derive(seed)


def _write_new(path: Path, text: str) -> None:
    """Write a file that only we may read, and that must not have been there."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o600), "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _read_private(path: Path) -> str:
    """Read a small file, unless other users can read it as well."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)  # never hang on a pipe
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise KeyFileError(f"{path} is not a file")
        if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise KeyFileError(
                f"{path} is open to other users (mode {stat.S_IMODE(status.st_mode):o})",
                hint=f"run: chmod 600 {path}",
            )
        return file.read(1024).decode("ascii", errors="replace")
