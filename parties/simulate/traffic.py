"""How many bytes a simulated session would put on the wire.

Messages and sealed checkpoints are counted exactly. The envelope around them is an estimate:
nothing is signed in a simulation.
"""

from collections import Counter
from typing import Final

from parties.gate.books import payload_wire_bytes
from protocols.codec import encode_message
from protocols.messages import Carriage, CheckpointMessage, Message
from protocols.roles import Role

BUNDLE_OVERHEAD_BYTES: Final = 5_300
"""Estimate of what a bundle adds: header, two signatures, sealed key, names. Within 10 % of what
two real parties put on the wire for a small model."""


def model_bytes(file_bytes: int) -> int:
    """Bytes on the wire for one checkpoint alone, envelope estimated."""
    return BUNDLE_OVERHEAD_BYTES + payload_wire_bytes(file_bytes)


class Traffic:
    """Counts both directions, round by round."""

    def __init__(self, file_bytes: int) -> None:
        self._file_bytes = file_bytes
        self._counts: Counter[tuple[int, Role]] = Counter()

    def count(self, sender: Role, message: Message) -> None:
        """Add what ``sender`` puts on the wire to say ``message``."""
        attached = isinstance(message, CheckpointMessage) and message.carriage is Carriage.ATTACHED
        envelope = model_bytes(self._file_bytes) if attached else BUNDLE_OVERHEAD_BYTES
        self._counts[message.round, sender] += envelope + len(encode_message(message))

    def of(self, round_: int) -> tuple[int, int]:
        """Bytes that the learner sent and received in one round."""
        return self._counts[round_, Role.LEARNER], self._counts[round_, Role.PROVIDER]
