"""What all rejectors share: scikit-learn's conventions with costs in the place of labels.

``fit(X, y)`` takes features X of shape ``(n, F)`` and y = what each agent's answer costs, of shape
``(n, A)``, so that cross-validation, grid search and pipelines work as they are. The one place
where this package inherits behaviour: scikit-learn's conventions cannot be had otherwise.

Letters: B examples, A agents, F features.
"""

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.utils import Tags
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from assistlearn.deferral.arrays import FINITE, array_of
from assistlearn.deferral.rejectors.agents import (
    AgentNames,
    AgentNumbers,
    column_names,
    fitted_names,
    numbers_by_agent,
    shown_names,
)
from assistlearn.deferral.rejectors.arrays import Floats, Layout, State
from assistlearn.deferral.rejectors.decisions import Decisions
from assistlearn.deferral.rejectors.rows import row_blocks
from assistlearn.errors import ConfigError, DataError


class RejectorBase(BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Fitting's checks, predictions from scores, and what is saved.

    Subclasses give ``fit``, which calls :meth:`_read` first; ``_scores`` and ``_expected_costs``,
    from checked features to arrays of shape ``(B, A)``; and to be saved, ``_layout``, ``_state``
    and ``_restore``. Parameters common to all are ``agents`` and ``prices``.

    Attributes:
        agents_: names of the agents; 0, 1, 2, ... if none were given. Shape ``(A,)``.
        prices_: what asking each agent costs. Shape ``(A,)``.
        cost_errors_: typical error of the expected costs. Shape ``(A,)``.
        dtype_: of the features that it was fitted on: float32 or float64.
    """

    agents: AgentNames
    prices: AgentNumbers

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from features X ``(n, F)`` and costs y ``(n, A)``."""
        raise NotImplementedError

    def _scores(self, features: Floats) -> Floats:
        raise NotImplementedError

    def _expected_costs(self, features: Floats) -> Floats:
        raise NotImplementedError

    def _layout(self) -> Layout:
        """The fitted arrays that are saved, as they follow from parameters and sizes."""
        raise NotImplementedError

    def _state(self) -> State:
        """These arrays."""
        raise NotImplementedError

    def _restore(self, state: State) -> None:
        """Be fitted as the rejector was whose state this is. Shapes and types are right.

        Raises:
            DataError: a value is none that fitting gives.
        """
        raise NotImplementedError

    def _check_parameters(self) -> None:
        """Refuse what fitting would refuse, or what is not what it was fitted with.

        Saving and loading ask this of a fitted rejector, and of one that claims to be.

        Raises:
            ConfigError: so says the message.
        """
        given, names = self.agents, self._names()
        same = given is None or (
            self.agents_.dtype.kind == "U"
            and shown_names(fitted_names(given, None, len(names))) == names
        )
        if not same or not np.array_equal(self._given_prices(), self.prices_):
            raise ConfigError(
                "agents or prices are not those that the rejector was fitted with",
                hint="fit the rejector again: its parameters were changed since",
            )

    def decision_function(self, X: Any) -> Floats:
        """Scores of the agents; the largest decides. Shape ``(n, A)``."""
        features = self._features(X)
        scores = self._empty(features)
        for rows in row_blocks(len(features), self._row_width()):
            scores[rows] = self._scores(features[rows])
        return scores

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Name of the agent that answers each example, or its number if they have none."""
        choices = self._choices(self._features(X))
        found: npt.NDArray[Any] = self.agents_[choices]
        return found

    def decide(self, X: Any) -> Decisions:
        """Who answers each example, why, and what each agent would be expected to cost.

        On a budget, or where agents cannot be had, go on with :meth:`.Decisions.under`:
        ``decide(X).under(threshold=..., available=...)``.
        """
        features = self._features(X)
        scores, costs = self._empty(features), self._empty(features)
        for rows in row_blocks(len(features), self._row_width()):
            scores[rows] = self._scores(features[rows])
            costs[rows] = self._expected_costs(features[rows])
        return Decisions.of(
            scores, expected_costs=costs, cost_errors=self.cost_errors_, agent_names=self._names()
        )

    def score(self, X: Any, y: Any) -> float:
        """Minus the true deferral loss: the larger the better, as scikit-learn wants it.

        Args:
            X: features, shape ``(n, F)``.
            y: costs, shape ``(n, A)``; the same prices are added as in fitting.
        """
        choices = self._choices(self._features(X))
        costs = self._costs(y, rows=len(choices))
        return -float(costs[np.arange(len(choices)), choices].mean(dtype=np.float64))

    def __sklearn_tags__(self) -> Tags:
        """Targets are required, two-dimensional and not negative."""
        tags: Tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = False
        tags.target_tags.positive_only = True
        return tags

    def _read(self, X: Any, y: Any) -> tuple[Floats, Floats]:
        """Checked features and costs, with prices added; sets the attributes that fitting sets.

        Raises:
            DataError: costs are negative, sparse, or not as many as agents; or a value is missing.
            ConfigError: names or prices are not one for each agent.
            ValueError: scikit-learn's own, for what is no array of finite numbers.
        """
        columns = column_names(y)
        features, costs = self._validated(
            X,
            y=array_of(y) if hasattr(y, "toarray") else y,
            dtype=(np.float64, np.float32),
            multi_output=True,
            y_numeric=True,
            ensure_min_samples=2,  # of one example no rule can be learned
        )
        if costs.ndim != 2:  # noqa: PLR2004  (rows and agents)
            raise DataError(
                f"the costs have shape {costs.shape}, must be examples by agents",
                hint="give one column for each agent: what its answer costs on each example",
            )
        self.agents_ = fitted_names(self.agents, columns, costs.shape[1])
        self.prices_ = self._given_prices()
        self.dtype_ = features.dtype
        return features, self._priced(costs, features.dtype)

    def _costs(self, y: Any, *, rows: int) -> Floats:
        """Costs to score by, checked against the fitted agents."""
        columns = column_names(y)
        if columns is not None and columns != [*self._names()]:
            raise DataError(
                f"the costs are of {columns}, this rejector was fitted on {[*self._names()]}",
                hint="give the same columns in the same order",
            )
        costs = check_array(_array(y), dtype=(np.float64, np.float32))
        if costs.shape != (rows, len(self.agents_)):
            raise DataError(
                f"the costs have shape {costs.shape}, must be {(rows, len(self.agents_))}",
                hint="give one row for each example and one column for each agent",
            )
        return self._priced(costs, costs.dtype)

    def _priced(self, costs: npt.NDArray[Any], dtype: npt.DTypeLike) -> Floats:
        if costs.min() < 0:
            raise DataError(
                f"a cost is {costs.min():.6g}, must be >= 0",
                hint="shift the costs of each example by a constant: the best agent stays the same",
            )
        own: Floats = costs.astype(dtype, copy=False)
        return own + self.prices_.astype(dtype) if self.prices_.any() else own

    def _features(self, X: Any) -> Floats:
        check_is_fitted(self)
        features: Floats = self._validated(X, dtype=(np.float64, np.float32), reset=False)
        return features

    def _validated(self, X: Any, **checks: Any) -> Any:
        """scikit-learn's checks, which know neither tensors nor pandas' sign for a missing value.

        Raises:
            DataError: a value is missing in a column of one of pandas' own types.
        """
        if "y" in checks:
            checks["y"] = _array(checks["y"])
        try:
            return validate_data(self, _array(X), **checks)
        except TypeError as error:
            if "NAType" not in str(error):
                raise
            raise DataError("a value is missing (pandas.NA)", hint=FINITE) from error

    def _given_prices(self) -> npt.NDArray[np.float64]:
        if self.prices is None:
            return np.zeros(len(self.agents_))
        return numbers_by_agent(self.prices, self._names(), what="prices")

    def _empty(self, features: Floats) -> Floats:
        """Room for one number of each example and agent, in a type that holds what it computes."""
        dtype = np.result_type(features.dtype, self.dtype_)
        return np.empty((len(features), len(self.agents_)), dtype=dtype)

    def _choices(self, features: Floats) -> npt.NDArray[np.intp]:
        """Numbers of the agents that answer. Never holds all scores."""
        choices = np.empty(len(features), dtype=np.intp)
        for rows in row_blocks(len(features), self._row_width()):
            scores = self._empty(features[rows])
            scores[:] = self._scores(features[rows])  # in the type that decide has
            choices[rows] = scores.argmax(axis=1)  # lowest index on a tie
        return choices

    def _row_width(self) -> int:
        return max(int(self.n_features_in_), len(self.agents_))

    def _names(self) -> tuple[str, ...]:
        return shown_names(self.agents_)


def _array(values: Any) -> Any:
    """Tensors and masked arrays as arrays; anything else as it is, for scikit-learn to check."""
    special = hasattr(values, "detach") or isinstance(values, np.ma.MaskedArray)
    return array_of(values) if special else values


def checked_number(value: npt.NDArray[Any], *, count: int, what: str) -> int:
    """A saved number of an agent.

    Raises:
        DataError: there is no such agent.
    """
    if not 0 <= int(value) < count:
        raise DataError(
            f"{what} is agent {int(value)}, but there are {count}", hint="save the rejector again"
        )
    return int(value)
