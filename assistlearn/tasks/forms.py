"""Which form a setting of a data source takes, so that a wrong one is named in words."""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Final

import numpy as np

from assistlearn.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What a value must be, in words, as an example, and as a test."""

    words: str
    example: str
    fits: Callable[[Any], bool]


def check_forms(values: Mapping[str, Any], forms: Mapping[str, Form]) -> None:
    """Refuse a value that has not the form of its setting; None stands for one that is absent.

    Raises:
        ConfigError: names the setting, its value and the form.
    """
    for name, value in values.items():
        if value is not None and not forms[name].fits(value):
            raise ConfigError(
                f"{name} is {value!r}, must be {forms[name].words}",
                hint=f"write it like {name} = {forms[name].example}",
            )


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _is_array(value: Any) -> bool:
    try:
        return np.asarray(value).dtype.kind in "iuf"
    except ValueError:  # lists of different lengths in one another
        return False


PATH: Final = Form(
    words="the path of a file",
    example='"rows.csv"',
    fits=lambda value: isinstance(value, str | Path),
)
NAME: Final = Form(words="a name", example='"label"', fits=lambda value: isinstance(value, str))
NAMES: Final = Form(
    words="a list of names of columns",
    example='["age", "bmi"]',
    fits=lambda value: _is_list(value) and all(isinstance(each, str) for each in value),
)
VALUES: Final = Form(
    words="a list of all classes",
    example='[0, 1] or ["well", "ill"]',
    fits=lambda value: _is_list(value) and all(isinstance(each, Hashable) for each in value),
)
BY_COLUMN: Final = Form(
    words="a table that gives columns a number each",
    example="{ age = 54.0, bmi = 27.1 }",
    fits=lambda value: isinstance(value, Mapping) and all(map(_is_number, value.values())),
)
COUNT: Final = Form(
    words="a whole number >= 1",
    example="3",
    fits=lambda value: isinstance(value, Integral) and _is_number(value) and int(value) >= 1,
)
ARRAY: Final = Form(
    words="a number, or lists of numbers in the shape of an example", example="0.5", fits=_is_array
)
