"""The ledger: an append-only record of a party's sessions, and how to audit it.

The file, the Merkle head and what an auditor can conclude are in ``FORMAT.md``.
"""

from assistlearn.ledger.audit import AuditReport, verify_ledger
from assistlearn.ledger.entries import Entry, EntryKind, Head
from assistlearn.ledger.heads import head_path, read_head
from assistlearn.ledger.ledger import Ledger
from assistlearn.ledger.merkle import EMPTY_ROOT, MerkleTree, leaf_hash

__all__ = [
    "EMPTY_ROOT",
    "AuditReport",
    "Entry",
    "EntryKind",
    "Head",
    "Ledger",
    "MerkleTree",
    "head_path",
    "leaf_hash",
    "read_head",
    "verify_ledger",
]
