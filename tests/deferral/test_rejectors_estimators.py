"""scikit-learn's own checks of every rejector that is an estimator.

They give one target, which is one agent's cost and leaves nothing to decide, so every estimator is
checked a second time with a second agent that costs what the first does not. Not among them is
the ``OneStageRejector``: it is fitted on labels beside costs, which the checks cannot give.
"""

from unittest import SkipTest

import numpy as np
import pytest
from sklearn.utils import get_tags
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


SKIPPED = {
    # Runs where the array API is switched on for scipy, before anything is imported.
    "check_array_api_input": "SCIPY_ARRAY_API is not set",
    # The same example may go elsewhere in another call: that is what a lottery is.
    "check_pipeline_consistency": "RandomRejector is non deterministic",
}
"""The checks that may be skipped, and what scikit-learn says then. Any other one fails."""


def run(estimator, check):
    """Run a check; skip it only if it is in the table, for the reason that stands there."""
    try:
        check(estimator)
    except SkipTest as skipped:
        name = getattr(check, "func", check).__name__
        if str(skipped).startswith(SKIPPED.get(name, "-")):
            pytest.skip(f"{name}: {skipped}")
        pytest.fail(f"{name} was skipped: {skipped}")


# The checks' data have classes that a line separates; 5 epochs are enough to test conventions.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(ESTIMATORS)
def test_it_keeps_scikit_learns_conventions(estimator, check):
    run(estimator, check)


@pytest.mark.parametrize("name", ["check_of_tomorrow", *SKIPPED])
def test_a_check_skipped_for_a_reason_that_the_table_does_not_name_fails(name):
    def check(_):
        raise SkipTest("not today")

    check.__name__ = name

    with pytest.raises(pytest.fail.Exception, match=f"{name} was skipped: not today"):
        run(Rejector(), check)


def test_only_the_lottery_is_spared_the_two_checks_of_order_and_of_subsets():
    """scikit-learn leaves them out by an estimator's tag, without a word."""
    for estimator in ESTIMATORS:
        tags = get_tags(estimator)

        assert tags.non_deterministic == isinstance(estimator, RandomRejector)
        assert not tags.no_validation
