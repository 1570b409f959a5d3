"""Expected costs by ridge regression: how honest its own estimate of its error is."""

import numpy as np
import pytest

from assistlearn.deferral.rejectors.ridge import cost_errors, fit_costs


@pytest.mark.parametrize(("rows", "count"), [(60, 5), (60, 58), (60, 59), (60, 62), (10, 9)])
def test_the_error_is_not_far_below_the_true_one_where_features_are_as_many_as_rows(rows, count):
    """With 58 features for 60 rows weak penalties follow each row, and seem to be nearly right."""
    generator = np.random.default_rng(0)
    claimed, true = [], []
    for _ in range(30):
        weights = 2 * generator.normal(size=(count, 2)) / np.sqrt(count)
        features = generator.normal(size=(rows + 1000, count))
        noise = generator.normal(size=(rows + 1000, 2))
        costs = (5 + features @ weights + noise).clip(min=0)
        estimate, errors = fit_costs(features[:rows], costs[:rows])
        claimed.append(errors)
        true.append(cost_errors(estimate, features[rows:], costs[rows:]))

    assert np.mean(claimed) > 0.8 * np.mean(true)
    assert np.mean(true) < 1.2 * np.sqrt(5)  # no worse than the mean


def test_with_far_more_features_than_rows_there_is_still_an_estimate():
    generator = np.random.default_rng(0)
    features, costs = generator.normal(size=(2, 1000)), generator.random((2, 2))

    estimate, errors = fit_costs(features, costs)

    assert np.isfinite(errors).all()
    assert np.isfinite(estimate(features)).all()
