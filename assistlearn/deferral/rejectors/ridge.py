"""Expected costs by ridge regression: what each agent would cost, from features alone.

Surrogate scores only rank the agents (a softmax fixes costs up to a shift and a factor that both
change with the input), so whoever wants costs must estimate them separately.

Letters: B examples, A agents, F features.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from assistlearn.deferral.rejectors.arrays import Floats, Layout, State
from assistlearn.deferral.rejectors.rows import row_blocks

ROUNDING: Final = 1e-12  # eigenvalues below this share of the largest are none
BY_AGENT: Final = ("intercepts", "lowest", "highest")

# Share of the rows' freedom that a fit must leave: below it the error left says little, as the fit
# follows each row. The strongest penalty is tried all the same.
FREE: Final = 0.2

# Penalties tried, as factors of the features' mean variance: next to none up to "only the mean".
PENALTIES: Final = 10.0 ** np.arange(-6, 3)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CostEstimate:
    """A linear estimate of every agent's cost, kept within the costs that were seen."""

    coefficients: Floats
    """Shape ``(F, A)``."""

    intercepts: Floats
    """Shape ``(A,)``."""

    lowest: Floats
    """Least cost of each agent among the rows it was fitted on. Shape ``(A,)``."""

    highest: Floats
    """Largest cost of each agent. Shape ``(A,)``."""

    @staticmethod
    def layout(features: int, agents: int, dtype: npt.DTypeLike) -> Layout:
        """What :meth:`state` gives for so many features and agents."""
        shapes = {"coefficients": (features, agents)} | dict.fromkeys(BY_AGENT, (agents,))
        return {f"cost_estimate.{name}": (shape, dtype) for name, shape in shapes.items()}

    def state(self) -> State:
        """The arrays to save."""
        names = ("coefficients", *BY_AGENT)
        return {f"cost_estimate.{name}": getattr(self, name) for name in names}

    @classmethod
    def restored(cls, state: State) -> Self:
        """The inverse of :meth:`state`."""
        names = ("coefficients", *BY_AGENT)
        return cls(**{name: state[f"cost_estimate.{name}"] for name in names})

    def __call__(self, features: Floats) -> Floats:
        """Estimated expected costs. Shape ``(B, A)``."""
        estimates = features @ self.coefficients
        estimates += self.intercepts
        return np.clip(estimates, self.lowest, self.highest, out=estimates)


def fit_costs(features: Floats, costs: Floats) -> tuple[CostEstimate, Floats]:
    """Ridge regression of each agent's cost, each penalty by generalised cross-validation.

    One pass over the rows for the second moments, then everything is of size F. The error that
    generalised cross-validation gives stands in for leaving each row out in turn (Golub, Heath,
    Wahba 1979); it is too low if the features themselves were fitted to the same costs, and breaks
    down where features outnumber or nearly equal the rows, so weak penalties are left out there.

    Args:
        features: shape ``(B, F)``, at least two rows.
        costs: of each agent, shape ``(B, A)``.

    Returns:
        The estimate, and its root mean square error against single costs. Shape ``(A,)``.
    """
    rows, count = len(features), features.shape[1]
    means = features.mean(axis=0, dtype=np.float64)
    cost_means = costs.mean(axis=0, dtype=np.float64)
    gram, cross = np.zeros((count, count)), np.zeros((count, costs.shape[1]))
    variances = np.zeros(costs.shape[1])
    for block in row_blocks(rows, count + costs.shape[1]):
        centred = features[block] - means  # float64, whatever the features are
        cost_rows = costs[block] - cost_means
        gram += centred.T @ centred
        cross += centred.T @ cost_rows
        variances += np.einsum("ba,ba->a", cost_rows, cost_rows)
    eigenvalues, directions = np.linalg.eigh(gram / rows)
    eigenvalues = eigenvalues.clip(min=0)
    projected = directions.T @ (cross / rows)
    unit = eigenvalues.mean() or 1.0
    penalties = unit * PENALTIES[:, None]  # (P, 1)
    kept = eigenvalues / (eigenvalues + penalties)  # (P, F)
    freedom = 1 + kept.sum(axis=1)
    # ||c - fit||^2 / B, by agent and penalty: what the features cannot say at all, and what the
    # penalty keeps them from saying. Not var(c) less the rest, which cancels where n <= F.
    said = np.where(eigenvalues > eigenvalues.max() * ROUNDING, 1, 0)[:, None] * projected**2
    said /= np.maximum(eigenvalues, np.finfo(np.float64).tiny)[:, None]  # (F, A)
    unsaid = (variances / rows - said.sum(axis=0)).clip(min=0)
    squared = ((1 - kept) ** 2) @ said + unsaid  # (P, A)
    left = 1 - freedom / rows
    tried = left > FREE
    tried[-1] = True
    scores = np.where(tried[:, None], squared / np.maximum(left, 1e-9)[:, None] ** 2, np.inf)
    best = len(PENALTIES) - 1 - scores[::-1].argmin(axis=0)  # the largest of equals
    agents = np.arange(costs.shape[1])
    chosen = penalties[best, 0]  # (A,)
    coefficients = directions @ (projected / (eigenvalues[:, None] + chosen))
    estimate = CostEstimate(
        coefficients=coefficients.astype(features.dtype),
        intercepts=(cost_means - means @ coefficients).astype(features.dtype),
        lowest=costs.min(axis=0).astype(features.dtype),
        highest=costs.max(axis=0).astype(features.dtype),
    )
    return estimate, np.sqrt(scores[best, agents])


def cost_errors(estimate: CostEstimate, features: Floats, costs: Floats) -> Floats:
    """Root mean square error of ``estimate`` on other rows. Shape ``(A,)``."""
    squares = np.zeros(costs.shape[1])
    for block in row_blocks(len(features), costs.shape[1]):
        gaps = estimate(features[block]) - costs[block]
        squares += np.einsum("ba,ba->a", gaps, gaps)
    return np.sqrt(squares / len(features))
