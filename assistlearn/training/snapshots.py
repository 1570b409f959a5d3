"""Snapshots: a local training's exact state between two sampled checkpoints, for resuming.

One safetensors file holds the model at full precision and the optimiser's tensors; everything
else of the optimiser's state stands as JSON in the file's metadata. No pickle. A snapshot never
leaves this machine.
"""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.optim import Optimizer

from assistlearn.durable import disk_errors, move_durably
from assistlearn.errors import StorageError, TaskError

DTYPE_NAMES: Final = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
METADATA: Final = "optimizer"
MODEL: Final = "model."
UNFINISHED: Final = ".unfinished-"


class SnapshotFolder:
    """The snapshots of one party's local training: of the last two sampled steps.

    One process at a time writes here.
    """

    def __init__(self, folder: Path) -> None:
        """Make the folder, and delete what a killed process has not finished in it."""
        self._folder = folder
        with disk_errors(f"create {folder}"):
            folder.mkdir(parents=True, exist_ok=True)
        with disk_errors(f"delete unfinished snapshots from {folder}"):
            for unfinished in folder.glob(f"{UNFINISHED}*"):
                shutil.rmtree(unfinished)

    def save(
        self, round_: int, start: str, step: int, model: nn.Module, optimizer: Optimizer
    ) -> None:
        """Keep the state after ``step`` updates; see :func:`save_snapshot`."""
        save_snapshot(self._path(round_, start, step), model, optimizer)

    def load(
        self, round_: int, start: str, step: int, model: nn.Module, optimizer: Optimizer
    ) -> None:
        """Put both back to where they were after ``step`` updates.

        Raises:
            StorageError: that snapshot is not there or not sound.
        """
        path = self._path(round_, start, step)
        if not path.is_file():
            raise StorageError(
                f"there is no snapshot of round {round_} at step {step}",
                hint="restore the party's directory from a copy, or delete"
                f" {self._folder.parent} to give the session up",
            )
        load_snapshot(path, model, optimizer)

    def keep_only(self, round_: int, start: str, steps: tuple[int, ...]) -> None:
        """Delete all others."""
        kept = {self._path(round_, start, step) for step in steps}
        with disk_errors(f"delete old snapshots from {self._folder}"):
            for path in self._folder.glob("round-*.safetensors"):
                if path not in kept:
                    path.unlink(missing_ok=True)

    def _path(self, round_: int, start: str, step: int) -> Path:
        # With the start's digest, so that a folder left over from another session is no danger.
        return self._folder / f"round-{round_}-step-{step}-from-{start[:16]}.safetensors"


def save_snapshot(path: Path, model: nn.Module, optimizer: Optimizer) -> None:
    """Write the state of both to ``path``: atomically, and on disk before this returns.

    Raises:
        TaskError: the state holds something other than tensors, numbers, text and containers.
        StorageError: the disk is full, read-only or failing. ``path`` is as before.
    """
    tensors: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        tensors[MODEL + name] = _storable(tensor)
    described = json.dumps(_described(optimizer.state_dict(), tensors))

    entries: dict[str, object] = {"__metadata__": {METADATA: described}}
    offset = 0
    for name, tensor in tensors.items():
        end = offset + tensor.nbytes
        entries[name] = {
            "dtype": DTYPE_NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)

    with (
        disk_errors(f"write snapshot {path}"),
        tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=path.parent) as folder,
    ):
        unfinished = Path(folder) / path.name
        with unfinished.open("wb") as file:
            file.write(len(header).to_bytes(8, "little") + header)
            for tensor in tensors.values():
                copy = tensor.detach().cpu().contiguous()  # one at a time
                file.write(copy.reshape(-1).view(torch.uint8).numpy().data)
        move_durably(unfinished, path)


def load_snapshot(path: Path, model: nn.Module, optimizer: Optimizer) -> None:
    """Put the state in ``path`` into ``model`` and ``optimizer``, bit for bit.

    Raises:
        StorageError: there is no such snapshot, it is damaged, or it is of another model.
    """
    try:
        with disk_errors(f"read snapshot {path}"), safe_open(path, "pt") as file:
            described = json.loads((file.metadata() or {})[METADATA])
            # clone: tensors of safe_open are views of the mapped file
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        state = {
            name.removeprefix(MODEL): tensor
            for name, tensor in tensors.items()
            if name.startswith(MODEL)
        }
        model.load_state_dict(state, strict=True)
        _restore(optimizer, _rebuilt(described, tensors))
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise StorageError(
            f"snapshot {path.name} does not fit the task's model and optimiser: {error}",
            hint="put the task's settings back to what they were when the round began",
        ) from error


def _storable(tensor: Any) -> Tensor:
    if isinstance(tensor, Tensor) and tensor.dtype in DTYPE_NAMES:
        return tensor
    what = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
    raise TaskError(
        f"cannot save a value of type {what} of the training state",
        hint="use modules and optimisers whose state_dict holds ordinary tensors and numbers",
    )


def _described(value: Any, tensors: dict[str, Tensor]) -> Any:
    """``value`` as JSON; its tensors are added to ``tensors`` and referred to by name."""
    match value:
        case Tensor():
            name = f"optimizer.{len(tensors)}"
            tensors[name] = _storable(value)
            return {"tensor": name}
        case dict():
            items = [
                [_described(key, tensors), _described(each, tensors)] for key, each in value.items()
            ]
            return {"dict": items}
        case tuple():
            return {"tuple": [_described(each, tensors) for each in value]}
        case list():
            return [_described(each, tensors) for each in value]
        case None | bool() | int() | float() | str():
            return value  # JSON gives every float back exactly, infinities included
        case _:
            return _storable(value)


def _rebuilt(value: Any, tensors: dict[str, Tensor]) -> Any:
    match value:
        case {"tensor": name}:
            return tensors[name]
        case {"dict": items}:
            return {_rebuilt(key, tensors): _rebuilt(each, tensors) for key, each in items}
        case {"tuple": items}:
            return tuple(_rebuilt(each, tensors) for each in items)
        case list():
            return [_rebuilt(each, tensors) for each in value]
        case _:
            return value


def _restore(optimizer: Optimizer, state: dict[str, Any]) -> None:
    optimizer.load_state_dict(state)
    # load_state_dict casts floating state to the parameter's dtype; an optimiser that keeps
    # float32 moments of bfloat16 parameters would lose bits. Undo that.
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    for index, saved in state["state"].items():
        if not isinstance(index, int):
            continue
        current = optimizer.state[parameters[index]]
        for name, tensor in saved.items():
            if isinstance(tensor, Tensor) and current[name].dtype != tensor.dtype:
                current[name] = tensor.to(current[name].device)
