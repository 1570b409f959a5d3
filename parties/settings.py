"""Settings files: what a person writes in TOML, checked before anything else happens.

``config.toml`` of a party is :class:`PartySettings`, the file that ``assistlearn simulate`` takes
is :class:`SimulationSettings`. Every field's text below is also its help text. Functions take
plain values out of these, never the whole object.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from protocols.agreement import LABEL, LossPrecision, Terms, Weighting
from protocols.roles import Role
from protocols.sampling import Sampling

Problem = tuple[str, str]
"""Where (``terms.rounds``) and what."""

GIB: Final = 1 << 30
CURRENCY: Final = re.compile(r"[A-Z]{3}")
ADDRESS: Final = re.compile(r"tcp://([A-Za-z0-9_.-]+|\*|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})")
FACTORY: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
MAX_PORT: Final = 65535
LOSS_BOUND: Final = 1e16  # nats; from here on a float's shortest decimal is none of the agreement's


def _label(value: str) -> str:
    if LABEL.fullmatch(value) is None:
        raise ValueError("must be 1 to 64 of A-Z a-z 0-9 _ . : -, the first a letter or digit")
    return value


def _currency(value: str) -> str:
    if CURRENCY.fullmatch(value) is None:
        raise ValueError("must be three capital letters (ISO 4217), such as EUR")
    return value


def _factory(value: str) -> str:
    if FACTORY.fullmatch(value) is None:
        raise ValueError("must read package.module:function")
    return value


def _address(value: str) -> str:
    match = ADDRESS.fullmatch(value)
    if match is None or not 0 < int(match[2]) <= MAX_PORT:
        raise ValueError("must read tcp://HOST:PORT")
    return value


def _texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case Mapping():
            for each in value.values():
                yield from _texts(each)
        case list() | tuple():
            for each in value:
                yield from _texts(each)


Label = Annotated[str, AfterValidator(_label)]
Currency = Annotated[str, AfterValidator(_currency)]
Factory = Annotated[str, AfterValidator(_factory)]
Address = Annotated[str, AfterValidator(_address)]
Positive = Annotated[int, Field(ge=1, le=10**12)]
Amount = Annotated[int, Field(ge=0, le=10**15)]
Seed = Annotated[int, Field(ge=0, lt=1 << 63)]


class Section(BaseModel):
    """A table of a settings file: unknown keys are refused, types are not guessed."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    @classmethod
    def problems_between(cls, table: Mapping[str, Any]) -> Iterator[Problem]:
        """What is wrong between keys of the raw ``table``, found even where one key is wrong."""
        del table
        yield from ()


class TermsSettings(Section):
    """What people settle: word for word the same on both sides, signed before any training."""

    task: Label
    """Name of what is trained, for people and for the ledger."""
    loss: Label = "cross_entropy"
    """Name of the loss per example that both tasks return."""
    rounds: Annotated[int, Field(ge=1, le=1_000_000)] = 5
    """Assistance rounds, at most. In each, both parties train once."""
    learner_steps: Positive | None = None
    """Updates T of the learner's local training in a round. Needs provider_steps."""
    provider_steps: Positive | None = None
    """Updates T' of the provider's local training in a round. Needs learner_steps."""
    total_steps: Annotated[int, Field(ge=2, le=10**12)] | None = None
    """T + T', shared in proportion to the data sizes. Instead of the two above."""
    sampling: Literal["even", "doubling"] = "even"
    """Which checkpoints are sent: one every sampling_period updates, or after one period, two,
    four, eight and so on, which is far fewer."""
    sampling_period: Positive = 50
    """Updates between two checkpoints that are sent; with doubling, before the first of them."""
    include_last: bool = True
    """Whether the model after the last update is sent too (the paper leaves it out)."""
    weighting: Literal["samples", "parties"] = "samples"
    """Whether every example weighs the same in the global loss, or each party does."""
    loss_precision: Literal["exact", "coarse", "private"] = "coarse"
    """How finely local losses are told: exact, in 8 bits, or in 8 bits with noise."""
    loss_clip: Annotated[float, Field(gt=0, lt=LOSS_BOUND)] = 4.0
    """Bound of one example's loss in coarse and private reports, in nats."""
    loss_noise: Annotated[float, Field(ge=0, lt=LOSS_BOUND)] = 0.0
    """Standard deviation of the noise on a private report's mean, in nats. Private only, which
    needs it."""
    round_bytes: Annotated[int, Field(ge=1, le=10**17)] = GIB
    """Bytes that either party may send in one round."""
    price: Amount = 0
    """Price of one round, in hundredths of the currency, whichever it is: 5000 is 50.00."""
    currency: Currency = "EUR"
    """ISO 4217 code of the currency."""
    budget: Amount = 0
    """What the learner spends at most, in hundredths of the currency."""

    @classmethod
    def problems_between(cls, table: Mapping[str, Any]) -> Iterator[Problem]:
        """Steps, noise and budget that do not go with the other terms."""
        yield from cls._steps_problems(table)
        yield from cls._noise_problems(table)
        price, budget = table.get("price", 0), table.get("budget", 0)
        if isinstance(price, int) and isinstance(budget, int) and 0 <= budget < price:
            yield "budget", f"{budget} does not pay for one round at price {price}"

    @staticmethod
    def _steps_problems(table: Mapping[str, Any]) -> Iterator[Problem]:
        """Steps that are named twice or not at all."""
        parts = [name for name in ("learner_steps", "provider_steps") if name in table]
        if "total_steps" in table and parts:
            yield "total_steps", f"given beside {' and '.join(parts)}, keep one of the two ways"
        elif "total_steps" not in table and len(parts) < 2:  # noqa: PLR2004  (T and T')
            yield "total_steps", "missing, or else both learner_steps and provider_steps"
        elif "total_steps" in table and table.get("weighting") == Weighting.PARTIES:
            reason = (
                "cannot be shared where weighting hides the data sizes, give learner_steps and"
                " provider_steps instead"
            )
            yield "total_steps", reason

    @classmethod
    def _noise_problems(cls, table: Mapping[str, Any]) -> Iterator[Problem]:
        """Private losses without noise, or noise on others."""
        precision = table.get("loss_precision", cls.model_fields["loss_precision"].default)
        noise = table.get("loss_noise", 0.0)
        if precision == LossPrecision.PRIVATE:
            if noise == 0:
                reason = "needs a loss_noise above 0, in nats, such as 0.02"
                yield "loss_precision", f"{precision!r} {reason}"
        elif noise and isinstance(noise, int | float) and precision in tuple(LossPrecision):
            reason = f"has no effect on losses that are {precision}, remove it or make them private"
            yield "loss_noise", f"{noise} {reason}"

    def terms(self) -> Terms:
        """The same as the protocols package takes it."""
        values = self.model_dump()
        values["sampling"] = Sampling(self.sampling)
        values["weighting"] = Weighting(self.weighting)
        values["loss_precision"] = LossPrecision(self.loss_precision)
        return Terms(**values)


