"""Row ``resume``: what it costs to be killed in the middle of a transfer."""

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from experiments.bench.gates import LogLine, ReadyGate, kill_all
from experiments.bench.plan import Plan
from experiments.bench.scene import CHECKPOINT_MB, ReadyModels, big_spec, set_up_parties
from experiments.bench.table import Line, Result
from protocols.roles import Role

LOOK_S: Final = 0.01
MIB: Final = 1 << 20


def measure(plan: Plan) -> Result:
    """Kill the learner's gate, then (in another session) the provider's."""
    count = 8 if plan.quick else 40
    repeats = 1 if plan.quick else 3
    models = ReadyModels.write(plan.folder / "models", count + 8, spec=big_spec())
    lines: list[Line] = []
    for role in Role:
        found = [
            killed(plan.folder / f"{role.value}-{repeat}", models, count, role)
            for repeat in range(repeats)
        ]
        again, moving, starting = zip(*found, strict=True)
        who = f"{role.value}'s gate killed"
        lines += [
            Line(what=f"{who}: sent again", unit="MiB", values=again),
            Line(what=f"{who}: kill until a piece arrives", unit="s", values=moving),
            Line(what=f"{who}: of it, until the new process runs", unit="s", values=starting),
        ]
    return Result(
        name="resume",
        title=f"SIGKILL of a gate amid {count} checkpoints of {CHECKPOINT_MB:g} MB",
        lines=tuple(lines),
        notes=(
            (
                "The gate is started again at once. Pieces that were under way are sent again: at"
                " most the credit of 24 MiB. Where the provider dies, the learner's reconnect"
                " interval of 0.1 to 2 s is part of the time."
            ),
        ),
    )


def killed(folder: Path, models: ReadyModels, count: int, role: Role) -> tuple[float, float, float]:
    """MiB sent again, seconds until bytes move, seconds of them until the process runs."""
    directories = set_up_parties(
        folder,
        terms={"rounds": 1, "learner_steps": count, "provider_steps": 1, "sampling_period": 1},
    )
    gates = {
        each: ReadyGate.start(directories[each], models, "--pieces")
        for each in (Role.PROVIDER, Role.LEARNER)
    }
    try:
        _wait_for_half(gates[Role.PROVIDER], count * models.spec.file_bytes)
        at = time.monotonic()
        gates[role].kill()
        gates[role] = ReadyGate.start(directories[role], models, "--pieces")
        for gate in gates.values():
            gate.finish()
    finally:
        kill_all(list(gates.values()))
    arrivals = [each for each in _pieces(gates[Role.PROVIDER], "arrived") if each["at"] > at]
    # What was under way when the learner died does not count as moving again.
    process = next(
        each for each in gates[role].lines() if each["event"] == "process" and each["at"] > at
    )
    moving = next(each for each in arrivals if each["at"] > process["at"])
    return _again(gates[Role.LEARNER]), moving["at"] - at, process["at"] - at


def _wait_for_half(provider: ReadyGate, size: int) -> None:
    while sum(each["size"] for each in _pieces(provider, "arrived")) < size // 2:
        if provider.process.poll() is not None:
            raise RuntimeError("the provider's gate ended before it was killed")
        time.sleep(LOOK_S)


def _again(sender: ReadyGate) -> float:
    """MiB of pieces of the first trajectory that were sent more than once."""
    pieces = _pieces(sender, "sent")
    times = Counter((each["seq"], each["index"]) for each in pieces)
    sizes = {(each["seq"], each["index"]): each["size"] for each in pieces}
    return float(sum((n - 1) * sizes[place] for place, n in times.items())) / MIB


def _pieces(gate: ReadyGate, way: str) -> Sequence[LogLine]:
    return [each for each in gate.lines() if each["event"] == way]
