"""Learning to defer: which of several fixed agents should answer which example.

    from assistlearn import deferral

    rejector = deferral.Rejector(agents=["small", "large"]).fit(features, costs)
    print(rejector.decide(features).explain(0))

Two-stage, for any number of agents and tasks. Public names are loaded on first use (PEP 562);
``comp_sum`` and ``log_mass``, which are called like their modules, are imported from these.
"""

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from assistlearn.deferral.availability import Answers as Answers
    from assistlearn.deferral.availability import Reason as Reason
    from assistlearn.deferral.availability import answers as answers
    from assistlearn.deferral.bayes import bayes_agents as bayes_agents
    from assistlearn.deferral.bayes import deferral_regret as deferral_regret
    from assistlearn.deferral.budgets import Benefit as Benefit
    from assistlearn.deferral.budgets import Calibration as Calibration
    from assistlearn.deferral.budgets import RateInterval as RateInterval
    from assistlearn.deferral.budgets import StochasticRule as StochasticRule
    from assistlearn.deferral.budgets import Threshold as Threshold
    from assistlearn.deferral.budgets import TokenBucket as TokenBucket
    from assistlearn.deferral.budgets import answers_above as answers_above
    from assistlearn.deferral.budgets import benefit_of_deferring as benefit_of_deferring
    from assistlearn.deferral.budgets import calibrate as calibrate
    from assistlearn.deferral.budgets import deployed_interval as deployed_interval
    from assistlearn.deferral.budgets import guaranteed_threshold as guaranteed_threshold
    from assistlearn.deferral.budgets import hoeffding_margin as hoeffding_margin
    from assistlearn.deferral.budgets import rate_interval as rate_interval
    from assistlearn.deferral.budgets import stochastic_rule as stochastic_rule
    from assistlearn.deferral.budgets import threshold_at_rate as threshold_at_rate
    from assistlearn.deferral.consistency import conditional_minimizer as conditional_minimizer
    from assistlearn.deferral.consistency import consistency_transform as consistency_transform
    from assistlearn.deferral.consistency import inverse_bound as inverse_bound
    from assistlearn.deferral.consistency import inverse_transform as inverse_transform
    from assistlearn.deferral.consistency import least_conditional_risk as least_conditional_risk
    from assistlearn.deferral.consistency import minimizability_gap as minimizability_gap
    from assistlearn.deferral.consistency import regret_bound as regret_bound
    from assistlearn.deferral.costs import agent_costs as agent_costs
    from assistlearn.deferral.costs import classification_costs as classification_costs
    from assistlearn.deferral.costs import regression_costs as regression_costs
    from assistlearn.deferral.costs import score_costs as score_costs
    from assistlearn.deferral.help import LOCAL as LOCAL
    from assistlearn.deferral.help import REMOTE as REMOTE
    from assistlearn.deferral.help import HelpCosts as HelpCosts
    from assistlearn.deferral.help import bayes_rule as bayes_rule
    from assistlearn.deferral.help import fixed_server_rule as fixed_server_rule
    from assistlearn.deferral.help import rejector_surrogate as rejector_surrogate
    from assistlearn.deferral.help import stage_switching_surrogate as stage_switching_surrogate
    from assistlearn.deferral.help_training import LiveServer as LiveServer
    from assistlearn.deferral.help_training import ServerBits as ServerBits
    from assistlearn.deferral.help_training import ServerCopy as ServerCopy
    from assistlearn.deferral.help_training import train_help as train_help
    from assistlearn.deferral.imbalance import class_balanced as class_balanced
    from assistlearn.deferral.imbalance import focal as focal
    from assistlearn.deferral.imbalance import ldam as ldam
    from assistlearn.deferral.imbalance import logit_adjusted as logit_adjusted
    from assistlearn.deferral.imbalance import oracle_agents as oracle_agents
    from assistlearn.deferral.log_mass import layered_mass as layered_mass
    from assistlearn.deferral.mao import mao_2023 as mao_2023
    from assistlearn.deferral.mao import mao_2024 as mao_2024
    from assistlearn.deferral.margin_choice import margin_candidates as margin_candidates
    from assistlearn.deferral.margin_choice import select_margins as select_margins
    from assistlearn.deferral.margin_choice import theory_margins as theory_margins
    from assistlearn.deferral.margins import mild_hinge as mild_hinge
    from assistlearn.deferral.margins import mild_log as mild_log
    from assistlearn.deferral.margins import mild_ramp as mild_ramp
    from assistlearn.deferral.one_stage import one_stage_cross_entropy as one_stage_cross_entropy
    from assistlearn.deferral.one_stage import one_stage_one_vs_all as one_stage_one_vs_all
    from assistlearn.deferral.one_stage import one_stage_realizable as one_stage_realizable
    from assistlearn.deferral.one_stage import one_vs_all as one_vs_all
    from assistlearn.deferral.rejector_card import RejectorCard as RejectorCard
    from assistlearn.deferral.rejectors import AdamSettings as AdamSettings
    from assistlearn.deferral.rejectors import ConfidenceThreshold as ConfidenceThreshold
    from assistlearn.deferral.rejectors import Decisions as Decisions
    from assistlearn.deferral.rejectors import FixedAgent as FixedAgent
    from assistlearn.deferral.rejectors import ImageRejector as ImageRejector
    from assistlearn.deferral.rejectors import MildRejector as MildRejector
    from assistlearn.deferral.rejectors import OneStageRejector as OneStageRejector
    from assistlearn.deferral.rejectors import Oracle as Oracle
    from assistlearn.deferral.rejectors import PlugInRejector as PlugInRejector
    from assistlearn.deferral.rejectors import RandomRejector as RandomRejector
    from assistlearn.deferral.rejectors import Rejector as Rejector
    from assistlearn.deferral.rejectors import RejectorTask as RejectorTask
    from assistlearn.deferral.rejectors import TableRejector as TableRejector
    from assistlearn.deferral.rejectors import TextFeatureRejector as TextFeatureRejector
    from assistlearn.deferral.rejectors import TorchRejector as TorchRejector
    from assistlearn.deferral.rejectors import costs_from_outcomes as costs_from_outcomes
    from assistlearn.deferral.rejectors import cross_fitted_costs as cross_fitted_costs
    from assistlearn.deferral.rejectors import cross_fitted_outputs as cross_fitted_outputs
    from assistlearn.deferral.rejectors import outcomes_task as outcomes_task
    from assistlearn.deferral.rejectors import train_rejector as train_rejector
    from assistlearn.deferral.report import Report as Report
    from assistlearn.deferral.report import deferral_report as deferral_report
    from assistlearn.deferral.report import report_json as report_json
    from assistlearn.deferral.report import report_markdown as report_markdown
    from assistlearn.deferral.report import report_text as report_text
    from assistlearn.deferral.report import trial as trial
    from assistlearn.deferral.report import write_report as write_report
    from assistlearn.deferral.saving import load as load
    from assistlearn.deferral.saving import load_card as load_card
    from assistlearn.deferral.saving import load_module as load_module
    from assistlearn.deferral.saving import save as save
    from assistlearn.deferral.surrogates import SurrogateSettings as SurrogateSettings
    from assistlearn.deferral.surrogates import named_surrogate as named_surrogate
    from assistlearn.deferral.surrogates import surrogate_names as surrogate_names
    from assistlearn.deferral.tables import Outcomes as Outcomes
    from assistlearn.deferral.tables import read_outcomes as read_outcomes
    from assistlearn.deferral.top_k import top_k_agents as top_k_agents
    from assistlearn.deferral.top_k import top_k_deferral_loss as top_k_deferral_loss
    from assistlearn.deferral.two_stage import Surrogate as Surrogate
    from assistlearn.deferral.two_stage import chosen_agents as chosen_agents
    from assistlearn.deferral.two_stage import deferral_loss as deferral_loss
    from assistlearn.deferral.two_stage import two_stage_surrogate as two_stage_surrogate
    from assistlearn.deferral.weights import cost_weights as cost_weights

