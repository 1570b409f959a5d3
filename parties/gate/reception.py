"""Who may come in to a provider, and how a new session is agreed on with them. No sockets."""

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Final

from assistlearn.bundle import Card
from assistlearn.checkpoints import ModelSpec
from assistlearn.errors import AssistLearnError, UnknownPeerError
from parties.directory import PartyDirectory
from parties.gate.guests import Guests
from parties.gate.handshake import OwnSide, ProviderHandshake, check_loss
from parties.gate.opening import Desk
from parties.gate.session import Session
from parties.secrets import SessionSecrets
from parties.worker.requests import Described
from protocols.messages import Acceptance, Frame, Hello, Proposal, Refusal, RefusalCode
from protocols.roles import Role

MOST_REFUSALS: Final = 1000  # of one learner in a run: what a ledger holds it keeps for ever


@dataclass(slots=True, kw_only=True)
class Counter:
    """What a provider keeps of one learner outside sessions: its ledger and a greeting."""

    desk: Desk
    resources: ExitStack
    """Closes the ledger, its head signed."""
    greeting: ProviderHandshake | None = None
    secrets: SessionSecrets | None = field(default=None, repr=False)
    refusals: int = 0

    @property
    def name(self) -> str:
        """The learner's name, from its card."""
        return self.desk.peer.name

    def note_refusal(self, why: str) -> None:
        """Put a refusal outside of any session on record; the first thousand of a run."""
        self.refusals += 1
        if self.refusals > MOST_REFUSALS:
            return
        self.desk.note_refusal(why)


class Reception:
    """Keeps the list of guests, and a counter for each who came."""

    def __init__(self, directory: PartyDirectory, described: Described) -> None:
        """Open for the learners on file; :meth:`close` in the end.

        Args:
            directory: the provider's.
            described: what its worker says of its task.

        Raises:
            ConfigError: the terms name another loss than the task uses.
        """
        check_loss(directory.settings.terms.terms(), described.schema)
        self._directory = directory
        self._described = described
        self._guests = Guests(directory.peers)
        self._guests_at_the_door = Guests(directory.peers)  # which is in another thread
        self._counters: dict[str, Counter] = {}

    def admits(self, key: str) -> bool:
        """Whether one of the cards on file has this key. Looked up anew: cards come and go."""
        return key in self._guests_at_the_door.cards()

    def newly_damaged(self) -> tuple[str, ...]:
        """What is wrong with cards on file, each said once. Only their owners are kept out."""
        return self._guests.newly_damaged()

    def struck_off(self) -> Iterator[tuple[Counter, UnknownPeerError]]:
        """Learners who came in with a card that is not on file any more, and words for it."""
        cards = self._guests.cards()
        for key, counter in list(self._counters.items()):
            if cards.get(key) != counter.desk.peer:
                yield (
                    counter,
                    UnknownPeerError(
                        f"the card with which {counter.name} came in is not on file any more",
                        hint="add it again with `assistlearn peer add` to let the session go on",
                    ),
                )

    def guest(self, key: str) -> Card | None:
        """The card on file with this key."""
        return self._guests.known.get(key) or self._guests.cards().get(key)

    def counter(self, card: Card) -> Counter:
        """The counter of the learner with this card.

        Raises:
            LedgerError: its ledger is damaged or in use.
            StorageError: the disk is full or failing.
        """
        key = card.curve_public_key.decode()
        if key not in self._counters:
            self._counters[key] = self._opened(card)
        return self._counters[key]

    def dismiss(self, counter: Counter) -> None:
        """Close a learner's counter. It is opened anew, from the disk, when the learner is back.

        Raises:
            StorageError: the ledger's head could not be signed; the ledger is closed.
        """
        self._counters = {key: each for key, each in self._counters.items() if each is not counter}
        counter.resources.close()

    def close(self) -> None:
        """Close all ledgers, each with its head signed.

        Raises:
            StorageError: as for :meth:`dismiss`, of one of them. All are closed.
        """
        with ExitStack() as stack:
            for counter in self._counters.values():
                stack.callback(counter.resources.close)
            self._counters = {}

    def greet(self, counter: Counter, hello: Hello, *, full: bool) -> Frame:
        """The answer to a Hello. One that was heard before gets the same answer again."""
        if counter.greeting is not None and counter.greeting.hello == hello:
            return counter.greeting.welcome()
        side = OwnSide.of(
            self._described,
            identity=counter.desk.identity,
            peer=counter.desk.peer,
            terms=self._directory.settings.terms.terms(),
        )
        secrets = self._known_secrets(counter, hello, side)
        if secrets is None and full:
            return Refusal(session=b"", code=RefusalCode.BUSY, field="", own="", peer="")
        counter.secrets = secrets or SessionSecrets.draw()
        counter.greeting = ProviderHandshake(side, hello, counter.secrets)
        answer = counter.greeting.welcome()
        if isinstance(answer, Refusal):
            counter.note_refusal(f"{answer.field}: {answer.own} / {answer.peer}")
        return answer

    def _known_secrets(
        self, counter: Counter, hello: Hello, side: OwnSide
    ) -> SessionSecrets | None:
        """The secrets of the open session that this Hello began: of that very agreement alone.

        With any other they would seal, and be noise for, two sessions.
        """
        for recorded in counter.desk.recorded().values():
            agreement = recorded.agreement
            if recorded.closed is None and agreement.learner_nonce == hello.nonce.hex():
                folder = self._directory.session_folder(agreement.session)
                secrets = SessionSecrets.load(folder)
                with suppress(AssistLearnError):  # no agreement at all: not that one either
                    if secrets and side.agreement(Role.PROVIDER, secrets, hello) == agreement:
                        return secrets
        return None

    def accept(
        self, counter: Counter, proposal: Proposal, *, full: bool
    ) -> tuple[Frame | None, Session | None]:
        """The answer to a Proposal, and the session if it begins one.

        Nothing to a proposal from before a restart: the learner will say Hello again.
        """
        if counter.greeting is None or counter.secrets is None:
            return None, None
        try:
            answer = counter.greeting.accept(proposal)
        except AssistLearnError as error:
            counter.note_refusal(str(error))
            code = RefusalCode.PROTOCOL
            return Refusal(session=b"", code=code, field="", own="", peer=""), None
        if isinstance(answer, Refusal):
            counter.note_refusal(f"{answer.field}: {answer.own} / {answer.peer}")
            return answer, None
        recorded = counter.desk.recorded().get(answer.agreement.session)
        if recorded is not None:
            return Acceptance(note=recorded.note), None
        if full:  # since the Hello, by another learner
            return Refusal(session=b"", code=RefusalCode.BUSY, field="", own="", peer=""), None
        session = counter.desk.enter(
            answer,
            secrets=counter.secrets,
            spec=ModelSpec.parse(self._described.spec),
            samples=self._described.samples,
        )
        return Acceptance(note=answer.note), session

    def _opened(self, card: Card) -> Counter:
        identity = self._directory.identity
        with ExitStack() as stack:
            ledger = stack.enter_context(self._directory.open_ledger(card))
            # Callbacks run in reverse: the head is signed before the ledger closes.
            stack.callback(ledger.write_head, identity)
            desk = Desk(
                directory=self._directory,
                identity=identity,
                peer=card,
                ledger=ledger,
                role=Role.PROVIDER,
            )
            return Counter(desk=desk, resources=stack.pop_all())
