"""Row ``memory``: peak memory of a party above idle, in checkpoints."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from experiments.bench.plan import Plan
from experiments.bench.processes import LOOK_S, PartyProcess
from experiments.bench.scene import CHECKPOINT_MB, NUMBERS, set_up_parties
from experiments.bench.table import Line, Result
from protocols.roles import Role

GOAL: Final = 4.0
SETTLE_S: Final = 1.0
PARTS: Final = ("gate", "worker")
KIB_IN_MB: Final = 1000 / 1.024
Kibibytes = Mapping[str, int]


@dataclass
class Memory:
    """Of one party, in KiB."""

    idle: Kibibytes
    peak: dict[str, int]
    """Of each part alone."""
    party: int = 0
    """Most that both had at the same time."""

    def look(self, pid: int) -> None:
        """Take in how it is now."""
        for name, value in _memory(pid, "VmHWM").items():
            self.peak[name] = max(self.peak[name], value)
        self.party = max(self.party, sum(_memory(pid, "VmRSS").values()))


def _units(kibibytes: float) -> float:
    return kibibytes / KIB_IN_MB / CHECKPOINT_MB


def measure(plan: Plan) -> Result:
    """Sessions with ever longer trajectories, the same number of checkpoints each way."""
    lines: list[Line] = []
    for count in (4, 10) if plan.quick else (10, 40, 160):
        for role, found in _session(plan.folder / str(count), count).items():
            whole = _units(found.party - sum(found.idle.values()))
            alone = {name: _units(found.peak[name] - found.idle[name]) for name in PARTS}
            split = ", ".join(f"{name} {value:.2f}" for name, value in alone.items())
            idle = ", ".join(f"{name} {found.idle[name] / KIB_IN_MB:.0f} MB" for name in PARTS)
            lines.append(
                Line(
                    what=f"{count} checkpoints, {role.value}",
                    unit="checkpoints",
                    values=(whole,),
                    beside=f"alone: {split} (idle: {idle})",
                    goal=f"<= {GOAL:g}",
                    holds=whole <= GOAL,
                )
            )
    return Result(
        name="memory",
        title=f"peak resident memory above idle, in checkpoints of {CHECKPOINT_MB:g} MB",
        lines=tuple(lines),
        notes=(
            (
                "Real learn and provide processes. Of a party: the largest sum of both resident"
                " sizes, looked at every 20 ms; alone: VmHWM, which misses nothing, and which the"
                " two reach at different times. Idle: once the worker has loaded the task and"
                " described its model, and the peer is not there yet."
            ),
        ),
    )


def _session(folder: Path, count: int) -> Mapping[Role, Memory]:
    directories = set_up_parties(
        folder,
        terms={
            "rounds": 1,
            "learner_steps": count,
            "provider_steps": count,
            "sampling_period": 1,
        },
        task={
            "factory": "experiments.bench.toy:shrinking",
            "settings": {"numbers": NUMBERS},
        },
    )
    parties: dict[Role, PartyProcess] = {}
    found: dict[Role, Memory] = {}
    try:
        for role, event in ((Role.LEARNER, "connecting"), (Role.PROVIDER, "listening")):
            parties[role] = PartyProcess.start(role, directories[role])
            parties[role].wait_for(event)
            time.sleep(SETTLE_S if role is Role.LEARNER else 0)
            idle = _memory(parties[role].process.pid, "VmRSS")
            found[role] = Memory(idle, dict(idle))
        while any(party.process.poll() is None for party in parties.values()):
            for role, party in parties.items():
                found[role].look(party.process.pid)
            time.sleep(LOOK_S)
        for party in parties.values():
            party.finish()
    finally:
        for party in parties.values():
            party.process.kill()
            party.process.wait()
    return found


def _memory(pid: int, field: str) -> Kibibytes:
    """Of a gate and its worker, as far as they still run, in KiB."""
    found = {}
    try:
        worker = psutil.Process(pid).children()
    except psutil.NoSuchProcess:
        return {}
    for name, number in zip(PARTS, (pid, *(each.pid for each in worker)), strict=False):
        try:
            status = Path(f"/proc/{number}/status").read_text(encoding="ascii")
        except (FileNotFoundError, ProcessLookupError):
            continue
        for line in status.splitlines():
            if line.startswith(f"{field}:"):
                found[name] = int(line.split()[1])
    return found
