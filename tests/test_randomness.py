import subprocess
import sys

import torch
from hypothesis import given
from hypothesis import strategies as st

from assistlearn.randomness import SEED_BITS, derive_seed, seed_torch

LABELS = st.lists(st.integers() | st.text(), max_size=4)


def test_seed_never_changes_between_versions() -> None:
    # First 63 bits of SHA-256 of the bytes [7,"learner","train"].
    assert derive_seed(7, "learner", "train") == 0x3E0C7CDD9F067404


@given(first=LABELS, second=LABELS)
def test_different_labels_give_different_seeds(
    first: list[int | str], second: list[int | str]
) -> None:
    assert (derive_seed(*first) == derive_seed(*second)) == (first == second)
    assert 0 <= derive_seed(*first) < 2**SEED_BITS


def test_labels_cannot_run_into_each_other() -> None:
    seeds = {
        derive_seed(*labels)
        for labels in [("a", "bc"), ("ab", "c"), ("abc",), ('a","bc',), (1,), ("1",), (1, 1), (11,)]
    }

    assert len(seeds) == 8


def test_same_labels_give_torch_the_same_numbers() -> None:
    seed_torch("here", 1)
    first = torch.rand(3)
    seed_torch("here", 2)
    other = torch.rand(3)
    seed_torch("here", 1)

    assert torch.equal(torch.rand(3), first)
    assert not torch.equal(other, first)


def test_deriving_a_seed_does_not_load_torch() -> None:
    program = "from assistlearn.randomness import derive_seed; derive_seed(1)\n"
    program += "import sys; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
