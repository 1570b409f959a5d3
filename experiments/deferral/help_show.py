"""Learning to help, what was found as tables and as plain values, published numbers beside.

Percentages are shares of test images. ± is the 95 % interval over seeds by Student's t.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final

from assistlearn.deferral.help import HelpCosts
from assistlearn.deferral.report import Spread, Table
from assistlearn.deferral.report.tables import cell
from experiments.deferral.help_curves import BOUNDS, Bounded
from experiments.deferral.help_results import (
    ALL_LOCAL,
    ALL_REMOTE,
    CONFIDENCE,
    MOVED,
    OURS,
    PLUG_IN,
    PUBLISHED,
    Row,
)
from experiments.deferral.help_setup import MISSING_CLASS
from experiments.deferral.help_tables import (
    GROUPS,
    STANDS_FOR,
    TABLE_1_PUBLISHED,
    TABLE_6_PUBLISHED,
    Missing,
    Side,
    Stale,
    implied,
)
from experiments.deferral.help_world import Interval

SHOWN_BOUNDS: Final = (0.1, 0.2, 0.3, 0.5)
MEANS_ONLY: Final = "Means; intervals are in the JSON file and the figure."


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Everything measured on one data set."""

    models: Mapping[str, tuple[Spread, Spread, Spread]]
    """Accuracy of client and server on training images, of cross-fitted ones there, on test."""
    steps: Mapping[str, Row]
    """At the costs of Table 1, from the published recipe to ours."""
    table_1: Mapping[str, tuple[Side, Side]]
    swept: Mapping[HelpCosts, Mapping[str, Row]]
    stale: Mapping[HelpCosts, Mapping[Interval, Stale]]
    bounded: Mapping[str, Bounded]
    missing: Mapping[str, Missing]
    rounding: Spread
    """Share of test decisions that differ when the published rejector is trained once more, by the
    library's own loop: only rounding differs."""


def tables(data: str, found: Findings) -> Iterator[Table]:
    """In the order of the study's questions."""
    yield _models(data, found)
    yield _steps(data, found)
    yield _table_1(data, found)
    yield _swept(data, found)
    yield _stale(data, found)
    yield _bounded(data, found)
    yield _missing(data, found)


def _models(data: str, found: Findings) -> Table:
    return Table(
        title=f"{data}: the models, accuracy %",
        columns=(
            "model",
            "training images",
            "same, cross-fitted",
            "test images",
            "published, test",
        ),
        rows=tuple(
            (name, *(_percent(each) for each in accuracies), _percent(published))
            for (name, accuracies), published in zip(
                found.models.items(), _published_models(data), strict=True
            )
        ),
        note=f"Published: {STANDS_FOR[data]}, as its Table 1 implies.",
    )


def _published_models(data: str) -> tuple[float, float]:
    there = implied(TABLE_1_PUBLISHED[STANDS_FOR[data]])
    return there.client, there.server


def _steps(data: str, found: Findings) -> Table:
    source = STANDS_FOR[data]
    there = implied(TABLE_1_PUBLISHED[source])
    by_chance = there.loss - _random_loss(there.all_local, there.all_remote, _asked(source))
    lines: list[tuple[str, ...]] = [
        (
            f"published, {source}",
            f"{there.loss:.3f}",
            f"{there.loss - there.all_local:+.3f}",
            f"{by_chance:+.3f}",
            _percent(there.system),
            _percent(there.system - there.random),
            _percent(_asked(source)),
        )
    ]
    for name, row in found.steps.items():
        losses = (row.loss, row.minus_all_local, row.minus_random)
        shares = (row.accuracy, row.accuracy_over_random, row.reject_rate)
        lines.append((name, *map(cell, losses), *map(_percent, shares)))
    return Table(
        title=f"{data}: c_1 = 1.25, c_e = 0.25, from the published recipe to ours",
        columns=(
            "method", "generalised 0-1 loss", "less never asking", "less random, same rate",
            "accuracy %", "over random", "reject rate %",
        ),
        rows=tuple(lines),
        note=f'"{MOVED.strip(", ")}": by a threshold on its score, chosen on calibration images.',
    )  # fmt: skip


def _asked(source: str) -> float:
    local, remote = TABLE_1_PUBLISHED[source]
    return float(remote.ratio / (local.ratio + remote.ratio))


def _random_loss(all_local: float, all_remote: float, rate: float) -> float:
    return (1 - rate) * all_local + rate * all_remote


def _table_1(data: str, found: Findings) -> Table:
    source = STANDS_FOR[data]
    lines = {f"published, {source}": TABLE_1_PUBLISHED[source], **found.table_1}
    return Table(
        title=f"{data}: Table 1, both models on both sides, c_1 = 1.25, c_e = 0.25, all in %",
        columns=(
            "method", "LOCAL", "client", "server", "difference",
            "REMOTE", "client there", "server there", "difference there",
        ),
        rows=tuple((name, *_sides(*sides)) for name, sides in lines.items()),
    )  # fmt: skip


