"""Which margins to train MILD's reconstruction with: a rule from theory, and a validation set.

The rule is what a margin bound suggests, IMMAX's (arXiv:2502.10381) carried over to weights; how
MILD itself chooses is not known. With unequal margins the plain log loss does not aim at the
deferral loss (:mod:`assistlearn.deferral.margins` says at what): with enough data they can only
raise it, and what they buy is the minority's share, or luck with few examples. So candidates are
compared by validation, and equal margins, the plain cross-entropy, are always one of them.

Letters: B examples, A agents.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from torch import Tensor

from assistlearn.deferral.margins import Margins, checked_margins
from assistlearn.deferral.weights import Kappa, cost_weights
from assistlearn.errors import ConfigError, DataError

THEORY_EXPONENT: Final = 2 / 3
EXPONENTS: Final = (0.0, -1 / 2, 1 / 3, 1 / 2, THEORY_EXPONENT, 1.0)  # both directions
SCALES: Final = (1.0, 0.5, 2.0, 4.0)


def theory_margins(
    costs_BA: Tensor,
    *,
    weights: Kappa = "sum",
    exponent: float = THEORY_EXPONENT,
    scale: float = 1.0,
    feature_norms_B: Tensor | None = None,
) -> tuple[float, ...]:
    r"""Margins that balance the complexity terms of a margin bound.

    .. math:: \rho_k \propto s_k^{2/3}, \qquad
              s_k = \Bigl(\sum_b w_k(b)^2\, \lVert\phi(x_b)\rVert^2\Bigr)^{1/2}

    For linear scores the deviation of the empirical from the true loss grows with
    :math:`\sum_k s_k^2 / \rho_k^2`, which this minimises at a fixed sum of margins. (The looser
    :math:`\sum_k s_k / \rho_k` has exponent 1/2.) With 0-1 weights it is IMMAX's rule, the largest
    margin for the most frequent. Derived here; not seen in the paper.

    Args:
        costs_BA: training costs, >= 0. Shape ``(B, A)``.
        weights: what the costs are subtracted from.
        exponent: 2/3 by the rule; 0 for equal margins, negative to favour the majority.
        scale: mean margin, > 0, in units of the scores. Trades against regularisation.
        feature_norms_B: norms of the rejector's inputs; all 1 if left out. Shape ``(B,)``.

    Returns:
        One margin for each agent; ``scale`` itself for one that has no weight on any example, as
        its margin does not matter.

    Raises:
        ConfigError: the scale is not above 0, or the exponent gives margins that are no numbers.
        DataError: the costs or norms are malformed.
    """
    weights_BA = cost_weights(costs_BA, weights).cpu().double()  # 64 bits, wherever that is
    if feature_norms_B is not None:
        if feature_norms_B.shape != costs_BA.shape[:1]:
            raise DataError(
                f"there are feature norms of shape {tuple(feature_norms_B.shape)} for"
                f" {len(costs_BA)} examples",
                hint="give one norm for each example",
            )
        weights_BA = weights_BA * feature_norms_B.cpu().unsqueeze(1)
    sizes_A = weights_BA.norm(dim=0)
    used_A = sizes_A > 0
    powers_A = sizes_A.pow(exponent).where(used_A, 0.0)
    margins_A = (scale * (powers_A * used_A.sum() / powers_A.sum())).where(used_A, scale)
    return checked_margins(margins_A.tolist(), agents=costs_BA.shape[1])


def margin_candidates(
    costs_BA: Tensor,
    *,
    weights: Kappa = "sum",
    exponents: Sequence[float] = EXPONENTS,
    scales: Sequence[float] = SCALES,
) -> tuple[tuple[float, ...], ...]:
    """The rule and its neighbourhood: every exponent at every scale, equal margins of 1 first.

    A guess at a sensible grid; the paper's is not known.

    Args:
        costs_BA: training costs, >= 0. Shape ``(B, A)``.
        weights: what the costs are subtracted from.
        exponents: of :func:`theory_margins`.
        scales: mean margins, > 0.

    Returns:
        Different tuples of margins. Never empty.
    """
    equal = (1.0,) * costs_BA.shape[1]
    rules = (
        theory_margins(costs_BA, weights=weights, exponent=exponent, scale=scale)
        for exponent in exponents
        for scale in scales
    )
    return tuple(dict.fromkeys((equal, *rules)))


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginTrial:
    """One candidate and how it did."""

    margins: tuple[float, ...]
    """rho, one for each agent."""

    loss: float
    """Deferral loss on validation data; NaN where training failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginChoice:
    """What validation chose, and everything it was chosen from."""

    best: MarginTrial
    """Least loss; on a tie the earliest, and equal margins are tried before unequal ones."""

    trials: tuple[MarginTrial, ...]
    """All candidates, in the order in which they were tried."""


def select_margins(
    candidates: Iterable[Margins], validate: Callable[[tuple[float, ...]], float]
) -> MarginChoice:
    """Choose margins by validation, equal margins always among the candidates.

    So the reconstruction can only be reported as better than the plain cross-entropy where
    validation says so. Nothing is fitted in here.

    Args:
        candidates: margins to try, at least one; see :func:`margin_candidates`. If none of them has
            all margins equal, margins of 1 are tried too.
        validate: trains with the margins that it is given and returns the *deferral loss* on
            validation data. Called once for each candidate.

    Returns:
        The choice, with all trials.

    Raises:
        ConfigError: there is no candidate.
        DataError: no candidate has a finite loss.
    """
    tried = [tuple(margins) for margins in candidates]
    if not tried:
        raise ConfigError("there are no margins to choose from", hint="give at least one candidate")
    if not any(map(_equal, tried)):
        tried.append((1.0,) * len(tried[0]))
    tried.sort(key=_equal, reverse=True)  # stable, so the others keep their order
    trials = tuple(MarginTrial(margins=margins, loss=validate(margins)) for margins in tried)
    finite = [trial for trial in trials if math.isfinite(trial.loss)]
    if not finite:
        raise DataError(
            f"none of {len(trials)} margins gave a finite validation loss",
            hint="lower the learning rate, or look for bad values in the validation costs",
        )
    return MarginChoice(best=min(finite, key=lambda trial: trial.loss), trials=trials)


def _equal(margins: tuple[float, ...]) -> bool:
    return len(set(margins)) == 1
