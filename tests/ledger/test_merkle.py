"""The growing tree against the definition, known roots and published proofs."""

import base64
import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistlearn.ledger import EMPTY_ROOT, MerkleTree, leaf_hash
from assistlearn.ledger.merkle import node_hash

# Inputs and roots that every implementation of RFC 6962 is tested with.
CT_INPUTS = (
    "", "00", "10", "2021", "3031", "40414243",
    "5051525354555657", "606162636465666768696a6b6c6d6e6f",
)  # fmt: skip
CT_ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)


def root_by_definition(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return leaf_hash(leaves[0])
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return node_hash(root_by_definition(leaves[:half]), root_by_definition(leaves[half:]))


@given(st.lists(st.binary(max_size=8), max_size=80))
def test_growing_tree_has_the_root_of_the_definition_at_every_size(leaves: list[bytes]) -> None:
    tree = MerkleTree()
    for size, leaf in enumerate(leaves):
        assert (tree.size, tree.root()) == (size, root_by_definition(leaves[:size]))
        tree.append(leaf_hash(leaf))
    assert tree.root() == root_by_definition(leaves)


def test_known_roots_of_certificate_transparency() -> None:
    tree, roots = MerkleTree(), []
    for text in CT_INPUTS:
        tree.append(leaf_hash(bytes.fromhex(text)))
        roots.append(tree.root().hex())

    assert tuple(roots) == CT_ROOTS


def test_root_of_nothing_is_the_digest_of_nothing() -> None:
    assert MerkleTree().root().hex() == EMPTY_ROOT


def test_copy_grows_by_itself() -> None:
    tree = MerkleTree()
    tree.append(leaf_hash(b"a"))
    twin = tree.copy()

    twin.append(leaf_hash(b"b"))

    assert (tree.size, twin.size) == (1, 2)
    assert tree.root() == leaf_hash(b"a") != twin.root()


def test_tree_keeps_one_hash_for_each_bit_of_its_size() -> None:
    tree = MerkleTree()
    for _ in range(1000):
        tree.append(leaf_hash(b""))

    assert len(tree._peaks) == (1000).bit_count()


@pytest.mark.parametrize("number", ["1", "2", "3", "4"])
def test_roots_of_published_consistency_proofs(vectors: Path, number: str) -> None:
    path = vectors / "merkle" / "consistency" / number / "happy-path.json"
    proof = json.loads(path.read_text())
    tree, roots = MerkleTree(), {0: EMPTY_ROOT}
    for size, text in enumerate(CT_INPUTS, start=1):
        tree.append(leaf_hash(bytes.fromhex(text)))
        roots[size] = tree.root().hex()

    for size, root in ((proof["size1"], proof["root1"]), (proof["size2"], proof["root2"])):
        assert base64.b64decode(root).hex() == roots[size]
