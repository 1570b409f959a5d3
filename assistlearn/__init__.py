"""Assisted learning between two organisations that may not share data.

Public names are loaded on first use (PEP 562), so that ``import assistlearn`` is cheap and a
process that must not load torch can use the parts that do without.
"""

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from assistlearn.checkpoints import CheckpointStore as CheckpointStore
    from assistlearn.checkpoints import ModelSpec as ModelSpec
    from assistlearn.errors import AssistLearnError as AssistLearnError
    from assistlearn.losses import LocalLoss as LocalLoss
    from assistlearn.task import Task as Task
    from assistlearn.tasks import Share as Share
    from assistlearn.tasks import SupervisedTask as SupervisedTask
    from assistlearn.tasks import load_task as load_task
    from assistlearn.tasks import share_indices as share_indices
    from assistlearn.training import Trainer as Trainer

_HOMES: Final = {
    "AssistLearnError": "assistlearn.errors",
    "CheckpointStore": "assistlearn.checkpoints",
    "LocalLoss": "assistlearn.losses",
    "ModelSpec": "assistlearn.checkpoints",
    "Share": "assistlearn.tasks",
    "SupervisedTask": "assistlearn.tasks",
    "Task": "assistlearn.task",
    "Trainer": "assistlearn.training",
    "load_task": "assistlearn.tasks",
    "share_indices": "assistlearn.tasks",
}
__all__ = [  # noqa: PLE0604  (strings, from the table above)
    *sorted(_HOMES),
]


def __getattr__(name: str) -> Any:
    """Import a public name from its home the first time it is used."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'assistlearn' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    """Public names, loaded or not."""
    return sorted(_HOMES)
