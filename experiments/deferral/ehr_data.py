"""SUPPORT2: 9,105 seriously ill patients, who died, and how long they stayed.

W. Knaus et al., Annals of Internal Medicine 122 (1995); openly licensed (CC BY 4.0). Three days
after a patient entered the study, two estimates of survival were made that the table holds: the
SUPPORT model's, and the treating physician's own.

Columns that were known only later are no features: death, follow-up, charges, intensity of
treatment, orders not to resuscitate. Neither are the two estimates of survival: a rejector decides
whom to ask before anybody is asked.

Letters: B patients, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from assistlearn.deferral.arrays import Bools, Floats, Ints
from assistlearn.durable import disk_errors

FILE: Final = Path("ehr_support2", "support2.parquet")
HISTORY: Final = (
    "age", "sex", "race", "edu", "income", "dzgroup", "ca", "num.co", "diabetes", "dementia",
    "hday", "adlp", "adls", "adlsc",
)  # fmt: skip
BEDSIDE: Final = ("scoma", "meanbp", "hrt", "resp", "temp", "aps", "sps")
LABORATORY: Final = (
    "wblc", "pafi", "alb", "bili", "crea", "sod", "ph", "glucose", "bun", "urine",
)  # fmt: skip
LOGGED: Final = frozenset({"hday", "wblc", "pafi", "bili", "crea", "glucose", "bun", "urine"})
RARELY_MISSING: Final = 0.01  # share from which "missing" is a feature of its own
TWO_MONTHS: Final = 60  # days
SIX_MONTHS: Final = 180


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Patients:
    """The table as numbers."""

    features: Floats
    """NaN where nothing was measured. Shape ``(B, F)``."""
    sources: npt.NDArray[np.str_]
    """The table's column that each feature comes from. Shape ``(F,)``."""
    died: Ints
    """In hospital: 1. Shape ``(B,)``."""
    log_days: Floats
    """Natural logarithm of the days from entry to discharge. Shape ``(B,)``."""
    died_within: Ints
    """Of 60 and of 180 days. Everybody else was followed for longer. Shape ``(B, 2)``."""
    model_estimates: Floats
    """The SUPPORT model's probabilities of death in these times; NaN if missing. ``(B, 2)``."""
    physician_estimates: Floats
    """The physician's own; NaN if missing. ``(B, 2)``."""

    def at(self, rows: Ints) -> Self:
        """These patients alone."""
        return replace(
            self,
            **{
                each.name: getattr(self, each.name)[rows]
                for each in fields(self)
                if each.name != "sources"
            },
        )

    def columns(self, sources: Sequence[str]) -> Ints:
        """Numbers of the features that come from these columns."""
        return np.flatnonzero(np.isin(self.sources, sources))


def read_patients(data: Path) -> Patients:
    """Read the table.

    Raises:
        StorageError: the file cannot be read.
    """
    with disk_errors(f"read {data / FILE}"):
        table = pq.read_table(data / FILE)
    blocks = [
        (name, block)
        for name in (*HISTORY, *BEDSIDE, *LABORATORY)
        for block in _features(table, name)
    ]
    days = _numbers(table, "d.time")
    died = _numbers(table, "death") == 1
    return Patients(
        features=np.stack([block for _, block in blocks], axis=1),
        sources=np.array([name for name, _ in blocks]),
        died=_numbers(table, "hospdead").astype(np.int64),
        log_days=np.log(_numbers(table, "slos")),
        died_within=np.stack(
            [(died & (days <= limit)).astype(np.int64) for limit in (TWO_MONTHS, SIX_MONTHS)],
            axis=1,
        ),
        model_estimates=1 - np.stack([_numbers(table, f"surv{m}m") for m in (2, 6)], axis=1),
        physician_estimates=1 - np.stack([_numbers(table, f"prg{m}m") for m in (2, 6)], axis=1),
    )


def scaled(features: Floats, train: Ints | Bools) -> Floats:
    """Mean 0 and deviation 1 on the training rows; their mean where nothing was measured."""
    means = np.nanmean(features[train], axis=0)
    deviations = np.nanstd(features[train], axis=0)
    deviations[deviations == 0] = 1
    found: Floats = np.nan_to_num((features - means) / deviations)
    return found


def _features(table: pa.Table, name: str) -> list[Floats]:
    """A column as features: numbers and whether they are missing, or one for each category."""
    if pa.types.is_large_string(table.schema.field(name).type):
        values = np.array([str(each) for each in table[name].to_pylist()])
        return [(values == each).astype(np.float64) for each in np.unique(values)]
    numbers = _numbers(table, name)
    missing = np.isnan(numbers)
    if name in LOGGED:
        numbers = np.log1p(numbers)
    return [numbers, missing.astype(np.float64)] if missing.mean() > RARELY_MISSING else [numbers]


def _numbers(table: pa.Table, name: str) -> Floats:
    """A column of numbers, NaN for gaps."""
    values: Any = table[name].to_numpy()
    found: Floats = values.astype(np.float64)
    return found
