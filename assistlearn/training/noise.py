"""A party's own secret randomness, for losses that it reports privately."""

import hmac
import math
from typing import Final

from assistlearn.errors import LocalProtocolError

MIN_SEED_BYTES: Final = 16  # below that a peer could try all seeds and take the noise off


def standard_normal(secret: bytes, *, level: int) -> float:
    """The draw from the standard normal distribution that belongs to a loss's level.

    One a session and level, not one a report: a peer can send a model that local training barely
    moves, and would average the noise away over the reports of its steps. For the same reason it
    is a function of its arguments: neither a restarted process nor another round gives a second
    draw. By Box and Muller from HMAC-SHA256.

    Args:
        secret: at least 16 bytes that never leave this party.
        level: our own loss in 8 bits, 0 to 255 (:meth:`LocalLoss.level`).

    Raises:
        LocalProtocolError: the secret is too short to keep the draws secret.
    """
    if len(secret) < MIN_SEED_BYTES:
        raise LocalProtocolError(
            f"the noise seed has {len(secret)} bytes, needs at least {MIN_SEED_BYTES}",
            hint=f"draw one with secrets.token_bytes({MIN_SEED_BYTES}), once a session",
        )
    bits = hmac.digest(secret, f"loss noise {level}".encode(), "sha256")
    uniform = (int.from_bytes(bits[:8]) + 1) / 2**64  # in (0, 1], so that its logarithm exists
    turn = int.from_bytes(bits[8:16]) / 2**64
    return math.sqrt(-2 * math.log(uniform)) * math.cos(2 * math.pi * turn)
