"""Row ``deferral``: fitting and asking a rejector, beside scikit-learn and a plain torch loop.

Letters: B examples, A agents, F features.
"""

import math
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import nn

from assistlearn.deferral.rejectors import Rejector
from assistlearn.deferral.two_stage import two_stage_surrogate
from experiments.bench.plan import Plan
from experiments.bench.table import Line, Result, ratio

FEATURES: Final = 20
AGENTS: Final = (2, 11, 100)
ROWS: Final = (10_000, 100_000, 1_000_000)
ITERATIONS: Final = 20  # of L-BFGS, at most, for all three
REPEATED_UP_TO: Final = 10_000_000  # costs; what is larger is timed once
KIB_IN_MB: Final = 1000 / 1.024
MOST_GROWTH: Final = 1.2
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Table:
    """Features, costs, and the cheapest agent of each row."""

    features: Floats
    costs: Floats
    cheapest: npt.NDArray[np.intp]


def table(rows: int, agents: int) -> Table:
    """Costs whose means are linear in the features, the same for everybody."""
    random = np.random.default_rng(0)
    features = random.standard_normal((rows, FEATURES), dtype=np.float32)
    costs = features @ random.standard_normal((FEATURES, agents), dtype=np.float32)
    costs += random.standard_normal((rows, agents), dtype=np.float32)
    np.abs(costs, out=costs)
    return Table(features, costs, costs.argmin(axis=1))


class PlainLoop:
    """What somebody would write without this project: the same loss, minimised by torch."""

    def fit(self, data: Table) -> "PlainLoop":
        """Full batches, as the other two."""
        features, costs = torch.from_numpy(data.features), torch.from_numpy(data.costs)
        self.scores = nn.Linear(FEATURES, costs.shape[1])
        optimizer = torch.optim.LBFGS(
            self.scores.parameters(), max_iter=ITERATIONS, line_search_fn="strong_wolfe"
        )

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = two_stage_surrogate(self.scores(features), costs).mean()
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        optimizer.step(closure)  # type: ignore[no-untyped-call]
        return self

    def predict(self, features_BF: Floats) -> npt.NDArray[np.int64]:
        """Numbers of the agents."""
        with torch.no_grad():
            found: npt.NDArray[np.int64] = (
                self.scores(torch.from_numpy(features_BF)).argmax(dim=1).numpy()
            )
        return found


WAYS: Final[dict[str, Callable[[Table], Any]]] = {
    "rejector": lambda data: Rejector(max_iter=ITERATIONS).fit(data.features, data.costs),
    "plain torch": lambda data: PlainLoop().fit(data),
    "LogisticRegression": lambda data: LogisticRegression(max_iter=ITERATIONS).fit(
        data.features, data.cheapest
    ),
}


def measure(plan: Plan) -> Result:
    """Every size, the three in turn."""
    lines = []
    for agents in AGENTS[:2] if plan.quick else AGENTS:
        sizes = [_size(rows, agents) for rows in (ROWS[:1] if plan.quick else ROWS)]
        lines += [line for pair in sizes for line in pair]
        if len(sizes) > 1:
            lines.append(_growth(agents, [fit for fit, _ in sizes]))
    return Result(
        name="deferral",
        title=f"linear rejectors of {FEATURES} features: rows a second",
        lines=tuple(lines),
        notes=(
            (
                f"At most {ITERATIONS} iterations of L-BFGS for all three, float32, all cores."
                " The rejector also scales features and estimates each agent's cost;"
                " LogisticRegression is told the cheapest agent only. Memory: most that fitting"
                " adds in a process of its own, in units of features and costs together (Linux)."
                " Growth: exponent of the time to fit between the fewest and the most rows."
            ),
        ),
    )


def _size(rows: int, agents: int) -> tuple[Line, Line]:
    data = table(rows, agents)
    repeats = 3 if rows * agents <= REPEATED_UP_TO else 1
    fits: dict[str, list[float]] = {way: [] for way in WAYS}
    predictions: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(repeats):
        for way in WAYS:
            started = time.perf_counter()
            fitted = fit(way, data)
            fits[way].append(rows / (time.perf_counter() - started))
            started = time.perf_counter()
            fitted.predict(data.features)
            predictions[way].append(rows / (time.perf_counter() - started))
    del data
    memory = {way: added_memory(way, rows, agents) for way in WAYS}
    what = f"{agents} agents, {rows:,} rows"
    return _line(f"{what}: fit", fits, memory), _line(f"{what}: predict", predictions, {})


def _growth(agents: int, fits: Sequence[Line]) -> Line:
    """How time grows with rows: 1 is linear, 2 quadratic."""
    seconds = [rows / line.median for rows, line in zip(ROWS, fits, strict=True)]
    exponent = math.log(seconds[-1] / seconds[0]) / math.log(ROWS[-1] / ROWS[0])
    return Line(
        what=f"{agents} agents: growth of fit with rows",
        unit="",
        values=(exponent,),
        goal=f"< {MOST_GROWTH:g}",
        holds=exponent < MOST_GROWTH,
    )


def fit(way: str, data: Table) -> Any:
    """A fitted rejector, or what stands beside it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # they stop where told to
        return WAYS[way](data)


def added_memory(way: str, rows: int, agents: int) -> float:
    """Most that fitting adds to a process that has the data, in units of the data."""
    if not Path("/proc/self/clear_refs").exists():
        return float("nan")
    command = [sys.executable, "-m", "experiments.bench.deferral", way, str(rows), str(agents)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    return float(done.stdout)


def _added_here(way: str, rows: int, agents: int) -> float:
    fit(way, table(1000, 2))  # what a library loads and keeps is not the data's
    data = table(rows, agents)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # begin to look for the peak
    before = _status("VmRSS")
    fit(way, data)
    return (_status("VmHWM") - before) * 1e6 / (data.features.nbytes + data.costs.nbytes)


def _line(what: str, speeds: dict[str, list[float]], memory: dict[str, float]) -> Line:
    own, *others = WAYS
    beside = [f"{ratio(speeds[own], speeds[other]):.2f} x {other}" for other in others]
    if memory:
        used = ", ".join(f"{memory[way]:.1f}" for way in WAYS)
        beside.append(f"memory {used}")
    return Line(
        what=what,
        unit="thousand rows/s",
        values=tuple(each / 1000 for each in speeds[own]),
        beside="; ".join(beside),
    )


def _status(field: str) -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(each for each in status.splitlines() if each.startswith(f"{field}:"))
    return int(line.split()[1]) / KIB_IN_MB


if __name__ == "__main__":
    print(_added_here(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
