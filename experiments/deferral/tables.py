"""Tables of a study of deferral, and the same figures for JSON: losses first, always paired."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

from assistlearn.deferral.report import Metrics, Report, Spread, Table, spread
from assistlearn.deferral.report.build import Method
from assistlearn.deferral.report.tables import NOTHING, cell
from experiments.deferral.common import EQUAL, GAP, MILD, PAIRS, Decided


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A figure of a method in a table."""

    heading: str
    figure: Callable[[Metrics], float]
    percent: bool = False
    of_agents: bool = False
    """Whether it compares with the oracle of the agents."""


LOSS: Final = Column(heading="deferral loss", figure=attrgetter("deferral_loss"))
COLUMNS: Final = (
    LOSS,
    Column(heading="accuracy %", figure=attrgetter("accuracy"), percent=True),
    Column(heading="regret", figure=attrgetter("regret"), of_agents=True),
    Column(heading="over random", figure=attrgetter("over_random")),
    Column(heading="recall mean %", figure=attrgetter("recall_mean"), percent=True, of_agents=True),
    Column(heading="recall least %", figure=attrgetter("recall_min"), percent=True, of_agents=True),
)


def table(
    report: Report,
    title: str,
    *,
    baseline: str = EQUAL,
    note: str = "",
    beside: Sequence[Method] = (),
) -> Table:
    """Every method, every agent alone and the oracle, with paired differences to ``baseline``.

    Args:
        report: what was measured.
        title: of the table.
        baseline: a method.
        note: below the table.
        beside: methods with another agent 0, which have no regret or recall here: the oracle of
            these agents is not theirs.
    """
    against = report.method(baseline)
    apart = {each.name for each in beside}

    def row(method: Method) -> tuple[str, ...]:
        first, *others = (
            cell(method.spread(each.figure), percent=each.percent) for each in COLUMNS
        )
        pairs = zip(method.metrics, against.metrics, strict=True)
        ahead = spread(
            [LOSS.figure(one) - LOSS.figure(two) for one, two in pairs], overlap=report.overlap
        )
        if method.name in apart:
            others = [
                NOTHING if each.of_agents else other
                for each, other in zip(COLUMNS[1:], others, strict=True)
            ]
        return (method.name, first, cell(ahead), *others)

    alone = (agent.alone for agent in report.agents)
    methods = [*report.methods, *beside, *alone, report.oracle]
    first, *others = (each.heading for each in COLUMNS)
    return Table(
        title=title,
        columns=("method", first, f"minus {baseline}", *others),
        rows=tuple(map(row, methods)),
        note=note,
    )


def paired(reports: Mapping[str, Report]) -> Table:
    """On every set, each variant of MILD minus its own loss with equal margins, by seed."""
    figures: dict[str, Callable[[Metrics], float]] = {
        "loss": LOSS.figure,
        "recall %": attrgetter("recall_mean"),
    }
    every = [{method.name for method in report.methods} for report in reports.values()]
    pairs = {
        name: against
        for name, against in PAIRS.items()
        if {name, against} <= set.intersection(*every)
    }
    return Table(
        title="MILD minus equal margins, paired by seed",
        columns=("set", *(f"{name}: {each}" for name in pairs for each in figures)),
        rows=tuple(
            (
                label,
                *(
                    cell(report.difference(name, against, figure), percent="%" in heading)
                    for name, against in pairs.items()
                    for heading, figure in figures.items()
                ),
            )
            for label, report in reports.items()
        ),
        note=f"equal margins: the same loss with e = 0 ({GAP!r} for gap weights, hinge and ramp by"
        " the same solver); recall: mean over agents, in points",
    ).narrower()


def shares(report: Report) -> Table:
    """Mean share of the examples that each agent answers, method by method."""
    methods = [*report.methods, report.oracle]
    return Table(
        title="share of the examples that each agent answers, %",
        columns=("agent", *(each.name for each in methods)),
        rows=tuple(
            (
                agent.name,
                *(
                    f"{100 * spread([m.shares[number] for m in each.metrics]).mean:.1f}"
                    for each in methods
                ),
            )
            for number, agent in enumerate(report.agents)
        ),
    ).narrower()


def plain(
    report: Report, *, baseline: str = EQUAL, beside: Sequence[Method] = ()
) -> dict[str, Any]:
    """What the table shows and the shares and recalls of agents, for JSON.

    A figure is its mean and the half-width of its interval; see :class:`.Spread`. Arguments as in
    :func:`table`.
    """
    against = [LOSS.figure(each) for each in report.method(baseline).metrics]
    apart = {each.name for each in beside}

    def figures(method: Method) -> dict[str, Any]:
        losses = [LOSS.figure(each) for each in method.metrics]
        differences = [one - two for one, two in zip(losses, against, strict=True)]
        shown = [each for each in COLUMNS if method.name not in apart or not each.of_agents]
        recalls = _means([each.recalls for each in method.metrics])
        return {
            **{each.heading: _pair(method.spread(each.figure)) for each in shown},
            f"minus {baseline}": _pair(spread(differences, overlap=report.overlap)),
            "deferral loss by seed": [round(each, 4) for each in losses],
            "shares": _means([each.shares for each in method.metrics]),
            **({} if method.name in apart else {"recalls": recalls}),
        }

    alone = (agent.alone for agent in report.agents)
    methods = [*report.methods, *beside, *alone, report.oracle]
    names = {each.name for each in methods}
    return {
        "MILD minus its own loss with equal margins": {
            name: _pair(report.difference(name, against, LOSS.figure))
            for name, against in PAIRS.items()
            if {name, against} <= names
        },
        "overlap": report.overlap,
        "agents": [each.name for each in report.agents],
        "test examples": list(report.examples),
        "one cheapest agent": round(spread(report.decided).mean, 4),
        "oracle shares": _means([[*each] for each in zip(
            *(agent.oracle_shares for agent in report.agents), strict=True)]),
        "imbalance by seed": list(report.imbalance),
        "best agent": report.best_agent.name,
        "methods": {each.name: figures(each) for each in methods},
    }  # fmt: skip


def _means(by_seed: Sequence[Sequence[float]]) -> list[float]:
    return [round(spread(values).mean, 4) for values in zip(*by_seed, strict=True)]


def _pair(value: Spread) -> list[Any]:
    found = [round(value.mean, 4), round(value.half_width, 4)]
    whole = value.count == value.seeds
    return found if whole else [*found, f"{value.count} of {value.seeds} seeds"]


def margins_chosen(found: Sequence[Decided], name: str = MILD) -> str:
    """The exponents of the rule that validation chose, and the weight decays, by seed."""
    made = [each.settings[name] for each in found]
    exponents = ", ".join(f"{each['surrogate_settings']['exponent']:.2g}" for each in made)
    return f"e = {exponents}; weight decay {', '.join(str(each['weight_decay']) for each in made)}"
