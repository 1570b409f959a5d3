"""Runs of many seeds as figures to compare: means, standard errors, paired differences."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pyarrow import csv
from scipy.stats import t as student_t

from assistlearn.durable import disk_errors
from parties.output import json_safe
from parties.settings import SimulationSettings
from parties.simulate.outcome import ASSISTED, MethodRun

FREE: Final = frozenset({"learner_only", "pooled"})
"""Methods that use no provider; the price of a round is paid for all others."""
COMPARED_WITH: Final = ("learner_only", "pooled")
COUNTED: Final = ("global_loss", "bytes", "money", "seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A mean over seeds and how well it is known."""

    mean: float
    error: float
    """Standard error of the mean; NaN for one seed or a value that is not finite."""
    count: int

    @property
    def interval(self) -> tuple[float, float]:
        """95 % confidence interval by Student's t; NaN where the error is."""
        freedom = self.count - 1
        if freedom < 1:
            return math.nan, math.nan
        quantile = float(student_t.ppf(0.975, freedom))
        return self.mean - quantile * self.error, self.mean + quantile * self.error


def spread(values: Sequence[float]) -> Spread:
    """Mean and standard error of at least one value."""
    count = len(values)
    if not all(map(math.isfinite, values)):
        return Spread(mean=math.fsum(values), error=math.nan, count=count)
    error = statistics.stdev(values) / math.sqrt(count) if count > 1 else math.nan
    return Spread(mean=statistics.fmean(values), error=error, count=count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Every run of a simulation, and what it was asked for."""

    settings: SimulationSettings
    runs: tuple[MethodRun, ...]
    scale: float = 1.0
    """By which the study's settings were scaled down, in (0, 1]; the settings here are that."""

    @property
    def methods(self) -> tuple[str, ...]:
        """Methods that were run, in the order of running."""
        return tuple(dict.fromkeys(run.method for run in self.runs))

    @property
    def rounds(self) -> int:
        """The last round that any method made."""
        return max(run.rounds[-1].round for run in self.runs)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the task's figures, as far as every run has them."""
        first, *others = [set(each.metrics) for run in self.runs for each in run.rounds]
        return tuple(sorted(first.intersection(*others)))

    @property
    def main_measure(self) -> str:
        """What advice and figures are about: accuracy if there is one, else the global loss."""
        return "accuracy" if "accuracy" in self.metrics else "global_loss"

    def of(self, method: str) -> tuple[MethodRun, ...]:
        """One method's runs, in the order of seeds."""
        return tuple(
            sorted((run for run in self.runs if run.method == method), key=lambda run: run.seed)
        )

    def spread(self, method: str, round_: int, measure: str) -> Spread:
        """Mean over seeds of ``measure`` after ``round_`` rounds."""
        return spread([self.value(run, round_, measure) for run in self.of(method)])

    def difference(
        self, method: str, other: str, round_: int, measure: str, *, other_round: int | None = None
    ) -> Spread:
        """Mean over seeds of ``method`` minus ``other``, seed by seed."""
        pairs = zip(self.of(method), self.of(other), strict=True)
        other_round = round_ if other_round is None else other_round
        return spread(
            [
                self.value(run, round_, measure) - self.value(peer, other_round, measure)
                for run, peer in pairs
            ]
        )

    def value(self, run: MethodRun, round_: int, measure: str) -> float:
        """A figure after ``round_`` rounds; bytes, money (hundredths) and seconds add up."""
        made = [each for each in run.rounds if 0 < each.round <= round_]
        match measure:
            case "global_loss":
                return run.at(round_).global_loss
            case "bytes":
                return float(sum(each.sent_bytes + each.received_bytes for each in made))
            case "seconds":
                return math.fsum(each.seconds for each in made)
            case "money":
                return 0.0 if run.method in FREE else float(self.settings.terms.price * len(made))
            case _:
                return run.at(round_).metrics[measure]


def summary(results: Results) -> dict[str, Any]:
    """Means over seeds and paired differences, as plain values."""
    measures = [*COUNTED, *results.metrics]
    rounds = range(results.rounds + 1)
    return {
        "mean": {
            method: {
                measure: [_plain(results.spread(method, r, measure)) for r in rounds]
                for measure in measures
            }
            for method in results.methods
        },
        "paired_difference": {
            f"{ASSISTED} - {other}": {
                measure: [_plain(results.difference(ASSISTED, other, r, measure)) for r in rounds]
                for measure in ("global_loss", *results.metrics)
            }
            for other in (*COMPARED_WITH, "provider_only")
            if other in results.methods
        },
    }


def write_json(path: Path, results: Results, **more: object) -> None:
    """Everything, for programs. ``more`` comes first.

    Raises:
        StorageError: the file cannot be written.
    """
    document = {
        **more,
        "units": {
            "global_loss": "nats per example, over both parties' data",
            "bytes": "cumulative; checkpoints and messages counted, the envelope estimated",
            "money": f"cumulative, hundredths of {results.settings.terms.currency}",
            "seconds": "cumulative, without the evaluation that makes these figures",
            "learner_step": "updates into the learner's local training where the provider's choice"
            " lies; assisted only, and not told by two processes",
            "provider_step": "updates into the provider's local training where the learner's choice"
            " lies; assisted only",
        },
        "settings": results.settings.model_dump(mode="json"),
        "summary": summary(results),
        "runs": [run.to_json() for run in results.runs],
    }
    with disk_errors(f"write {path}"):
        path.write_text(json.dumps(json_safe(document), indent=1) + "\n", encoding="utf-8")


def write_csv(path: Path, results: Results) -> None:
    """One row for each seed, method and round, for spreadsheets.

    ``learner_step`` and ``provider_step`` are empty in round 0 and for baselines; the former also
    for sessions of two processes, whose learner does not report it.

    Raises:
        StorageError: the file cannot be written.
    """
    rows = [_row(results, run, each.round) for run in results.runs for each in run.rounds]
    with disk_errors(f"write {path}"):
        csv.write_csv(pa.Table.from_pylist(rows), path)


def _row(results: Results, run: MethodRun, round_: int) -> Mapping[str, object]:
    made = run.at(round_)
    return {
        "seed": run.seed,
        "method": run.method,
        "round": round_,
        "scale": results.scale,
        **{measure: results.value(run, round_, measure) for measure in COUNTED},
        **{name: made.metrics[name] for name in results.metrics},
        "learner_step": made.learner_step,
        "provider_step": made.provider_step,
    }


def _plain(value: Spread) -> dict[str, object]:
    return {"mean": value.mean, "standard_error": value.error, "seeds": value.count}
