"""What one method did on one held-out set, in figures.

B examples, A agents; agent 0 is the main model.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from assistlearn.deferral.arrays import Bools, Floats, Ints
from assistlearn.deferral.report.audit import Audit
from assistlearn.deferral.report.oracle import Oracle, cheapest, shares_of
from assistlearn.deferral.report.trial import Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The figures that matter, for the examples of one label."""

    label: str
    count: int
    deferral_loss: float
    regret: float
    coverage: float
    accuracy: float
    """NaN where nothing is said to be correct."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """One method, one seed. Losses, prices and regrets are means, in the costs' unit."""

    deferral_loss: float
    """Mean cost of the agents chosen, prices included."""

    price: float
    """Mean price paid for asking."""

    error: float
    """Deferral loss without what was paid."""

    accuracy: float
    """System accuracy: how often the agent chosen is right; NaN where nobody says."""

    coverage: float
    """Share that agent 0 answers itself."""

    regret: float
    """Deferral loss beyond that of the cheapest agent on each example."""

    over_random: float
    """What the deferral loss would be more with the same shares dealt out at random."""

    recall_min: float
    """Least of ``recalls``: the agent that is overlooked most.

    Over the agents that are the only cheapest somewhere in the report. NaN where one of them has
    no such example in this seed: without it, the seed would look better than it is.
    """

    recall_mean: float
    """Mean of the same ``recalls``: balanced routing accuracy."""

    divergence: float
    """KL divergence of the shares from the oracle's, nats; see :meth:`.Oracle.divergence`."""

    shares: tuple[float, ...]
    """Share of the examples that each agent answers."""

    recalls: tuple[float, ...]
    """For each agent, see :meth:`.Oracle.recalls`."""

    audit: Audit
    groups: tuple[Group, ...]


def measured(trial: Trial, oracle: Oracle, agents: Ints, *, needed: Bools) -> Metrics:
    """All figures of a method that chose ``agents`` (B,).

    ``needed`` (A,) says which agents are the only cheapest on an example of any seed.
    """
    costs, number = trial.costs, trial.costs.shape[1]
    paid = picked(costs, agents)
    price = float(picked(trial.prices, agents).mean())
    loss = float(paid.mean())
    shares = shares_of(np.bincount(agents, minlength=number))
    recalls = oracle.recalls(agents)
    wanted = recalls[needed]
    right = None if trial.correct is None else picked(trial.correct, agents)
    regrets = np.where(picked(cheapest(costs), agents), 0.0, paid - costs.min(axis=1))
    return Metrics(
        deferral_loss=loss,
        price=price,
        error=loss - price,
        accuracy=float("nan") if right is None else float(right.mean()),
        coverage=float(shares[0]),
        regret=float(regrets.mean()),
        over_random=float(shares @ costs.mean(axis=0)) - loss,
        recall_min=float(wanted.min()) if len(wanted) else float("nan"),
        recall_mean=float(wanted.mean()) if len(wanted) else float("nan"),
        divergence=oracle.divergence(agents),
        shares=tuple(shares.tolist()),
        recalls=tuple(recalls.tolist()),
        audit=Audit.of(costs, agents),
        groups=_groups(trial, paid, regrets, agents == 0, right),
    )


def picked(values_BA: npt.NDArray[np.generic], agents: Ints) -> Floats:
    """Each example's value of the agent chosen. Shape ``(B,)``."""
    chosen = np.take_along_axis(values_BA, agents[:, None], axis=1)[:, 0]
    return np.asarray(chosen, dtype=np.float64)


def _groups(
    trial: Trial, paid: Floats, regrets: Floats, kept: Bools, right: Floats | None
) -> tuple[Group, ...]:
    if trial.groups is None:
        return ()
    return tuple(
        Group(
            label=str(label),
            count=int(inside.sum()),
            deferral_loss=float(paid[inside].mean()),
            regret=float(regrets[inside].mean()),
            coverage=float(kept[inside].mean()),
            accuracy=float("nan") if right is None else float(right[inside].mean()),
        )
        for label in np.unique(trial.groups)
        for inside in [trial.groups == label]
    )
