"""The gate's wall: which files and modules this process must stay away from."""

import os
from pathlib import Path

from parties.directory import PartyDirectory
from parties.walls import forbid_data


def keep_out_of_data(directory: PartyDirectory) -> None:
    """Keep this process away from the data and the task that the settings name."""
    task = directory.settings.task
    # Not Path.exists(), which raises for a text that is too long to be a path.
    paths = [Path(text).resolve() for text in task.texts() if os.path.exists(text)]  # noqa: PTH110
    # A setting that is no path may still be the name of a folder: of ours, or of one around it.
    root = directory.root.resolve()
    ours = {path.resolve() for path in directory.parts}
    data = [path for path in paths if not root.is_relative_to(path) and path not in ours]
    forbid_data(data, [task.factory.partition(":")[0]])
