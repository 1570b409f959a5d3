"""What both parties sign before any training. Its text is the first thing both ledgers hold.

The text has one ``name value`` line for each field of :class:`Agreement`, in that order, and
its SHA-256 is the session's identifier. Nothing is negotiated: each side draws up the text
from its own settings, and any difference ends the session (SPEC 2).
"""

import dataclasses
import re
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Self

from assistlearn.digests import digest
from assistlearn.errors import (
    AgreementMismatchError,
    BudgetError,
    LocalProtocolError,
    PeerProtocolError,
    ProtocolError,
)
from protocols.roles import Role
from protocols.sampling import Sampling, sampled_steps, split_steps

TITLE: Final = "assistlearn/agreement/v1"
MAX_TEXT_BYTES: Final = 8192  # a note holds 16 KiB, four signatures take half of it
LABEL: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.:-]{0,63}")
HEX: Final = re.compile(r"[0-9a-f]{64}")
INTEGER: Final = re.compile(r"0|[1-9][0-9]{0,17}")


class Weighting(StrEnum):
    """How the two local losses become one global loss (SPEC 4.2)."""

    SAMPLES = "samples"
    PARTIES = "parties"


class LossPrecision(StrEnum):
    """How finely a party reports its local losses (SPEC 4.4)."""

    EXACT = "exact"
    COARSE = "coarse"
    PRIVATE = "private"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What people settle: the ``[terms]`` section, word for word the same on both sides."""

    task: str
    loss: str
    rounds: int
    learner_steps: int | None
    provider_steps: int | None
    total_steps: int | None
    """Shared in proportion to the data sizes where the two above are absent."""
    sampling: Sampling
    sampling_period: int
    include_last: bool
    weighting: Weighting
    loss_precision: LossPrecision
    loss_clip: float
    loss_noise: float
    round_bytes: int
    price: int
    currency: str
    budget: int

    def text(self) -> str:
        """One line a term, for the peer to compare with its own."""
        return "".join(
            f"{field.name} {_value_text(getattr(self, field.name))}\n"
            for field in dataclasses.fields(self)
        )

    def must_equal(self, peer_text: str) -> None:
        """Compare with the text of the peer's terms.

        Raises:
            AgreementMismatchError: naming the first term that differs and both values.
        """
        peer = dict(line.partition(" ")[::2] for line in peer_text.splitlines())
        for line in self.text().splitlines():
            name, _, value = line.partition(" ")
            if peer.get(name) != value:
                raise AgreementMismatchError(
                    field=name, own=value, peer=str(peer.get(name, "absent"))[:200]
                )

    @property
    def affordable_rounds(self) -> int:
        """Rounds that the terms allow and the budget pays for."""
        return affordable(self.rounds, price=self.price, budget=self.budget)

    def steps(self, learner_samples: int, provider_samples: int) -> tuple[int, int]:
        """T and T' of these terms."""
        if self.total_steps is not None:
            return split_steps(self.total_steps, learner_samples, provider_samples)
        if self.learner_steps is None or self.provider_steps is None:
            raise LocalProtocolError(
                "the terms name neither total_steps nor both learner_steps and provider_steps"
            )
        return self.learner_steps, self.provider_steps

    def grid(self, steps: int) -> tuple[int, ...]:
        """The steps that are sampled of a local training of ``steps`` updates, in order."""
        return sampled_steps(
            steps, self.sampling_period, sampling=self.sampling, include_last=self.include_last
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What one party brings to the agreement, known only when the two meet."""

    fingerprint: str
    nonce: str
    sealing_key: str
    """SHA-256 of the public key to which this session's bundles are sealed."""
    samples: int
    """Examples in its local loss; 0 where ``weighting`` hides it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Every fact that both parties sign. Integers, labels and digests only."""

    learner: str
    provider: str
    learner_nonce: str
    provider_nonce: str
    learner_sealing_key: str
    provider_sealing_key: str
    learner_samples: int
    provider_samples: int
    model: str
    """Digest of the model specification: names, shapes, dtypes of all that a checkpoint holds."""
    data: str
    """Digest of what both parties' data must have in common: features, classes, scaling."""
    task: str
    objective: str
    """What is exchanged and its direction; ``minimise-loss`` is the only one so far."""
    loss: str
    rounds: int
    learner_steps: int
    provider_steps: int
    proposal: str
    """How candidates are proposed; ``grid`` is the only strategy so far."""
    sampling: Sampling
    sampling_period: int
    include_last: int
    weighting: Weighting
    loss_precision: LossPrecision
    loss_clip: str
    """Bound of one example's loss where losses are not exact, as a decimal number."""
    loss_noise: str
    """Standard deviation of the noise on a reported mean where losses are private."""
    optimiser_state: str
    """``reset`` at every hand-over: optimiser moments never travel (SPEC 3.4)."""
    round_bytes: int
    """Plaintext and envelope bytes that either party may send in one round."""
    price: int
    """Price of a round, in hundredths of ``currency``."""
    currency: str
    budget: int
    """What the learner can spend at most, in the same unit."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int):
                valid = value >= 0 and INTEGER.fullmatch(str(int(value))) is not None
            else:
                valid = LABEL.fullmatch(value) is not None
            if field.name in _DIGESTS:
                valid = HEX.fullmatch(value) is not None
            if not valid:
                raise LocalProtocolError(f"the agreement's {field.name} cannot be {value!r}")
        self._check_amounts()

    def _check_amounts(self) -> None:
        for name in ("rounds", "learner_steps", "provider_steps", "sampling_period"):
            if getattr(self, name) < 1:
                raise LocalProtocolError(f"the agreement's {name} must be at least 1")
        if self.include_last > 1:
            raise LocalProtocolError(f"include_last is {self.include_last}, must be 0 or 1")
        fixed = {
            "objective": "minimise-loss",
            "proposal": "grid",
            "optimiser_state": "reset",
        }
        for name, only in fixed.items():
            if getattr(self, name) != only:
                raise LocalProtocolError(f"this version knows {name} {only!r} only")
        hidden = self.weighting is Weighting.PARTIES
        if (self.learner_samples == 0) != hidden or (self.provider_samples == 0) != hidden:
            raise LocalProtocolError(
                f"weighting {self.weighting.value!r} does not go with sample counts"
                f" {self.learner_samples} and {self.provider_samples}",
                hint="give both counts with 'samples', neither with 'parties'",
            )
        if not (float(self.loss_clip) > 0 and float(self.loss_noise) >= 0):
            raise LocalProtocolError(
                f"loss_clip is {self.loss_clip} and loss_noise {self.loss_noise}: the first must"
                " be above 0, the second not below"
            )
        for role in Role:
            self.grid(role)  # refuses more checkpoints than a trajectory can have
        if self.affordable_rounds < 1:
            raise BudgetError(
                f"the budget of {self.budget} {self.currency} does not pay for one round at"
                f" {self.price}",
                hint="raise budget or lower price, on both sides",
            )

    def steps(self, role: Role) -> int:
        """Updates that ``role`` makes in one local training: T or T'."""
        return self.learner_steps if role is Role.LEARNER else self.provider_steps

    def grid(self, role: Role) -> tuple[int, ...]:
        """The steps that ``role`` samples, in order."""
        return sampled_steps(
            self.steps(role),
            self.sampling_period,
            sampling=self.sampling,
            include_last=bool(self.include_last),
        )

    def samples(self, role: Role) -> int:
        """Examples in the local loss of ``role``; 0 where hidden."""
        return self.learner_samples if role is Role.LEARNER else self.provider_samples

    def fingerprint(self, role: Role) -> str:
        """Fingerprint of the card of ``role``."""
        return self.learner if role is Role.LEARNER else self.provider

    def edited_since(self, terms: Terms) -> tuple[str, ...]:
        """Names of the terms that now say something other than what was signed."""
        now = _signed_of(terms)
        with suppress(LocalProtocolError):  # half an edit, or one that needs counts never told
            steps = terms.steps(self.learner_samples, self.provider_samples)
            now["learner_steps"], now["provider_steps"] = steps
        return tuple(name for name, value in now.items() if value != getattr(self, name))

    @property
    def affordable_rounds(self) -> int:
        """Rounds that the agreement allows and the budget pays for."""
        return affordable(self.rounds, price=self.price, budget=self.budget)

    @property
    def session(self) -> str:
        """The session's identifier: SHA-256 of the text."""
        return digest(self.text().encode())

    def text(self) -> str:
        """What is signed."""
        fields = dataclasses.fields(self)
        lines = (f"{field.name} {_value_text(getattr(self, field.name))}\n" for field in fields)
        return f"{TITLE}\n{''.join(lines)}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The inverse of :meth:`text`, for text that the peer sent.

        Raises:
            PeerProtocolError: the text is not one that :meth:`text` writes.
        """
        lines = text.split("\n")
        fields = dataclasses.fields(cls)
        if len(text) > MAX_TEXT_BYTES or lines[0] != TITLE or len(lines) != len(fields) + 2:
            raise PeerProtocolError(f"the peer's agreement does not begin with {TITLE!r}")
        values: dict[str, object] = {}
        for field, line in zip(fields, lines[1:], strict=False):
            name, _, value = line.partition(" ")
            if name != field.name:
                raise PeerProtocolError(f"the peer's agreement has {name[:40]!r} for {field.name}")
            values[name] = _parsed(field.name, field.type, value)
        try:
            agreement = cls(**values)  # type: ignore[arg-type]
        except (ProtocolError, ValueError) as error:
            raise PeerProtocolError(f"the peer's agreement is void: {error}") from error
        if agreement.text() != text:
            raise PeerProtocolError("the peer's agreement is not in canonical form")
        return agreement

    def must_equal(self, peer: "Agreement") -> None:
        """Compare with what the peer drew up, field by field.

        Raises:
            AgreementMismatchError: naming the first field that differs and both values.
        """
        for field in dataclasses.fields(self):
            own_value = _value_text(getattr(self, field.name))
            peer_value = _value_text(getattr(peer, field.name))
            if own_value != peer_value:
                raise AgreementMismatchError(field=field.name, own=own_value, peer=peer_value)


_DIGESTS: Final = frozenset({
    "learner", "provider", "learner_nonce", "provider_nonce", "learner_sealing_key",
    "provider_sealing_key", "model", "data",
})  # fmt: skip


def affordable(rounds: int, *, price: int, budget: int) -> int:
    """How many of ``rounds`` a budget pays for."""
    return rounds if price == 0 else min(rounds, budget // price)


def draw_up(terms: Terms, *, learner: Side, provider: Side, model: str, data: str) -> Agreement:
    """One side's text of the agreement, from its own settings and what both brought.

    Raises:
        LocalProtocolError: the terms make no agreement.
    """
    learner_steps, provider_steps = terms.steps(learner.samples, provider.samples)
    return Agreement(
        learner=learner.fingerprint,
        provider=provider.fingerprint,
        learner_nonce=learner.nonce,
        provider_nonce=provider.nonce,
        learner_sealing_key=learner.sealing_key,
        provider_sealing_key=provider.sealing_key,
        learner_samples=learner.samples,
        provider_samples=provider.samples,
        model=model,
        data=data,
        objective="minimise-loss",
        proposal="grid",
        optimiser_state="reset",
        learner_steps=learner_steps,
        provider_steps=provider_steps,
        **_signed_of(terms),
    )


def _signed_of(terms: Terms) -> dict[str, Any]:
    """The terms as an agreement has them, by field; without the steps, which need both counts."""
    return {
        "task": terms.task,
        "loss": terms.loss,
        "rounds": terms.rounds,
        "sampling": terms.sampling,
        "sampling_period": terms.sampling_period,
        "include_last": int(terms.include_last),
        "weighting": terms.weighting,
        "loss_precision": terms.loss_precision,
        "loss_clip": repr(float(terms.loss_clip)),
        "loss_noise": repr(float(terms.loss_noise)),
        "round_bytes": terms.round_bytes,
        "price": terms.price,
        "currency": terms.currency,
        "budget": terms.budget,
    }


def _value_text(value: object) -> str:
    return value.value if isinstance(value, StrEnum) else str(value)


def _parsed(name: str, kind: object, text: str) -> object:
    if kind is int:
        if INTEGER.fullmatch(text) is None:
            raise PeerProtocolError(f"the peer's agreement has {name} {text[:40]!r}, not a number")
        return int(text)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        if text not in set(kind):
            raise PeerProtocolError(f"the peer's agreement has an unknown {name} {text[:40]!r}")
        return kind(text)
    return text
