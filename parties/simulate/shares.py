"""One party's part of a data set that a study divides."""

from collections.abc import Mapping
from typing import Any

from assistlearn.task import Task
from assistlearn.tasks import Share, load_task
from assistlearn.tasks.splits import Party


def share_of(  # noqa: PLR0913  (settings of a file, by keyword)
    *,
    factory: str,
    settings: Mapping[str, Any],
    party: Party,
    imbalance: float,
    seed: int,
    device: str,
    precision: str,
) -> Task:
    """The task that ``factory`` makes of one share of its data.

    A task factory itself, so that a study's party can also be a real process with a settings
    file of its own: ``factory = "parties.simulate.shares:share_of"``.

    Args:
        factory: the task that is divided.
        settings: its settings.
        party: whose part.
        imbalance: the paper's gamma, 0 to 1.
        seed: of the division and of the order of examples.
        device: where to train.
        precision: of forward passes.

    Raises:
        ConfigError: the factory cannot divide its data, or a setting is wrong.
    """
    share = Share(party=party, imbalance=imbalance, seed=seed)
    return load_task(factory, settings, share=share, seed=seed, device=device, precision=precision)
