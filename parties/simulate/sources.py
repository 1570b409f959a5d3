"""Which source files a simulation's results follow from, found without running any of them."""

import importlib.util
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from assistlearn.digests import digest
from assistlearn.durable import disk_errors


def source_digests(references: Iterable[str]) -> dict[str, str]:
    """The digest of the source file that each ``package.module:function`` lies in.

    Empty for a module that is not found: loading the task says why. What that file imports is
    not looked at.

    Raises:
        StorageError: a file cannot be read.
    """
    return {reference: _digest(reference.partition(":")[0]) for reference in references}


def _digest(module: str) -> str:
    files = (path for path in _candidates(module) if path.is_file())
    found = next(files, None)
    if found is None:
        return ""
    with disk_errors(f"read {found}"):
        return digest(found.read_bytes())


def _candidates(module: str) -> Iterator[Path]:
    # Only the outermost package is asked for: finding an inner module would import its packages.
    outer, *inner = module.split(".")
    spec = _outermost(outer)
    if spec is None:
        return
    if not inner:
        yield Path(spec.origin or "")
        return
    for folder in spec.submodule_search_locations or ():
        yield Path(folder, *inner, "__init__.py")
        yield Path(folder, *inner[:-1], f"{inner[-1]}.py")


def _outermost(name: str) -> ModuleSpec | None:
    """As an import in the current folder finds it: installed modules first, then this folder."""
    try:
        spec = importlib.util.find_spec(name)
    except ValueError:  # a module that stands for no file, such as __main__
        return None
    return spec or PathFinder.find_spec(name, [str(Path.cwd())])
