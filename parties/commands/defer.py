"""``assistlearn defer``: who should answer? Rejectors from a table of outcomes."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from parties.output import Output, json_option

COLUMNS: Final = """
TABLE is a CSV or Parquet file with a row for each example and, for each agent, a column

\b
  correct:NAME     1 where the agent is right, 0 where it is wrong; or
  cost:NAME        what its answer costs there, any number >= 0
  price:NAME       what asking it costs, if that differs from row to row
  confidence:NAME  a feature: how sure it is, more being surer

The first agent is agent 0, which keeps what is not deferred. All other columns that hold numbers
are features to decide by. If agent 0 has a confidence, a threshold on it is among the methods.
"""
Command = TypeVar("Command", bound=Callable[..., Any])


def _prices(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> dict[str, float]:
    """``NAME=NUMBER`` for each agent; names may hold an equals sign."""
    prices: dict[str, float] = {}
    for each in given:
        name, equals, number = each.rpartition("=")
        try:
            price = float(number)
        except ValueError:
            price = math.nan
        if not equals or not name or math.isnan(price):
            raise click.BadParameter(f"{each!r} is not of the form NAME=NUMBER")
        if name in prices:
            raise click.BadParameter(f"{name!r} has two prices")
        prices[name] = price
    return prices


class _Named(click.Path):
    """A path that was not left empty, as an unset variable of a shell leaves it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As click does it, but for the empty name, which it takes for the current folder."""
        if value == "":
            self.fail("the name is empty", param, ctx)
        return super().convert(value, param, ctx)


def _table_options(command: Command) -> Command:
    """What both commands ask of a table."""
    options = (
        click.argument("table", type=click.Path(dir_okay=False, path_type=Path)),
        click.option("--feature", "features", multiple=True, metavar="COLUMN",
                     help="Decide by this column; again for more.  [default: all numbers]"),
        click.option("--price", "prices", multiple=True, metavar="NAME=NUMBER", callback=_prices,
                     help="What asking an agent costs, in units of error; again for more."),
        click.option("--main", metavar="NAME", help="Agent 0.  [default: the first in TABLE]"),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@click.group()
def defer() -> None:
    """Learn to defer: who should answer which example?"""


@defer.command(
    help=f"Fit a rejector on TABLE, compare it, and save what validation chooses.\n{COLUMNS}",
    epilog="Example: assistlearn defer fit outcomes.csv --price gpt=0.1 --output router",
)
@_table_options
@click.option(
    "--output",
    "folder",
    required=True,
    type=_Named(file_okay=False, path_type=Path),
    help="Folder for rejector, report and figures; replaces those of an earlier fit.",
)
@click.option("--surrogate", default="two_stage", show_default=True, help="Loss to train on.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@json_option
def fit(  # noqa: PLR0913  (one parameter for each option)
    *,
    table: Path,
    features: tuple[str, ...],
    prices: dict[str, float],
    main: str | None,
    folder: Path,
    surrogate: str,
    seed: int,
    as_json: bool,
) -> None:
    """Three fifths of the rows to learn, one to choose, one to measure what both teach."""
    output = Output(as_json=as_json)
    with output.waiting("reading"):
        from assistlearn.deferral.tables import read_outcomes  # noqa: PLC0415
        from parties.deferral import fitting  # noqa: PLC0415

        outcomes = read_outcomes(table, features=features, prices=prices, main=main)
    fitting.fit(outcomes, table, surrogate=surrogate, seed=seed, folder=folder, output=output)


@defer.command(
    help=f"Compare all methods on TABLE over several seeds.\n{COLUMNS}",
    epilog="Example: assistlearn defer report outcomes.csv --seeds 5 --output results/defer",
)
@_table_options
@click.option("--group", metavar="COLUMN", help="Figures for each label in this column too.")
@click.option(
    "--surrogate",
    "surrogates",
    multiple=True,
    help="Only this loss; again for more.  [default: all]",
)
@click.option(
    "--label",
    metavar="COLUMN",
    help="The right class; then one-stage methods, which learn to answer too, are compared.",
)
@click.option("--seeds", type=click.IntRange(min=1), default=5, show_default=True)
@click.option(
    "--output",
    "folder",
    type=_Named(file_okay=False, path_type=Path),
    help="Folder for results.json, report.md and figures.",
)
@json_option
def report(  # noqa: PLR0913  (one parameter for each option)
    *,
    table: Path,
    features: tuple[str, ...],
    prices: dict[str, float],
    main: str | None,
    group: str | None,
    surrogates: tuple[str, ...],
    label: str | None,
    seeds: int,
    folder: Path | None,
    as_json: bool,
) -> None:
    """Each seed divides the rows and fits anew."""
    output = Output(as_json=as_json)
    with output.waiting("reading"):
        from assistlearn.deferral.tables import read_outcomes  # noqa: PLC0415
        from parties.deferral import comparing  # noqa: PLC0415

        outcomes = read_outcomes(
            table, features=features, prices=prices, main=main, group=group, label=label
        )
    comparing.compare(
        outcomes, table, surrogates=surrogates, seeds=seeds, folder=folder, output=output
    )


@defer.command(
    epilog="Example: assistlearn defer decide router/rejector.safetensors new.csv"
    " --output decisions.csv"
)
@click.argument("rejector", type=_Named(path_type=Path))
@click.argument("table", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--output",
    "target",
    type=_Named(dir_okay=False, path_type=Path),
    help="CSV file: agent, reason and expected costs, row by row.",
)
@click.option(
    "--threshold",
    type=float,
    metavar="COST",
    help="Ask an expert only where that is expected to save more.  [default: go by the scores]",
)
@click.option("--unavailable", multiple=True, metavar="NAME", help="Agent that cannot be had.")
@json_option
def decide(  # noqa: PLR0913  (one parameter for each option)
    *,
    rejector: Path,
    table: Path,
    target: Path | None,
    threshold: float | None,
    unavailable: tuple[str, ...],
    as_json: bool,
) -> None:
    """Say who answers each row of TABLE, by a REJECTOR that `defer fit` saved.

    TABLE needs the features that the rejector was fitted on, by the same names. REJECTOR is its
    file, or the folder that it is in.
    """
    output = Output(as_json=as_json)
    with output.waiting("reading"):
        from parties.deferral import deciding  # noqa: PLC0415
    deciding.decide(
        rejector,
        table,
        target=target,
        threshold=threshold,
        unavailable=unavailable,
        output=output,
    )
