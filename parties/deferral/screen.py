"""A report's tables as a terminal has room for them, and its figures as events for programs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from operator import attrgetter
from typing import Any, Final

import rich.table
from rich.text import Text

from assistlearn.deferral.report import Report, Table, report_json, report_tables
from assistlearn.deferral.report.document import SCALARS
from assistlearn.deferral.report.names import plain
from parties.deferral.words import short
from parties.output import Output

NAME_WIDTHS: Final = (40, 32, 24)  # of names in a table; the last holds every method's own
GROUP_FIGURES: Final = ("deferral_loss", "regret", "coverage", "accuracy")
BY_GROUP: Final = "by group"
AT_ONCE: Final = 2  # tables after the first that are for a screen too


def show_report(report: Report, output: Output) -> None:
    """The first table, and of shares, recalls and groups what fits the screen."""
    width = output.live_console.width
    first, *others = report_tables(report)
    show_table(first, output)
    wanted = others[:AT_ONCE] + [each for each in others[AT_ONCE:] if each.title == BY_GROUP]
    missing = []
    for table in wanted:
        if table.title == BY_GROUP or narrowed(table, width).fits(width):
            show_table(table, output)
        else:
            missing.append(table.title)
    if missing:
        output.say("")
        output.say(f"too wide for this screen, but in report.md: {'; '.join(missing)}")
    for event, name, figures in report_events(report):
        output.event(event, name=name, **figures)


def show_one_stage(reports: Mapping[str, Report], output: Output) -> None:
    """One table for all, and an event for each."""
    if not reports:
        return
    show_table(one_stage_table(reports), output)
    for name, report in reports.items():
        output.event("method", name=name, **report_json(report)["summary"][name])


def one_stage_table(reports: Mapping[str, Report]) -> Table:
    """The methods' rows of the reports' first tables, in one."""
    tables = [report_tables(each)[0] for each in reports.values()]
    return Table(
        title="one-stage methods, which learn to answer too",
        columns=tables[0].columns,
        rows=tuple(row for each in tables for row in each.rows[:2]),
        note="agent 0 is each method's own classifier instead of the main model, free to ask;"
        " regret is by its errors",
    )


def show_table(table: Table, output: Output) -> None:
    """A table with names, and if need be columns, as the screen has room for them."""
    width = output.live_console.width
    found = narrowed(table, width).cut(width)
    output.say("")
    output.say(plain(found.title))
    output.show(drawn(found))
    if found.note:
        output.say(plain(found.note))


def narrowed(table: Table, width: int) -> Table:
    """The table with its names shortened where that saves it a column; they still differ."""
    best = table
    for longest in NAME_WIDTHS:
        found = _shortened(table, longest)
        if len(found.cut(width).columns) > len(best.cut(width).columns):
            best = found
    return best


def _shortened(table: Table, longest: int) -> Table:
    heads = tuple(short(each, longest) for each in table.columns)
    names = tuple(short(row[0], longest) for row in table.rows)
    if not (_differ(heads, table.columns) and _differ(names, [row[0] for row in table.rows])):
        return table
    rows = zip(names, table.rows, strict=True)
    return replace(table, columns=heads, rows=tuple((name, *row[1:]) for name, row in rows))


def _differ(shortened: Sequence[str], names: Sequence[str]) -> bool:
    return len({*shortened}) == len({*names})


def drawn(table: Table) -> rich.table.Table:
    """A report's table as rich draws it, without title and note: names are no markup."""
    found = rich.table.Table(box=None, pad_edge=False, padding=(0, 1))
    for number, heading in enumerate(table.columns):
        found.add_column(Text(plain(heading)), justify="right" if number else "left", no_wrap=True)
    for row in table.rows:
        found.add_row(*(Text(plain(cell)) for cell in row))
    return found


def report_events(report: Report) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Kind, name and figures of an event for each method, agent alone, oracle and group."""
    summary = report_json(report)["summary"]
    *methods, oracle = summary.items()
    for name, figures in methods:
        yield "method", name, figures
    for agent in report.agents:
        alone = {each: asdict(agent.alone.spread(attrgetter(each))) for each in SCALARS}
        yield "method", agent.alone.name, alone
    yield "method", *oracle
    for method in report.methods:
        by_seed = [{group.label: group for group in each.groups} for each in method.metrics]
        for label in dict.fromkeys(label for groups in by_seed for label in groups):
            found = [groups.get(label) for groups in by_seed]
            spreads = {
                figure: asdict(
                    report.spread([getattr(each, figure, float("nan")) for each in found])
                )
                for figure in GROUP_FIGURES
            }
            examples = [each.count if each else 0 for each in found]
            yield "group", method.name, {"label": label, "examples": examples, **spreads}
