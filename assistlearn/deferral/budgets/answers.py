"""Who answers at a threshold on what deferring is worth, also where agents cannot be had.

B examples, A agents; agent 0 is the main model, the others are experts.
"""

from typing import Any, Final

import numpy as np

from assistlearn.deferral.arrays import Bools, Floats, numbers_of
from assistlearn.deferral.availability import Answers, available_agents, reasons
from assistlearn.deferral.budgets.benefit import benefit_of_deferring
from assistlearn.deferral.budgets.calibration import Calibration
from assistlearn.deferral.budgets.threshold import Threshold

OUT_OF_REACH: Final = 1e300  # more than any cost, and still a finite number


def threshold_of(given: Threshold | Calibration | float) -> Threshold:
    """The threshold that is meant: itself, a calibration's, or one at a plain number."""
    if isinstance(given, Calibration):
        return given.threshold
    return given if isinstance(given, Threshold) else Threshold(value=float(given))


def answers_above(
    costs_BA: Any,
    threshold: Threshold,
    *,
    available_BA: Any = None,
    generator: np.random.Generator | None = None,
) -> Answers:
    """Ask the expert of the least expected cost where its gain is above ``threshold``.

    An agent that cannot be had counts as out of reach: among the others the same rule decides, so
    the next best expert is asked only where its own gain is above the threshold, and agent 0
    answers elsewhere. Where agent 0 cannot be had and an expert can, the gain is above every
    finite threshold. Where nobody can be had agent 0 answers.

    Args:
        costs_BA: expected cost of each agent's answer, prices included. Shape ``(B, A)``, A >= 2.
        threshold: in the costs' unit.
        available_BA: True where an agent can be had. Shape ``(B, A)``, or ``(A,)`` for all
            examples; None if all always can.
        generator: draws for gains equal to the threshold, one number for each example as
            :meth:`.Threshold.deferred` does; None keeps such ties, which only lowers the rate.

    Raises:
        DataError: costs are no finite matrix or of one agent only, or the mask does not fit.
    """
    costs = numbers_of(costs_BA, "costs", dimensions=2)
    draws_B = None if generator is None else generator.random(len(costs))
    benefit = benefit_of_deferring(costs)
    asked_B = benefit.agents(_deferred(threshold, benefit.gain, draws_B))
    below_B = (asked_B == 0) & (benefit.gain > 0)
    if available_BA is None:
        return Answers(
            asked=asked_B, answered=asked_B, reasons=reasons(asked_B, asked_B, below_B=below_B)
        )
    mask = available_agents(available_BA, costs.shape)
    rest = benefit_of_deferring(np.where(mask, costs, OUT_OF_REACH))
    deferred_B = _deferred(threshold, rest.gain, draws_B) & mask[:, 1:].any(axis=1)
    answered_B = rest.agents(deferred_B)
    return Answers(
        asked=asked_B,
        answered=answered_B,
        reasons=reasons(asked_B, answered_B, anybody_B=np.any(mask, axis=1), below_B=below_B),
    )


def _deferred(threshold: Threshold, gain_B: Floats, draws_B: Floats | None) -> Bools:
    probabilities_B = threshold.probabilities(gain_B)
    return probabilities_B >= 1 if draws_B is None else draws_B < probabilities_B
