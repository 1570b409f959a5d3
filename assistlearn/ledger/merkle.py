"""RFC 6962 Merkle tree heads, grown one leaf at a time.

Only the roots of the complete subtrees are kept, so a tree of a million leaves is 20 hashes.
"""

import hashlib
from typing import Final, Self

EMPTY_ROOT: Final = hashlib.sha256().hexdigest()
"""Root of a tree without leaves (RFC 6962, section 2.1), in hex."""


def leaf_hash(data: bytes) -> bytes:
    """Hash of a leaf's bytes: SHA-256(0x00 || data). The prefix sets it apart from a node."""
    return hashlib.sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of two subtrees: SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\1" + left + right).digest()


class MerkleTree:
    """The head of a growing tree. Appending and the root take O(log size) hashes."""

    def __init__(self) -> None:
        self.size = 0
        """Number of leaves."""
        self._peaks: list[bytes] = []  # roots of complete subtrees, largest first

    def append(self, leaf: bytes) -> None:
        """Add a leaf by its :func:`leaf_hash`."""
        self._peaks.append(leaf)
        # Two complete subtrees of one size make one of twice the size: binary carry.
        complete = self.size
        while complete & 1:
            right, left = self._peaks.pop(), self._peaks.pop()
            self._peaks.append(node_hash(left, right))
            complete >>= 1
        self.size += 1

    def root(self) -> bytes:
        """The root over all leaves: 32 bytes."""
        if not self._peaks:
            return hashlib.sha256().digest()
        root = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            root = node_hash(peak, root)
        return root

    def copy(self) -> Self:
        """A tree with the same leaves that grows by itself."""
        twin = type(self)()
        twin.size = self.size
        twin._peaks = self._peaks.copy()  # noqa: SLF001  # our own class
        return twin
