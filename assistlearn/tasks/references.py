"""Names in settings files: ``package.module:name`` references, and what was probably meant."""

import difflib
import importlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from assistlearn.errors import ConfigError, TaskError


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint: the closest of the known names, or all of them."""
    names = sorted(known)
    folded = {each.casefold(): each for each in names}
    close = difflib.get_close_matches(name.casefold(), folded, n=1)
    return f"did you mean {folded[close[0]]!r}?" if close else f"choose one of {names}"


def import_reference(reference: str, *, what: str) -> Any:
    """The object that ``package.module:name`` refers to.

    Modules in the current directory are found too, after installed ones.

    Args:
        reference: module path, a colon, and the object's name in the module.
        what: what the object is for, as it shall be called in errors.

    Raises:
        ConfigError: the reference is malformed, or there is no such module or name.
        TaskError: the module raised while it was imported.
    """
    module_name, colon, name = reference.partition(":")
    if not colon or not module_name or not name.isidentifier():
        raise ConfigError(
            f"{what} {reference!r} is not of the form package.module:name",
            hint='write it like "my_package.my_module:make_task"',
        )
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)  # last, so that a file here cannot hide an installed module
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or module_name
        hint = (
            f"install {missing!r}, or run the command in the folder that contains it"
            if module_name.startswith(missing)
            else f"install {missing!r}, which {module_name} needs"
        )
        raise ConfigError(
            f"cannot import {what} {reference!r}: no module {missing!r}", hint=hint
        ) from error
    except Exception as error:
        raise TaskError(
            f"importing {module_name!r} raised {type(error).__name__}: {error}",
            hint=f"run python -c 'import {module_name}' and mend what it reports",
        ) from error
    if not hasattr(module, name):
        public = (each for each in dir(module) if not each.startswith("_"))
        raise ConfigError(
            f"module {module_name!r} has no {name!r}", hint=did_you_mean(name, public)
        )
    return getattr(module, name)
