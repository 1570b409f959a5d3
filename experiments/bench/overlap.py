"""Row ``overlap``: sending while training, beside sending after it."""

import os
from typing import Final

from experiments.bench.plan import Plan
from experiments.bench.processes import play
from experiments.bench.scene import set_up_parties
from experiments.bench.table import Line, Result, ratio
from protocols.roles import Role

MODES: Final = ("hold", "stream")
HIDDEN: Final = 2048


def measure(plan: Plan) -> Result:
    """Sessions of either kind in turn."""
    steps, period, repeats = (8, 4, 1) if plan.quick else (16, 4, 3)
    cores = sorted(os.sched_getaffinity(0))
    seconds: dict[str, list[float]] = {mode: [] for mode in MODES}
    for repeat in range(repeats):
        for mode in MODES:
            directories = set_up_parties(
                plan.folder / f"{mode}-{repeat}",
                terms={
                    "rounds": 2,
                    "learner_steps": steps,
                    "provider_steps": steps,
                    "sampling_period": period,
                },
                task={
                    "factory": "experiments.bench.toy:noise_images",
                    "settings": {
                        "model": "mlp",
                        "model_settings": {"hidden": [HIDDEN, HIDDEN]},
                        "examples": 1024,
                    },
                },
            )
            programs = {
                role: ("-m", "experiments.bench.held", str(cores[i % len(cores)]), mode)
                for i, role in enumerate(Role)
            }
            seconds[mode].append(play(directories, programs=programs)[1]["seconds"])
    held, streamed = (tuple(seconds[mode]) for mode in MODES)
    share = ratio(streamed, held)
    return Result(
        name="overlap",
        title=f"a round of {steps} updates a side, a checkpoint of 42 MB each {period}",
        lines=(
            Line(what="send after training", unit="s", values=held),
            Line(
                what="send while training",
                unit="s",
                values=streamed,
                beside=f"{share:.2f} x the other",
            ),
        ),
        notes=(
            (
                "Each party (gate and worker) on a core of its own. Sending while training lets the"
                " peer score checkpoints while the next ones are trained; the second round of each"
                " session counts."
            ),
        ),
    )
