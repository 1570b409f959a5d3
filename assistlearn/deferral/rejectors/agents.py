"""Agents by name: what may stand for one, and numbers that are given for each."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from assistlearn.errors import ConfigError, DataError
from assistlearn.tasks.references import did_you_mean

LONGEST_NAME: Final = 200  # characters; an array of names is as wide everywhere as its longest
SHOWN: Final = 300  # characters of a list in a message
OUTCOME: Final = "correct:"  # before an agent's name in a table of outcomes

AgentNames: TypeAlias = Sequence[str] | None
"""In order, the main model's first; None for a data frame's columns, or for numbers."""

AgentNumbers: TypeAlias = Mapping[str, float] | Sequence[float] | None
"""One for each agent, by name (0 where left out) or in order."""


def column_names(costs: Any) -> list[str] | None:
    """Names of a data frame's columns; None for plain arrays."""
    columns = getattr(costs, "columns", None)
    if columns is None or not all(isinstance(each, str) for each in columns):
        return None
    return [*columns]


def fitted_names(given: AgentNames, columns: Sequence[str] | None, count: int) -> npt.NDArray[Any]:
    """The names that a rejector is fitted with; 0, 1, 2, ... if nobody gave any. Shape ``(A,)``.

    Raises:
        ConfigError: names are not one of its own for each agent, or differ from the columns'.
        DataError: the columns are of outcomes, which are largest where an agent is right.
    """
    for column in columns or ():
        if column.startswith(OUTCOME):
            raise DataError(
                f"column {column!r} holds outcomes, where 1 is right; costs are 0 there",
                hint="make costs of them with read_outcomes, or costs_from_outcomes(correct=...)",
            )
    if isinstance(given, str) or not isinstance(given, Iterable | None):
        raise ConfigError(
            f"agents is {given!r}, must be a list of names",
            hint="give each agent a name of its own, the main model's first",
        )
    names = columns if given is None else [*given]
    if names is None:
        return np.arange(count)
    if given is not None and columns is not None and names != columns:
        raise ConfigError(
            f"the agents are {shortened(names)}, the costs are of {shortened(columns)}",
            hint="select the columns in the order of the agents, or leave agents out",
        )
    check_names(names, count)
    return np.asarray(names, dtype=np.str_)


def check_names(names: Sequence[object], count: int) -> None:
    """Refuse anything but one name of its own for each agent.

    Raises:
        ConfigError: a name is missing, empty, there twice, too long or not printable.
    """
    for name in names:
        if isinstance(name, str) and len(name) > LONGEST_NAME:
            raise ConfigError(
                f"the agents have a name of {len(name)} characters: {shortened(name)!r}",
                hint=f"call it something of at most {LONGEST_NAME} characters",
            )
    named = all(isinstance(name, str) and name.strip() and name.isprintable() for name in names)
    if not named or len(names) != count or len(set(names)) != count:
        raise ConfigError(
            f"the agents are {shortened([*names])}, but there are costs of {count}",
            hint="give each agent a name of its own, the main model's first",
        )


def shortened(value: object) -> str:
    """What can be said of ``value`` in a message."""
    text = str(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def shown_names(names: npt.NDArray[Any]) -> tuple[str, ...]:
    """Names for people: "agent 0" where there is only a number."""
    if names.dtype.kind == "i":
        return tuple(f"agent {number}" for number in names)
    return tuple(map(str, names))


def agent_number(agent: str | int, names: Sequence[str]) -> int:
    """Number of the agent that a setting names.

    Raises:
        ConfigError: there is no such agent.
    """
    if isinstance(agent, str):
        if agent not in names:
            raise ConfigError(f"agent {agent!r} is unknown", hint=did_you_mean(agent, names))
        return names.index(agent)
    whole = isinstance(agent, int | np.integer) and not isinstance(agent, bool)
    if not whole or not 0 <= agent < len(names):
        raise ConfigError(
            f"agent {agent!r} is unknown", hint=f"choose a number from 0 to {len(names) - 1}"
        )
    return int(agent)


def numbers_by_agent(
    given: Mapping[str, float] | Sequence[float], names: Sequence[str], *, what: str
) -> npt.NDArray[np.float64]:
    """One finite number >= 0 for each agent. Shape ``(A,)``.

    Raises:
        ConfigError: a name is unknown, or there are not as many numbers as agents.
    """
    values: Any = given
    if isinstance(given, Mapping):
        places = {name: number for number, name in enumerate(names)}
        values = [0.0] * len(names)
        for name, value in given.items():
            place = places.get(name)
            values[agent_number(name, names) if place is None else place] = value
    try:
        found = np.asarray(values, dtype=np.float64)
        fine = found.shape == (len(names),) and np.isfinite(found).all() and (found >= 0).all()
    except (TypeError, ValueError, OverflowError):
        fine = False
    if not fine:
        raise ConfigError(
            f"the {what} are {shortened(given)}, must be {len(names)} numbers >= 0",
            hint="give one for each agent in order, the main model included, or by name",
        )
    return found
