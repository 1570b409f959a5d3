"""Linear scores by L-BFGS over all rows at once: deterministic, and a global minimum if convex.

Cross-entropy surrogates have a shortcut. With weights w the loss of an example is
``(sum_j w_j) logsumexp(s) - sum_j w_j s_j``: its second part is linear in the parameters, so one
pass over the costs at the start does for all iterations, and no graph is built. Every other
surrogate goes through autograd, block by block.

Parameters are one array of shape ``(F + 1, A)``: weights, and the biases as its last row.

Letters: B examples, b those of one block, A agents, F features, P = F + 1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize
from torch import Tensor

from assistlearn.deferral.margins import PAIRWISE
from assistlearn.deferral.rejectors.arrays import Floats
from assistlearn.deferral.rejectors.rows import BLOCK_NUMBERS, row_blocks
from assistlearn.deferral.rejectors.threads import map_blocks, one_thread_each
from assistlearn.deferral.two_stage import Surrogate
from assistlearn.errors import DataError

ACCELERATOR_NUMBERS: Final = 1 << 27  # in a block: half a GiB of float32 keeps one busy
LARGEST_LINE_SEARCH: Final = 30  # evaluations in one iteration; scipy's 20 is short in float32


class Objective(Protocol):
    """A sum over all examples, as a function of the parameters."""

    def __call__(self, parameters_PA: Tensor) -> tuple[float, Tensor]:
        """The value, and its gradient in float64 on the CPU. Shape ``(P, A)``."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearFit:
    """Where L-BFGS stopped."""

    weights: Floats
    """Shape ``(F, A)``."""

    biases: Floats
    """Shape ``(A,)``."""

    iterations: int
    converged: bool


