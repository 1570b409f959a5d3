r"""Learning to help: a fixed client model, a server that can be asked, a rejector that decides.

Wu, Li, Dong, Sathyavageeswaran, Sarwate, arXiv:2501.13810. Two agents: 0 answers LOCALly, 1 is
asked REMOTEly. A wrong client costs 1, asking the server ``c_e``, a wrong server ``c_1`` more.
The paper's generalised 0-1 loss is therefore the
:func:`~assistlearn.deferral.two_stage.deferral_loss` of :meth:`HelpCosts.agent_costs`, and its
rejector's surrogate the cross-entropy with weights ``1 - cost``, which become negative where
``c_e + c_1 > 1``: see ``bounded``.

Letters: B examples, K classes, X inputs of a finite distribution, 2 agents.
"""

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from assistlearn.deferral.checks import checked_scores
from assistlearn.deferral.comp_sum import comp_sum
from assistlearn.errors import ConfigError, DataError

LOCAL: Final = 0
"""The client model answers. Also the lower index, so a tie of scores stays local."""

REMOTE: Final = 1
"""The server model is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HelpCosts:
    """What asking the server costs, and what its errors cost on top."""

    query_cost: float
    """c_e: latency, fee and traffic of one question, >= 0, in units of one client error."""

    server_error_cost: float
    """c_1: cost of a wrong answer of the server beyond ``query_cost``, >= 0."""

    def __post_init__(self) -> None:
        for name in ("query_cost", "server_error_cost"):
            value = getattr(self, name)
            if not (value >= 0 and math.isfinite(value)):
                raise ConfigError(
                    f"{name} is {value}, must be >= 0 and finite",
                    hint="give it in units of one error of the client model",
                )

    @property
    def largest(self) -> float:
        """Cost of the worst that can happen."""
        return max(1.0, self.query_cost + self.server_error_cost)

    def agent_costs(
        self, client_right_B: Tensor, server_right_B: Tensor, *, dtype: torch.dtype | None = None
    ) -> Tensor:
        """Cost of each example's two decisions: ``1[m wrong]`` and ``c_e + c_1 1[e wrong]``.

        Args:
            client_right_B: whether the client model names the right class. Shape ``(B,)``.
            server_right_B: whether the server model does. Shape ``(B,)``.
            dtype: of the costs; torch's default if not given.

        Returns:
            Costs, LOCAL in column 0 and REMOTE in column 1. Shape ``(B, 2)``.

        Raises:
            DataError: the answers are not booleans of one shape.
        """
        right_B2 = _stack_answers(client_right_B, server_right_B)
        wrong_then_right = [[1.0, self.query_cost + self.server_error_cost], [0.0, self.query_cost]]
        table = torch.tensor(wrong_then_right, dtype=dtype, device=right_B2.device)
        return table.gather(0, right_B2.long())


def stage_switching_surrogate(  # noqa: PLR0913  # both models, the client and the truth
    rejector_scores_B2: Tensor,
    server_scores_BK: Tensor,
    targets_B: Tensor,
    *,
    client_labels_B: Tensor,
    costs: HelpCosts,
    bounded: bool = False,
) -> Tensor:
    """The paper's surrogate ``L_S = L_1 + L_2``: cross-entropy for e, :func:`rejector_surrogate`.

    The switch ``1[e(x) = y]`` carries no gradient, so the server learns from L_1 alone, as a plain
    classifier on all data, and the rejector from L_2 alone.

    Args:
        rejector_scores_B2: LOCAL and REMOTE score. Shape ``(B, 2)``.
        server_scores_BK: the server model's logits. Shape ``(B, K)``.
        targets_B: right classes. Shape ``(B,)``.
        client_labels_B: the client model's classes. Shape ``(B,)``.
        costs: c_e and c_1.
        bounded: see :func:`rejector_surrogate`.

    Returns:
        Losses in nats. Shape ``(B,)``.
    """
    own_B = functional.cross_entropy(server_scores_BK, targets_B, reduction="none")
    switched_B = rejector_surrogate(
        rejector_scores_B2,
        client_labels_B == targets_B,
        server_scores_BK.argmax(dim=1) == targets_B,
        costs=costs,
        bounded=bounded,
    )
    return own_B + switched_B


def rejector_surrogate(
    scores_B2: Tensor,
    client_right_B: Tensor,
    server_right_B: Tensor,
    *,
    costs: HelpCosts,
    bounded: bool = False,
) -> Tensor:
    """L_2: ``-(1 - c_e - c_1 1[e wrong]) ln s_REMOTE - 1[m right] ln s_LOCAL``, s the softmax.

    The client needs no more of the server than one bit per example.

    Args:
        scores_B2: LOCAL and REMOTE score. Shape ``(B, 2)``.
        client_right_B: whether the client model names the right class. Shape ``(B,)``.
        server_right_B: whether the server model does. Shape ``(B,)``.
        costs: c_e and c_1.
        bounded: add ``max(0, c_e + c_1 - 1)`` to both weights. As the paper has it, an example
            that both get wrong has a weight < 0 where ``c_e + c_1 > 1``: the loss is concave in
            it and unbounded below. Shifted, it is convex and >= 0, and its minimiser decides the
            same.

    Returns:
        Losses in nats. Shape ``(B,)``.

    Raises:
        DataError: the scores or answers have other shapes or are not finite.
    """
    costs_B2 = costs.agent_costs(client_right_B, server_right_B, dtype=_dtype_of(scores_B2))
    return _weighted(scores_B2, (costs.largest if bounded else 1.0) - costs_B2)


def released_code_surrogate(
    scores_B2: Tensor, client_right_B: Tensor, server_right_B: Tensor, *, costs: HelpCosts
) -> Tensor:
    """L_2 with the sign of c_1 as in the paper's released code. For comparison only.

    There the weight of REMOTE is ``1 - c_e + c_1 1[e wrong]``: a wrong server earns c_1 instead
    of costing it. Its minimiser is LOCAL iff ``eta_m > 1 - c_e + c_1 (1 - eta_e)``, which is not
    the Bayes rule. Arguments and result as in :func:`rejector_surrogate`.
    """
    weights_B2 = 1 - costs.agent_costs(client_right_B, server_right_B, dtype=_dtype_of(scores_B2))
    wrong_B = (~server_right_B).to(weights_B2.dtype)
    weights_B2[:, REMOTE] += 2 * costs.server_error_cost * wrong_B
    return _weighted(scores_B2, weights_B2)


def fixed_server_rule(
    client_posterior_X: Tensor, server_posterior_X: Tensor, costs: HelpCosts
) -> Tensor:
    """The best decision beside a given server: LOCAL iff ``eta_m > 1 - c_e - c_1 + c_1 eta_e``.

    Ties are REMOTE, as in the paper's theorem; both decisions then cost the same.

    Args:
        client_posterior_X: probability that the client model's class is right. Shape ``(X,)``.
        server_posterior_X: probability that the server model's class is right. Shape ``(X,)``.
        costs: c_e and c_1.

    Returns:
        LOCAL or REMOTE. Shape ``(X,)``.
    """
    threshold_X = 1 - costs.query_cost - costs.server_error_cost * (1 - server_posterior_X)
    return torch.where(client_posterior_X > threshold_X, LOCAL, REMOTE)


def bayes_rule(
    posterior_XK: Tensor, client_labels_X: Tensor, costs: HelpCosts
) -> tuple[Tensor, Tensor]:
    """Server model and decisions of least generalised 0-1 loss, over all functions.

    Source: arXiv:2501.13810, the Bayes classifier and rejector. With c_1 = 0 every server model
    is as good; this one is returned then too.

    Args:
        posterior_XK: probability of each class given the input. Shape ``(X, K)``.
        client_labels_X: the client model's classes. Shape ``(X,)``.
        costs: c_e and c_1.

    Returns:
        The server model's classes, the most probable, shape ``(X,)``; and LOCAL or REMOTE, shape
        ``(X,)``.
    """
    client_posterior_X = posterior_XK.gather(1, client_labels_X.unsqueeze(1)).squeeze(1)
    best_X, server_labels_X = posterior_XK.max(dim=1)
    return server_labels_X, fixed_server_rule(client_posterior_X, best_X, costs)


def _weighted(scores_B2: Tensor, weights_B2: Tensor) -> Tensor:
    if checked_scores(scores_B2).shape != weights_B2.shape:
        raise DataError(
            f"the scores have shape {tuple(scores_B2.shape)}, must have {tuple(weights_B2.shape)}",
            hint="give the rejector two outputs, LOCAL first",
        )
    return (weights_B2 * comp_sum(scores_B2)).sum(dim=1)


def _dtype_of(scores_B2: Tensor) -> torch.dtype:
    """Weights are as precise as the losses, which are at least float32."""
    return torch.promote_types(scores_B2.dtype, torch.float32)


def _stack_answers(client_right_B: Tensor, server_right_B: Tensor) -> Tensor:
    if (
        client_right_B.dtype != torch.bool
        or server_right_B.dtype != torch.bool
        or client_right_B.shape != server_right_B.shape
        or client_right_B.ndim != 1
    ):
        raise DataError(
            f"the answers are {client_right_B.dtype} {tuple(client_right_B.shape)} and"
            f" {server_right_B.dtype} {tuple(server_right_B.shape)}, must be one boolean each",
            hint="compare labels with targets: (labels_B == targets_B)",
        )
    return torch.stack([client_right_B, server_right_B], dim=1)
