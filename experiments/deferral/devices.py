"""Where a study trains its networks: the CPU unless told otherwise, and said wherever it is not."""

from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import torch
from torch import Tensor

from assistlearn.training import choose_device

CPU: Final = torch.device("cpu")
Value = TypeVar("Value")

device_option = click.option(
    "--device",
    type=click.Choice(("auto", "cpu", "cuda", "mps")),
    default="cpu",
    show_default=True,
    callback=lambda _context, _option, name: choose_device(name),
    help="Where networks train; auto is the first of cuda, mps and cpu that is there.",
)


def computed_on(device: torch.device) -> str:
    """What results from another device than the CPU must say; nothing for the CPU."""
    if device == CPU:
        return ""
    name = f" ({torch.cuda.get_device_name(device)})" if torch.cuda.is_available() else ""
    return (
        f"Networks were trained on {device.type}{name}: the same beginnings and batches as on the"
        " CPU, but sums are rounded otherwise, so figures differ from those of the same seeds there"
    )


def own_cache(cache: Path, device: torch.device) -> Path:
    """The folder to keep what was computed on ``device``: no other device's results are read."""
    return cache if device == CPU else cache / device.type


def placed(value: Value, device: torch.device) -> Value:
    """A dataclass with its tensors, and those of dataclasses in it, on ``device``.

    Tensors that are there already are not copied.
    """
    found: Any = value
    moved: dict[str, Any] = {}
    for each in fields(found):
        part: Any = getattr(found, each.name)
        if isinstance(part, Tensor):
            moved[each.name] = part.to(device)
        elif is_dataclass(part):
            moved[each.name] = placed(part, device)
    new: Value = replace(found, **moved)
    return new
