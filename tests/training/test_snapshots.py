import copy
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import nn
from torch.optim import Optimizer
from toytask import ToyTask

from assistlearn.errors import StorageError, TaskError
from assistlearn.training.snapshots import SnapshotFolder, load_snapshot, save_snapshot

OPTIMIZERS: dict[str, tuple[type[Optimizer], dict[str, Any]]] = {
    "momentum": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    "plain": (torch.optim.SGD, {"lr": 0.1}),
    "Adam": (torch.optim.Adam, {"lr": 0.03, "amsgrad": True}),
    "AdamW": (torch.optim.AdamW, {"lr": 0.03, "betas": (0.8, 0.95)}),
    "Adagrad": (torch.optim.Adagrad, {"lr": 0.1}),
    "RMSprop": (torch.optim.RMSprop, {"lr": 0.01, "centered": True, "momentum": 0.5}),
    "Adadelta": (torch.optim.Adadelta, {}),
    "NAdam": (torch.optim.NAdam, {}),
    "RAdam": (torch.optim.RAdam, {}),
    "ASGD": (torch.optim.ASGD, {}),
    "Rprop": (torch.optim.Rprop, {}),
    "learning rate as a tensor": (torch.optim.Adam, {"lr": torch.tensor(0.03), "foreach": False}),
}


def using(name: str) -> Callable[[nn.Module], Optimizer]:
    cls, settings = OPTIMIZERS[name]
    return lambda model: cls(model.parameters(), **settings)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_training_goes_on_from_a_snapshot_bit_for_bit(
    tmp_path: Path, name: str, dtype: torch.dtype
) -> None:
    task = ToyTask(using(name), dtype=dtype)
    model = task.build_model()
    optimizer = task.build_optimizer(model)
    task.train(model, optimizer, range(3))
    save_snapshot(tmp_path / "s.safetensors", model, optimizer)

    resumed = task.build_model()
    resumed_optimizer = task.build_optimizer(resumed)
    load_snapshot(tmp_path / "s.safetensors", resumed, resumed_optimizer)

    assert_same(resumed_optimizer.state_dict(), optimizer.state_dict())
    for each, its_optimizer in ((model, optimizer), (resumed, resumed_optimizer)):
        torch.manual_seed(3)
        task.train(each, its_optimizer, range(3, 6))
    assert_same(resumed.state_dict(), model.state_dict())
    assert_same(resumed_optimizer.state_dict(), optimizer.state_dict())


def assert_same(found: Any, expected: Any) -> None:
    """Equal in type, structure, dtype and every bit."""
    assert type(found) is type(expected) or isinstance(expected, dict)
    if isinstance(expected, dict):
        assert [*found] == [*expected]
        for key, value in expected.items():
            assert_same(found[key], value)
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected)
        for mine, theirs in zip(found, expected, strict=True):
            assert_same(mine, theirs)
    elif isinstance(expected, torch.Tensor):
        assert found.dtype == expected.dtype
        assert torch.equal(found, expected)
    else:
        assert found == expected


class Wide(torch.optim.SGD):
    """Keeps float32 moments for parameters of lower precision."""

    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                state.setdefault("mean", torch.zeros(parameter.shape))
                state["mean"].add_(parameter.grad.float(), alpha=1 / 3)
        return super().step(closure)


def test_moments_wider_than_their_parameters_keep_every_bit(tmp_path: Path) -> None:
    def stepped() -> tuple[nn.Module, Optimizer]:
        model = nn.Linear(2, 2).bfloat16()
        return model, Wide(model.parameters(), lr=0.1)

    model, optimizer = stepped()
    model(torch.ones(1, 2, dtype=torch.bfloat16)).sum().backward()
    optimizer.step()
    save_snapshot(tmp_path / "s", model, optimizer)

    other, other_optimizer = stepped()
    load_snapshot(tmp_path / "s", other, other_optimizer)

    assert_same(other_optimizer.state_dict(), optimizer.state_dict())


def test_snapshot_does_not_change_with_further_training(tmp_path: Path) -> None:
    task = ToyTask()
    model = task.build_model()
    optimizer = task.build_optimizer(model)
    task.train(model, optimizer, range(2))
    before = copy.deepcopy(model.state_dict())
    save_snapshot(tmp_path / "s", model, optimizer)
    task.train(model, optimizer, range(2, 5))

    load_snapshot(tmp_path / "s", model, optimizer)
    task.train(task.build_model(), optimizer, range(1))
    assert_same(model.state_dict(), before)


def test_file_is_safetensors_with_json_metadata(tmp_path: Path) -> None:
    task = ToyTask()
    model = task.build_model()
    optimizer = task.build_optimizer(model)
    task.train(model, optimizer, range(1))

    save_snapshot(tmp_path / "s", model, optimizer)

    with safe_open(tmp_path / "s", "pt") as file:
        names = set(file.keys())
        json.loads(file.metadata()["optimizer"])
    assert {f"model.{name}" for name in model.state_dict()} < names
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_state_that_is_no_tensor_number_or_text_is_refused(tmp_path: Path) -> None:
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for value in (object(), torch.zeros(1, dtype=torch.complex64)):
        optimizer.param_groups[0]["odd"] = value

        with pytest.raises(TaskError, match="cannot save a value of type") as caught:
            save_snapshot(tmp_path / "s", model, optimizer)

        assert caught.value.hint
    assert [*tmp_path.iterdir()] == []


def test_snapshot_of_another_model_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    task = ToyTask()
    model = task.build_model()
    optimizer = task.build_optimizer(model)
    task.train(model, optimizer, range(1))
    path = tmp_path / "s"
    save_snapshot(path, model, optimizer)

    other = ToyTask(width=9).build_model()
    with pytest.raises(StorageError, match="does not fit"):
        load_snapshot(path, other, task.build_optimizer(other))
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(StorageError, match="does not fit"):
        load_snapshot(path, model, optimizer)
    with pytest.raises(StorageError, match="cannot read"):
        load_snapshot(tmp_path / "absent", model, optimizer)


def test_failed_write_leaves_the_old_snapshot(tmp_path: Path) -> None:
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    with pytest.raises(StorageError, match="cannot write"):
        save_snapshot(tmp_path / "absent" / "s", model, optimizer)


KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from torch import nn, optim
from assistlearn.training import snapshots

model = nn.Linear(1, 1)
optimizer = optim.SGD(model.parameters(), lr=0.1)
folder = snapshots.SnapshotFolder(Path(sys.argv[1]))
folder.save(1, "a" * 64, 10, model, optimizer)
snapshots.move_durably = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
folder.save(1, "a" * 64, 20, model, optimizer)
"""


def test_what_a_killed_process_left_unfinished_is_deleted_and_the_last_snapshot_kept(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", KILLED_WHILE_WRITING, str(tmp_path)]
    killed = subprocess.run(command, check=False, timeout=100)
    assert killed.returncode == -signal.SIGKILL
    assert len([*tmp_path.iterdir()]) == 2

    folder = SnapshotFolder(tmp_path)

    (kept,) = tmp_path.iterdir()
    assert kept.suffix == ".safetensors"
    model = nn.Linear(1, 1)
    folder.load(1, "a" * 64, 10, model, torch.optim.SGD(model.parameters(), lr=0.1))
