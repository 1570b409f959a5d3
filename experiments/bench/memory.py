"""Row ``memory``: peak memory of a party above idle, in checkpoints."""

import time
from collections.abc import Mapping
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
Kilobytes = Mapping[str, int]


def measure(plan: Plan) -> Result:
    """Sessions with ever longer trajectories, the same number of checkpoints each way."""
    lines: list[Line] = []
    for count in (4, 10) if plan.quick else (10, 40, 160):
        for role, (idle, peak) in _session(plan.folder / str(count), count).items():
            units = {name: (peak[name] - idle[name]) / 1e3 / CHECKPOINT_MB * 1.024 for name in PARTS}
            whole = sum(units.values())
            split = ", ".join(f"{name} {value:.2f}" for name, value in units.items())
            idle_mb = ", ".join(f"{name} {idle[name] / 1e3:.0f} MB" for name in PARTS)
            lines.append(
                Line(
                    what=f"{count} checkpoints, {role.value}",
                    unit="checkpoints",
                    values=(whole,),
                    beside=f"{split} (idle: {idle_mb})",
                    goal=f"<= {GOAL:g}",
                    holds=whole <= GOAL,
                )
            )
    return Result(
        name="memory",
        title=f"peak resident memory above idle, in checkpoints of {CHECKPOINT_MB:g} MB",
        lines=tuple(lines),
        notes=(
            "VmHWM of the gate and of the worker of real learn and provide processes, which need"
            " not be at the same instant. Idle is VmRSS once the worker has loaded the task and"
            " described its model, and the peer is not there yet.",
        ),
    )


def _session(folder: Path, count: int) -> Mapping[Role, tuple[Kilobytes, Kilobytes]]:
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
    idle: dict[Role, Kilobytes] = {}
    try:
        for role, event in ((Role.LEARNER, "connecting"), (Role.PROVIDER, "listening")):
            parties[role] = PartyProcess.start(role, directories[role])
            parties[role].wait_for(event)
            if role is Role.LEARNER:
                time.sleep(SETTLE_S)
            idle[role] = _memory(parties[role].process.pid, "VmRSS")
        peaks = {role: dict(idle[role]) for role in Role}
        while any(party.process.poll() is None for party in parties.values()):
            for role, party in parties.items():
                for name, value in _memory(party.process.pid, "VmHWM").items():
                    peaks[role][name] = max(peaks[role][name], value)
            time.sleep(LOOK_S)
        for party in parties.values():
            party.finish()
    finally:
        for party in parties.values():
            party.process.kill()
            party.process.wait()
    return {role: (idle[role], peaks[role]) for role in Role}


def _memory(pid: int, field: str) -> Kilobytes:
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
