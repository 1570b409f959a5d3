"""The report for programs: JSON, with null for what is undefined and "inf" for what is infinite."""

import dataclasses
import json
import math
from collections.abc import Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any

from assistlearn.deferral.report.build import Method, Report
from assistlearn.deferral.report.curves import RATES
from assistlearn.durable import disk_errors

SCALARS = (
    "deferral_loss", "price", "error", "accuracy", "coverage", "regret", "over_random",
    "recall_min", "recall_mean", "divergence",
)  # fmt: skip


def report_json(report: Report) -> dict[str, Any]:
    """Plain values: means and intervals under ``summary``, every seed under the rest.

    ``overlap`` says how the intervals were corrected; see :func:`.spread`. A figure that a seed
    does not have is None. One that is infinite, as the KL divergence of a method that never asks
    an agent it should, or the imbalance beside such an agent, is the string ``"inf"``.
    """
    summary = {each.name: _summary(each) for each in (*report.methods, report.oracle)}
    document: dict[str, Any] = _plain(
        {
            "summary": summary,
            "best": report.best.name,
            "best_agent": report.best_agent.name,
            "rates": RATES,
            **dataclasses.asdict(report),
        }
    )
    return document


def write_report(path: Path, report: Report, **more: object) -> None:
    """Write :func:`report_json` to a file; ``more`` comes first.

    Raises:
        StorageError: the file cannot be written.
    """
    document = {**_plain(more), **report_json(report)}
    with disk_errors(f"write {path}"):
        path.write_text(json.dumps(document, allow_nan=False) + "\n", encoding="utf-8")


def _summary(method: Method) -> dict[str, Any]:
    return {name: dataclasses.asdict(method.spread(attrgetter(name))) for name in SCALARS}


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)  # "inf", "-inf"
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
