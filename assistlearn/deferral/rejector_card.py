"""A saved rejector's card: TOML for people, in one canonical form, sealed by its own digest.

Beside what the rejector needs it may say what went into its costs, at which threshold it decides
and how surely, and which models its agents are.
"""

import json
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np

from assistlearn.deferral.budgets.calibration import Calibration, RateInterval
from assistlearn.deferral.budgets.threshold import Threshold
from assistlearn.deferral.rejectors.agents import check_names, shortened, shown_names
from assistlearn.digests import digest
from assistlearn.errors import ConfigError, DataError

FORMAT: Final = 1
DIGEST: Final = re.compile(r"[0-9a-f]{64}")
SEAL: Final = re.compile(r'seal = "([0-9a-f]{64})"\n(.*)', re.DOTALL)
SEAL_LINE: Final = re.compile(rb'seal = "[0-9a-f]{64}"\n')  # the first of every card
STRING: Final = re.compile(r'"(?:[^"\\\n]|\\.)*+"?')  # possessive: time grows with length alone
# Outside of strings: a literal one, a comment, a string of many lines. With these, what tomllib
# takes for a string is not what STRING does. No card has them.
FOREIGN: Final = re.compile(r"['#]")
# Two dots in one name. No card has such a key, and tomllib's time grows with their number squared.
CHAIN: Final = re.compile(r"\.[\s\w\"-]*\.")
BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
DTYPES: Final = ("float32", "float64")
MOST_AGENTS: Final = 100_000
MOST_FEATURES: Final = 10_000_000
DAMAGED: Final = "copy the card again, unchanged; edit a rejector's parameters, not its card"


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectorCard:
    """What is saved of a rejector beside its arrays. Equal cards have equal texts."""

    kind: str
    """Class of the rejector."""

    agents: tuple[str, ...] | int
    """Names, or how many there are."""

    features: tuple[str, ...] | int
    """Names, or how many there are."""

    dtype: str
    """Type of the features that it was fitted on: ``float32`` or ``float64``."""

    prices: tuple[float, ...]
    """What asking each agent costs, >= 0."""

    cost_errors: tuple[float, ...]
    """Calibration: root mean square error of the expected costs, one for each agent."""

    parameters: Mapping[str, Any]
    """Of the constructor: plain values, and tables of these."""

    tensors: str
    """SHA-256 of the arrays' file."""

    versions: Mapping[str, str]
    """Of the packages that fitted it, for people."""

    error_costs: Mapping[str, float] = field(default_factory=dict)
    """What went into the costs, by name, each >= 0: the weight (lambda) of each task's error."""

    calibration: Calibration | None = None
    """A threshold to decide at, and how often it deferred on held-out rows."""

    models: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of agents' models, by agent. People have none."""

    def __post_init__(self) -> None:
        texts = (self.kind, self.dtype, self.tensors, *self.versions, *self.versions.values())
        if not all(isinstance(each, str) for each in texts):
            raise ConfigError(f"one of {texts} is no text", hint=DAMAGED)
        agents = _count(self.agents, most=MOST_AGENTS, what="agents")
        _count(self.features, most=MOST_FEATURES, what="features")
        if isinstance(self.agents, tuple):
            check_names(self.agents, agents)
        for values in (self.prices, self.cost_errors):
            numbers = all(type(each) is float and 0 <= each < math.inf for each in values)
            if len(values) != agents or not numbers:
                raise ConfigError(
                    f"{shortened(values)} are not {agents} numbers >= 0", hint=DAMAGED
                )
        if self.dtype not in DTYPES or not DIGEST.fullmatch(self.tensors):
            raise ConfigError(f"dtype {self.dtype!r}, digest {self.tensors!r}", hint=DAMAGED)
        if not isinstance(self.parameters, Mapping):
            raise ConfigError(f"the parameters are {self.parameters!r}", hint=DAMAGED)
        self._check_error_costs()
        self._check_models()
        if not isinstance(self.calibration, Calibration | None):
            raise ConfigError(
                f"the calibration is {self.calibration!r}", hint="give what calibrate returns"
            )

    def _check_error_costs(self) -> None:
        for name, value in self.error_costs.items():
            named = isinstance(name, str) and name.strip() and name.isprintable()
            if not (named and type(value) is float and 0 <= value < math.inf):
                raise ConfigError(
                    f"the error costs have {name!r} = {value!r}",
                    hint='give numbers >= 0 by name, such as {"mortality": 1.0}',
                )

    def _check_models(self) -> None:
        known = {*self.agent_names}
        for agent, value in self.models.items():
            if agent not in known or not (isinstance(value, str) and DIGEST.fullmatch(value)):
                raise ConfigError(
                    f"the models have {agent!r} = {value!r}",
                    hint="give SHA-256 digests in lower-case hex digits by agent, such as those of"
                    " assistlearn.digests.file_digest",
                )

    @property
    def agent_names(self) -> tuple[str, ...]:
        """Names to show: "agent 0" where there is only a number."""
        if isinstance(self.agents, tuple):
            return self.agents
        return shown_names(np.arange(self.agents))

    @property
    def feature_count(self) -> int:
        """F."""
        return self.features if isinstance(self.features, int) else len(self.features)

    def text(self) -> str:
        """The card in its only form."""
        names = ("kind", "agents", "features", "dtype", "prices", "cost_errors", "tensors")
        body = f"format = {FORMAT}\n" + _lines({name: getattr(self, name) for name in names})
        body += f"\n[parameters]\n{_lines(self.parameters)}"
        told = {} if self.calibration is None else _calibration_table(self.calibration)
        optional = {"error_costs": self.error_costs, "calibration": told, "models": self.models}
        for name, table in optional.items():
            body += f"\n[{name}]\n{_lines(table)}" if table else ""
        body += f"\n[versions]\n{_lines(self.versions)}"
        return f'seal = "{digest(body.encode())}"\n{body}'

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """The inverse of :meth:`text`, as UTF-8.

        Raises:
            DataError: these are not the bytes of a card of this version.
        """
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            raise DataError(f"the card is no text: {error}", hint=DAMAGED) from error
        sealed = SEAL.fullmatch(text)
        if sealed is None or digest(sealed[2].encode()) != sealed[1]:
            raise DataError("the card was changed, or cut short, since it was saved", hint=DAMAGED)
        bare = STRING.sub('""', sealed[2])
        if '"""' in sealed[2] or FOREIGN.search(bare) or CHAIN.search(bare):
            raise DataError("the card is not in canonical form", hint=DAMAGED)
        try:
            table = tomllib.loads(sealed[2])
        except (ValueError, RecursionError) as error:
            raise DataError(f"the card is not TOML: {shortened(error)}", hint=DAMAGED) from error
        if table.pop("format", None) != FORMAT:
            raise DataError(
                f"the card is not of format {FORMAT}",
                hint="load it with the version of assistlearn that wrote it",
            )
        try:
            if "calibration" in table:
                table["calibration"] = _calibration(table["calibration"])
            card = cls(**{name: _frozen(value) for name, value in table.items()})
            same = card.text() == text
        except (
            TypeError,
            ValueError,
            LookupError,
            ArithmeticError,
            AttributeError,
            RecursionError,
            ConfigError,
        ) as error:
            raise DataError(
                "the card lacks a field, has another, or one of the wrong kind:"
                f" {shortened(error)}",
                hint=DAMAGED,
            ) from error
        if not same:
            raise DataError("the card is not in canonical form", hint=DAMAGED)
        return card


