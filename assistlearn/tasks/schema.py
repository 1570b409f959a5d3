"""What both parties' data and loss must have in common, as a text whose digest they compare."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from assistlearn.digests import digest

LONGEST_VALUE: Final = 4096  # of some ten lines, so that a schema stays far below 60 KB


def schema(loss: str | None, parts: Mapping[str, Any]) -> str:
    """Lines of a name and a value, in the order given: equal texts mean equal tasks.

    Args:
        loss: name of the loss, written as it is; None for a function that has no agreed name,
            which leaves the line out.
        parts: what else must be alike. Values become ASCII JSON with sorted keys; one that is
            longer than ``LONGEST_VALUE`` is replaced by its SHA-256.
    """
    named = [] if loss is None else [f"loss {loss}"]
    return "\n".join([*named, *(f"{name} {_value(value)}" for name, value in parts.items())])


def _value(value: Any) -> str:
    text = json.dumps(_plain(value), sort_keys=True, separators=(",", ":"))
    return text if len(text) <= LONGEST_VALUE else f"sha256:{digest(text.encode())}"


def _plain(value: Any) -> Any:
    """The same as JSON can hold it. Numbers that are equal become the same: 1, 1.0 and true."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(each) for each in value]
    if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()):
        return int(value)
    return value if value is None or isinstance(value, str | int | float) else str(value)
