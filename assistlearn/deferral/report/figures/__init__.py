"""Figures of a report, for people who have to decide. Loads matplotlib; asks no window system."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Final

from matplotlib.figure import Figure

from assistlearn.deferral.report.build import Report
from assistlearn.deferral.report.figures.allocation import allocation
from assistlearn.deferral.report.figures.rates import rates
from assistlearn.deferral.report.figures.recall import recall
from assistlearn.durable import disk_errors

__all__ = ["allocation", "rates", "recall", "write_figures"]

DPI: Final = 150


def write_figures(folder: Path, report: Report) -> tuple[Path, ...]:
    """Draw all figures into ``folder``; the files written.

    Letters that matplotlib's font lacks are drawn as boxes; set ``font.family`` for them.

    Raises:
        StorageError: a file cannot be written.
    """
    figures: dict[str, Callable[[Report], Figure]] = {
        "allocation.png": allocation,
        "rates.png": rates,
        "recall.png": recall,
    }
    paths = []
    for name, draw in figures.items():
        path = folder / name
        figure = draw(report)
        with disk_errors(f"write {path}"), warnings.catch_warnings():
            # The box is there to be seen; the warning names lines of source code.
            warnings.filterwarnings("ignore", r"Glyph .* missing from (current )?font")
            figure.savefig(path, dpi=DPI)
        paths.append(path)
    return tuple(paths)
