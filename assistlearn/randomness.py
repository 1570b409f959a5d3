"""Random numbers come from named, derived generators and from nowhere else.

A seed is a digest of labels such as ``(7, "learner", "train", 2, 500)``, so that no two
purposes share a stream and none depends on what was drawn before it.
"""

import hashlib
import json
from typing import Final

SEED_BITS: Final = 63  # torch and numpy both take non-negative 64-bit signed integers


def derive_seed(*labels: str | int) -> int:
    """A seed of 63 bits from SHA-256 of the labels.

    Labels are encoded as a JSON list, so ``("a", "bc")``, ``("ab", "c")`` and ``(1,)``,
    ``("1",)`` give unrelated seeds.
    """
    encoded = json.dumps(labels, separators=(",", ":")).encode()
    return int.from_bytes(hashlib.sha256(encoded).digest()[:8]) >> (64 - SEED_BITS)


def seed_torch(*labels: str | int) -> None:
    """Seed torch's global generators, those of every accelerator included, from labels."""
    import torch  # noqa: PLC0415  # the process that holds keys derives seeds without torch

    seed = derive_seed(*labels)
    if torch.accelerator.is_available():
        torch.manual_seed(seed)
    else:  # the same bits, without a millisecond spent on accelerators that are not there
        torch.default_generator.manual_seed(seed)