def _calibration_table(calibration: Calibration) -> dict[str, float]:
    """A calibration as one flat table that reads from top to bottom."""
    threshold, expected, deployed = (
        calibration.threshold,
        calibration.expected,
        calibration.deployed,
    )
    return {
        "threshold": float(threshold.value),
        "tie_probability": float(threshold.tie_probability),
        "held_out": int(calibration.held_out),
        "rate": float(expected.rate),
        "confidence": float(expected.confidence),
        "lower": float(expected.lower),
        "upper": float(expected.upper),
        "requests": int(calibration.requests),
        "deployed_lower": float(deployed.lower),
        "deployed_upper": float(deployed.upper),
    }


def _calibration(table: Mapping[str, Any]) -> Calibration:
    """The inverse; values of other types are told by writing them again."""
    rate, confidence = table["rate"], table["confidence"]
    expected, deployed = (
        RateInterval(rate=rate, confidence=confidence, lower=lower, upper=upper)
        for lower, upper in (
            (table["lower"], table["upper"]),
            (table["deployed_lower"], table["deployed_upper"]),
        )
    )
    threshold = Threshold(value=table["threshold"], tie_probability=table["tie_probability"])
    return Calibration(
        threshold=threshold,
        expected=expected,
        deployed=deployed,
        requests=table["requests"],
        held_out=table["held_out"],
    )


def toml_value(value: object) -> str:
    """A plain value on one line.

    Raises:
        TypeError: it is not text, a number, a truth value, or a list or table of these.
    """
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return repr(int(value))
        case float():
            return repr(float(value))  # inf and nan are TOML's words too
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case Mapping():
            pairs = (f"{_key(name)} = {toml_value(each)}" for name, each in value.items())
            return "{" + ", ".join(pairs) + "}"
        case Sequence():
            return "[" + ", ".join(map(toml_value, value)) + "]"
        case _:
            raise TypeError(f"cannot write {type(value).__name__} as TOML")


def _lines(table: Mapping[str, Any]) -> str:
    return "".join(f"{_key(name)} = {toml_value(value)}\n" for name, value in table.items())


def _key(name: object) -> str:
    text = str(name)
    return text if BARE_KEY.fullmatch(text) else toml_value(text)


def _count(values: tuple[str, ...] | int, *, most: int, what: str) -> int:
    """How many names there are.

    Raises:
        ConfigError: none, too many, or they are no names.
    """
    named = isinstance(values, tuple) and all(isinstance(each, str) for each in values)
    count = len(values) if isinstance(values, tuple) else values
    if not (named or type(values) is int) or not 1 <= count <= most:
        raise ConfigError(f"the {what} are {str(values)[:80]}", hint=DAMAGED)
    return count


def _frozen(value: Any) -> Any:
    """Lists as tuples, all the way down."""
    if isinstance(value, list):
        return tuple(map(_frozen, value))
    if isinstance(value, dict):
        return {name: _frozen(each) for name, each in value.items()}
    return value
