"""Which assistlearn this is, and what it runs on."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version


def installed_version() -> str:
    """The version that the package was installed as; ``0+source`` where it was not."""
    try:
        return version("assistlearn")
    except PackageNotFoundError:  # run from a checkout
        return "0+source"


def made_with() -> dict[str, str]:
    """What a measured figure depends on besides its settings, for results files."""
    return {
        "assistlearn": installed_version(),
        "python": platform.python_version(),
        "torch": version("torch"),
        "numpy": version("numpy"),
        "system": platform.system(),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPU cores",
    }
