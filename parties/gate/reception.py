"""Who may come in to a provider, and how a new session is agreed on with them. No sockets."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

from assistlearn.checkpoints import ModelSpec
from assistlearn.errors import AssistLearnError, CardError
from parties.directory import PartyDirectory
from parties.gate.handshake import OwnSide, ProviderHandshake, check_loss
from parties.gate.opening import Desk, RecordedSession
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

    def __init__(self, directory: PartyDirectory, described: Described, stack: ExitStack) -> None:
        """Open for the learners on file.

        Args:
            directory: the provider's.
            described: what its worker says of its task.
            stack: closes the ledgers when the provider stops.

        Raises:
            ConfigError: the terms name another loss than the task uses.
        """
        check_loss(directory.settings.terms.terms(), described.schema)
        self._directory = directory
        self._described = described
        self._stack = stack
        self._counters: dict[str, Counter] = {}

    def admits(self, key: str) -> bool:
        """Whether one of the cards on file has this key. Looked up anew: cards get added."""
        try:
            cards = self._directory.cards().values()
        except (CardError, OSError):
            return False  # reported when the damaged card is used, and at every start
        return any(card.curve_public_key.decode() == key for card in cards)

    def counter(self, key: str) -> Counter | None:
        """The counter of the learner with this key; none if its card was removed."""
        if key not in self._counters:
            for card in self._directory.cards().values():
                if card.curve_public_key.decode() == key:
                    ledger = self._stack.enter_context(self._directory.open_ledger(card))
                    identity = self._directory.identity
                    # Callbacks run in reverse: the head is signed before the ledger closes.
                    self._stack.callback(ledger.write_head, identity)
                    desk = Desk(
                        directory=self._directory,
                        identity=identity,
                        peer=card,
                        ledger=ledger,
                        role=Role.PROVIDER,
                    )
                    self._counters[key] = Counter(desk=desk)
        return self._counters.get(key)

    def greet(self, counter: Counter, hello: Hello, *, full: bool) -> Frame:
        """The answer to a Hello. One that was heard before gets the same answer again."""
        known = _open_session_of(counter, hello.nonce)
        secrets = None
        if known is not None:
            folder = self._directory.session_folder(known.agreement.session)
            secrets = SessionSecrets.load(folder)
        elif full:
            return Refusal(session=b"", code=RefusalCode.BUSY, field="", own="", peer="")
        counter.secrets = secrets or SessionSecrets.draw()
        side = OwnSide.of(
            self._described,
            identity=counter.desk.identity,
            peer=counter.desk.peer,
            terms=self._directory.settings.terms.terms(),
        )
        counter.greeting = ProviderHandshake(side, hello, counter.secrets)
        answer = counter.greeting.welcome()
        if isinstance(answer, Refusal):
            counter.note_refusal(f"{answer.field}: {answer.own} / {answer.peer}")
        return answer

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


def _open_session_of(counter: Counter, nonce: bytes) -> RecordedSession | None:
    for recorded in counter.desk.recorded().values():
        if recorded.agreement.learner_nonce == nonce.hex() and recorded.closed is None:
            return recorded
    return None
