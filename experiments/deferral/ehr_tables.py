"""What ``defer_ehr`` found: figures of both tasks, the paper's directions, tables.

Letters: B patients, A agents.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

import numpy as np
from sklearn.metrics import roc_auc_score

from assistlearn.deferral.arrays import Floats, Ints
from assistlearn.deferral.report import Metrics, Report, Spread, Table, deferral_report, spread
from assistlearn.deferral.report.build import Method
from assistlearn.deferral.report.tables import cell
from experiments.deferral.common import BEST_AGENT, Decided, rounded
from experiments.deferral.ehr_agents import OVERLAP, Answers, Case
from experiments.deferral.ehr_ways import CLASS, JOINT, LINEAR, VALUE

Figure = Callable[[Metrics], float]
COST: Final[Figure] = attrgetter("deferral_loss")
ACCURACY: Final[Figure] = attrgetter("accuracy")
KEPT: Final[Figure] = attrgetter("coverage")


def value_error(metrics: Metrics) -> float:
    """Mean error of the value: what of the joint cost is not a wrong class."""
    return metrics.deferral_loss - (1 - metrics.accuracy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Somebody who is no agent, in one seed."""

    accuracy: float
    area: float
    """Under the ROC curve."""
    value_error: float

    @property
    def cost(self) -> float:
        """Joint cost."""
        return 1 - self.accuracy + self.value_error


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What came of one case, all seeds."""

    case: Case
    report: Report
    areas: Mapping[str, tuple[float, ...]]
    """Area under the ROC curve of the class, by method and seed."""
    references: tuple[Reference, ...]

    @property
    def methods(self) -> tuple[Method, ...]:
        """All, then every agent alone, then the oracle."""
        alone = (agent.alone for agent in self.report.agents)
        return (*self.report.methods, *alone, self.report.oracle)

    def by_seed(self, name: str, figure: Figure) -> list[float]:
        """A figure of a method, an agent alone, or the oracle."""
        (method,) = (each for each in self.methods if each.name == name)
        return [figure(each) for each in method.metrics]

    def ahead(self, name: str, other: str, figure: Figure = COST) -> Spread:
        """``name`` minus ``other``, paired by seed."""
        return _paired(self.by_seed(name, figure), self.by_seed(other, figure))

    def reference_ahead(self, other: str) -> Spread:
        """The reference's joint cost minus that of ``other``, paired by seed."""
        return _paired([each.cost for each in self.references], self.by_seed(other, COST))


def measured(case: Case, answers: Sequence[Answers], made: Sequence[Decided]) -> Found:
    """The report on all seeds, and what it does not know: areas and the reference."""
    report = deferral_report([each.trial for each in made], agents=case.agents, overlap=OVERLAP)
    areas: dict[str, list[float]] = {}
    references = []
    for each, decided in zip(answers, made, strict=True):
        told, died = each.probabilities[each.test], each.died[each.test]
        chosen = {name: routing.agents for name, routing in decided.trial.methods.items()}
        for number, agent in enumerate(report.agents):
            chosen[agent.alone.name] = np.full(len(died), number)
        chosen[report.oracle.name] = decided.trial.costs.argmin(axis=1)
        for name, agents in chosen.items():
            areas.setdefault(name, []).append(_area(told, agents, died))
        wrong, off = each.reference_errors(case.error)
        references.append(
            Reference(
                accuracy=1 - float(wrong[each.test].mean()),
                area=float(roc_auc_score(died, each.reference[each.test, 0])),
                value_error=float(off[each.test].mean()),
            )
        )
    return Found(
        case=case,
        report=report,
        areas={name: tuple(by_seed) for name, by_seed in areas.items()},
        references=tuple(references),
    )


def _area(told_BA: Floats, agents_B: Ints, died_B: Ints) -> float:
    return float(roc_auc_score(died_B, told_BA[np.arange(len(died_B)), agents_B]))


def _spread(by_seed: Sequence[float]) -> Spread:
    return spread(by_seed, overlap=OVERLAP)


