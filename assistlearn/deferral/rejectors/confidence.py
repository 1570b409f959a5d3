"""Asking an expert where the main model is not confident: the competitor that needs no training.

Letters: B examples, A agents.
"""

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from assistlearn.deferral.rejectors.agents import AgentNames, AgentNumbers
from assistlearn.deferral.rejectors.arrays import Floats, Layout, State
from assistlearn.deferral.rejectors.interface import RejectorBase, checked_number
from assistlearn.errors import ConfigError, DataError
from assistlearn.tasks.references import did_you_mean


class ConfidenceThreshold(RejectorBase):
    """Keeps the main model's answer where its confidence reaches a threshold.

    Threshold and expert are those of the least mean cost on the rows it is fitted on, exactly, by
    one sort. Where the agents were fitted on the same rows, the main model is more confident there
    than elsewhere, so fit this one on others.

    Args:
        agents: names, the main model's first; see :class:`.Rejector`.
        prices: added to the costs.
        confidence: the feature that holds the main model's confidence, such as its largest
            class probability, by the data frame's column name or by number.

    Attributes:
        threshold_: least confidence that is kept, in the feature's unit. Shape ``()``.
        expert_: number of the agent that answers below it. Shape ``()``.
        region_costs_: mean costs below the threshold, and from it on. Shape ``(2, A)``.
    """

    def __init__(
        self,
        *,
        agents: AgentNames = None,
        prices: AgentNumbers = None,
        confidence: str | int = 0,
    ) -> None:
        self.agents = agents
        self.prices = prices
        self.confidence = confidence

    def fit(self, X: Any, y: Any) -> Self:
        """Choose from features X ``(n, F)`` and costs y ``(n, A)``, at least two rows."""
        features, costs = self._read(X, y)
        self.column_ = self._column()
        confidences = features[:, self.column_].astype(np.float64)
        order = np.argsort(confidences, kind="stable")
        ascending, sorted_costs = confidences[order], costs[order].astype(np.float64)
        experts = sorted_costs[:, 1:]
        self.threshold_, self.expert_ = np.array(ascending[0]), np.array(0)
        if experts.shape[1]:
            # Saved by deferring the k least confident examples to each expert, k = 0..B.
            saved = np.zeros((len(costs) + 1, experts.shape[1]))
            np.cumsum(sorted_costs[:, :1] - experts, axis=0, out=saved[1:])
            # Equal confidences cannot be parted.
            saved[1:-1][ascending[1:] == ascending[:-1]] = -np.inf
            deferred, expert = np.unravel_index(saved.argmax(), saved.shape)
            self.threshold_ = np.array(_between(ascending, int(deferred)))
            self.expert_ = np.array(int(expert) + 1)
        kept = confidences >= self.threshold_
        overall = costs.mean(axis=0, dtype=np.float64)
        self.region_costs_ = np.stack(
            [
                costs[part].mean(axis=0, dtype=np.float64) if part.any() else overall
                for part in (~kept, kept)
            ]
        )
        gaps = costs - self.region_costs_[kept.astype(int)]
        self.cost_errors_ = np.sqrt(np.square(gaps).mean(axis=0))
        return self

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self._column() != self.column_:
            raise ConfigError(
                f"confidence is {self.confidence!r}, not the feature that the threshold was found"
                " for",
                hint="fit the rejector again: its parameters were changed since",
            )

    def _scores(self, features: Floats) -> Floats:
        leads = self._leads(features)
        # Float32 scores must not round what is just below the threshold up to a tie.
        leads = np.where(leads < 0, np.minimum(leads, -np.finfo(np.float32).tiny), leads)
        scores = np.repeat(np.minimum(leads, 0)[:, None] - 1, len(self.agents_), axis=1)
        scores[:, int(self.expert_)] = 0
        scores[:, 0] = leads  # at 0 a tie, which the main model wins
        return scores

    def _expected_costs(self, features: Floats) -> Floats:
        kept = self._leads(features) >= 0
        found: Floats = self.region_costs_[kept.astype(int)].astype(features.dtype)
        return found

    def _leads(self, features: Floats) -> npt.NDArray[np.float64]:
        """How far confidences are above the threshold, which may lie between two of float32."""
        leads: npt.NDArray[np.float64]
        leads = features[:, self.column_].astype(np.float64) - self.threshold_
        return leads

    def _layout(self) -> Layout:
        return {
            "threshold": ((), np.float64),
            "expert": ((), np.int64),
            "region_costs": ((2, len(self.agents_)), np.float64),
        }

    def _state(self) -> State:
        return {
            "threshold": self.threshold_,
            "expert": self.expert_,
            "region_costs": self.region_costs_,
        }

    def _restore(self, state: State) -> None:
        self.column_ = self._column()
        self.threshold_, self.region_costs_ = state["threshold"], state["region_costs"]
        self.expert_ = np.array(
            checked_number(state["expert"], count=len(self.agents_), what="the expert")
        )

    def _column(self) -> int:
        whole = isinstance(self.confidence, int | np.integer)
        if not (whole or isinstance(self.confidence, str)) or isinstance(self.confidence, bool):
            raise ConfigError(
                f"confidence is {self.confidence!r}, must be a feature's name or number",
                hint="name the data frame's column, or count the columns from 0",
            )
        if isinstance(self.confidence, str):
            names = [*getattr(self, "feature_names_in_", ())]
            if not names:
                raise DataError(
                    f"there is no feature {self.confidence!r}: the features have no names",
                    hint="pass a data frame, or give the number of the column",
                )
            if self.confidence not in names:
                raise ConfigError(
                    f"there is no feature {self.confidence!r}",
                    hint=did_you_mean(self.confidence, names),
                )
            return int(names.index(self.confidence))
        if not -self.n_features_in_ <= self.confidence < self.n_features_in_:
            raise ConfigError(
                f"confidence is column {self.confidence}, but there are {self.n_features_in_}",
                hint="count the columns from 0",
            )
        return int(self.confidence % self.n_features_in_)


def _between(ascending: npt.NDArray[np.float64], deferred: int) -> float:
    """A threshold that leaves exactly the ``deferred`` first values below it."""
    if deferred == 0:
        return float(ascending[0])
    if deferred == len(ascending):
        return float(np.nextafter(ascending[-1], np.inf))
    below, above = float(ascending[deferred - 1]), float(ascending[deferred])
    middle = below + (above - below) / 2
    return middle if below < middle else above  # neighbours have nothing between them
