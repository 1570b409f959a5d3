"""Rejectors to fit, ask and compare: scikit-learn estimators, torch modules, and a task."""

from assistlearn.deferral.rejectors.baselines import FixedAgent, Oracle, RandomRejector
from assistlearn.deferral.rejectors.confidence import ConfidenceThreshold
from assistlearn.deferral.rejectors.cross_fitting import (
    Agent,
    cross_fitted_costs,
    cross_fitted_outputs,
)
from assistlearn.deferral.rejectors.decisions import Decisions
from assistlearn.deferral.rejectors.mild import MildRejector
from assistlearn.deferral.rejectors.minibatches import AdamSettings, Training, train_rejector
from assistlearn.deferral.rejectors.modules import (
    ImageRejector,
    TableRejector,
    TextFeatureRejector,
)
from assistlearn.deferral.rejectors.one_stage import OneStageRejector
from assistlearn.deferral.rejectors.outcomes import costs_from_outcomes
from assistlearn.deferral.rejectors.plug_in import PlugInRejector
from assistlearn.deferral.rejectors.rejector import Rejector
from assistlearn.deferral.rejectors.task import RejectorTask, outcomes_task
from assistlearn.deferral.rejectors.torch_rejector import TorchRejector

__all__ = [
    "AdamSettings",
    "Agent",
    "ConfidenceThreshold",
    "Decisions",
    "FixedAgent",
    "ImageRejector",
    "MildRejector",
    "OneStageRejector",
    "Oracle",
    "PlugInRejector",
    "RandomRejector",
    "Rejector",
    "RejectorTask",
    "TableRejector",
    "TextFeatureRejector",
    "TorchRejector",
    "Training",
    "costs_from_outcomes",
    "cross_fitted_costs",
    "cross_fitted_outputs",
    "outcomes_task",
    "train_rejector",
]
