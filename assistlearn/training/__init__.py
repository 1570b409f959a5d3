"""Local training and evaluation, in the process that holds the data."""

from assistlearn.training.devices import (
    Precision,
    autocast,
    choose_device,
    set_threads,
    use_deterministic,
)
from assistlearn.training.evaluation import evaluating, local_loss
from assistlearn.training.trainer import Sample, Trainer

__all__ = [
    "Precision",
    "Sample",
    "Trainer",
    "autocast",
    "choose_device",
    "evaluating",
    "local_loss",
    "set_threads",
    "use_deterministic",
]