def fit_linear(  # noqa: PLR0913  # what to minimise, and when to stop, by keyword
    objective: Objective,
    features_BF: Tensor,
    *,
    agents: int,
    weight_decay: float,
    max_iterations: int,
    tolerance: float,
) -> LinearFit:
    """Minimise ``objective / B + weight_decay / 2 ||weights||^2`` from zero.

    Args:
        objective: a sum over the rows of ``features_BF``.
        features_BF: for their count, dtype and device.
        agents: A.
        weight_decay: >= 0; biases are free.
        max_iterations: of L-BFGS.
        tolerance: stop when no component of the gradient exceeds this share of the largest one
            at the start, so that neither the unit of the costs nor their common part matters.

    Raises:
        DataError: the objective is not finite at zero.
    """
    rows, width = features_BF.shape
    dtype = np.float32 if features_BF.dtype == torch.float32 else np.float64

    def evaluate(point: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        matrix = point.reshape(width + 1, agents)
        value, slope_PA = objective(torch.from_numpy(matrix.astype(dtype)).to(features_BF.device))
        gradient = slope_PA.numpy() / rows
        gradient[:-1] += weight_decay * matrix[:-1]
        value = value / rows + weight_decay / 2 * float(np.square(matrix[:-1]).sum())
        return value, gradient.ravel()

    start = np.zeros((width + 1) * agents)
    first, slope = evaluate(start)
    scale = float(np.abs(slope).max())
    if not np.isfinite([first, scale]).all():
        raise DataError(
            f"the surrogate of equal scores is {first:g} and its largest slope {scale:g}",
            hint="divide all costs by the largest, or use float64 features",
        )

    def scaled(point: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        value, gradient = evaluate(point)
        return (value - first) / scale, gradient / scale

    if scale == 0:  # no example prefers any agent: nothing to learn
        return _fit(start.reshape(width + 1, agents).astype(dtype), iterations=0, converged=True)
    found = minimize(
        scaled,
        start,
        jac=True,
        method="L-BFGS-B",
        options={
            "maxiter": max_iterations,
            "maxfun": LARGEST_LINE_SEARCH * max_iterations,
            "maxls": LARGEST_LINE_SEARCH,
            "gtol": tolerance,
            "ftol": 64 * float(np.finfo(dtype).eps),  # below that, steps are rounding
        },
    )
    return _fit(
        found.x.reshape(width + 1, agents).astype(dtype),
        iterations=int(found.nit),
        # A first step that gains nothing looks like an end to scipy, whatever the slope.
        converged=bool(found.success and found.fun < 0),
    )


def log_loss(features_BF: Tensor, costs_BA: Tensor, weigh: Callable[[Tensor], Tensor]) -> Objective:
    """``sum_b sum_j w_j (-log softmax_j s)``, with ``w = weigh(costs)``, at the least work.

    Args:
        features_BF: shape ``(B, F)``.
        costs_BA: shape ``(B, A)``.
        weigh: from a block of costs to weights >= 0 of the same shape.
    """
    totals_B = features_BF.new_empty(len(costs_BA))

    def pull(block: slice) -> tuple[float, Tensor]:
        weights_bA = weigh(costs_BA[block])
        totals_B[block] = weights_bA.sum(dim=1)
        return 0.0, _slope(features_BF[block], weights_bA)

    _, pull_PA = _sum(pull, features_BF, costs_BA)

    def objective(parameters_PA: Tensor) -> tuple[float, Tensor]:
        def push(block: slice) -> tuple[float, Tensor]:
            totals_b = totals_B[block]
            scores_bA = torch.addmm(parameters_PA[-1], features_BF[block], parameters_PA[:-1])
            largest_b1 = scores_bA.amax(dim=1, keepdim=True)
            scores_bA.sub_(largest_b1).exp_()
            sums_b = scores_bA.sum(dim=1)
            logs_b = sums_b.log().add_(largest_b1[:, 0])
            scores_bA.mul_((totals_b / sums_b)[:, None])  # now sum_j w_j times softmax
            value = float(torch.dot(logs_b.double(), totals_b.double()))
            return value, _slope(features_BF[block], scores_bA)

        value, push_PA = _sum(push, features_BF, costs_BA)
        return value - float((pull_PA * parameters_PA.cpu()).sum()), push_PA - pull_PA

    return objective


def any_loss(features_BF: Tensor, costs_BA: Tensor, surrogate: Surrogate) -> Objective:
    """The sum of ``surrogate`` over all examples, by autograd."""
    agents = costs_BA.shape[1]
    width = agents**2 if getattr(surrogate, "func", surrogate) in PAIRWISE else agents

    def objective(parameters_PA: Tensor) -> tuple[float, Tensor]:
        def part(block: slice) -> tuple[float, Tensor]:
            scores_bA = torch.addmm(parameters_PA[-1], features_BF[block], parameters_PA[:-1])
            losses_b = surrogate(scores_bA.requires_grad_(), costs_BA[block])
            (slopes_bA,) = torch.autograd.grad(losses_b.sum(), scores_bA)
            value = float(losses_b.detach().sum(dtype=torch.float64))
            return value, _slope(features_BF[block], slopes_bA)

        return _sum(part, features_BF, costs_BA, width=width)

    return objective


def _slope(features_bF: Tensor, slopes_bA: Tensor) -> Tensor:
    """Gradient for the parameters from the gradient for a block's scores. Shape ``(P, A)``."""
    return torch.cat((features_bF.T @ slopes_bA, slopes_bA.sum(dim=0, keepdim=True)))


def _sum(
    part: Callable[[slice], tuple[float, Tensor]],
    features_BF: Tensor,
    costs_BA: Tensor,
    *,
    width: int = 0,
) -> tuple[float, Tensor]:
    """Values and gradients of all blocks, added in their order in float64.

    ``width`` is what ``part`` makes of one example, where that is more than its features.
    """
    cpu = features_BF.device.type == "cpu"
    width = max(features_BF.shape[1], costs_BA.shape[1], width)
    numbers = BLOCK_NUMBERS if cpu else ACCELERATOR_NUMBERS
    blocks = [*row_blocks(len(features_BF), width, numbers=numbers)]
    with one_thread_each() as threads:
        found = map_blocks(part, blocks, threads=threads if cpu else 1)
    total = torch.zeros(features_BF.shape[1] + 1, costs_BA.shape[1], dtype=torch.float64)
    for _, slope_PA in found:
        total += slope_PA.cpu()
    return sum(value for value, _ in found), total


def _fit(matrix: Floats, *, iterations: int, converged: bool) -> LinearFit:
    return LinearFit(
        weights=matrix[:-1].copy(),
        biases=matrix[-1].copy(),
        iterations=iterations,
        converged=converged,
    )
