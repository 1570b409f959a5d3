"""What ``defer_humans`` found, as tables and as plain values."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

from assistlearn.deferral.report import Metrics, Report, Spread, Table, spread
from assistlearn.deferral.report.build import Method
from assistlearn.deferral.report.tables import NOTHING, cell
from experiments.deferral.common import BEST_AGENT, rounded
from experiments.deferral.humans_ways import TWO_STAGE

ACCURACY: Final = attrgetter("accuracy")
LOSS: Final = attrgetter("deferral_loss")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One set at one price, all seeds."""

    report: Report
    one_stage: Mapping[str, Report]
    """By method; agent 0 is that method's own classes."""
    settings: tuple[Mapping[str, Any], ...]
    """What validation chose, by seed."""

    @property
    def methods(self) -> tuple[Method, ...]:
        """Two-stage methods, one-stage methods, every agent alone, the oracle."""
        own = tuple(each.methods[0] for each in self.one_stage.values())
        alone = tuple(agent.alone for agent in self.report.agents)
        return (*self.report.methods, *own, *alone, self.report.oracle)

    def method(self, name: str) -> Method:
        """The method of this name."""
        (found,) = (each for each in self.methods if each.name == name)
        return found

    def ahead(self, method: Method, other: str, figure: Any = LOSS) -> Spread:
        """``method`` minus ``other``, paired by seed."""
        pairs = zip(method.metrics, self.method(other).metrics, strict=True)
        return spread(
            [figure(one) - figure(two) for one, two in pairs], overlap=self.report.overlap
        )


def area(method: Method) -> Spread:
    """Mean accuracy over all deferral rates; nothing for a method without scores."""
    return spread([each.area for each in method.curves], overlap=method.overlap)


def table(found: Found, title: str) -> Table:
    """Every method: loss, accuracy, whom it asks."""
    return Table(
        title=f"{title}: {found.report.examples[0]} test rows, {len(found.report.seeds)} seeds",
        columns=(
            "method", "deferral loss", f"minus {TWO_STAGE}", f"minus {BEST_AGENT}", "accuracy %",
            "at all rates %", "regret", "over random", "asked %",
        ),
        rows=tuple(_rows(found)),
        note="asked: " + " / ".join(agent.name for agent in found.report.agents)
        + "; at all rates: mean accuracy over deferral rates from 0 to 1; over random: saved"
        " against the same shares at random; a one-stage method's first agent is its own model;"
        " differences are paired by seed; intervals are 95 %, corrected"
        " for re-divisions of one table",
    )  # fmt: skip


def _rows(found: Found) -> Iterator[tuple[str, ...]]:
    for method in found.methods:
        yield (
            method.name,
            cell(method.spread(LOSS)),
            cell(found.ahead(method, TWO_STAGE)),
            cell(found.ahead(method, BEST_AGENT)),
            cell(method.spread(ACCURACY), percent=True),
            cell(area(method), percent=True) if method.curves else NOTHING,
            # Regret is against the oracle of the same agents, which a one-stage method has not.
            NOTHING if method.name in found.one_stage else cell(method.spread(_regret)),
            cell(method.spread(_over_random)),
            " / ".join(f"{100 * each:.0f}" for each in shares(method)),
        )


def shares(method: Method) -> list[float]:
    """Mean share of each agent."""
    by_agent = zip(*(each.shares for each in method.metrics), strict=True)
    return [round(spread(each).mean, 4) for each in by_agent]


def _regret(metrics: Metrics) -> float:
    return metrics.regret


def _over_random(metrics: Metrics) -> float:
    return metrics.over_random


def plain(found: Found) -> dict[str, Any]:
    """The same for JSON."""

    def figures(method: Method) -> dict[str, Any]:
        return {
            "deferral loss": rounded(method.spread(LOSS)),
            f"minus {TWO_STAGE}": rounded(found.ahead(method, TWO_STAGE)),
            f"minus {BEST_AGENT}": rounded(found.ahead(method, BEST_AGENT)),
            "accuracy": rounded(method.spread(ACCURACY)),
            f"accuracy minus {BEST_AGENT}": rounded(found.ahead(method, BEST_AGENT, ACCURACY)),
            "accuracy at all rates": rounded(area(method)) if method.curves else None,
            "over random": rounded(method.spread(_over_random)),
            "shares": shares(method),
            "deferral loss by seed": [round(LOSS(each), 5) for each in method.metrics],
        }

    return {
        "agents": [agent.name for agent in found.report.agents],
        "test rows": list(found.report.examples),
        "methods": {each.name: figures(each) for each in found.methods},
        "validation chose": list(found.settings),
    }
