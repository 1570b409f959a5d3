"""Warnings about somebody's data read like our errors, not like a line of our code."""

import warnings
from typing import Final

from assistlearn.errors import DataWarning

USUAL: Final = warnings.formatwarning


def word_data_warnings() -> None:
    """From now on, in this process."""
    warnings.formatwarning = _worded


def _worded(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    if issubclass(category, DataWarning):
        return f"assistlearn: warning: {message}\n"
    return USUAL(message, category, filename, lineno, line)
