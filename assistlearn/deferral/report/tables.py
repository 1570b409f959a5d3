"""The report as tables: for a terminal, for a README, or for whoever draws tables better."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Final, TypeVar

from assistlearn.deferral.report.build import Method, Report
from assistlearn.deferral.report.metrics import Group, Metrics
from assistlearn.deferral.report.names import markdown, plain
from assistlearn.deferral.report.spread import Spread, interval_words, spread

T = TypeVar("T")

NOTHING: Final = "-"
WHOLE: Final = 10  # counts and ratios from here on need no decimals


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Cells as text. The first column holds names, the others numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    @property
    def widths(self) -> tuple[int, ...]:
        """Characters that each column needs."""
        return tuple(max(map(len, column)) for column in zip(self.columns, *self.rows, strict=True))

    def fits(self, width: int) -> bool:
        """Whether ``width`` characters hold it, with two between columns."""
        return sum(self.widths) + 2 * (len(self.columns) - 1) <= width

    def cut(self, width: int) -> "Table":
        """As many columns, from the left, as ``width`` characters hold; two at least.

        The note says which are left out.
        """
        found = self
        while not found.fits(width) and len(found.columns) > 2:  # noqa: PLR2004
            found = replace(
                found, columns=found.columns[:-1], rows=tuple(row[:-1] for row in found.rows)
            )
        gone = self.columns[len(found.columns) :]
        if not gone:
            return self
        left_out = f"columns left out: {', '.join(gone)}"
        return replace(found, note=f"{self.note}; {left_out}" if self.note else left_out)

    def narrower(self) -> "Table":
        """This table, or the same with rows for columns, whichever needs fewer characters."""
        columns, *rows = zip(self.columns, *self.rows, strict=True)
        turned = replace(self, columns=columns, rows=tuple(rows))
        return turned if sum(turned.widths) < sum(self.widths) else self

    def text(self) -> str:
        """Aligned columns for a fixed-width font."""
        lines = [
            "  ".join(
                cell.ljust(width) if index == 0 else cell.rjust(width)
                for index, (cell, width) in enumerate(zip(row, self.widths, strict=True))
            ).rstrip()
            for row in (self.columns, *self.rows)
        ]
        shown = [self.title, *lines, *([self.note] if self.note else [])]
        return "\n".join(map(plain, shown))

    def markdown(self) -> str:
        """A table as on GitHub, with every name as it is: no markup, no HTML."""
        heads, *rows = ([markdown(cell) for cell in row] for row in (self.columns, *self.rows))
        rule = ["---", *("---:" for _ in self.columns[1:])]
        lines = [f"| {' | '.join(row)} |" for row in (heads, rule, *rows)]
        note = ["", markdown(self.note)] if self.note else []
        return "\n".join([f"**{markdown(self.title)}**", "", *lines, *note])


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A figure of a method, and how it is shown."""

    heading: str
    figure: Callable[[Metrics], float]
    share: bool = False

    def cell(self, method: Method) -> str:
        """The figure's mean and interval."""
        found = method.spread(self.figure)
        return share_cell(found) if self.share else cell(found)


def report_tables(report: Report) -> tuple[Table, ...]:
    """All tables, the most important first."""
    tables = [_summary(report), _shares(report), _recalls(report), _audit(report)]
    if any(each.groups for each in report.methods[0].metrics):
        tables.append(_groups(report))
    tables.append(_agents(report))
    return tuple(tables)


def report_text(report: Report) -> str:
    """All tables as plain text."""
    return "\n\n".join(table.text() for table in report_tables(report))


def report_markdown(report: Report) -> str:
    """All tables in Markdown."""
    return "\n\n".join(table.markdown() for table in report_tables(report))


def cell(value: Spread, *, percent: bool = False) -> str:
    """``0.213 ±0.004``, or ``21.3 ±0.4`` as a percentage; a dash where there is nothing.

    With ``(2 of 5)`` behind it where the other seeds have no such figure.
    """
    if not math.isfinite(value.mean):
        return NOTHING if math.isnan(value.mean) else f"inf{_seeds(value)}"
    scale, digits = (100, 1) if percent else (1, 3)
    text = _rounded(scale * value.mean, digits)
    if not math.isnan(value.half_width):
        text += f" ±{scale * value.half_width:.{digits}f}"
    return text + _seeds(value)


def share_cell(value: Spread) -> str:
    """A share from 0 to 1 in percent: as :func:`cell`, but ``99.0 (96.4 to 100.0)`` at an end."""
    low, high = value.mean - value.half_width, value.mean + value.half_width
    if math.isnan(low) or (low >= 0 and high <= 1):
        return cell(value, percent=True)
    ends = (_rounded(100 * min(max(each, 0.0), 1.0), 1) for each in (value.mean, low, high))
    return "{} ({} to {})".format(*ends) + _seeds(value)


def _summary(report: Report) -> Table:
    columns = [
        *_if(
            report.has_accuracy,
            Column(heading="accuracy %", figure=attrgetter("accuracy"), share=True),
        ),
        Column(heading="deferral loss", figure=attrgetter("deferral_loss")),
        *_if(
            report.has_prices and not report.has_accuracy,
            Column(heading="of it error", figure=attrgetter("error")),
        ),
        *_if(report.has_prices, Column(heading="of it price", figure=attrgetter("price"))),
        Column(heading="coverage %", figure=attrgetter("coverage"), share=True),
        Column(heading="regret", figure=attrgetter("regret")),
        Column(heading="over random", figure=attrgetter("over_random")),
    ]
    methods = [*report.methods, *(agent.alone for agent in report.agents), report.oracle]
    return Table(
        title=f"methods, {_held_out(report)}",
        columns=("method", *(column.heading for column in columns)),
        rows=tuple((each.name, *(column.cell(each) for column in columns)) for each in methods),
        note="deferral loss: mean cost of the agents chosen; coverage: answered by"
        f" {report.agents[0].name}; regret: loss beyond the oracle's; over random: loss saved"
        " against the same shares dealt out at random",
    )


