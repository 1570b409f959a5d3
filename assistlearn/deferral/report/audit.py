"""The four-way audit of decisions: kept or deferred, rightly or not, and what it came to.

The idea is in the code that was released with arXiv:2410.15729. B examples, A agents.
"""

from dataclasses import dataclass

import numpy as np

from assistlearn.deferral.arrays import Bools, Floats, Ints
from assistlearn.deferral.report.oracle import rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One of the four kinds of decision."""

    share: float
    """Of all examples."""

    stake: float
    """What the decision gained or lost on them, in units of cost, as a mean over *all* examples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """All decisions, in four parts whose shares add up to 1.

    The deferral loss is agent 0's own loss, less the stake of ``deferred_right``, plus that of
    ``deferred_wrong``.
    """

    kept_right: Part
    """Kept, and no expert was cheaper; stake: what the cheapest expert would have cost more."""

    kept_wrong: Part
    """Kept, though an expert was cheaper; stake: what the cheapest would have saved."""

    deferred_right: Part
    """Deferred to an agent not dearer than agent 0; stake: what that saved."""

    deferred_wrong: Part
    """Deferred, though agent 0 was cheaper; stake: what that cost."""

    @classmethod
    def of(cls, costs: Floats, agents: Ints) -> "Audit":
        """Audit the choices ``agents`` (B,) at ``costs`` (B, A); rounding makes nothing dearer."""
        slack = rounding(costs)[:, 0]
        own, expert = costs[:, 0], costs[:, 1:].min(axis=1)
        paid = np.take_along_axis(costs, agents[:, None], axis=1)[:, 0]
        kept = agents == 0
        return cls(
            kept_right=_part(kept & (own <= expert + slack), expert - own),
            kept_wrong=_part(kept & (own > expert + slack), own - expert),
            deferred_right=_part(~kept & (paid <= own + slack), own - paid),
            deferred_wrong=_part(~kept & (paid > own + slack), paid - own),
        )


def _part(where: Bools, stakes: Floats) -> Part:
    return Part(share=float(where.mean()), stake=float((stakes * where).mean()))
