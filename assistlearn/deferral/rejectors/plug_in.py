"""The plug-in rejector: estimate each agent's expected cost, ask the cheapest.

The post-hoc competitor of every learned rejector: where its regression is right, no surrogate can
do better, and its scores *are* its cost estimates.

Letters: B examples, A agents, F features.
"""

from typing import Any, Final, Self

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import KFold, cross_val_predict

from assistlearn.deferral.rejectors.agents import AgentNames, AgentNumbers
from assistlearn.deferral.rejectors.arrays import Floats, Layout, State
from assistlearn.deferral.rejectors.interface import RejectorBase
from assistlearn.deferral.rejectors.ridge import CostEstimate, fit_costs
from assistlearn.deferral.rejectors.scaling import Scaling

FOLDS: Final = 5


class PlugInRejector(RejectorBase):
    """Regresses the costs on the features; the least estimate decides.

    Args:
        agents: names, the main model's first; see :class:`.Rejector`.
        prices: added to the costs.
        regressor: a scikit-learn regressor of several outputs, such as a random forest; None for
            ridge regression with the penalty chosen by generalised cross-validation.

    Attributes:
        scaling_: means and deviations of the features (ridge only).
        cost_estimate_: the ridge regression, or None.
        regressor_: the fitted regressor, or None.
    """

    def __init__(
        self,
        *,
        agents: AgentNames = None,
        prices: AgentNumbers = None,
        regressor: Any = None,
    ) -> None:
        self.agents = agents
        self.prices = prices
        self.regressor = regressor

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from features X ``(n, F)`` and costs y ``(n, A)``, at least two rows."""
        features, costs = self._read(X, y)
        self.regressor_ = self.scaling_ = self.cost_estimate_ = None
        if self.regressor is None:
            self.scaling_, scaled = Scaling.fit(features)
            self.cost_estimate_, self.cost_errors_ = fit_costs(scaled, costs)
            return self
        targets = costs if costs.shape[1] > 1 else costs[:, 0]
        self.regressor_ = clone(self.regressor).fit(features, targets)
        folds = KFold(min(FOLDS, len(features)), shuffle=True, random_state=0)
        unseen = cross_val_predict(clone(self.regressor), features, targets, cv=folds)
        gaps = unseen.reshape(costs.shape) - costs
        self.cost_errors_ = np.sqrt(np.square(gaps).mean(axis=0, dtype=np.float64))
        return self

    def _scores(self, features: Floats) -> Floats:
        return -self._expected_costs(features)

    def _expected_costs(self, features: Floats) -> Floats:
        if self.regressor_ is not None:
            found: Floats = self.regressor_.predict(features).reshape(len(features), -1)
            return found
        assert self.scaling_ is not None  # one of the two was fitted
        assert self.cost_estimate_ is not None
        return self.cost_estimate_(self.scaling_(features))

    def _layout(self) -> Layout:
        width, count = self.n_features_in_, len(self.agents_)
        return {
            **Scaling.layout(width, self.dtype_),
            **CostEstimate.layout(width, count, self.dtype_),
        }

    def _state(self) -> State:
        assert self.scaling_ is not None  # saving refuses other regressors
        assert self.cost_estimate_ is not None
        return {**self.scaling_.state(), **self.cost_estimate_.state()}

    def _restore(self, state: State) -> None:
        self.regressor_ = None
        self.scaling_ = Scaling.restored(state)
        self.cost_estimate_ = CostEstimate.restored(state)
