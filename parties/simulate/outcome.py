"""What a method did, round by round: plain values, to and from JSON."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from parties.settings import BASELINES

ASSISTED: Final = "assisted"
METHODS: Final = (ASSISTED, *BASELINES)
LABELS: Final[Mapping[str, str]] = {
    ASSISTED: "assisted",
    "learner_only": "learner alone",
    "provider_only": "provider alone",
    "pooled": "pooled data (oracle)",
    "sequential_last": "always the last model",
    "fedavg": "federated averaging",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodRound:
    """One method after one of its rounds. Round 0 is the initial model, the same for all."""

    round: int
    global_loss: float
    """Loss of the method's model over both parties' data, per example, in nats.

    Exact; in sessions of two processes it is what the learner computed from the reports."""
    metrics: Mapping[str, float]
    """The task's figures for people, such as accuracy, on held-out data."""
    sent_bytes: int
    """Learner to provider, in this round."""
    received_bytes: int
    """Provider to learner, in this round."""
    seconds: float
    """Training, scoring and selection in this round; evaluation for figures is left out."""
    learner_step: int | None = None
    """Assisted only: where on the learner's trajectory the provider's choice lies.

    None in sessions of two processes: no event tells it."""
    provider_step: int | None = None
    """Assisted only: where on the provider's trajectory the learner's choice lies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodRun:
    """All rounds of one method on one seed."""

    seed: int
    method: str
    rounds: tuple[MethodRound, ...]
    """In order, from round 0. Fewer than asked for where the learner stopped buying."""

    def at(self, round_: int) -> MethodRound:
        """What the learner holds after ``round_`` rounds: the last one made, if it stopped."""
        return self.rounds[min(round_, len(self.rounds) - 1)]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "MethodRun":
        """The inverse of :meth:`to_json`.

        Raises:
            KeyError, TypeError: this is not what :meth:`to_json` returned.
        """
        rounds = tuple(MethodRound(**each) for each in value["rounds"])
        return cls(seed=value["seed"], method=value["method"], rounds=rounds)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOutcome:
    """A whole session of a learner with a provider, however it was carried out."""

    rounds: tuple[MethodRound, ...]
    """From round 1."""
