"""The boundary to code that users wrote: whatever it raises becomes TaskError, by name."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from assistlearn.errors import AssistLearnError, TaskError


@contextmanager
def user_code(method: str) -> Iterator[None]:
    """Name the task's ``method`` in every error that comes out of it.

    Raises:
        TaskError: with the original exception as its cause. Our own errors pass unchanged.
    """
    try:
        yield
    except AssistLearnError:
        raise
    except torch.OutOfMemoryError as error:
        raise TaskError(
            f"the task's {method}() ran out of memory on the accelerator",
            hint='lower batch_size, or use precision = "bfloat16"',
        ) from error
    except Exception as error:
        raise TaskError(
            f"the task's {method}() raised {type(error).__name__}: {error}",
            hint=f"look at {_place(error)}",
        ) from error


def _place(error: Exception) -> str:
    """The line that raised, or the innermost one that called into an installed library."""
    frames = traceback.extract_tb(error.__traceback__)[1:] or traceback.extract_tb(
        error.__traceback__
    )
    own = [frame for frame in frames if "site-packages" not in frame.filename] or frames
    return f"{own[-1].filename}, line {own[-1].lineno}"
