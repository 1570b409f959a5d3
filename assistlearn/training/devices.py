"""Where and how precisely a party computes. Nothing here assumes an accelerator."""

import os
from contextlib import AbstractContextManager
from typing import Final, Literal

import torch

from assistlearn.errors import DeviceError

Precision = Literal["float32", "bfloat16"]
"""``bfloat16`` computes forward passes in mixed precision; parameters stay in float32."""

PRECISIONS: Final = ("float32", "bfloat16")
KINDS: Final = ("cpu", "cuda", "mps")


def choose_device(name: str = "auto") -> torch.device:
    """The device called ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    ``auto`` is the first of CUDA, MPS and CPU that this machine has.

    Raises:
        DeviceError: the name is unknown or this machine has no such device.
    """
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if _count(kind)))
    kind, _, index = name.partition(":")
    if kind not in KINDS or (":" in name and not (index.isascii() and index.isdigit())):
        raise DeviceError(
            f"device {name!r} is unknown", hint='use "auto", "cpu", "cuda", "cuda:1" or "mps"'
        )
    if int(index or 0) >= _count(kind):
        raise DeviceError(
            f"device {name!r} is not available: this machine has {_count(kind)} of kind {kind}",
            hint='use "auto", or install a build of torch that supports this accelerator',
        )
    return torch.device(name)


def _count(kind: str) -> int:
    if kind == "cuda":
        return torch.cuda.device_count()
    return int(torch.backends.mps.is_available()) if kind == "mps" else 1


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """A context in which forward passes run in ``precision``. Does nothing for float32.

    Raises:
        DeviceError: the precision is unknown, or this device cannot compute in it.
    """
    if precision not in PRECISIONS:
        raise DeviceError(
            f"precision {precision!r} is unknown", hint=f"choose one of {[*PRECISIONS]}"
        )
    enabled = precision == "bfloat16"
    if enabled and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise DeviceError(
            f"{torch.cuda.get_device_name(device)} cannot compute in bfloat16",
            hint='set precision = "float32"',
        )
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)


def use_deterministic(device: torch.device) -> None:
    """Make torch choose algorithms that give the same bits each time on this machine.

    Equal bits also need the same versions and, on the CPU, the same number of threads. Call it
    before the first use of CUDA: its workspace setting is read only then.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # NVIDIA's deterministic setting
    torch.backends.cudnn.benchmark = False
    # MPS lacks deterministic versions of some operations: warn there instead of refusing.
    torch.use_deterministic_algorithms(True, warn_only=device.type == "mps")


def set_threads(count: int) -> None:
    """Let torch use ``count`` CPU threads; 0 leaves its own choice.

    Raises:
        DeviceError: ``count`` is negative.
    """
    if count < 0:
        raise DeviceError(f"threads is {count}, must be >= 0", hint="set threads = 0 for all cores")
    if count:
        torch.set_num_threads(count)
