"""Row ``transfer``: a trajectory through the whole stack, beside what the stack is built from."""

from pathlib import Path
from typing import Final

from experiments.bench.gates import run_both
from experiments.bench.plan import Plan
from experiments.bench.raw import Speed, aes_gcm, raw_zeromq
from experiments.bench.scene import CHECKPOINT_MB, ReadyModels, big_spec, set_up_parties
from experiments.bench.table import Line, Result, ratio
from protocols.roles import Role

SHARE: Final = 0.5  # of ZeroMQ with CURVE, in GB/s
CPU: Final = 2.0  # seconds a GB and side
WAYS: Final = ("ZeroMQ", "ZeroMQ with CURVE", "AES-256-GCM, seal then open", "whole stack")


def measure(plan: Plan) -> Result:
    """All four ways in turn, several times."""
    count = 8 if plan.quick else 40
    repeats = 1 if plan.quick else 3
    models = ReadyModels.write(plan.folder / "models", count + 8, spec=big_spec())
    size = count * models.spec.file_bytes / 1e9
    speeds: dict[str, list[Speed]] = {way: [] for way in WAYS}
    for repeat in range(repeats):
        speeds[WAYS[0]].append(raw_zeromq(size, curve=False))
        speeds[WAYS[1]].append(raw_zeromq(size, curve=True))
        speeds[WAYS[2]].append(aes_gcm(size))
        speeds[WAYS[3]].append(stack(plan.folder / f"run-{repeat}", models, count))
    return Result(
        name="transfer",
        title=f"{count} checkpoints of {CHECKPOINT_MB:g} MB over loopback, learner to provider",
        lines=(
            *_rates(speeds),
            *_costs(speeds, "sender_cpu", "sender"),
            *_costs(speeds, "receiver_cpu", "receiver"),
        ),
        notes=(
            (
                "The stack's clock runs from the learner's first training request to the"
                " provider's: all checkpoints sealed, signed, recorded, spooled with fsync,"
                " checked, scored. Its processor time has every thread of the gate, ZeroMQ's"
                " included."
            ),
        ),
    )


def stack(folder: Path, models: ReadyModels, count: int) -> Speed:
    """Two real gates with real sockets; only training takes no time."""
    directories = set_up_parties(
        folder,
        terms={"rounds": 1, "learner_steps": count, "provider_steps": 1, "sampling_period": 1},
    )
    gates = run_both(directories, models)
    learner, provider = gates[Role.LEARNER], gates[Role.PROVIDER]
    size = count * models.spec.file_bytes / 1e9
    start, end = learner.first("Train"), provider.first("Train")
    sender_cpu = learner.first("Score")["cpu"] - start["cpu"]
    receiver_cpu = end["cpu"] - provider.first("Begin")["cpu"]
    return Speed(
        gb_per_s=size / (end["at"] - start["at"]),
        sender_cpu=sender_cpu / size,
        receiver_cpu=receiver_cpu / size,
    )


def _rates(speeds: dict[str, list[Speed]]) -> list[Line]:
    rates = {way: tuple(each.gb_per_s for each in found) for way, found in speeds.items()}
    lines = []
    for way, values in rates.items():
        share = ratio(values, rates[WAYS[1]])
        last = way == WAYS[-1]
        lines.append(
            Line(
                what=way,
                unit="GB/s",
                values=values,
                beside=f"{share:.2f} x CURVE",
                goal=f">= {SHARE:g} x CURVE" if last else "",
                holds=share >= SHARE if last else None,
            )
        )
    return lines


def _costs(speeds: dict[str, list[Speed]], side: str, name: str) -> list[Line]:
    lines = []
    for way, found in speeds.items():
        values = tuple(getattr(each, side) for each in found)
        last = way == WAYS[-1]
        line = Line(what=f"{way}, {name}", unit="CPU-s/GB", values=values)
        if last:
            line = Line(
                what=f"{way}, {name}",
                unit="CPU-s/GB",
                values=values,
                goal=f"< {CPU:g}",
                holds=line.median < CPU,
            )
        lines.append(line)
    return lines
