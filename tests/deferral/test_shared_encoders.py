"""One encoder for two tasks, arXiv:2410.15729, 4.7 to 4.11: what heads and encoder leave undone.

Letters: X inputs, C codes that an encoder gives, G main models, A agents, J experts.
"""

import itertools
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from minimising import random_costs, random_scores

from assistlearn.deferral.comp_sum import comp_sum
from assistlearn.deferral.consistency import least_conditional_risk, regret_bound
from assistlearn.deferral.costs import agent_costs, classification_costs, regression_costs
from assistlearn.deferral.two_stage import deferral_loss

patient = settings(max_examples=40, deadline=None)  # the first torch call may be slow
CODES = tuple(itertools.product((0, 1), repeat=4))[:8]  # of four inputs; 1 - code says the same
HEADS = tuple(itertools.product((0, 1), repeat=2))
VALUES = tuple(itertools.product((0.0, 0.5, 1.0), repeat=2))
MODELS = tuple(itertools.product(CODES, HEADS, VALUES))


class Shared:
    """Four inputs, each with one class and one value, and every model of a one-bit encoder."""

    def __init__(self, classes_X, targets_X):
        self.classes_X = torch.tensor(classes_X)
        self.targets_X = torch.tensor(targets_X, dtype=torch.float64)

    def costs(self, code_X, head_C, value_C, value_code_X=None):
        """c_0 at each input, the library's joint cost."""
        labels_X = torch.tensor([head_C[code] for code in code_X])
        values_X = torch.tensor([value_C[code] for code in value_code_X or code_X]).double()
        twice_X2 = agent_costs(  # of two agents at least, so the model is there twice
            [
                classification_costs(labels_X.expand(2, -1).T, self.classes_X).double(),
                regression_costs(values_X.expand(2, -1).T, self.targets_X, "absolute"),
            ]
        )
        return twice_X2[:, 0]

    def risk(self, *parts):
        return self.costs(*parts).mean().item()

    @cache  # noqa: B019 (two problems in all)
    def least(self, code_X, value_code_X=None):
        """inf over both heads."""
        every = itertools.product(HEADS, VALUES)
        return min(self.risk(code_X, h, f, value_code_X) for h, f in every)

    @cache  # noqa: B019 (two problems in all)
    def every_cost(self):
        """c_0 of all models. Shape ``(G, X)``."""
        return torch.stack([self.costs(*parts) for parts in MODELS])


AT_ODDS = Shared((0, 1, 1, 0), (0.0, 1.0, 0.0, 1.0))  # class and value ask for different codes
IN_COMMON = Shared((0, 1, 1, 0), (0.2, 1.0, 0.9, 0.1))
BOTH = pytest.mark.parametrize("problem", [AT_ODDS, IN_COMMON], ids=["at odds", "in common"])


@BOTH
def test_a_models_excess_is_what_its_heads_leave_and_what_its_encoder_leaves(problem):
    """Excess = Delta_heads + Delta_repr, both >= 0, for each of all 288 models."""
    best = problem.every_cost().mean(1).min().item()

    for (code_X, *_), cost_X in zip(MODELS, problem.every_cost(), strict=True):
        heads = cost_X.mean().item() - problem.least(code_X)
        representation = problem.least(code_X) - best

        assert min(heads, representation) >= -1e-12
        assert cost_X.mean().item() - best == pytest.approx(heads + representation, abs=1e-12)


@pytest.mark.parametrize(("problem", "lost"), [(AT_ODDS, 0.5), (IN_COMMON, 0.0)])
def test_sharing_never_lowers_the_least_risk_of_one_and_the_same_class_of_encoders(problem, lost):
    """Two encoders may always be equal: Delta_share < 0 needs smaller ones apart, or few data."""
    together = min(map(problem.least, CODES))

    apart = min(itertools.starmap(problem.least, itertools.product(CODES, CODES)))

    assert together - apart == pytest.approx(lost, abs=1e-12)


@BOTH
@patient
@given(
    seed=st.integers(0, 2**31),
    nu=st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, 2.5]),
    model=st.none() | st.integers(0, len(MODELS) - 1),
    spread=st.floats(0.01, 2),
)
def test_corollary_4_11_bounds_the_deferral_excess_by_routing_heads_and_representation(
    problem, seed, nu, model, spread
):
    """All rejectors allowed, least risks enumerated, and with the gap of the class of models.

    No model given: the best one, so that routing alone must pay.
    """
    model_GX = problem.every_cost()
    model = model_GX.mean(1).argmin().item() if model is None else model
    experts_XJ = random_costs(seed, examples=4, agents=2)
    scores_XA = spread * random_scores(seed, examples=4, agents=3)
    costs_XA = torch.cat((model_GX[model].unsqueeze(1), experts_XJ), dim=1)
    taus_XA = costs_XA.sum(1, keepdim=True) - costs_XA
    surrogate_X = (taus_XA * comp_sum(scores_XA, nu)).sum(1) - least_conditional_risk(taus_XA, nu)
    routing = regret_bound(
        surrogate_X.mean().item(), weight_norm=taus_XA.sum(1).mean().item(), nu=nu, agents=3
    )
    code_X, *_ = MODELS[model]
    heads = model_GX[model].mean().item() - problem.least(code_X)
    representation = problem.least(code_X) - model_GX.mean(1).min().item()
    gap = (model_GX.mean(1).min() - model_GX.amin(0).mean()).item()

    best_GX = torch.minimum(model_GX, experts_XJ.amin(1))
    excess = (deferral_loss(scores_XA, costs_XA).mean() - best_GX.mean(1).min()).item()

    assert excess <= routing + heads + representation + gap + 1e-9
