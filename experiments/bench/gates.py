"""Starting gates with a ready worker, and reading their logs."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from experiments.bench.scene import ReadyModels
from protocols.roles import Role

PATIENCE_S: Final = 240.0
LogLine = Mapping[str, Any]


@dataclass
class ReadyGate:
    """One party's gate as a process; see :mod:`experiments.bench.ready`."""

    directory: Path
    log: Path
    process: "subprocess.Popen[bytes]"

    @classmethod
    def start(cls, directory: Path, models: ReadyModels, *options: str) -> Self:
        """Start it, or start it again after it was killed."""
        log = directory / "benchmark.log"
        arguments = [str(directory), str(models.folder), str(log), *options]
        command = [sys.executable, "-m", "experiments.bench.ready", *arguments]
        return cls(directory, log, subprocess.Popen(command))  # noqa: S603  (our own program)

    def lines(self) -> list[LogLine]:
        """What it has logged so far, all lives together."""
        text = self.log.read_text(encoding="ascii") if self.log.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line[-1] == "\n"]

    def first(self, event: str) -> LogLine:
        """The first line of this event."""
        return next(line for line in self.lines() if line["event"] == event)

    def finish(self) -> None:
        """Wait for its end, which must be a good one."""
        code = self.process.wait(PATIENCE_S)
        if code:
            raise RuntimeError(f"the gate in {self.directory} ended with code {code}")

    def kill(self) -> None:
        """SIGKILL, if it runs."""
        self.process.kill()
        self.process.wait()


def run_both(
    directories: Mapping[Role, Path], models: ReadyModels, *options: str
) -> Mapping[Role, ReadyGate]:
    """Both gates from start to end."""
    gates: dict[Role, ReadyGate] = {}
    try:
        for role in (Role.PROVIDER, Role.LEARNER):
            gates[role] = ReadyGate.start(directories[role], models, *options)
        for gate in gates.values():
            gate.finish()
    finally:
        kill_all(list(gates.values()))
    return gates


def kill_all(gates: Sequence[ReadyGate]) -> None:
    """Leave no process behind."""
    for gate in gates:
        gate.kill()
