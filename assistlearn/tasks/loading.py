"""A task from the ``[task]`` part of a settings file."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

from assistlearn.errors import ConfigError, TaskError
from assistlearn.task import Task
from assistlearn.tasks.references import did_you_mean, import_reference
from assistlearn.training.user_code import user_code

METHODS: Final = ("build_model", "build_optimizer", "train", "losses", "metrics")


def load_task(factory: str, settings: Mapping[str, Any], **extra: Any) -> Task:
    """Call a user's factory, and check that what it returns is a task.

    Args:
        factory: ``"package.module:function"``; modules in the current directory are found too.
        settings: keyword arguments from the settings file.
        **extra: keyword arguments that the program itself provides (``device``, ``seed``,
            ``share``, ...). Those that the factory does not name are left out, except for a
            ``share`` that is not None: a study would otherwise train everybody on everything.

    Raises:
        ConfigError: the reference or a setting is wrong.
        TaskError: the factory raised, or its result lacks a method.
    """
    make = import_reference(factory, what="task factory")
    if not callable(make):
        raise ConfigError(
            f"task factory {factory!r} is a {type(make).__name__}, not a function",
            hint="name a function that returns a task",
        )
    arguments = _arguments(factory, make, settings, extra)
    with user_code(make.__name__ if hasattr(make, "__name__") else factory):
        task = make(**arguments)
    missing = [name for name in METHODS if not callable(getattr(task, name, None))]
    if missing:
        raise TaskError(
            f"{factory} returned a {type(task).__name__} without {', '.join(missing)}",
            hint="return an object with all five methods of assistlearn.task.Task",
        )
    checked: Task = task
    return checked


def _arguments(
    factory: str, make: Callable[..., Any], settings: Mapping[str, Any], extra: Mapping[str, Any]
) -> dict[str, Any]:
    parameters = inspect.signature(make).parameters
    takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    for name in settings:
        if name in extra:
            raise ConfigError(
                f"the task's settings give {name!r}, which assistlearn sets itself",
                hint=f"remove {name!r} from the task's settings",
            )
        if not takes_any and name not in parameters:
            hint = did_you_mean(name, parameters) if parameters else "remove it: there are none"
            raise ConfigError(f"{factory} has no setting {name!r}", hint=hint)
    provided = {name: value for name, value in extra.items() if takes_any or name in parameters}
    if extra.get("share") is not None and "share" not in provided:
        raise ConfigError(
            f"{factory} cannot split its data: it has no parameter 'share'",
            hint="add a parameter share to the factory, and use"
            " assistlearn.tasks.share_indices(labels, share)",
        )
    given = {**settings, **provided}
    lacking = [
        name
        for name, each in parameters.items()
        if each.default is each.empty
        and each.kind in {each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY}
        and name not in given
    ]
    if lacking:
        raise ConfigError(
            f"{factory} needs the setting {', '.join(map(repr, lacking))}",
            hint=f"add {lacking[0]} to the task's settings",
        )
    return given
