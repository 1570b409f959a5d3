"""scikit-learn's own checks of every rejector that is an estimator.

They give one target, which is one agent's cost and leaves nothing to decide, so every estimator is
checked a second time with a second agent that costs what the first does not.
"""

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from assistlearn.deferral.rejectors import (
    ConfidenceThreshold,
    FixedAgent,
    MildRejector,
    PlugInRejector,
    RandomRejector,
    Rejector,
)


def opposed(y):
    """One column of costs as two, whose sum is constant."""
    if np.shape(y)[1:] != (1,) or len(y) == 0:
        return y
    column = np.asarray(y, dtype=float)
    return np.hstack([column, column.max() - column])


class TwoAgents:
    """Before a rejector's class: gives it the second agent's costs."""

    def fit(self, X, y):
        return super().fit(X, opposed(y))

    def score(self, X, y):
        return super().score(X, opposed(y))


class TwoAgentRejector(TwoAgents, Rejector):
    pass


class TwoAgentPlugIn(TwoAgents, PlugInRejector):
    pass


class TwoAgentThreshold(TwoAgents, ConfidenceThreshold):
    pass


class TwoAgentMild(TwoAgents, MildRejector):
    pass


ESTIMATORS = [
    Rejector(),
    PlugInRejector(),
    ConfidenceThreshold(),
    FixedAgent(),
    RandomRejector(),
    MildRejector(),
    TwoAgentRejector(),
    TwoAgentRejector(solver="adam", max_iter=5),
    TwoAgentRejector(hidden=(4,), max_iter=5),
    TwoAgentPlugIn(),
    TwoAgentThreshold(),
    TwoAgentMild(exponents=(0.0,), scales=(1.0,)),
]


# Warned of by scikit-learn: checks that do not apply here (pandas or array API not installed).
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
# The checks' data have classes that a line separates; 5 epochs are enough to test conventions.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(ESTIMATORS)
def test_it_keeps_scikit_learns_conventions(estimator, check):
    check(estimator)
