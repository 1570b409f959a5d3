"""One-stage methods beside two-stage ones: a rejector whose actions are classes and experts.

Where it names a class, that is its own answer, not the main model's: agent 0 of its trial is not
agent 0 of the others'. Put so, the literature's one-stage losses are two-stage surrogates with
actions in place of agents (:mod:`assistlearn.deferral.one_stage`), here linear on the same
features.

Letters: B examples, A agents, K classes, J experts, N = K + J actions.
"""

from typing import Final

import numpy as np
import torch

from assistlearn.deferral.one_stage import action_costs
from assistlearn.deferral.report import Routing, trial
from experiments.deferral.common import Candidate, Decided, Lesson, fitted

OWN_CLASSES: Final = "one-stage model"
"""Agent 0 of a one-stage method."""


def one_stage(
    learned: Lesson, candidate: Candidate, *, name: str, classes: int, seed: int
) -> Decided:
    """Fit one one-stage method and let it answer the test rows.

    Args:
        learned: rows with labels; agent 0's costs are not looked at.
        candidate: a rejector of actions.
        name: what the method is called.
        classes: K.
        seed: which run this is.
    """
    labels_B, test_labels_B, correct_BA = learned.labels, learned.test_labels, learned.test_correct
    assert labels_B is not None  # an answer is a class here
    assert test_labels_B is not None
    assert correct_BA is not None
    costs_BN = action_costs(
        torch.from_numpy(labels_B), torch.from_numpy(learned.costs[:, 1:]), classes=classes
    )
    actions = Lesson(
        agents=(),
        features=learned.features,
        costs=costs_BN.numpy(),
        held_out=learned.held_out,
        test_features=learned.test_features,
        test_costs=learned.test_costs,
        test_prices=learned.test_prices,
    )
    rejector, settings = fitted(candidate, actions)
    scores_BN = rejector.decision_function(learned.test_features).astype(np.float64)
    classes_BK, experts_BJ = np.split(scores_BN, [classes], axis=1)
    scores_BA = np.concatenate([classes_BK.max(axis=1, keepdims=True), experts_BJ], axis=1)
    wrong_B1 = (classes_BK.argmax(axis=1) != test_labels_B)[:, None]
    measured = trial(
        np.concatenate([wrong_B1 + learned.test_prices[:, :1], learned.test_costs[:, 1:]], axis=1),
        {name: Routing(agents=scores_BA.argmax(axis=1), scores=scores_BA)},
        prices=learned.test_prices,
        correct_BA=np.concatenate([~wrong_B1, correct_BA[:, 1:]], axis=1),
        seed=seed,
    )
    return Decided(trial=measured, settings=settings)
