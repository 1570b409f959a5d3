r"""What a small surrogate loss promises about the true one: bounds, minimisers, gaps.

The consistency bound of arXiv:2410.15729 (theorem 4.4), with the agents fixed, says for every
rejector r in a class R::

    E[cost of r's choice] - E[least expected cost]  <=  N * Gamma^nu(surrogate excess / N)

where the surrogate excess is ``risk(r) - least risk in R + minimizability gap of R``, N is the
mean of the weights' sums, and ``Gamma^nu`` inverts the transform ``T^nu`` of the comp-sum losses
(Mao, Mohri, Zhong, arXiv:2304.07288). It holds for any weights ``kappa - c_j``.

Letters: X inputs of a finite distribution, A agents.
"""

import math

import torch
from scipy.optimize import brentq
from torch import Tensor
from torch.nn import functional

from assistlearn.deferral.comp_sum import check_nu
from assistlearn.errors import ConfigError, DataError

LINEAR_FROM = 2
"""From this nu on the bound is linear in the excess, and the minimiser all on one agent."""

_NEARLY_ONE = 1e-8  # |nu - 1| below which 1 / (1 - nu) would lose more digits than nu = 1 is off


def consistency_transform(regret: float, *, nu: float, agents: int) -> float:
    r"""``T^nu``: least surrogate excess at which a (normalised) regret of this size can occur.

    With ``s = 1/(2 - nu)`` and ``M = (((1 + b)^s + (1 - b)^s) / 2)^(1/s)``::

        nu < 1      2^(1-nu) (1 - M) / (1 - nu)
        nu = 1      ((1 + b) ln(1 + b) + (1 - b) ln(1 - b)) / 2
        1 < nu < 2  (M - 1) / ((nu - 1) A^(nu-1))
        nu >= 2     b / ((nu - 1) A^(nu-1))

    Args:
        regret: b, from 0 to 1.
        nu: member of the comp-sum family, >= 0.
        agents: A, at least 2.

    Returns:
        Excess >= 0, convex and increasing in ``regret``.

    Raises:
        ConfigError: an argument is outside its range.
    """
    _check(nu, agents)
    if not 0 <= regret <= 1:
        raise ConfigError(f"regret is {regret}, must be from 0 to 1", hint="divide by the norm")
    if nu >= LINEAR_FROM:
        return regret / ((nu - 1) * math.pow(agents, nu - 1))
    if abs(nu - 1) < _NEARLY_ONE:
        return (_x_log_x(1 + regret) + _x_log_x(1 - regret)) / 2
    mean_minus_one = _power_mean_minus_one(regret, 1 / (2 - nu))
    if nu < 1:
        return -(math.pow(2, 1 - nu)) * mean_minus_one / (1 - nu)
    return mean_minus_one / ((nu - 1) * math.pow(agents, nu - 1))


def inverse_transform(excess: float, *, nu: float, agents: int) -> float:
    """``Gamma^nu``: largest normalised regret that a normalised excess allows, at most 1.

    Args:
        excess: surrogate excess divided by the weights' norm, >= 0.
        nu: member of the comp-sum family, >= 0.
        agents: A, at least 2.

    Returns:
        Regret from 0 to 1, concave and increasing in ``excess`` until it saturates.

    Raises:
        ConfigError: an argument is outside its range.
    """
    if not excess >= 0:
        raise ConfigError(f"the excess is {excess}, must be >= 0", hint="subtract the least risk")
    if excess >= consistency_transform(1.0, nu=nu, agents=agents):
        return 1.0
    return float(
        brentq(
            lambda regret: consistency_transform(regret, nu=nu, agents=agents) - excess,
            0.0,
            1.0,
            xtol=1e-14,
        )
    )


def inverse_bound(excess: float, *, nu: float, agents: int) -> float:
    """Closed upper bound of ``Gamma^nu``, exact for nu >= 2 below saturation.

    ``sqrt(2^nu (2-nu) v)`` for nu < 1, ``sqrt(2 A^(nu-1) v)`` for 1 <= nu < 2,
    ``(nu-1) A^(nu-1) v`` from 2 on, each at most 1.
    """
    _check(nu, agents)
    if nu >= LINEAR_FROM:
        return min(1.0, (nu - 1) * math.pow(agents, nu - 1) * excess)
    factor = math.pow(2, nu) * (2 - nu) if nu < 1 else 2 * math.pow(agents, nu - 1)
    return min(1.0, math.sqrt(factor * excess))


def regret_bound(surrogate_excess: float, *, weight_norm: float, nu: float, agents: int) -> float:
    """``GammaBar^nu``: what the true deferral loss can exceed its least value by.

    Args:
        surrogate_excess: surrogate risk minus the least in the class, plus the minimizability
            gap; for the class of all functions that is the risk minus the mean of
            :func:`least_conditional_risk`. >= 0.
        weight_norm: N, the mean over inputs of the expected weights' sums, or anything larger.
        nu: member of the comp-sum family, >= 0.
        agents: A, at least 2.

    Returns:
        Mean regret, in the unit of the costs.
    """
    if weight_norm == 0:  # every agent is free everywhere: nothing to regret
        return 0.0
    return weight_norm * inverse_transform(surrogate_excess / weight_norm, nu=nu, agents=agents)


