"""Two earlier two-stage surrogates, as the members of one family that they are.

Both are ``sum_j (kappa - c_j) Phi^nu(r, j)`` and differ in kappa alone. The surrogate of
arXiv:2410.15729 is the second of them, with a joint cost of several tasks.

Letters: B examples, A agents (0 is the main model).
"""

from torch import Tensor

from assistlearn.deferral.two_stage import two_stage_surrogate


def mao_2023(scores_BA: Tensor, costs_BA: Tensor, *, nu: float = 1.0) -> Tensor:
    r"""Two-stage classification: :math:`1[h(x)=y]\,\Phi^\nu(r,0) + \sum_j (1-c_j)\,\Phi^\nu(r,j)`.

    Source: Mao, Mohri, Mohri, Zhong, "Two-Stage Learning to Defer with Multiple Experts", NeurIPS
    2023, the predictor-rejector surrogate. There ``c_0`` is the main model's 0-1 error, so that
    ``1 - c_0 = 1[h(x) = y]``, and ``c_j = alpha_j 1[h_j(x) != y] + beta_j``. Bayes-consistent.
    With 0-1 costs only the right agents weigh, so experts that are wrong do not dilute the target.

    Args:
        scores_BA: rejector scores. Shape ``(B, A)``.
        costs_BA: agents' costs, in [0, 1]. Shape ``(B, A)``.
        nu: member of the comp-sum family, >= 0.

    Returns:
        Losses >= 0, in nats times cost for nu = 1. Shape ``(B,)``.

    Raises:
        ConfigError: nu is negative or not finite.
        DataError: scores or costs are not matrices of one shape, or a cost is outside [0, 1].
    """
    return two_stage_surrogate(scores_BA, costs_BA, nu=nu, weights="one")


def mao_2024(scores_BA: Tensor, costs_BA: Tensor, *, nu: float = 1.0) -> Tensor:
    r"""Two-stage regression: :math:`\sum_j \bigl(\sum_{k \ne j} c_k\bigr)\,\Phi^\nu(r, j)`.

    Source: Mao, Mohri, Zhong, "Regression with Multi-Expert Deferral", arXiv:2403.19494, the
    two-stage surrogate, with ``c_0 = L(h(x), y)``, ``c_j = alpha_j L(h_j(x), y) + beta_j`` and L a
    bounded regression loss. Bayes-consistent.

    Args:
        scores_BA: rejector scores. Shape ``(B, A)``.
        costs_BA: agents' costs, >= 0. Shape ``(B, A)``.
        nu: member of the comp-sum family, >= 0.

    Returns:
        Losses >= 0, in nats times cost for nu = 1. Shape ``(B,)``.

    Raises:
        ConfigError: nu is negative or not finite.
        DataError: scores or costs are not matrices of one shape, or a cost is negative.
    """
    return two_stage_surrogate(scores_BA, costs_BA, nu=nu, weights="sum")
