"""One-stage deferral: class scores and one defer score per expert, trained together.

An action is a class to answer with or an expert to defer to. Naming the right class costs nothing,
a wrong one costs 1, an expert what it costs; the largest score decides, the lowest index on a tie.
Put so, the literature's losses are two-stage surrogates with actions in place of agents.

Letters: B examples, K classes, J experts, N = K + J actions (classes first).
"""

import torch
from torch import Tensor
from torch.nn import functional

from assistlearn.deferral.checks import checked_costs, checked_scores
from assistlearn.deferral.inputs import loss_inputs
from assistlearn.deferral.log_mass import layered_mass
from assistlearn.deferral.two_stage import two_stage_surrogate
from assistlearn.deferral.weights import cost_weights
from assistlearn.errors import DataError


def action_costs(labels_B: Tensor, expert_costs_BJ: Tensor, *, classes: int) -> Tensor:
    """What each action costs: ``1[k != y]`` for the classes, then the experts' costs.

    Args:
        labels_B: right classes, 0 to ``classes - 1``. Shape ``(B,)``, integers.
        expert_costs_BJ: experts' costs, >= 0; for a 0-1 loss, 0 where the expert is right and 1
            where it is wrong. Shape ``(B, J)``.
        classes: K, at least 1.

    Returns:
        Shape ``(B, K + J)``, in the experts' costs' dtype.

    Raises:
        DataError: the shapes do not fit each other, or a label is no class.
    """
    if expert_costs_BJ.ndim != 2 or labels_B.shape != expert_costs_BJ.shape[:1]:  # noqa: PLR2004
        raise DataError(
            f"the labels have shape {tuple(labels_B.shape)}, the experts' costs"
            f" {tuple(expert_costs_BJ.shape)}",
            hint="give one label for each example, and costs as examples by experts",
        )
    if labels_B.numel() and not (labels_B.min() >= 0 and labels_B.max() < classes):
        raise DataError(
            f"the labels run from {labels_B.min().item()} to {labels_B.max().item()}, but there"
            f" are {classes} class scores",
            hint="number the classes from 0, and give one score for each before the experts'",
        )
    right_BK = functional.one_hot(labels_B, classes).to(expert_costs_BJ)
    return checked_costs(torch.cat((1 - right_BK, expert_costs_BJ), dim=1))


def one_stage_cross_entropy(scores_BN: Tensor, labels_B: Tensor, expert_costs_BJ: Tensor) -> Tensor:
    r"""Cross-entropy surrogate, one softmax over classes and experts.

    .. math:: -\log\mathrm{softmax}_y(s) - \sum_j (1 - c_j)\log\mathrm{softmax}_{K+j}(s)

    Source: Mozannar and Sontag, "Consistent Estimators for Learning to Defer to an Expert",
    arXiv:2006.01862 (one expert, alpha = 1); Verma et al., "Learning to Defer to Multiple Experts",
    arXiv:2210.16955 (several). With 0-1 costs, ``1 - c_j`` is "expert j is right".
    Bayes-consistent, not realizable consistent. Convex.

    Args:
        scores_BN: class scores, then defer scores. Shape ``(B, K + J)``.
        labels_B: right classes. Shape ``(B,)``.
        expert_costs_BJ: experts' costs, in [0, 1]. Shape ``(B, J)``.

    Returns:
        Losses in nats, >= 0. Shape ``(B,)``.

    Raises:
        DataError: the shapes do not fit each other, or a cost is outside [0, 1].
    """
    costs_BN = _action_costs_like(scores_BN, labels_B, expert_costs_BJ)
    return two_stage_surrogate(scores_BN, costs_BN, weights="one")


