"""The stochastic post-hoc rule of learning to help, for a bounded reject rate.

The rejector is left as it is; some of its decisions are turned round at random. B examples.

Source: arXiv:2501.13810, section on the bounded reject rate. The bound holds in expectation: of N
requests a binomial number is deferred. A cap that holds in every window of time needs
:class:`.TokenBucket`; less expected cost at the same rate needs :func:`.threshold_at_rate`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from assistlearn.deferral.arrays import Bools, Floats, array_of
from assistlearn.deferral.budgets.threshold import checked_rate
from assistlearn.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class StochasticRule:
    """How likely an example is deferred, by what the rejector says of it."""

    if_deferred: float
    """Probability that a deferral stays one."""

    if_kept: float
    """Probability that what the rejector keeps is deferred all the same."""

    def probabilities(self, deferred_B: Any) -> Floats:
        """How likely each example is deferred. Shape ``(B,)``.

        Args:
            deferred_B: True where the rejector defers. Shape ``(B,)``.
        """
        deferred = array_of(deferred_B)
        if deferred.dtype != np.bool_ or deferred.ndim != 1:
            raise DataError(
                f"the rejector's decisions have shape {deferred.shape} and type {deferred.dtype}",
                hint="give one truth value for each example, such as chosen_B != 0",
            )
        return np.where(deferred, self.if_deferred, self.if_kept)

    def deferred(self, deferred_B: Any, generator: np.random.Generator) -> Bools:
        """Decide, drawing one number for each example. Shape ``(B,)``."""
        probabilities = self.probabilities(deferred_B)
        return generator.random(len(probabilities)) < probabilities


def stochastic_rule(reject_rate: float, bound: float, *, fill: bool = False) -> StochasticRule:
    r"""The rule for a rejector that defers the share ``reject_rate`` by itself.

    With rate :math:`\hat r` and bound p: if :math:`\hat r > p`, a deferral stays one with
    probability :math:`p/\hat r`; otherwise nothing changes, or, with ``fill``, what is kept is
    deferred with probability :math:`(p-\hat r)/(1-\hat r)`. The expected rate is exactly p, or
    :math:`\min(p, \hat r)` without ``fill``. So the expected accuracy is piecewise linear in p,
    with its kink at :math:`\hat r`.

    Args:
        reject_rate: share of deferrals on held-out data; not on the data that are reported.
        bound: the share allowed, from 0 to 1.
        fill: the second branch, which uses up a bound that the rejector does not reach. It traces
            the whole curve of accuracy against rate; an upper bound does not ask for it.

    Raises:
        ConfigError: a share is not between 0 and 1.
    """
    checked_rate(reject_rate, "the reject rate")
    checked_rate(bound, "the bound on the reject rate")
    if reject_rate > bound:
        return StochasticRule(if_deferred=bound / reject_rate, if_kept=0.0)
    # Where the rejector defers everything nothing is kept, and the second branch has no work.
    more = (bound - reject_rate) / (1 - reject_rate) if fill and reject_rate < 1 else 0.0
    return StochasticRule(if_deferred=1.0, if_kept=more)
