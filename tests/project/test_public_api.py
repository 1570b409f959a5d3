"""Modules, names and layers are what they say."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import assistlearn
import experiments
import parties
import protocols

ROOT = Path(assistlearn.__file__).parents[1]
PACKAGES = (assistlearn, protocols, parties, experiments)
MODULES = sorted(
    info.name
    for package in PACKAGES
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if not info.name.endswith("__main__")
)
SOURCES = sorted(
    path for package in PACKAGES for path in Path(package.__file__).parent.rglob("*.py")
)


@pytest.mark.parametrize("name", MODULES)
def test_every_module_can_be_imported(name):
    importlib.import_module(name)


@pytest.mark.parametrize("name", [m for m in MODULES if hasattr(sys.modules.get(m), "__all__")])
def test_every_public_name_exists_once(name):
    module = importlib.import_module(name)

    assert len(set(module.__all__)) == len(module.__all__)
    assert all(hasattr(module, public) for public in module.__all__)


def test_public_names_of_assistlearn_are_loaded_on_first_use():
    assert all(hasattr(assistlearn, name) for name in assistlearn.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = assistlearn.nonsense


@pytest.mark.parametrize(
    "module", ["protocols.learner", "protocols.provider", "protocols.codec", "parties.gate.session"]
)
def test_torch_is_not_loaded_by(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_unpickles_or_evaluates(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        name.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for name in node.names
    } | {
        (node.module or "").partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
    }
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}

    assert not imported & {"pickle", "dill", "cloudpickle", "marshal", "shelve"}
    assert not called & {"eval", "exec", "torch.load", "torch.save"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_too_long_to_read(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def test_only_the_gate_and_its_commands_touch_sockets_and_only_the_worker_tasks():
    users = {"zmq": set(), "assistlearn.tasks": set()}
    for path in (ROOT / "parties").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for name, found in users.items():
            if f"import {name}" in text or f"from {name}" in text:
                found.add(str(path.relative_to(ROOT / "parties")))

    assert all(user.startswith("gate/") or user == "checkup.py" for user in users["zmq"])
    assert not any(user.startswith("gate/") for user in users["assistlearn.tasks"])


def test_dependencies_run_one_way():
    found = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    assert found.returncode == 0, found.stdout
