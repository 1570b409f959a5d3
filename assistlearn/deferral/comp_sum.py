r"""The comp-sum losses: one surrogate of "agent j was not chosen" for each number nu >= 0.

With ``p = softmax(r)`` and ``u_j = 1 / p_j = sum_i exp(r_i - r_j)``::

    Phi^nu(r, j) = log u_j                        nu = 1   (cross-entropy)
                 = (u_j^(1 - nu) - 1) / (1 - nu)  nu != 1

nu = 0 is the sum-exponential loss ``1/p_j - 1``, 1 < nu < 2 the generalised cross-entropy
``(1 - p_j^q) / q`` with ``q = nu - 1``, nu = 2 the mean absolute error ``1 - p_j``. Convex in r
for nu <= 1 only (arXiv:2410.15729 calls the whole family convex, which does not hold).

Letters: B examples, A agents.
"""

import math

import torch
from torch import Tensor

from assistlearn.deferral.checks import checked_scores
from assistlearn.errors import ConfigError


def comp_sum(scores_BA: Tensor, nu: float = 1.0) -> Tensor:
    r"""Loss of each agent if it were the right one: ``Phi^nu(r(x_b), j)`` for all b and j.

    Source: arXiv:2410.15729, equation 1 (Mao et al. 2023's comp-sum losses).

    Args:
        scores_BA: rejector scores, any finite number. Shape ``(B, A)``.
        nu: member of the family, >= 0.

    Returns:
        Losses >= 0, in the scores' dtype, at least float32. Shape ``(B, A)``. Where ``1/p_j``
        would overflow (nu < 1, from about 1e19 in float32), its tangent goes on instead: finite,
        still convex, and unlike a clamp it still pulls such an example back.

    Raises:
        ConfigError: nu is negative or not finite.
        DataError: the scores are not a finite matrix.
    """
    check_nu(nu)
    dtype = torch.promote_types(checked_scores(scores_BA).dtype, torch.float32)
    logs_BA = -torch.log_softmax(scores_BA, dim=1, dtype=dtype)
    if nu == 1:
        return logs_BA
    exponents_BA = (1 - nu) * logs_BA
    # Half the range leaves room for sums of weighted losses and of their gradients.
    capped_BA = exponents_BA.clamp(max=math.log(torch.finfo(dtype).max) / 2)
    tangent_BA = capped_BA.exp() * (exponents_BA - capped_BA)
    return (capped_BA.expm1() + tangent_BA) / (1 - nu)


def comp_sum_normalizer(nu: float) -> float:
    """Least ``Phi^nu(r, j)`` among scores that do not choose agent j: its value at p_j = 1/2.

    Divided by it, the loss is an upper bound of the 0-1 loss; undivided, only nu = 0 is.

    Raises:
        ConfigError: nu is negative or not finite.
    """
    check_nu(nu)
    return math.log(2) if nu == 1 else math.expm1((1 - nu) * math.log(2)) / (1 - nu)


def check_nu(nu: float) -> None:
    """Refuse what is no member of the family.

    Raises:
        ConfigError: nu is negative or not finite.
    """
    if not (nu >= 0 and math.isfinite(nu)):
        raise ConfigError(f"nu is {nu}, must be >= 0 and finite", hint="set nu to 1: cross-entropy")
