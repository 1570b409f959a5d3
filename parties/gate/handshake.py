"""How two parties come to a signed agreement, each side's part. No sockets in here.

    learner                                 provider
      Hello: nonce, key, samples, terms  ->   compares the terms
                                         <-   Welcome: nonce, key, samples
      draws up the text, signs it        ->   draws up its own, compares field by field
                                         <-   Acceptance: the text, signed by both

Every step may be repeated after a restart and gives the same session.
"""

from dataclasses import dataclass
from typing import Self

from assistlearn.bundle import (
    Card,
    Identity,
    cosign,
    open_cosigned,
    open_note,
    sealing_public_key,
)
from assistlearn.checkpoints import ModelSpec
from assistlearn.digests import digest
from assistlearn.errors import (
    AgreementMismatchError,
    ConfigError,
    LocalProtocolError,
    PeerProtocolError,
    ProtocolError,
    RefusedByPeerError,
)
from parties.secrets import SessionSecrets
from parties.worker.requests import Described
from protocols.agreement import Agreement, Side, Terms, Weighting, draw_up
from protocols.messages import (
    PROTOCOL_VERSION,
    Acceptance,
    Frame,
    Hello,
    Proposal,
    Refusal,
    RefusalCode,
    Welcome,
)
from protocols.roles import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnSide:
    """What one party brings to every agreement of a run."""

    identity: Identity
    peer: Card
    terms: Terms
    spec: ModelSpec
    samples: int
    schema: str

    @classmethod
    def of(cls, described: Described, *, identity: Identity, peer: Card, terms: Terms) -> Self:
        """One side, with what its worker says of the task.

        Raises:
            ConfigError: the terms name another loss than the task uses.
        """
        check_loss(terms, described.schema)
        return cls(
            identity=identity,
            peer=peer,
            terms=terms,
            spec=ModelSpec.parse(described.spec),
            samples=described.samples,
            schema=described.schema,
        )

    @property
    def told_samples(self) -> int:
        """Samples as told: nothing where the weighting hides them."""
        return self.samples if self.terms.weighting is Weighting.SAMPLES else 0

    def agreement(self, role: Role, own: SessionSecrets, peer: Hello | Welcome) -> Agreement:
        """Our own text of the agreement.

        Raises:
            LocalProtocolError: the terms make no agreement.
            BundleError: nothing can be sealed to the key that the peer named.
        """
        sealing_public_key(peer.sealing_key)
        ours = Side(
            fingerprint=self.identity.card.fingerprint,
            nonce=own.nonce.hex(),
            sealing_key=digest(own.sealing_key.public),
            samples=self.told_samples,
        )
        theirs = Side(
            fingerprint=self.peer.fingerprint,
            nonce=peer.nonce.hex(),
            sealing_key=digest(peer.sealing_key),
            samples=peer.samples,
        )
        learner, provider = (ours, theirs) if role is Role.LEARNER else (theirs, ours)
        agreement = draw_up(
            self.terms,
            learner=learner,
            provider=provider,
            model=self.spec.digest,
            data=digest(self.schema.encode()),
        )
        checkpoints = max(len(agreement.grid(each)) for each in Role)
        check_quota(agreement.round_bytes, checkpoints=checkpoints, spec=self.spec)
        return agreement


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """The end of a handshake."""

    agreement: Agreement
    note: bytes
    """Signed by both."""
    peer_sealing_key: bytes


def check_loss(terms: Terms, schema: str) -> None:
    """Refuse terms that name another loss than the task says it uses.

    Raises:
        ConfigError: says which.
    """
    for line in schema.splitlines():
        name, _, loss = line.partition(" ")
        if name == "loss" and loss != terms.loss:
            raise ConfigError(
                f"terms.loss is {terms.loss!r}, the task uses {loss!r}",
                hint=f'write loss = "{loss}" in [terms], on both sides, or change the task',
            )


