"""Which assistlearn this is."""

from importlib.metadata import PackageNotFoundError, version


def installed_version() -> str:
    """The version that the package was installed as; ``0+source`` where it was not."""
    try:
        return version("assistlearn")
    except PackageNotFoundError:  # run from a checkout
        return "0+source"
