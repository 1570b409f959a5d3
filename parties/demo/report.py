"""What the demo found: a table, a few sentences, and what to type next."""

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.table import Table

from parties.output import format_bytes, typed_as
from parties.simulate.outcome import ASSISTED, LABELS, MethodRound
from parties.simulate.results import Results
from protocols.roles import Role


def demo_table(results: Results) -> Table:
    """Learner alone, assisted after each round, provider alone and pooled data."""
    last = results.rounds
    table = Table(box=None, pad_edge=False)  # fits 80 columns
    table.add_column(f"after {_rounds(last)} of updates", no_wrap=True)
    for heading in ("accuracy", "global loss", "sent", "received", "seconds"):
        table.add_column(heading, justify="right", no_wrap=True)
    (learner,) = results.of("learner_only")
    table.add_row(LABELS["learner_only"], *_cells(learner.at(last)))
    (assisted,) = results.of(ASSISTED)
    for each in assisted.rounds[1:]:
        table.add_row(f"assisted, round {each.round}", *_cells(each, traffic=True), style="bold")
    for method in ("provider_only", "pooled"):
        (run,) = results.of(method)
        table.add_row(LABELS[method], *_cells(run.at(last)))
    return table


def findings(results: Results) -> Iterator[str]:
    """What the figures say, in points of accuracy, and what they do not."""
    last = results.rounds
    accuracy = {
        method: 100 * results.of(method)[0].at(last).metrics["accuracy"]
        for method in results.methods
    }
    assisted = accuracy[ASSISTED]
    gained = assisted - accuracy["learner_only"]
    gap = accuracy["pooled"] - assisted
    yield (
        f"After {_rounds(last)} the learner's model is {_points(gained)} than after training"
        f" alone, and {_points(-gap)} than one that saw both parties' data."
    )
    alone = accuracy["provider_only"] - assisted
    if alone >= 0:
        yield (
            f"The provider alone is {alone:.1f} points better still: it has most of the data here"
            " and all classes. Assistance pays where both sides hold something the other lacks."
        )
    yield "Global losses of the assisted model come from the parties' 8-bit reports."
    yield "One seed, 360 test images: differences below about 2 points mean nothing here."


def next_steps(directories: Mapping[Role, Path]) -> Iterator[str]:
    """Commands to try now, shortest first."""
    program = typed_as()
    learner = shlex.quote(str(directories[Role.LEARNER]))
    steps = {
        f"{program} audit show {learner}": "what left and what came in",
        f"{program} init learner my-clinic": "the same with your own data",
        f"{program} simulate CONFIG": "try terms before you buy",
    }
    width = max(map(len, steps))
    for command, purpose in steps.items():
        yield f"{command:{width}}   {purpose}"


def _cells(made: MethodRound, *, traffic: bool = False) -> list[str]:
    return [
        f"{100 * made.metrics['accuracy']:.1f} %",
        f"{made.global_loss:.3f}",
        format_bytes(made.sent_bytes) if traffic else "",
        format_bytes(made.received_bytes) if traffic else "",
        f"{made.seconds:.1f}",
    ]


def _points(difference: float) -> str:
    return f"{abs(difference):.1f} points {'better' if difference >= 0 else 'worse'}"


def _rounds(count: int) -> str:
    return "1 round" if count == 1 else f"{count} rounds"
