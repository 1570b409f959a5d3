"""L-BFGS over all rows: what it says of where it stopped, and what it holds in memory."""

from functools import partial

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from torch.autograd.graph import saved_tensors_hooks

from assistlearn.deferral.margins import mild_hinge, mild_log, mild_ramp
from assistlearn.deferral.rejectors import Rejector
from assistlearn.deferral.rejectors.convex import any_loss
from assistlearn.errors import DataError


def separated(rows=200):
    features = np.random.default_rng(0).normal(size=(rows, 3))
    right = features[:, 0] > 0
    return features, np.stack([right, ~right], axis=1).astype(float)


@pytest.mark.parametrize("unit", [1e-300, 1e-40])
def test_costs_so_small_that_no_step_gains_anything_are_no_convergence(unit):
    features, costs = separated()

    with pytest.warns(ConvergenceWarning, match="short of its optimum"):
        Rejector().fit(features, unit * costs)


def test_costs_whose_sum_overflows_are_refused():
    features, costs = separated()

    with pytest.raises(DataError, match="largest slope") as caught:
        Rejector().fit(features, 1e308 * costs)

    assert caught.value.hint.startswith("divide all costs")


@pytest.mark.parametrize("kind", [mild_log, mild_hinge, mild_ramp])
def test_losses_over_pairs_of_agents_hold_few_examples_at_once(kind):
    """1000 examples of 200 agents are 40 million pairs: a third of a GiB each time it is kept."""
    generator = torch.Generator().manual_seed(0)
    features_BF = torch.randn(256, 3, generator=generator)
    costs_BA = torch.rand(256, 200, generator=generator)
    objective = any_loss(features_BF, costs_BA, partial(kind, margins=[1.0] * 200))
    sizes = []

    def keep(tensor):
        sizes.append(tensor.numel())
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        value, slope_PA = objective(torch.zeros(4, 200))

    assert max(sizes) == 64 * 200 * 200
    whole = kind(torch.zeros(256, 200), costs_BA, margins=[1.0] * 200).sum()
    assert value == pytest.approx(float(whole), rel=1e-5)
    assert slope_PA.shape == (4, 200)