def _sides(*sides: Side) -> tuple[str, ...]:
    return tuple(_percent(getattr(side, each.name)) for side in sides for each in fields(side))


def _swept(data: str, found: Findings) -> Table:
    names = (PUBLISHED, OURS, CONFIDENCE, PLUG_IN)
    return Table(
        title=f"{data}: against c_e, reject rate % / accuracy % / generalised 0-1 loss",
        columns=("c_1, c_e", *names, ALL_LOCAL, ALL_REMOTE, "oracle"),
        rows=tuple(
            (
                f"{costs.server_error_cost:g}, {costs.query_cost:g}",
                *(
                    f"{100 * by_name[name].reject_rate.mean:.1f} /"
                    f" {100 * by_name[name].accuracy.mean:.1f} / {by_name[name].loss.mean:.3f}"
                    for name in names
                ),
                *(f"{by_name[name].loss.mean:.3f}" for name in (ALL_LOCAL, ALL_REMOTE, "oracle")),
            )
            for costs, by_name in found.swept.items()
        ),
        note=f"{MEANS_ONLY} Published values are a plot.",
    )


def _stale(data: str, found: Findings) -> Table:
    return Table(
        title=f"{data}: published recipe, a server that is seen every S iterations (Tables 2 to 5)",
        columns=(
            "c_1, c_e, S", "reject rate %", "accuracy %", "generalised 0-1 loss",
            "less synchronous", "server over client, LOCAL", "the same, REMOTE",
        ),
        rows=tuple(
            (
                f"{costs.server_error_cost:g}, {costs.query_cost:g}, {_shown_interval(interval)}",
                _percent(each.row.reject_rate),
                _percent(each.row.accuracy),
                cell(each.row.loss),
                cell(each.minus_synchronous),
                _percent(each.local.difference),
                _percent(each.remote.difference),
            )
            for costs, by_interval in found.stale.items()
            for interval, each in by_interval.items()
        ),
        note="Differences of accuracy in points. Published values are not at hand.",
    )  # fmt: skip


def _shown_interval(interval: Interval) -> str:
    return "|D| (once an epoch)" if interval == "epoch" else str(interval)


def _bounded(data: str, found: Findings) -> Table:
    places = [BOUNDS.index(each) for each in SHOWN_BOUNDS]
    return Table(
        title=f"{data}: bounded reject rate, c_1 = 1.12, c_e = 0.25, accuracy % (loss saved)",
        columns=("rule", *(f"bound {100 * each:g} %" for each in SHOWN_BOUNDS)),
        rows=tuple(
            (
                name,
                *(
                    f"{_percent(rule.accuracy[place])} ({rule.gain[place].mean:+.4f})"
                    for place in places
                ),
            )
            for name, rule in found.bounded.items()
        ),
        note="Loss saved: against asking at random at the same rate. Published values are a plot.",
    )


def _missing(data: str, found: Findings) -> Table:
    def line(name: str, rates: Mapping[str, float] | None, accuracies: Mapping[str, float]) -> Any:
        asked = rates or {}
        return (
            f"published, SVHN: {name}",
            *(f"{_percent(accuracies.get(each))} / {_percent(asked.get(each))}" for each in GROUPS),
        )

    return Table(
        title=(
            f"{data}: Table 6, a client that never saw class {MISSING_CLASS}, c_1 = 1.25,"
            " c_e = 0.25, accuracy % / reject rate % / generalised 0-1 loss"
        ),
        columns=("method", *GROUPS),
        rows=(
            line("only local", None, TABLE_6_PUBLISHED["only local"]),
            line("only remote", None, TABLE_6_PUBLISHED["only remote"]),
            line("jointly", TABLE_6_PUBLISHED["reject rate"], TABLE_6_PUBLISHED["jointly"]),
            *(
                (
                    name,
                    *(
                        f"{_percent(each.accuracy[group])} / {_percent(each.reject_rate[group])} /"
                        f" {cell(each.loss[group])}"
                        for group in GROUPS
                    ),
                )
                for name, each in found.missing.items()
            ),
        ),
        note="macro: mean over classes; micro: over images. The costs of the published table are"
        " not known.",
    )


def _percent(value: Any) -> str:
    """A share as a percentage, with its interval if it has one."""
    if value is None:
        return "-"
    if isinstance(value, Spread):
        return cell(value, percent=True)
    return f"{100 * value:.1f}"


def plain(found: Any) -> Any:
    """Values for JSON: a spread is [mean, half width of the interval], costs are words."""
    if isinstance(found, Spread):
        return [round(found.mean, 5), round(found.half_width, 5)]
    if is_dataclass(found):
        return {each.name: plain(getattr(found, each.name)) for each in fields(found)}
    if isinstance(found, Mapping):
        return {_key(key): plain(value) for key, value in found.items()}
    if isinstance(found, (tuple, list)):
        return [plain(each) for each in found]
    return found


def _key(key: Any) -> str:
    if isinstance(key, HelpCosts):
        return f"c_1={key.server_error_cost:g}, c_e={key.query_cost:g}"
    return str(key).strip()
