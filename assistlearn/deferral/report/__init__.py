"""One report for all methods of deferral: what they cost, whom they ask, what they miss.

    report = deferral_report(trial(costs_BA, {"mine": agents_B, "other": decisions}))
    print(report_text(report))

Figures are in :mod:`.figures`, which loads matplotlib.
"""

from assistlearn.deferral.report.audit import Audit
from assistlearn.deferral.report.build import Method, Report, deferral_report
from assistlearn.deferral.report.curves import (
    RATES,
    average_quality,
    deferral_curve,
    hull,
)
from assistlearn.deferral.report.document import report_json, write_report
from assistlearn.deferral.report.metrics import Group, Metrics
from assistlearn.deferral.report.oracle import Oracle, effective_numbers
from assistlearn.deferral.report.spread import Spread, spread
from assistlearn.deferral.report.tables import Table, report_markdown, report_tables, report_text
from assistlearn.deferral.report.trial import Routing, Trial, trial

__all__ = [
    "RATES",
    "Audit",
    "Group",
    "Method",
    "Metrics",
    "Oracle",
    "Report",
    "Routing",
    "Spread",
    "Table",
    "Trial",
    "average_quality",
    "deferral_curve",
    "deferral_report",
    "effective_numbers",
    "hull",
    "report_json",
    "report_markdown",
    "report_tables",
    "report_text",
    "spread",
    "trial",
    "write_report",
]
