"""Row ``deferral``: fitting and asking a rejector, beside scikit-learn and a plain torch loop.

Letters: B examples, A agents, F features.
"""

import statistics
import time
import warnings
from collections.abc import Callable
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
        for rows in ROWS[:1] if plan.quick else ROWS:
            lines += _size(rows, agents)
    return Result(
        name="deferral",
        title=f"linear rejectors of {FEATURES} features: rows a second",
        lines=tuple(lines),
        notes=(
            (
                f"At most {ITERATIONS} iterations of L-BFGS for all three, float32, all cores."
                " The rejector also scales features and estimates each agent's cost;"
                " LogisticRegression is told the cheapest agent only. Memory: most that fitting"
                " adds, in units of features and costs together (Linux)."
            ),
        ),
    )


def _size(rows: int, agents: int) -> list[Line]:
    data = table(rows, agents)
    repeats = 3 if rows * agents <= REPEATED_UP_TO else 1
    fits: dict[str, list[float]] = {way: [] for way in WAYS}
    predictions: dict[str, list[float]] = {way: [] for way in WAYS}
    memory: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(repeats):
        for way, fit in WAYS.items():
            before = _start_of_peak()
            started = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # they stop where told to
                fitted = fit(data)
            fits[way].append(rows / (time.perf_counter() - started))
            memory[way].append(
                (_status("VmHWM") - before) * 1e6 / (data.features.nbytes + data.costs.nbytes)
            )
            started = time.perf_counter()
            fitted.predict(data.features)
            predictions[way].append(rows / (time.perf_counter() - started))
    what = f"{agents} agents, {rows:,} rows"
    return [_line(f"{what}: fit", fits, memory), _line(f"{what}: predict", predictions, {})]


def _line(what: str, speeds: dict[str, list[float]], memory: dict[str, list[float]]) -> Line:
    own, *others = WAYS
    beside = [f"{ratio(speeds[own], speeds[other]):.2f} x {other}" for other in others]
    if memory:
        used = ", ".join(f"{statistics.median(memory[way]):.1f}" for way in WAYS)
        beside.append(f"memory {used}")
    return Line(
        what=what,
        unit="thousand rows/s",
        values=tuple(each / 1000 for each in speeds[own]),
        beside="; ".join(beside),
    )


def _start_of_peak() -> float:
    """Begin to look for the largest resident size. MB now; NaN where nobody knows."""
    references = Path("/proc/self/clear_refs")
    if not references.exists():
        return float("nan")
    references.write_text("5", encoding="ascii")
    return _status("VmRSS")


def _status(field: str) -> float:
    status = Path("/proc/self/status")
    if not status.exists():
        return float("nan")
    line = next(each for each in status.read_text().splitlines() if each.startswith(f"{field}:"))
    return int(line.split()[1]) / KIB_IN_MB