def conditional_minimizer(mean_weights_XA: Tensor, nu: float = 1.0) -> Tensor:
    """Softmax of the scores that minimise the surrogate at each input.

    Proportional to ``w_j^(1/(2-nu))`` for nu < 2. All on the largest weight (the lowest index on
    a tie) from nu = 2 on, where finite scores come close but never attain it.

    Args:
        mean_weights_XA: expected weights given the input, >= 0. Shape ``(X, A)``.
        nu: member of the comp-sum family, >= 0.

    Returns:
        Probabilities; uniform where all weights are 0. Shape ``(X, A)``.
    """
    _check(nu, mean_weights_XA.shape[1])
    _check_weights(mean_weights_XA)
    if nu >= LINEAR_FROM:
        best_X = mean_weights_XA.argmax(dim=1)
        chosen_XA = functional.one_hot(best_X, mean_weights_XA.shape[1]).to(mean_weights_XA.dtype)
    else:
        chosen_XA = (mean_weights_XA.log() / (2 - nu)).softmax(dim=1)
    uniform_XA = torch.full_like(mean_weights_XA, 1 / mean_weights_XA.shape[1])
    return torch.where(mean_weights_XA.sum(dim=1, keepdim=True) > 0, chosen_XA, uniform_XA)


def least_conditional_risk(mean_weights_XA: Tensor, nu: float = 1.0) -> Tensor:
    r"""``C*``: infimum over all scores of the surrogate's expected value at each input.

    With ``|w|_q = (sum w_j^q)^(1/q)``::

        nu = 1  |w|_1 H(w / |w|_1), H the entropy in nats
        nu < 2  (|w|_1 - |w|_{1/(2-nu)}) / (nu - 1)
        else    (|w|_1 - max w) / (nu - 1)

    Source: arXiv:2410.15729, theorem 4.6, up to nu = 2. Beyond it the exponent ``1/(2-nu)`` is
    negative and belongs to a stationary point that is no minimum: for nu = 3 and weights (1, 1)
    it gives 3/4, where 1/2 is approached.

    Args:
        mean_weights_XA: expected weights given the input, >= 0. Shape ``(X, A)``.
        nu: member of the comp-sum family, >= 0.

    Returns:
        Risks >= 0, of the weights' type. Shape ``(X,)``.
    """
    _check(nu, mean_weights_XA.shape[1])
    _check_weights(mean_weights_XA)
    # Near nu = 1 two sums are subtracted that agree in nearly all digits of float32.
    return _least_risk(mean_weights_XA.double(), nu).to(mean_weights_XA.dtype)


def minimizability_gap(
    least_risk: float, mean_weights_XA: Tensor, probabilities_X: Tensor, *, nu: float = 1.0
) -> float:
    """How much of a class's least surrogate risk is due to the class, not to the problem.

    Source: arXiv:2410.15729, theorem 4.6. 0 for the class of all functions.

    Args:
        least_risk: least surrogate risk of any rejector in the class.
        mean_weights_XA: expected weights given the input, >= 0. Shape ``(X, A)``.
        probabilities_X: distribution of the inputs. Shape ``(X,)``.
        nu: member of the comp-sum family, >= 0.

    Returns:
        Gap, >= 0 up to rounding and to how exactly ``least_risk`` is known.
    """
    if not math.isclose(probabilities_X.sum().item(), 1, abs_tol=1e-6):
        raise DataError(
            f"the inputs' probabilities add up to {probabilities_X.sum().item():.6g}, must be 1",
            hint="divide them by their sum",
        )
    floor_X = least_conditional_risk(mean_weights_XA.double(), nu)
    return least_risk - (probabilities_X.double() * floor_X).sum().item()


def _least_risk(weights_XA: Tensor, nu: float) -> Tensor:
    sums_X = weights_XA.sum(dim=1)
    if nu >= LINEAR_FROM:
        return (sums_X - weights_XA.amax(dim=1)) / (nu - 1)
    if abs(nu - 1) < _NEARLY_ONE:
        return torch.xlogy(sums_X, sums_X) - torch.xlogy(weights_XA, weights_XA).sum(dim=1)
    power = 1 / (2 - nu)
    norms_X = ((weights_XA.log() * power).logsumexp(dim=1) / power).exp()
    return (sums_X - norms_X) / (nu - 1)


def _power_mean_minus_one(regret: float, power: float) -> float:
    """``(((1+b)^s + (1-b)^s) / 2)^(1/s) - 1``, which has the sign of s - 1; any s > 0.

    Large regrets: the larger power taken out, so that nothing overflows. Small ones: as
    ``sqrt(1 - b^2) cosh(s artanh b)^(1/s)``, where the terms of first order in b, which cancel,
    are gone before anything is rounded.
    """
    if regret == 1:
        log_mean = (1 - 1 / power) * math.log(2)
    elif regret > 0.5:  # noqa: PLR2004 (both forms are exact to rounding here)
        log_ratio = math.log1p(-regret) - math.log1p(regret)
        log_mean = math.log1p(regret) + math.log1p(math.expm1(power * log_ratio) / 2) / power
    else:
        log_mean = math.log1p(-regret * regret) / 2
        log_mean += _log_cosh(power * math.atanh(regret)) / power
    return math.expm1(max(log_mean, 0.0) if power > 1 else min(log_mean, 0.0))


def _log_cosh(value: float) -> float:
    """Of a value >= 0."""
    if value < 1:
        return math.log1p(2 * math.sinh(value / 2) ** 2)
    return value - math.log(2) + math.log1p(math.exp(-2 * value))


def _x_log_x(value: float) -> float:
    return value * math.log(value) if value > 0 else 0.0


def _check(nu: float, agents: int) -> None:
    check_nu(nu)
    if agents < 2:  # noqa: PLR2004 (nobody to defer to)
        raise ConfigError(f"there are {agents} agents, must be >= 2", hint="count agent 0 too")


def _check_weights(mean_weights_XA: Tensor) -> None:
    if not ((mean_weights_XA >= 0) & mean_weights_XA.isfinite()).all():
        raise DataError(
            "some weights are negative or not finite", hint="take them from cost_weights"
        )
