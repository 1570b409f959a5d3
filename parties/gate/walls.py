"""The gate's wall: which files and modules this process must stay away from."""

from pathlib import Path

from parties.directory import PartyDirectory
from parties.walls import forbid_data


def keep_out_of_data(directory: PartyDirectory) -> None:
    """Keep this process away from the data and the task that the settings name."""
    task = directory.settings.task
    values = [value for value in task.settings.values() if isinstance(value, str)]
    paths = [Path(value) for value in values if Path(value).exists()]
    forbid_data(paths, [task.factory.partition(":")[0]])