def one_vs_all(scores_BA: Tensor, costs_BA: Tensor) -> Tensor:
    r"""One logistic regression for each agent (or action): would it be right?

    .. math:: \sum_j (1 - c_j)\,\psi(s_j) + c_j\,\psi(-s_j), \qquad \psi(s) = \log(1 + e^{-s})

    At the optimum ``sigmoid(s_j) = 1 - E[c_j | x]``, a probability of being right whatever the
    other agents do, and hence Bayes-consistent. Convex. Source: as
    :func:`one_stage_one_vs_all`, of which it is the two-stage form.

    Args:
        scores_BA: rejector scores. Shape ``(B, A)``.
        costs_BA: agents' costs, in [0, 1]. Shape ``(B, A)``.

    Returns:
        Losses in nats, >= 0. Shape ``(B,)``.

    Raises:
        DataError: scores or costs are not matrices of one shape, or a cost is outside [0, 1].
    """
    scores_BA, costs_BA = loss_inputs(scores_BA, costs_BA)
    rights_BA = cost_weights(costs_BA, "one").to(scores_BA)
    return functional.binary_cross_entropy_with_logits(scores_BA, rights_BA, reduction="none").sum(
        dim=1
    )


def one_stage_one_vs_all(scores_BN: Tensor, labels_B: Tensor, expert_costs_BJ: Tensor) -> Tensor:
    r"""One-vs-all surrogate: :func:`one_vs_all` on the actions.

    .. math:: \psi(s_y) + \sum_{k \ne y} \psi(-s_k)
              + \sum_j (1 - c_j)\,\psi(s_{K+j}) + c_j\,\psi(-s_{K+j})

    Source: Verma and Nalisnick, "Calibrated Learning to Defer with One-vs-All Classifiers",
    arXiv:2202.03673 (one expert); Verma et al., arXiv:2210.16955 (several). Bayes-consistent.

    Args:
        scores_BN: class scores, then defer scores. Shape ``(B, K + J)``.
        labels_B: right classes. Shape ``(B,)``.
        expert_costs_BJ: experts' costs, in [0, 1]. Shape ``(B, J)``.

    Returns:
        Losses in nats, >= 0. Shape ``(B,)``.

    Raises:
        DataError: the shapes do not fit each other, or a cost is outside [0, 1].
    """
    return one_vs_all(scores_BN, _action_costs_like(scores_BN, labels_B, expert_costs_BJ))


def one_stage_realizable(
    scores_BN: Tensor, labels_B: Tensor, expert_costs_BJ: Tensor, *, nu: float = 1.0
) -> Tensor:
    r"""Realizable surrogate: :func:`layered_mass` on the actions.

    For one expert this is

    .. math:: c\,\Phi^\nu(p_y) + (1 - c)\,\Phi^\nu(p_y + p_{K+1}), \qquad p = \mathrm{softmax}(s)

    Source: Mao, Mohri, Zhong, "Realizable H-Consistent and Bayes-Consistent Loss Functions for
    Learning to Defer", arXiv:2407.13732. At nu = 1 with a 0-1 cost it is Mozannar et al.'s
    realizable surrogate (arXiv:2301.06197), up to that one's constant factor. For several experts
    nothing was found in the literature; there the layers are ours. Realizable consistent;
    Bayes-consistent at nu = 2, but not at nu = 1, even with one expert. Not convex.

    Args:
        scores_BN: class scores, then defer scores. Shape ``(B, K + J)``.
        labels_B: right classes. Shape ``(B,)``.
        expert_costs_BJ: experts' costs, >= 0 (the papers': in [0, 1]). Shape ``(B, J)``.
        nu: member of the comp-sum family, >= 0.

    Returns:
        Losses >= 0, in nats for nu = 1. Shape ``(B,)``.

    Raises:
        ConfigError: nu is negative or not finite.
        DataError: the shapes do not fit each other, or a cost is negative.
    """
    costs_BN = _action_costs_like(scores_BN, labels_B, expert_costs_BJ)
    return layered_mass(scores_BN, costs_BN, nu=nu)


def _action_costs_like(scores_BN: Tensor, labels_B: Tensor, expert_costs_BJ: Tensor) -> Tensor:
    classes = checked_scores(scores_BN).shape[1] - expert_costs_BJ.shape[-1]
    return action_costs(labels_B, expert_costs_BJ, classes=classes)