def _shares(report: Report) -> Table:
    return Table(
        title="share of the examples that each agent answers, %",
        columns=("method", *(agent.name for agent in report.agents)),
        rows=tuple(
            (each.name, *_percents(report, [m.shares for m in each.metrics]))
            for each in (*report.methods, report.oracle)
        ),
    ).narrower()


def _recalls(report: Report) -> Table:
    decided = spread(report.decided)
    wanted = [share_cell(report.spread(agent.oracle_shares)) for agent in report.agents]
    return Table(
        title="recall: found where it was the only cheapest agent, %",
        columns=("method", *(agent.name for agent in report.agents), "least", "mean", "KL"),
        rows=(
            ("share of these", *wanted, "", "", ""),
            *(
                (
                    each.name,
                    *_percents(report, [m.recalls for m in each.metrics]),
                    share_cell(each.spread(attrgetter("recall_min"))),
                    share_cell(each.spread(attrgetter("recall_mean"))),
                    cell(each.spread(attrgetter("divergence"))),
                )
                for each in report.methods
            ),
        ),
        note=f"over the {100 * decided.mean:.1f} % of the examples with one cheapest agent;"
        f" imbalance {_number(spread(report.imbalance).mean)} : 1; mean: balanced routing"
        " accuracy; KL: of the shares there from the oracle's, nats",
    ).narrower()


def _audit(report: Report) -> Table:
    parts = {
        "kept_right": ("kept, right", "gained"),
        "kept_wrong": ("kept, wrong", "lost"),
        "deferred_right": ("deferred, right", "gained"),
        "deferred_wrong": ("deferred, wrong", "lost"),
    }
    return Table(
        title="the decisions audited: share %, and mean cost gained or lost by them",
        columns=("method", *(heading for headings in parts.values() for heading in headings)),
        rows=tuple(
            (
                each.name,
                *(
                    shown
                    for part in parts
                    for shown in (
                        share_cell(each.spread(attrgetter(f"audit.{part}.share"))),
                        cell(each.spread(attrgetter(f"audit.{part}.stake"))),
                    )
                ),
            )
            for each in report.methods
        ),
        note=f"what is kept is compared with the cheapest expert, what is deferred with"
        f" {report.agents[0].name}",
    )


def _groups(report: Report) -> Table:
    return Table(
        title="by group",
        columns=(
            "method: group",
            "examples",
            *_if(report.has_accuracy, "accuracy %"),
            "deferral loss",
            "regret",
            "coverage %",
        ),
        rows=tuple(row for each in report.methods for row in _group_rows(report, each)),
    )


def _group_rows(report: Report, method: Method) -> Iterator[tuple[str, ...]]:
    labels = dict.fromkeys(group.label for each in method.metrics for group in each.groups)
    by_seed = [{group.label: group for group in each.groups} for each in method.metrics]
    for label in labels:
        found = [each.get(label) for each in by_seed]  # None in seeds without such examples

        def over(name: str, found: Sequence[Group | None] = found) -> Spread:
            return report.spread([getattr(each, name) if each else math.nan for each in found])

        yield (
            f"{method.name}: {label}",
            _number(spread([each.count if each else 0 for each in found]).mean),
            *_if(report.has_accuracy, share_cell(over("accuracy"))),
            cell(over("deferral_loss")),
            cell(over("regret")),
            share_cell(over("coverage")),
        )


def _agents(report: Report) -> Table:
    return Table(
        title="how often each agent is needed",
        columns=("agent", "only cheapest on", "share %", "effective number"),
        rows=tuple(
            (
                agent.name,
                _number(spread(agent.counts).mean),
                share_cell(report.spread(agent.oracle_shares)),
                _number(spread(agent.effective_numbers).mean),
            )
            for agent in report.agents
        ),
    )


def _percents(report: Report, by_seed: Sequence[tuple[float, ...]]) -> Iterator[str]:
    """One cell for each agent, from a row for each seed."""
    for values in zip(*by_seed, strict=True):
        yield share_cell(report.spread(values))


def _if(condition: bool, *values: T) -> tuple[T, ...]:
    return values if condition else ()


def _rounded(value: float, digits: int) -> str:
    return f"{round(value, digits) + 0.0:.{digits}f}"  # never -0.000


def _seeds(value: Spread) -> str:
    return f" ({value.count} of {value.seeds})" if 0 < value.count < value.seeds else ""


def _number(value: float) -> str:
    """A count or ratio: whole where it is large."""
    if not math.isfinite(value):
        return NOTHING if math.isnan(value) else "inf"
    return f"{value:.0f}" if value >= WHOLE or value == round(value) else f"{value:.1f}"


def _held_out(report: Report) -> str:
    examples = f"{spread(report.examples).mean:.0f} held-out examples"
    if len(report.seeds) == 1:
        return f"{examples}, one seed"
    return f"{examples}, mean and {interval_words(len(report.seeds), overlap=report.overlap)}"
