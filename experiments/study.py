"""What the studies share: small simulations, results files that say how they came about, axes."""

import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from assistlearn.durable import disk_errors
from parties.output import json_safe
from parties.settings import SimulationSettings
from parties.settings_file import check_settings
from parties.version import made_with

RESULTS: Final = Path(__file__).parent / "results"
DPI: Final = 130
PATHS: Final = frozenset({"--data", "--cache", "--output", "--root", "--folder"})
COLOURS: Final = 128  # in a figure's file, which is a third as large as with all of them


def small_simulation(
    name: str,
    *,
    terms: Mapping[str, Any],
    factory: str,
    settings: Mapping[str, Any],
    seeds: range = range(1),
) -> SimulationSettings:
    """Settings of a simulation whose parties' data come from ``factory``, on one CPU thread.

    The factory divides its data by ``share.party`` alone, so there is no imbalance to choose.

    Raises:
        ConfigError: a value is wrong.
    """
    table = {
        "seeds": list(seeds),
        "terms": {"task": name, **terms},
        "task": {"factory": factory, "settings": dict(settings), "device": "cpu", "threads": 1},
        "split": {"imbalance": 0.0},
    }
    return check_settings(table, SimulationSettings, name=name)


def write_results(path: Path, *, module: str, findings: Mapping[str, Any]) -> None:
    """Write what ``python -m module`` found, after the command, the machine and the versions.

    Raises:
        StorageError: the file cannot be written.
    """
    document = {
        "command": " ".join(["python -m", module, *without_paths(sys.argv[1:])]),
        "made_with": made_with(),
        **findings,
    }
    with disk_errors(f"write {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(json_safe(document), indent=1) + "\n", encoding="utf-8")


def without_paths(arguments: Sequence[str]) -> list[str]:
    """A command's arguments as others would give them, with no folder of this machine.

    ``--data`` has the value DATA, also where an environment variable named the folder; the others
    change no figure and are left out.
    """
    words: list[str] = []
    context = click.get_current_context(silent=True)
    needs_data = context is not None and "data" in context.params
    rest = iter(arguments)
    for each in rest:
        option, equals, _ = each.partition("=")
        if option not in PATHS:
            words.append(each)
            continue
        if not equals:
            next(rest, None)
        needs_data = needs_data or option == "--data"
    return ["--data", "DATA", *words] if needs_data else words


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of ``width`` by ``height`` inches. No window system is ever asked."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def tidy(axis: Axes, title: str) -> None:
    """The look of all figures: a title on the left, faint lines, no box."""
    axis.set_title(title, loc="left", fontsize=11)
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", color="#DDDDDD", linewidth=0.8)
    axis.set_axisbelow(True)


def save(figure: Figure, path: Path) -> None:
    """Write ``figure`` as a small PNG file.

    Raises:
        StorageError: the file cannot be written.
    """
    pixels = io.BytesIO()
    figure.savefig(pixels, dpi=DPI)
    drawn = Image.open(pixels).convert("RGB")
    with disk_errors(f"write {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn.quantize(COLOURS).save(path, optimize=True)
