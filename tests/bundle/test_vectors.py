"""Published vectors through our own calls: Wycheproof, and age's post-quantum recipients."""

import base64
import binascii
import hashlib
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.cobblestone import Cobblestone128Decryptor, Cobblestone256Decryptor
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from assistlearn.bundle import SealingKey

Test = dict[str, Any]
AGE_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
AGE_INFO = b"age-encryption.org/mlkem768x25519"


def wycheproof(vectors: Path, name: str) -> Iterator[tuple[Test, Test]]:
    """Every group and test of one file."""
    groups = json.loads((vectors / "wycheproof" / f"{name}_test.json").read_text())["testGroups"]
    return ((group, test) for group in groups for test in group["tests"])


@pytest.mark.parametrize(
    ("bits", "decryptor"), [(128, Cobblestone128Decryptor), (256, Cobblestone256Decryptor)]
)
def test_cobblestone_opens_what_it_should_and_nothing_else(
    vectors: Path, bits: int, decryptor: Any
) -> None:
    tests = list(wycheproof(vectors, f"c2sp_chunked_encryption_aes_{bits}_gcm"))
    for _, test in tests:
        key, context, squeezed = (bytes.fromhex(test[name]) for name in ("key", "ctx", "ct"))
        sealed = zlib.decompress(squeezed)
        out = bytearray(len(sealed) + (1 << 14))
        try:
            stream = decryptor(key, context)
            size = stream.update_into(sealed, out)
            plain = bytes(out[:size]) + stream.finalize()
        except (InvalidTag, ValueError):
            assert test["result"] == "invalid", test["tcId"]
        else:
            assert test["result"] == "valid", test["tcId"]
            assert hashlib.sha512(plain).hexdigest() == test["msgSha512"]
    assert len(tests) == 35


def test_aes_gcm_with_the_only_nonce_length_we_use(vectors: Path) -> None:
    tests = [pair for pair in wycheproof(vectors, "aes_gcm") if pair[0]["ivSize"] == 96]
    for _, test in tests:
        names = ("key", "iv", "ct", "tag", "aad", "msg")
        key, iv, ct, tag, aad, msg = (bytes.fromhex(test[name]) for name in names)
        try:
            found = AESGCM(key).decrypt(iv, ct + tag, aad)
        except InvalidTag:
            assert test["result"] == "invalid", test["tcId"]
        else:
            assert (test["result"], found) == ("valid", msg), test["tcId"]
    assert len(tests) > 100


def test_ed25519(vectors: Path) -> None:
    tests = list(wycheproof(vectors, "ed25519"))
    for group, test in tests:
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(group["publicKey"]["pk"]))
        try:
            public.verify(bytes.fromhex(test["sig"]), bytes.fromhex(test["msg"]))
        except InvalidSignature:
            assert test["result"] == "invalid", test["tcId"]
        else:
            assert test["result"] == "valid", test["tcId"]
    assert len(tests) == 151


def test_mldsa44(vectors: Path) -> None:
    tests = list(wycheproof(vectors, "mldsa_44_verify"))
    for group, test in tests:
        context = bytes.fromhex(test.get("ctx", ""))
        try:
            public = MLDSA44PublicKey.from_public_bytes(bytes.fromhex(group["publicKey"]))
            public.verify(bytes.fromhex(test["sig"]), bytes.fromhex(test["msg"]), context)
        except (InvalidSignature, ValueError):
            assert test["result"] == "invalid", test["tcId"]
        else:
            assert test["result"] == "valid", test["tcId"]
    assert len(tests) == 180


def test_mlkem768(vectors: Path) -> None:
    tests = list(wycheproof(vectors, "mlkem_768"))
    for _, test in tests:
        try:
            key = MLKEM768PrivateKey.from_seed_bytes(bytes.fromhex(test["seed"]))
            shared = key.decapsulate(bytes.fromhex(test["c"]))
        except ValueError:
            assert test["result"] == "invalid", test["tcId"]
        else:
            assert (test["result"], shared.hex()) == ("valid", test["K"]), test["tcId"]
    assert len(tests) == 193


@pytest.mark.parametrize(("name", "hash_"), [("sha256", SHA256()), ("sha512", SHA512())])
def test_hkdf(vectors: Path, name: str, hash_: Any) -> None:
    for _, test in wycheproof(vectors, f"hkdf_{name}"):
        salt, info, ikm = (bytes.fromhex(test[part]) for part in ("salt", "info", "ikm"))
        try:
            found = HKDF(algorithm=hash_, length=test["size"], salt=salt, info=info).derive(ikm)
        except ValueError:
            assert test["result"] == "invalid", test["tcId"]
        else:
            assert (test["result"], found.hex()) == ("valid", test["okm"]), test["tcId"]


def age_seed(identity: str) -> bytes:
    """The 32 bytes of ``AGE-SECRET-KEY-PQ-1...``, which is bech32."""
    letters = identity.lower().rpartition("1")[2][:-6]  # the last six are a checksum
    bits = "".join(f"{'qpzry9x8gf2tvdw0s3jn54khce6mua7l'.index(letter):05b}" for letter in letters)
    return int(bits[:256], 2).to_bytes(32, "big")


def age_stanzas(header: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Encapsulation and body of every hybrid stanza, read leniently: HPKE has to refuse."""
    lines = header.split(b"\n")
    for at, line in enumerate(lines):
        if line.startswith(b"-> mlkem768x25519 "):
            try:
                pair = [base64.b64decode(part + b"==") for part in (line.split()[2], lines[at + 1])]
            except binascii.Error:
                continue
            yield pair[0], pair[1]


# The HPKE layer opens these four: what is wrong with them is their spelling alone.
SPELLING = {
    "hybrid_extra_argument",
    "hybrid_long_file_key",
    "hybrid_not_canonical_body",
    "hybrid_not_canonical_enc",
}


def test_sealing_key_opens_ages_hybrid_stanzas_and_refuses_the_broken_ones(vectors: Path) -> None:
    opened = refused = 0
    for path in sorted((vectors / "age-pq").iterdir()):
        head, _, file = path.read_bytes().partition(b"\n\n")
        fields = dict(line.split(": ", 1) for line in head.decode().splitlines())
        if "armored" in fields or "-PQ-" not in fields["identity"]:
            continue
        if fields.get("compressed") == "zlib":
            file = zlib.decompress(file)
        seed = age_seed(fields["identity"])
        found = set()
        for encapsulation, sealed in age_stanzas(file.partition(b"\n---")[0]):
            try:
                private = SealingKey(seed)._private
                found.add(AGE_SUITE.decrypt(encapsulation + sealed, private, AGE_INFO).hex())
            except InvalidTag:
                refused += 1
        if fields["expect"] == "success" or path.name in SPELLING:
            assert found == {fields["file key"]}, path.name
            opened += 1
        else:
            assert not found, path.name
    assert opened >= 8
    assert refused >= 8
