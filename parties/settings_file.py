"""Reads a settings file, and reports everything that is wrong with it at once."""

import difflib
import tomllib
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from assistlearn.errors import ConfigError
from parties.settings import Problem, Section

AnySettings = TypeVar("AnySettings", bound=Section)

WANTED: Final = {
    "int_type": "is not a whole number",
    "int_from_float": "is not a whole number",
    "float_type": "is not a number",
    "string_type": "is not text in quotes",
    "bool_type": "is neither true nor false",
    "tuple_type": "is not a list",
    "dict_type": "is not a table",
    "model_type": "is not a table",
    "finite_number": "is not a finite number",
}
AMOUNTS: Final = frozenset({"price", "budget"})
IN_HUNDREDTHS: Final = "; amounts are in hundredths, 5000 is 50.00"


def load_settings(path: Path, kind: type[AnySettings]) -> AnySettings:
    """Read and check a whole settings file.

    Raises:
        ConfigError: the file is missing, unreadable, no TOML, or has problems; all of them are
            named, one a line, each with the key and the value found there.
    """
    return check_settings(read_toml(path), kind, name=str(path))


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as plain values.

    Raises:
        ConfigError: the file is missing, unreadable or no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(
            f"there is no file {str(path)!r}", hint="check the path, or write the file first"
        ) from error
    except OSError as error:
        raise ConfigError(
            f"cannot read {str(path)!r}: {error.strerror}",
            hint="check that it is a file and that you may read it",
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{str(path)!r} is not UTF-8 text (byte {error.start})", hint="save the file as UTF-8"
        ) from error
    except tomllib.TOMLDecodeError as error:
        text = str(error)
        raise ConfigError(
            f"{str(path)!r} is not valid TOML: {text[:1].lower()}{text[1:]}",
            hint="mend that line; text goes in double quotes, true and false do not",
        ) from error


def check_settings(table: Mapping[str, Any], kind: type[AnySettings], *, name: str) -> AnySettings:
    """Check plain values; ``name`` is the file's name in messages.

    Raises:
        ConfigError: there are problems; all of them are named.
    """
    problems = list(_between(table, kind, prefix=""))
    try:
        settings = kind.model_validate(dict(table))
    except ValidationError as error:
        problems += [_problem(details, kind) for details in error.errors()]
    else:
        if not problems:
            return settings
    problems = sorted(set(problems))
    count = f"{len(problems)} problem" + "s" * (len(problems) > 1)
    lines = "".join(f"\n  {where}: {what}" for where, what in problems)
    raise ConfigError(
        f"{name} has {count}:{lines}", hint=f"edit {name}, then run the same command again"
    )


def _between(table: Mapping[str, Any], kind: type[Section], *, prefix: str) -> Iterator[Problem]:
    for where, what in kind.problems_between(table):
        yield f"{prefix}{where}", what
    for name, field in kind.model_fields.items():
        section, inner = field.annotation, table.get(name)
        if _is_section(section) and isinstance(inner, Mapping):
            yield from _between(inner, section, prefix=f"{prefix}{name}.")


def _problem(details: ErrorDetails, kind: type[Section]) -> Problem:
    location = details["loc"]
    where = ".".join(str(part) for part in location) or "top level"
    value = _shown(details["input"])
    match details["type"]:
        case "missing":
            return where, "missing"
        case "extra_forbidden":
            return where, "unknown" + _suggestion(str(location[-1]), _keys(kind, location[:-1]))
        case "value_error":
            reason = str(details["ctx"]["error"])
            return where, f"{value} {reason}" if location else reason
        case "literal_error":
            wrong = str(details["input"])
            known = typing.get_args(_annotation(kind, location))
            options = details["ctx"]["expected"]
            return where, f"{value} is not {options}{_suggestion(wrong, map(str, known))}"
        case known if known in WANTED:
            amount = location[-1] in AMOUNTS and known.startswith("int")
            return where, f"{value} {WANTED[known]}{IN_HUNDREDTHS if amount else ''}"
        case _:
            text = details["msg"].removeprefix("Input ")
            return where, f"{value} {text[:1].lower()}{text[1:]}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."  # noqa: PLR2004  (one line of a terminal)


def _suggestion(wrong: str, known: typing.Iterable[str]) -> str:
    close = difflib.get_close_matches(wrong, list(known), n=1, cutoff=0.6)
    return f", did you mean {close[0]}?" if close else ""


def _keys(kind: type[Section], location: tuple[int | str, ...]) -> list[str]:
    for part in location:
        inner = kind.model_fields[str(part)].annotation
        if not _is_section(inner):
            return []
        kind = inner
    return list(kind.model_fields)


def _annotation(kind: type[Section], location: tuple[int | str, ...]) -> Any:
    """The type of the field at ``location``; for an element of a list, that of the element."""
    annotation: Any = kind
    for part in location:
        if isinstance(part, int):
            annotation = typing.get_args(annotation)[0]
        else:
            annotation = annotation.model_fields[part].annotation
    return annotation


def _is_section(kind: Any) -> typing.TypeGuard[type[Section]]:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
