"""What rows give back, and how it is printed."""

import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.table import Table

HEADINGS: Final = ("what", "median", "all", "beside", "goal")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One measured quantity."""

    what: str
    unit: str
    values: tuple[float, ...]
    beside: str = ""
    """What it is compared with, and the ratio of the two in the same run."""
    goal: str = ""
    holds: bool | None = None
    """Whether the goal holds; None where there is none."""

    @property
    def median(self) -> float:
        """Of all values."""
        return statistics.median(self.values)

    def cells(self) -> tuple[str, ...]:
        """As text, one for each heading."""
        shown = self.values if len(self.values) <= SHOWN else (min(self.values), max(self.values))
        between = " " if len(self.values) <= SHOWN else " to "
        everything = between.join(f"{value:.3g}" for value in shown) if self.values[1:] else ""
        mark = {None: "", True: " holds", False: " MISSED"}[self.holds]
        median = f"{self.median:.3g}" if self.median < WHOLE else f"{self.median:,.0f}"
        return (
            self.what,
            f"{median} {self.unit}".strip(),
            everything,
            self.beside,
            self.goal + mark,
        )


PLAIN_WIDTH: Final = 120  # columns where there is no terminal to ask
SHOWN: Final = 5  # values; of more, least and largest
WHOLE: Final = 1000  # from here on no decimals


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One row group."""

    name: str
    title: str
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()


def show(result: Result) -> None:
    """Print as a table, to be looked at."""
    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    table = Table(title=f"{result.name}: {result.title}", title_justify="left")
    for name in HEADINGS:
        table.add_column(name, overflow="fold")
    for line in result.lines:
        table.add_row(*line.cells(), style="red" if line.holds is False else None)
    console.print(table)
    for note in result.notes:
        console.print(f"  {note}", highlight=False)


def markdown(result: Result) -> str:
    """The same as Markdown."""
    parts = [f"### {result.name}: {result.title}", "", _row(HEADINGS), _row(["---"] * 5)]
    parts += [_row(line.cells()) for line in result.lines]
    return "\n".join([*parts, "", *(f"* {note}" for note in result.notes), ""])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def ratio(own: Sequence[float], other: Sequence[float]) -> float:
    """Median of the ratios of what was measured side by side."""
    return statistics.median(a / b for a, b in zip(own, other, strict=True))


def percentile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
