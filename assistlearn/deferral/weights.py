"""From the agents' costs to the weights of a surrogate: cheap agents weigh much.

Letters: B examples, A agents.
"""

from typing import Literal, TypeAlias

import torch
from torch import Tensor

from assistlearn.deferral.checks import checked_costs
from assistlearn.errors import ConfigError, DataError

Kappa: TypeAlias = Literal["sum", "max", "one"]
"""What the costs are subtracted from."""


def cost_weights(costs_BA: Tensor, kappa: Kappa = "sum") -> Tensor:
    """Weights ``kappa - c_j``: Bayes-consistent for every kappa >= all costs of the example.

    * ``"sum"``: tau_j, the sum of the *other* agents' costs (arXiv:2410.15729, lemma 4.3). Fits
      costs of any size; flattens the target as agents are added.
    * ``"max"``: the least kappa that leaves all weights >= 0; the dearest agent weighs nothing.
    * ``"one"``: ``1 - c_j``, as two-stage classification has it. Costs must be <= 1.

    Args:
        costs_BA: cost of each agent's answer, >= 0. Shape ``(B, A)``.
        kappa: one of the three.

    Returns:
        Weights >= 0 without gradient, the largest at the cheapest agent. Shape ``(B, A)``.

    Raises:
        ConfigError: kappa is none of the three.
        DataError: the costs are not a matrix of finite numbers >= 0, or exceed 1 with ``"one"``.
    """
    costs_BA = checked_costs(costs_BA)
    match kappa:
        case "sum":
            weights_BA = costs_BA.sum(dim=1, keepdim=True) - costs_BA
        case "max":
            weights_BA = costs_BA.amax(dim=1, keepdim=True) - costs_BA
        case "one":
            # Costs that add up to 1 may exceed it by rounding.
            if (costs_BA > 1 + 4 * torch.finfo(costs_BA.dtype).eps).any():
                raise DataError(
                    f"a cost is {costs_BA.max().item():.6g}, but weights 1 - cost need costs <= 1",
                    hint='divide all costs by the largest possible one, or take weights "sum"'
                    ' or "max"',
                )
            weights_BA = 1 - costs_BA
        case _:
            raise ConfigError(f"weights {kappa!r} are unknown", hint='choose "sum", "max" or "one"')
    return weights_BA.clamp(min=0)
