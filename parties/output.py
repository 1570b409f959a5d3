"""What commands print: text for people, or JSON lines for programs; never both.

Without a terminal the text has no colour, no control codes and no moving parts: progress is
then one plain line for each finished part. Results go to stdout, progress to stderr.
"""

import json
import math
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

QUIET_S: Final = 2.0  # work that takes less needs no progress
PLAIN_WIDTH: Final = 120  # columns of a table where there is no terminal to ask

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, one object a line, errors included."
)


class Output:
    """Where a command speaks."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self._console = plain_console(stderr=False)
        self._progress_console = plain_console(stderr=True)
        self._bar_is_up = False

    def say(self, text: str) -> None:
        """One line for people; nothing where programs read."""
        if not self.as_json:
            # Lines must go above a bar that is up, not through it; words stay whole on a screen.
            screen = self._console.is_terminal
            console = self._progress_console if self._bar_is_up and screen else self._console
            console.print(text, markup=False, soft_wrap=not screen)

    def show(self, renderable: RenderableType) -> None:
        """A table for people; nothing where programs read."""
        if not self.as_json:
            self._console.print(renderable)

    def event(self, event: str, **fields: object) -> None:
        """One object for programs; nothing where people read."""
        if self.as_json:
            print_json({"event": event, **fields})

    @property
    def interactive(self) -> bool:
        """Whether somebody watches a screen that can be redrawn."""
        return not self.as_json and self._progress_console.is_terminal

    @property
    def live_console(self) -> Console:
        """Where things may move."""
        return self._progress_console

    @contextmanager
    def bar(self, *columns: ProgressColumn) -> Iterator[Progress]:
        """A bar at the foot of the screen while the context lasts; what is said goes above it."""
        self._bar_is_up = True
        try:
            with Progress(*columns, console=self._progress_console, transient=True) as progress:
                yield progress
        finally:
            self._bar_is_up = False

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """Say what takes its time, on a screen; where nobody watches, say nothing."""
        if not self.interactive:
            yield
            return
        with self._progress_console.status(text):
            yield

    @contextmanager
    def progress(self, total: int, unit: str) -> Iterator["Advance"]:
        """Count ``total`` parts of long work, each called ``unit``."""
        if not self.interactive:
            yield Advance(self, None, total, unit)
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with self.bar(*columns) as bar:
            task = bar.add_task(unit, total=total)
            yield Advance(
                self, lambda text: bar.update(task, advance=1, description=text), total, unit
            )


class Advance:
    """Call it after each part, with a word on what was done."""

    def __init__(self, output: Output, draw: Any, total: int, unit: str) -> None:
        self._output = output
        self._draw = draw
        self._total = total
        self._unit = unit
        self._done = 0
        self._started = self._told = time.monotonic()

    def __call__(self, text: str) -> None:
        """One more part is done."""
        self._done += 1
        self._output.event(
            "progress", done=self._done, total=self._total, unit=self._unit, text=text
        )
        if self._draw is not None:
            self._draw(text)
        elif not self._output.as_json and time.monotonic() - self._told > QUIET_S:
            self._told = time.monotonic()
            seconds = self._told - self._started
            click.echo(
                f"{self._done} of {self._total} {self._unit}s after {seconds:.0f} s: {text}",
                err=True,
            )


def plain_console(*, stderr: bool) -> Console:
    """A console that leaves text alone: no highlighting, no guessing at markup or emoji."""
    console = Console(stderr=stderr, highlight=False, emoji=False)
    return (
        console
        if console.is_terminal
        else Console(stderr=stderr, highlight=False, emoji=False, width=PLAIN_WIDTH)
    )


def print_json(value: Mapping[str, object]) -> None:
    """One line of strict JSON, at once; infinities and NaN become null."""
    click.echo(json.dumps(json_safe(value), allow_nan=False))
    sys.stdout.flush()


def print_error(message: str, *, hint: str, code: int, as_json: bool) -> None:
    """What went wrong and what to do about it, in the one form in which every command says so."""
    if as_json:
        print_json({"error": message, "hint": hint, "exit_code": code})
        return
    click.echo(f"assistlearn: error: {message}", err=True)
    if hint:
        click.echo(f"assistlearn: hint: {hint}", err=True)


def json_safe(value: Any) -> Any:
    """``value`` with null for every float that JSON cannot hold."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): json_safe(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [json_safe(each) for each in value]
    return value


def format_bytes(count: float) -> str:
    """A size for people: ``999 B``, ``1.23 MB`` (powers of 1000, as on invoices)."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:  # noqa: PLR2004  (what still prints with three digits)
            return f"{count:.0f} B" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def format_money(amount: float, currency: str) -> str:
    """An amount in hundredths of the currency, whichever it is: ``12.50 EUR``."""
    return f"{amount / 100:,.2f} {currency}"


def typed_as() -> str:
    """How a person here types this program: by name, or by path where that is not found."""
    if shutil.which("assistlearn"):
        return "assistlearn"
    here = Path(sys.executable).with_name("assistlearn")
    return os.path.relpath(here) if here.is_file() else f"{Path(sys.executable).name} -m parties"