def _paired(first: Sequence[float], second: Sequence[float]) -> Spread:
    return _spread([one - two for one, two in zip(first, second, strict=True)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A direction in the paper's results: one method has more, or less, of it than another."""

    what: str
    first: str
    second: str
    figure: Figure
    sign: int
    """1 if the first has more, -1 if less."""

    def difference(self, found: Found, kind: str) -> Spread:
        """First minus second, both networks or both linear."""
        return found.ahead(self.first + kind, self.second + kind, self.figure)

    def verdict(self, difference: Spread) -> str:
        """Whether the interval lies on the claimed side of 0, on the other, or on both."""
        claimed = self.sign * difference.mean
        if abs(claimed) <= difference.half_width:
            return "open"
        return "holds" if claimed > 0 else "fails"

    def __str__(self) -> str:
        return f"{self.what}: {self.first} {'above' if self.sign > 0 else 'below'} {self.second}"


CLAIMS: Final = tuple(
    Claim(what=what, first=first, second=second, figure=figure, sign=sign)
    for what, first, second, figure, sign in (
        ("joint cost", JOINT, CLASS, COST, -1),
        ("joint cost", JOINT, VALUE, COST, -1),
        ("accuracy", CLASS, JOINT, ACCURACY, 1),
        ("accuracy", JOINT, VALUE, ACCURACY, 1),
        ("error of the value", VALUE, JOINT, value_error, -1),
        ("error of the value", JOINT, CLASS, value_error, -1),
        ("share of the main model", JOINT, CLASS, KEPT, 1),
        ("share of the main model", JOINT, VALUE, KEPT, 1),
    )
)
KINDS: Final = {"network": "", "linear": LINEAR}


def claims_table(found: Found) -> Table:
    """The paper's directions as paired differences, for networks and for linear rejectors."""
    rows = []
    for claim in CLAIMS:
        differences = [claim.difference(found, kind) for kind in KINDS.values()]
        tested = ((cell(each), claim.verdict(each)) for each in differences)
        rows.append((str(claim), *(text for pair in tested for text in pair)))
    return Table(
        title="the paper's directions: first minus second, paired by seed",
        columns=("claim", *(heading for kind in KINDS for heading in (kind, ""))),
        rows=tuple(rows),
        note="holds, fails: the 95 % interval is on the claimed side of 0, or on the other",
    )


def table(found: Found, title: str) -> Table:
    """Every method with its joint cost, both tasks, and whom it asks."""
    return Table(
        title=title,
        columns=(
            "method", "joint cost", f"minus {JOINT}", f"minus {BEST_AGENT}", "accuracy %", "AUC %",
            found.case.value, "regret", "over random", "asked %",
        ),
        rows=(*_rows(found), _reference_row(found)),
        note="asked: " + " / ".join(found.case.agents) + "; over random: saved against the same"
        " shares dealt out at random; differences are paired by seed; intervals are 95 %,"
        " corrected for re-divisions of one table",
    )  # fmt: skip


def _rows(found: Found) -> Iterator[tuple[str, ...]]:
    for method in found.methods:
        shares = zip(*(each.shares for each in method.metrics), strict=True)
        yield (
            method.name,
            cell(method.spread(COST)),
            cell(found.ahead(method.name, JOINT)),
            cell(found.ahead(method.name, BEST_AGENT)),
            cell(method.spread(ACCURACY), percent=True),
            cell(_spread(found.areas[method.name]), percent=True),
            cell(method.spread(value_error)),
            cell(method.spread(attrgetter("regret"))),
            cell(method.spread(attrgetter("over_random"))),
            " / ".join(f"{100 * spread(each).mean:.0f}" for each in shares),
        )


def _reference_row(found: Found) -> tuple[str, ...]:
    def over_seeds(figure: Callable[[Reference], float]) -> Spread:
        return _spread([figure(each) for each in found.references])

    return (
        f"no agent: {found.case.reference}",
        cell(over_seeds(lambda each: each.cost)),
        cell(found.reference_ahead(JOINT)),
        cell(found.reference_ahead(BEST_AGENT)),
        cell(over_seeds(lambda each: each.accuracy), percent=True),
        cell(over_seeds(lambda each: each.area), percent=True),
        cell(over_seeds(lambda each: each.value_error)),
        *("-",) * 3,
    )


def plain(found: Found) -> dict[str, Any]:
    """The same for JSON."""
    methods = {}
    for method in found.methods:
        shares = zip(*(each.shares for each in method.metrics), strict=True)
        methods[method.name] = {
            "joint cost": rounded(method.spread(COST)),
            f"minus {JOINT}": rounded(found.ahead(method.name, JOINT)),
            f"minus {BEST_AGENT}": rounded(found.ahead(method.name, BEST_AGENT)),
            "accuracy": rounded(method.spread(ACCURACY)),
            "AUC": rounded(_spread(found.areas[method.name])),
            found.case.value: rounded(method.spread(value_error)),
            "regret": rounded(method.spread(attrgetter("regret"))),
            "over random": rounded(method.spread(attrgetter("over_random"))),
            "shares": [round(spread(each).mean, 4) for each in shares],
            "joint cost by seed": [round(COST(each), 5) for each in method.metrics],
        }
    references = found.references
    methods[f"no agent: {found.case.reference}"] = {
        "joint cost": rounded(_spread([each.cost for each in references])),
        f"minus {JOINT}": rounded(found.reference_ahead(JOINT)),
        f"minus {BEST_AGENT}": rounded(found.reference_ahead(BEST_AGENT)),
        "accuracy": rounded(_spread([each.accuracy for each in references])),
        "AUC": rounded(_spread([each.area for each in references])),
        found.case.value: rounded(_spread([each.value_error for each in references])),
    }
    tested = [
        {"claim": str(claim), "rejectors": kind, **rounded(difference),
         "verdict": claim.verdict(difference)}
        for claim in CLAIMS
        for kind, suffix in KINDS.items()
        for difference in [claim.difference(found, suffix)]
    ]  # fmt: skip
    return {
        "agents": list(found.case.agents),
        "test patients": list(found.report.examples),
        "methods": methods,
        "the paper's directions": tested,
    }