_HOMES: Final = {
    "AdamSettings": "assistlearn.deferral.rejectors",
    "Answers": "assistlearn.deferral.availability",
    "Benefit": "assistlearn.deferral.budgets",
    "Calibration": "assistlearn.deferral.budgets",
    "ConfidenceThreshold": "assistlearn.deferral.rejectors",
    "Decisions": "assistlearn.deferral.rejectors",
    "FixedAgent": "assistlearn.deferral.rejectors",
    "HelpCosts": "assistlearn.deferral.help",
    "ImageRejector": "assistlearn.deferral.rejectors",
    "LOCAL": "assistlearn.deferral.help",
    "LiveServer": "assistlearn.deferral.help_training",
    "MildRejector": "assistlearn.deferral.rejectors",
    "OneStageRejector": "assistlearn.deferral.rejectors",
    "Oracle": "assistlearn.deferral.rejectors",
    "Outcomes": "assistlearn.deferral.tables",
    "PlugInRejector": "assistlearn.deferral.rejectors",
    "REMOTE": "assistlearn.deferral.help",
    "RandomRejector": "assistlearn.deferral.rejectors",
    "RateInterval": "assistlearn.deferral.budgets",
    "Reason": "assistlearn.deferral.availability",
    "Rejector": "assistlearn.deferral.rejectors",
    "RejectorCard": "assistlearn.deferral.rejector_card",
    "RejectorTask": "assistlearn.deferral.rejectors",
    "Report": "assistlearn.deferral.report",
    "ServerBits": "assistlearn.deferral.help_training",
    "ServerCopy": "assistlearn.deferral.help_training",
    "StochasticRule": "assistlearn.deferral.budgets",
    "Surrogate": "assistlearn.deferral.two_stage",
    "SurrogateSettings": "assistlearn.deferral.surrogates",
    "TableRejector": "assistlearn.deferral.rejectors",
    "TextFeatureRejector": "assistlearn.deferral.rejectors",
    "Threshold": "assistlearn.deferral.budgets",
    "TokenBucket": "assistlearn.deferral.budgets",
    "TorchRejector": "assistlearn.deferral.rejectors",
    "agent_costs": "assistlearn.deferral.costs",
    "answers": "assistlearn.deferral.availability",
    "answers_above": "assistlearn.deferral.budgets",
    "bayes_agents": "assistlearn.deferral.bayes",
    "bayes_rule": "assistlearn.deferral.help",
    "benefit_of_deferring": "assistlearn.deferral.budgets",
    "calibrate": "assistlearn.deferral.budgets",
    "chosen_agents": "assistlearn.deferral.two_stage",
    "class_balanced": "assistlearn.deferral.imbalance",
    "classification_costs": "assistlearn.deferral.costs",
    "conditional_minimizer": "assistlearn.deferral.consistency",
    "consistency_transform": "assistlearn.deferral.consistency",
    "cost_weights": "assistlearn.deferral.weights",
    "costs_from_outcomes": "assistlearn.deferral.rejectors",
    "cross_fitted_costs": "assistlearn.deferral.rejectors",
    "cross_fitted_outputs": "assistlearn.deferral.rejectors",
    "deferral_loss": "assistlearn.deferral.two_stage",
    "deferral_regret": "assistlearn.deferral.bayes",
    "deferral_report": "assistlearn.deferral.report",
    "deployed_interval": "assistlearn.deferral.budgets",
    "fixed_server_rule": "assistlearn.deferral.help",
    "focal": "assistlearn.deferral.imbalance",
    "guaranteed_threshold": "assistlearn.deferral.budgets",
    "hoeffding_margin": "assistlearn.deferral.budgets",
    "inverse_bound": "assistlearn.deferral.consistency",
    "inverse_transform": "assistlearn.deferral.consistency",
    "layered_mass": "assistlearn.deferral.log_mass",
    "ldam": "assistlearn.deferral.imbalance",
    "least_conditional_risk": "assistlearn.deferral.consistency",
    "load": "assistlearn.deferral.saving",
    "load_card": "assistlearn.deferral.saving",
    "load_module": "assistlearn.deferral.saving",
    "logit_adjusted": "assistlearn.deferral.imbalance",
    "mao_2023": "assistlearn.deferral.mao",
    "mao_2024": "assistlearn.deferral.mao",
    "margin_candidates": "assistlearn.deferral.margin_choice",
    "mild_hinge": "assistlearn.deferral.margins",
    "mild_log": "assistlearn.deferral.margins",
    "mild_ramp": "assistlearn.deferral.margins",
    "minimizability_gap": "assistlearn.deferral.consistency",
    "named_surrogate": "assistlearn.deferral.surrogates",
    "one_stage_cross_entropy": "assistlearn.deferral.one_stage",
    "one_stage_one_vs_all": "assistlearn.deferral.one_stage",
    "one_stage_realizable": "assistlearn.deferral.one_stage",
    "one_vs_all": "assistlearn.deferral.one_stage",
    "oracle_agents": "assistlearn.deferral.imbalance",
    "outcomes_task": "assistlearn.deferral.rejectors",
    "rate_interval": "assistlearn.deferral.budgets",
    "read_outcomes": "assistlearn.deferral.tables",
    "regression_costs": "assistlearn.deferral.costs",
    "regret_bound": "assistlearn.deferral.consistency",
    "rejector_surrogate": "assistlearn.deferral.help",
    "report_json": "assistlearn.deferral.report",
    "report_markdown": "assistlearn.deferral.report",
    "report_text": "assistlearn.deferral.report",
    "save": "assistlearn.deferral.saving",
    "score_costs": "assistlearn.deferral.costs",
    "select_margins": "assistlearn.deferral.margin_choice",
    "stage_switching_surrogate": "assistlearn.deferral.help",
    "stochastic_rule": "assistlearn.deferral.budgets",
    "surrogate_names": "assistlearn.deferral.surrogates",
    "theory_margins": "assistlearn.deferral.margin_choice",
    "threshold_at_rate": "assistlearn.deferral.budgets",
    "top_k_agents": "assistlearn.deferral.top_k",
    "top_k_deferral_loss": "assistlearn.deferral.top_k",
    "train_help": "assistlearn.deferral.help_training",
    "train_rejector": "assistlearn.deferral.rejectors",
    "trial": "assistlearn.deferral.report",
    "two_stage_surrogate": "assistlearn.deferral.two_stage",
    "write_report": "assistlearn.deferral.report",
}
__all__ = [  # noqa: PLE0604  (strings, from the table above)
    *sorted(_HOMES),
]


def __getattr__(name: str) -> Any:
    """Import a public name from its home the first time it is used."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'assistlearn.deferral' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    """Public names, loaded or not."""
    return sorted(_HOMES)
