"""MILD's reconstruction as a rejector: margins chosen on held-out rows.

What is known of MILD and what was rebuilt stands in :mod:`assistlearn.deferral.margins`.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal, Self

import torch
from sklearn.base import clone

from assistlearn.deferral.margin_choice import (
    EXPONENTS,
    SCALES,
    margin_candidates,
    select_margins,
)
from assistlearn.deferral.rejectors.agents import AgentNames, AgentNumbers
from assistlearn.deferral.rejectors.arrays import Floats
from assistlearn.deferral.rejectors.interface import RejectorBase
from assistlearn.deferral.rejectors.minibatches import held_out_rows
from assistlearn.deferral.rejectors.rejector import Rejector
from assistlearn.errors import ConfigError

LOSSES: Final = ("log", "hinge", "ramp")


class MildRejector(RejectorBase):
    """Trains with every candidate's margins, keeps those of the least held-out deferral loss.

    Equal margins, the plain loss, are among the candidates. The winner is trained again on all
    rows. ``rejector_`` is an ordinary :class:`.Rejector` with the same agents and prices: save that
    one.

    Args:
        agents: names, the main model's first; see :class:`.Rejector`.
        prices: added to the costs.
        loss: ``"log"``, ``"hinge"`` or ``"ramp"``.
        rejector: whose other parameters to train with; None for the defaults.
        exponents: of the rule that margins follow.
        scales: mean margins.
        validation_fraction: share of the rows that chooses.
        random_state: seed of that share.

    Attributes:
        choice_: all candidates with their held-out deferral losses, and the best.
        rejector_: trained on all rows.
    """

    def __init__(  # noqa: PLR0913  # an estimator's parameters, by keyword
        self,
        *,
        agents: AgentNames = None,
        prices: AgentNumbers = None,
        loss: Literal["log", "hinge", "ramp"] = "log",
        rejector: Rejector | None = None,
        exponents: Sequence[float] = EXPONENTS,
        scales: Sequence[float] = SCALES,
        validation_fraction: float = 0.25,
        random_state: int = 0,
    ) -> None:
        self.agents = agents
        self.prices = prices
        self.loss = loss
        self.rejector = rejector
        self.exponents = exponents
        self.scales = scales
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from features X ``(n, F)`` and costs y ``(n, A)``, at least three rows."""
        if self.loss not in LOSSES:
            raise ConfigError(f"loss {self.loss!r} is unknown", hint=f"choose one of {LOSSES}")
        features, costs = self._read(X, y)
        train, held = held_out_rows(
            len(costs), fraction=self.validation_fraction, seed=self.random_state
        )
        if not len(held):
            raise ConfigError(
                "validation_fraction is 0, but margins are chosen by validation",
                hint="set it to 0.25",
            )

        def validate(margins: tuple[float, ...]) -> float:
            trial = self._rejector(margins).fit(features[train], costs[train])
            return -trial.score(features[held], costs[held])

        candidates: Sequence[tuple[float, ...]] = [(1.0,)]
        if costs.shape[1] > 1:
            candidates = margin_candidates(
                torch.from_numpy(costs[train]),
                weights=self._kept().get("weights", "sum"),
                exponents=self.exponents,
                scales=self.scales,
            )
        self.choice_ = select_margins(candidates, validate)
        best = self._rejector(self.choice_.best.margins)
        best.set_params(agents=self.agents, prices=self.prices)
        self.rejector_ = best.fit(X, y)
        self.cost_errors_ = self.rejector_.cost_errors_
        return self

    def _rejector(self, margins: tuple[float, ...]) -> Rejector:
        base = Rejector() if self.rejector is None else clone(self.rejector)
        found: Rejector = base.set_params(
            agents=None,
            prices=None,
            surrogate=f"mild_{self.loss}",
            surrogate_settings=self._kept() | {"margins": margins},
        )
        return found

    def _kept(self) -> dict[str, Any]:
        """The loss's settings that stay as they are for all candidates."""
        return {} if self.rejector is None else dict(self.rejector.surrogate_settings or {})

    def _scores(self, features: Floats) -> Floats:
        return self.rejector_._scores(features)  # noqa: SLF001  # checked already

    def _expected_costs(self, features: Floats) -> Floats:
        return self.rejector_._expected_costs(features)  # noqa: SLF001