class SimulationTermsSettings(TermsSettings):
    """Terms of a simulation, where nobody can learn anything from an exact loss."""

    loss_precision: Literal["exact", "coarse", "private"] = "exact"
    """How finely local losses are told: exact, in 8 bits, or in 8 bits with noise."""


class ProblemSettings(Section):
    """The task: which code builds it, and on what it runs."""

    factory: Factory
    """Where the task is made, as package.module:function."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Passed to the factory as keyword arguments."""
    device: str = "auto"
    """Where to train: auto (the first of cuda, mps and cpu), cpu, cuda, cuda:1, mps."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of forward passes. Weights stay in float32."""
    wire_dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision of the weights in checkpoints. bfloat16 halves the bytes."""
    threads: Annotated[int, Field(ge=0, le=4096)] = 0
    """Processor threads for training; 0 leaves the choice to torch."""

    def texts(self) -> tuple[str, ...]:
        """Every text that is passed to the factory, in lists and tables too."""
        return tuple(_texts(self.settings))

    def references(self) -> tuple[str, ...]:
        """The factory, and whatever else in its settings reads package.module:function."""
        return (self.factory, *(text for text in self.texts() if FACTORY.fullmatch(text)))


class TaskSettings(ProblemSettings):
    """The task of one party."""

    seed: Seed = 0
    """Seed of initial weights, data order and everything else that is drawn here."""


class LinkSettings(Section):
    """How the two parties reach each other."""

    provider: Address | None = None
    """Learner only: where the provider listens."""
    listen: Address | None = None
    """Provider only: where to listen, such as tcp://*:7733."""
    sessions: Annotated[int, Field(ge=1, le=1000)] = 1
    """Provider only: learners served at the same time, at most."""
    deadline_s: Annotated[float, Field(ge=1, le=86_400)] = 30.0
    """Seconds without a sign of life after which the link counts as lost."""


class PartySettings(Section):
    """``config.toml`` in a party's directory."""

    role: Literal["learner", "provider"]
    """Which of the two this party is."""
    minimum_gain: Annotated[float, Field(ge=0)] | None = None
    """Learner only: buy no further round once one lowers the global loss by less, in nats."""
    terms: TermsSettings
    task: TaskSettings
    link: LinkSettings

    @classmethod
    def problems_between(cls, table: Mapping[str, Any]) -> Iterator[Problem]:
        """Keys that belong to the other role, and the one address that this role needs."""
        link = table.get("link", {})
        if not isinstance(link, Mapping):
            return
        if table.get("role") == Role.LEARNER:
            if "provider" not in link:
                yield "link.provider", "missing, a learner needs the provider's tcp://HOST:PORT"
            for name in ("listen", "sessions"):
                if name in link:
                    yield f"link.{name}", "only a provider has this"
        elif table.get("role") == Role.PROVIDER:
            if "listen" not in link:
                yield "link.listen", "missing, a provider needs an address such as tcp://*:7733"
            if "provider" in link:
                yield "link.provider", "only a learner has this"
            if "minimum_gain" in table:
                yield "minimum_gain", "only a learner has this"


BASELINES: Final = ("learner_only", "provider_only", "pooled", "sequential_last", "fedavg")
Baseline = Literal["learner_only", "provider_only", "pooled", "sequential_last", "fedavg"]


class SplitSettings(Section):
    """How a simulation divides one data set between the two parties."""

    imbalance: Annotated[float, Field(ge=0, le=1)]
    """The paper's gamma: 0 leaves the learner one class only, 1 gives it every class in full."""


class SimulationSettings(Section):
    """A file for ``assistlearn simulate``."""

    seeds: Annotated[tuple[Seed, ...], Field(strict=False, min_length=1)] = (0, 1, 2, 3, 4)
    """One run of every method for each of these; the same seed gives all the same start."""
    baselines: Annotated[tuple[Baseline, ...], Field(strict=False)] = BASELINES
    """What assisted learning is compared with."""
    minimum_gain: Annotated[float, Field(ge=0)] | None = None
    """The simulated learner buys no further round once one gains less, in nats."""
    terms: SimulationTermsSettings
    task: ProblemSettings
    split: SplitSettings

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        for name in ("seeds", "baselines"):
            values = getattr(self, name)
            if len(set(values)) != len(values):
                raise ValueError(f"{name} has one entry twice")
        return self
