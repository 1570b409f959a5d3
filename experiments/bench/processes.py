"""Real ``learn`` and ``provide`` processes of both parties, as two organisations run them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from protocols.roles import Role

PATIENCE_S: Final = 400.0
LOOK_S: Final = 0.02
PROGRAM: Final = ("-m", "parties")
COMMANDS: Final = {Role.LEARNER: ("learn",), Role.PROVIDER: ("provide", "--sessions", "1")}


@dataclass
class PartyProcess:
    """One party's command; what it prints goes to a file."""

    output: Path
    process: "subprocess.Popen[bytes]"

    @classmethod
    def start(cls, role: Role, directory: Path, *, program: Sequence[str] = PROGRAM) -> Self:
        """Start it.

        Args:
            role: which command.
            directory: of the party.
            program: arguments of Python that stand for ``assistlearn``.
        """
        output = directory / "output.jsonl"
        command = [sys.executable, *program, *COMMANDS[role], str(directory), "--json"]
        environment = {**os.environ, "PYTHONPATH": os.getcwd(), "PYTHONUNBUFFERED": "1"}  # noqa: PTH109
        with output.open("wb") as file:
            process = subprocess.Popen(command, stdout=file, env=environment)  # noqa: S603
        return cls(output, process)

    def events(self, name: str) -> list[Mapping[str, Any]]:
        """The events of this name so far."""
        lines = self.output.read_text(encoding="utf-8").splitlines(keepends=True)
        parsed = [json.loads(line) for line in lines if line.endswith("\n")]
        return [event for event in parsed if event.get("event") == name]

    def wait_for(self, name: str) -> None:
        """Wait for the first event of this name."""
        until = time.monotonic() + PATIENCE_S
        while not self.events(name):
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"no event {name}: {self.output.read_text()[-500:]}")
            time.sleep(LOOK_S)

    def finish(self) -> None:
        """Wait for its end, which must be a good one."""
        if self.process.wait(PATIENCE_S):
            raise RuntimeError(f"a party ended badly: {self.output.read_text()[-500:]}")


def play(
    directories: Mapping[Role, Path], *, programs: Mapping[Role, Sequence[str]] | None = None
) -> Sequence[Mapping[str, Any]]:
    """Run a session; the learner's ``round`` events."""
    chosen = programs or dict.fromkeys(Role, PROGRAM)
    parties = []
    try:
        for role in (Role.PROVIDER, Role.LEARNER):
            party = PartyProcess.start(role, directories[role], program=chosen[role])
            parties.append(party)
            if role is Role.PROVIDER:
                party.wait_for("listening")
        parties[1].finish()  # the learner first: without it the provider would wait for ever
        parties[0].finish()
    finally:
        for party in parties:
            party.process.kill()
            party.process.wait()
    return parties[1].events("round")
