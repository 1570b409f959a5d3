"""What asking costs: pay per request, a bounded rate, a hard cap for any window of time.

The three settings of learning to help (arXiv:2501.13810) are *pay per request*
(:mod:`.benefit`), *bounded reject rate* (:mod:`.stochastic`, :mod:`.threshold`, :mod:`.bucket`)
and *intermittent availability* (:mod:`assistlearn.deferral.availability`). All of them act after
training: a price, a bound or a cap can be changed at any time without fitting anything again.
:meth:`.Decisions.under` joins them: a rejector's decisions at a threshold, with the agents there.
"""

from assistlearn.deferral.budgets.answers import answers_above, threshold_of
from assistlearn.deferral.budgets.benefit import Benefit, benefit_of_deferring
from assistlearn.deferral.budgets.bucket import TokenBucket
from assistlearn.deferral.budgets.calibration import (
    Calibration,
    RateInterval,
    calibrate,
    deployed_interval,
    guaranteed_threshold,
    hoeffding_margin,
    rate_interval,
)
from assistlearn.deferral.budgets.stochastic import StochasticRule, stochastic_rule
from assistlearn.deferral.budgets.threshold import Threshold, threshold_at_rate

__all__ = [
    "Benefit",
    "Calibration",
    "RateInterval",
    "StochasticRule",
    "Threshold",
    "TokenBucket",
    "answers_above",
    "benefit_of_deferring",
    "calibrate",
    "deployed_interval",
    "guaranteed_threshold",
    "hoeffding_margin",
    "rate_interval",
    "stochastic_rule",
    "threshold_at_rate",
    "threshold_of",
]
