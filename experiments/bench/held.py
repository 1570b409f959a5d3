"""``assistlearn`` on one core, perhaps with the trajectory held back until it is closed.

    python -m experiments.bench.held CORE stream|hold learn DIRECTORY ...

Sending after training is what row ``overlap`` compares with; the product has no such mode.
"""

import os
import sys

import parties.gate.opening
from parties.cli import main
from parties.gate.session import Session
from protocols.events import Train
from protocols.learner import LearnerMachine


class HeldSession(Session):
    """A session that sends nothing of a trajectory before its end."""

    def next_frame(self) -> memoryview | None:
        """Only how far we are, while there is still something to train."""
        training = isinstance(self.work, Train)
        opening = isinstance(self.machine, LearnerMachine) and self.machine.round == 0
        if (training or opening) and not self.status_due:
            return None
        return super().next_frame()


if __name__ == "__main__":
    core, mode = sys.argv.pop(1), sys.argv.pop(1)
    os.sched_setaffinity(0, {int(core)})
    if mode == "hold":
        parties.gate.opening.Session = HeldSession  # type: ignore[attr-defined]
    main()
