"""Row ``round``: what a round costs beside the training itself."""

from experiments.bench.plan import Plan
from experiments.bench.processes import play
from experiments.bench.scene import CHECKPOINT_MB, NUMBERS, set_up_parties
from experiments.bench.table import Line, Result, percentile

FLOWER = (
    "For orientation only: Flower 1.41 in deployment mode without TLS took 6.6 to 7.3 s for a round"
    " that echoes 1 MB, and 7.6 to 10.5 s for one with 45 MB each way, on a machine of this kind."
)


def measure(plan: Plan) -> Result:
    """A session of many rounds for either size."""
    lines = [
        *_rounds(plan, "empty", numbers=640, goal_s=0.05),
        *_rounds(plan, f"{CHECKPOINT_MB:g} MB each way", numbers=NUMBERS, goal_s=1.0),
    ]
    return Result(
        name="round",
        title="rounds of one update on either side",
        lines=tuple(lines),
        notes=(
            (
                "Real learn and provide processes on loopback. A round: step 0 by digest, train,"
                " one checkpoint each way, both scored by both, the result measured. From the"
                " second round on, as the first also carries the initial model."
            ),
            FLOWER,
        ),
    )


def _rounds(plan: Plan, name: str, *, numbers: int, goal_s: float) -> list[Line]:
    count = 6 if plan.quick else 24
    directories = set_up_parties(
        plan.folder / f"numbers-{numbers}",
        terms={"rounds": count, "learner_steps": 1, "provider_steps": 1, "sampling_period": 1},
        task={
            "factory": "experiments.bench.toy:shrinking",
            "settings": {"numbers": numbers},
        },
    )
    rounds = play(directories)[1:]
    seconds = tuple(each["seconds"] for each in rounds)
    line = Line(what=f"{name}: median", unit="ms", values=tuple(1000 * each for each in seconds))
    median = Line(
        what=f"{name}: time",
        unit="ms",
        values=line.values,
        beside=f"p95 {1000 * percentile(seconds, 0.95):.0f} ms of {len(seconds)}",
        goal=f"< {1000 * goal_s:g} ms",
        holds=line.median < 1000 * goal_s,
    )
    unit, scale = ("kB", 1e3) if numbers < NUMBERS else ("MB", 1e6)
    return [
        median,
        *(
            Line(
                what=f"{name}: {way}",
                unit=unit,
                values=(sum(each[key] for each in rounds) / len(rounds) / scale,),
            )
            for way, key in (("sent", "bytes_sent"), ("received", "bytes_received"))
        ),
    ]