def round_bytes_bound(checkpoints: int, spec: ModelSpec) -> int:
    """Most bytes that one side's part of a round takes, envelope included."""
    # 0.2 % for seals (56 bytes a MiB and 16 bytes each 16 KiB), 8 KiB for each offer, and a
    # closing list of some 100 bytes a checkpoint.
    return checkpoints * (spec.file_bytes * 1002 // 1000 + 8192 + 128) + 16384


def check_quota(round_bytes: int, *, checkpoints: int, spec: ModelSpec) -> int:
    """Refuse a byte quota that cannot hold a trajectory of so many checkpoints.

    Returns:
        Upper bound of its bytes, envelope included.

    Raises:
        ConfigError: says how many bytes a round takes.
    """
    needed = round_bytes_bound(checkpoints, spec)
    if needed > round_bytes:
        raise ConfigError(
            f"terms.round_bytes is {round_bytes}, one round takes up to {needed}",
            hint=f"set round_bytes to {needed} or more, on both sides",
        )
    return needed


class LearnerHandshake:
    """The learner's part. ``secrets`` must be on disk before :meth:`hello` leaves."""

    def __init__(self, side: OwnSide, secrets: SessionSecrets) -> None:
        self._side = side
        self._secrets = secrets
        self._welcome: Welcome | None = None
        self._agreement: Agreement | None = None
        self.refused: Refusal | None = None
        """The provider's own word for why there is no agreement."""

    def hello(self) -> Hello:
        """What to send first, and again whenever the connection was made anew."""
        self._welcome = self._agreement = None
        return Hello(
            version=PROTOCOL_VERSION,
            nonce=self._secrets.nonce,
            sealing_key=self._secrets.sealing_key.public,
            samples=self._side.told_samples,
            terms=self._side.terms.text().encode(),
        )

    def answer(self, frame: Frame) -> Proposal | Agreed | None:
        """What follows from the provider's frame; nothing if it is of an earlier try.

        Raises:
            AgreementMismatchError: the terms differ.
            ConfigError, LocalProtocolError: with the provider's data the terms make no agreement.
            RefusedByPeerError: the provider does not want a session now.
            PeerProtocolError, BundleError: the provider broke a rule.
        """
        match frame:
            case Welcome() if frame.hello_nonce == self._secrets.nonce:
                self._check_samples(frame.samples)
                self._welcome = frame
                try:
                    self._agreement = self._side.agreement(Role.LEARNER, self._secrets, frame)
                except (ConfigError, LocalProtocolError) as error:
                    if self._side.terms.total_steps is None:
                        raise
                    # Its number of examples is part of what gave these steps.
                    told = f"with {frame.samples} examples at the provider: {error}"
                    raise error.worded(told, hint=error.hint) from error
                return Proposal(note=self._side.identity.sign(self._agreement.text()))
            case Acceptance() if self._agreement is not None and self._welcome is not None:
                cards = (self._side.identity.card, self._side.peer)
                text = open_cosigned(frame.note, cards)
                self._agreement.must_equal(Agreement.parse(text))
                return Agreed(
                    agreement=self._agreement,
                    note=frame.note,
                    peer_sealing_key=self._welcome.sealing_key,
                )
            case Refusal():
                self.refused = frame
                raise _refusal_error(frame)
            case Welcome() | Acceptance():
                return None
            case _:
                raise PeerProtocolError(
                    f"the provider sent a {type(frame).__name__} before there is an agreement"
                )

    def _check_samples(self, told: int) -> None:
        weighting = self._side.terms.weighting
        if (told > 0) != (weighting is Weighting.SAMPLES):
            raise PeerProtocolError(
                f"the provider tells of {told} samples, which weighting {weighting.value!r} does"
                " not allow"
            )


class ProviderHandshake:
    """The provider's part, for one Hello of one learner."""

    def __init__(self, side: OwnSide, hello: Hello, secrets: SessionSecrets) -> None:
        self._side = side
        self._secrets = secrets
        self.hello = hello

    def welcome(self) -> Welcome | Refusal:
        """The answer to the Hello."""
        if self.hello.version != PROTOCOL_VERSION:
            return _terms_refusal("version", PROTOCOL_VERSION, self.hello.version)
        try:
            self._side.terms.must_equal(self.hello.terms.decode("ascii", "replace"))
        except AgreementMismatchError as error:
            return _terms_refusal(error.field, error.own, error.peer)
        return Welcome(
            hello_nonce=self.hello.nonce,
            nonce=self._secrets.nonce,
            sealing_key=self._secrets.sealing_key.public,
            samples=self._side.told_samples,
        )

    def accept(self, proposal: Proposal) -> Agreed | Refusal:
        """The agreement signed by both, or what in it is not ours.

        Raises:
            BundleError, PeerProtocolError: the proposal is forged or malformed.
            LocalProtocolError: our own terms make no agreement.
        """
        text = open_note(proposal.note, self._side.peer)
        ours = self._side.agreement(Role.PROVIDER, self._secrets, self.hello)
        try:
            ours.must_equal(Agreement.parse(text))
        except AgreementMismatchError as error:
            return _terms_refusal(error.field, error.own, error.peer)
        return Agreed(
            agreement=ours,
            note=cosign(proposal.note, self._side.identity),
            peer_sealing_key=self.hello.sealing_key,
        )


def _terms_refusal(field: str, own: object, peer: object) -> Refusal:
    shown = [
        "".join(c if " " <= c <= "~" else "?" for c in str(value))[:200] for value in (own, peer)
    ]
    return Refusal(session=b"", code=RefusalCode.TERMS, field=field, own=shown[0], peer=shown[1])


def _refusal_error(refusal: Refusal) -> ProtocolError:
    match refusal.code:
        case RefusalCode.TERMS:
            return AgreementMismatchError(field=refusal.field, own=refusal.peer, peer=refusal.own)
        case RefusalCode.BUSY:
            return RefusedByPeerError(
                "the provider is serving as many learners as it can",
                hint="try again later, or ask it to raise link.sessions",
            )
        case RefusalCode.SUSPENDED:
            return RefusedByPeerError(
                "the provider stopped for now",
                hint="ask what its screen says, then run the same command again",
            )
        case _:
            return RefusedByPeerError(
                f"the provider refused: {refusal.code.value}",
                hint="ask the provider what its ledger says (`assistlearn audit show`)",
            )
