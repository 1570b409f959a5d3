"""Bundles: what two parties exchange, signed, encrypted and bound to its place.

The bytes, the limits and the threats are in ``FORMAT.md``. No torch, no sockets, no database.
"""

from assistlearn.bundle.canonical import Value, pack, unpack
from assistlearn.bundle.cards import Card
from assistlearn.bundle.header import BundleHeader, next_transcript
from assistlearn.bundle.keys import Identity, SealingKey, sealing_public_key
from assistlearn.bundle.notes import cosign, open_cosigned, open_note, sign_note
from assistlearn.bundle.pieces import (
    PIECE_BYTES,
    SEALED_PIECE_BYTES,
    PieceOpener,
    PieceSealer,
    piece_bytes,
    piece_count,
    sealed_piece_bytes,
)
from assistlearn.bundle.seal import (
    MAX_BODY_BYTES,
    SealedBundle,
    derive_bundle_key,
    seal_bundle,
)
from assistlearn.bundle.unseal import ExpectedHeader, OpenedBundle, open_bundle

__all__ = [
    "MAX_BODY_BYTES",
    "PIECE_BYTES",
    "SEALED_PIECE_BYTES",
    "BundleHeader",
    "Card",
    "ExpectedHeader",
    "Identity",
    "OpenedBundle",
    "PieceOpener",
    "PieceSealer",
    "SealedBundle",
    "SealingKey",
    "Value",
    "cosign",
    "derive_bundle_key",
    "next_transcript",
    "open_bundle",
    "open_cosigned",
    "open_note",
    "pack",
    "piece_bytes",
    "piece_count",
    "seal_bundle",
    "sealed_piece_bytes",
    "sealing_public_key",
    "sign_note",
    "unpack",
]
