"""Sessions in a ledger: how one is entered there, and how it is found again."""

from dataclasses import dataclass, field, replace
from typing import Final

from assistlearn.bundle import Card, Identity, open_cosigned, pack
from assistlearn.checkpoints import ModelSpec
from assistlearn.digests import digest
from assistlearn.durable import disk_errors, write_durably
from assistlearn.errors import LedgerHistoryError
from assistlearn.interrupts import uninterrupted
from assistlearn.ledger import Entry, EntryKind, Ledger
from parties.directory import PartyDirectory
from parties.gate.books import Books, refusal_entry
from parties.gate.handshake import Agreed
from parties.gate.leftovers import clear
from parties.gate.session import Session
from parties.secrets import SessionSecrets
from protocols.agreement import Agreement
from protocols.messages import Refusal
from protocols.record import Closed, Joined, decode_record, encode_record
from protocols.roles import Role

GIVEN_UP: Final = "given up for a new one"
RESTORE: Final = "restore the ledger from a backup, or ask who changed it"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedSession:
    """What a ledger says of one session, without replaying it."""

    agreement: Agreement
    note: bytes = field(repr=False)
    joined: Joined | None
    received: int
    """Bundles that the peer sent and we recorded."""
    closed: str | None
    """Why it ended; nothing while it goes on."""


class Register:
    """The sessions of a ledger that grows: each look reads what is new since the last one."""

    def __init__(self, ledger: Ledger, *, own: Card, peer: Card) -> None:
        self._ledger = ledger
        self._own = own
        self._peer = peer
        self._sessions: dict[str, RecordedSession] = {}
        self._entries = 0  # that were looked at

    def __contains__(self, session: str) -> bool:
        """Whether the last look found it; nothing is read."""
        return session in self._sessions

    def sessions(self) -> dict[str, RecordedSession]:
        """All sessions by identifier, oldest first.

        Raises:
            BundleError: an agreement was not signed by both.
            LedgerHistoryError: an entry is not what this party would have recorded.
        """
        for entry in self._ledger.entries(start=self._entries):
            self._take(entry)
            self._entries = entry.index + 1
        return dict(self._sessions)

    def _take(self, entry: Entry) -> None:
        if entry.kind is EntryKind.AGREEMENT:
            self._sessions[entry.session] = self._begun(entry)
            return
        known = self._sessions.get(entry.session)
        if known is None:
            return
        if entry.kind is EntryKind.RECEIVED:
            known = replace(known, received=known.received + 1)
        elif entry.kind is EntryKind.EVENT and known.joined is None:
            record = decode_record(entry.body)
            if isinstance(record, Joined):
                self._check_key(entry, record, known.agreement)
                known = replace(known, joined=record)
        elif entry.kind is EntryKind.CLOSED:
            record = decode_record(entry.body)
            if isinstance(record, Closed):
                known = replace(known, closed=record.reason)
        self._sessions[entry.session] = known

    def _begun(self, entry: Entry) -> RecordedSession:
        agreement = Agreement.parse(open_cosigned(entry.body, (self._own, self._peer)))
        if agreement.session != entry.session:
            raise LedgerHistoryError(
                f"entry {entry.index} is the agreement of session {agreement.session[:16]}, but"
                f" stands under {entry.session[:16]}",
                hint=RESTORE,
            )
        return RecordedSession(
            agreement=agreement, note=entry.body, joined=None, received=0, closed=None
        )

    def _check_key(self, entry: Entry, joined: Joined, agreement: Agreement) -> None:
        """Refuse another key than the one that both signed: it would open all that we send."""
        we_learn = agreement.learner == self._own.fingerprint
        agreed = agreement.provider_sealing_key if we_learn else agreement.learner_sealing_key
        if digest(joined.peer_sealing_key) != agreed:
            raise LedgerHistoryError(
                f"the peer's sealing key of entry {entry.index} is not the one agreed on",
                hint=RESTORE,
            )


def recorded_sessions(ledger: Ledger, *, own: Card, peer: Card) -> dict[str, RecordedSession]:
    """All sessions of a ledger by identifier, oldest first.

    Raises:
        BundleError, LedgerHistoryError: as :meth:`Register.sessions`.
    """
    return Register(ledger, own=own, peer=peer).sessions()


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What is needed to enter sessions and to find them: one party, one peer."""

    directory: PartyDirectory
    identity: Identity
    peer: Card
    ledger: Ledger
    role: Role
    _register: Register = field(init=False)

    def __post_init__(self) -> None:
        register = Register(self.ledger, own=self.identity.card, peer=self.peer)
        object.__setattr__(self, "_register", register)
        register.sessions()

    def enter(
        self,
        agreed: Agreed,
        *,
        secrets: SessionSecrets,
        spec: ModelSpec,
        samples: int,
        minimum_gain: float | None = None,
    ) -> Session:
        """Begin the session that was agreed on: everything on disk, then the ledger.

        It takes the place of any that is open with this peer: what was left behind is over.
        """
        agreement = agreed.agreement
        joined = Joined(
            samples=samples, minimum_gain=minimum_gain, peer_sealing_key=agreed.peer_sealing_key
        )
        folder = self.directory.session_folder(agreement.session)
        self.directory.write_spec(agreement.session, spec)
        secrets.store(folder)
        agreements = self.directory.agreements
        with disk_errors(f"write {agreements}"):
            agreements.mkdir(parents=True, exist_ok=True)
            write_durably(agreements / f"{agreement.session[:16]}.txt", agreed.note, mode=0o644)
        left = [name for name, each in self.recorded().items() if each.closed is None]
        over = encode_record(Closed(reason=GIVEN_UP))
        with uninterrupted():
            self.ledger.append_many(
                [
                    *((EntryKind.CLOSED, session, over) for session in left),
                    (EntryKind.AGREEMENT, agreement.session, agreed.note),
                    (EntryKind.EVENT, agreement.session, encode_record(joined)),
                ]
            )
            for session in left:
                clear(self.directory.session_folder(session))
        self.recorded()  # it is known from now on
        return Session(
            books=self._books(agreement, joined=joined, spec=spec, secrets=secrets),
            role=self.role,
            joined=joined,
            folder=folder,
        )

    def resume(self, recorded: RecordedSession) -> Session | None:
        """An open session as it stood; nothing if its secrets are gone and it cannot go on."""
        session = recorded.agreement.session
        folder = self.directory.session_folder(session)
        secrets = SessionSecrets.load(folder)
        if secrets is None or recorded.joined is None:
            return None
        spec = self.directory.read_spec(session, recorded.agreement.model)
        return Session.resume(
            books=self._books(
                recorded.agreement, joined=recorded.joined, spec=spec, secrets=secrets
            ),
            role=self.role,
            joined=recorded.joined,
            folder=folder,
        )

    def give_up(self, session: str, reason: str) -> None:
        """End an open session that is not in memory: on record, then its folder is cleared.

        Raises:
            StorageError: the disk is full or failing.
        """
        with uninterrupted():
            self.ledger.append(EntryKind.CLOSED, session, encode_record(Closed(reason=reason)))
            clear(self.directory.session_folder(session))

    def note_refusal(self, why: str | Refusal) -> None:
        """Put a refusal outside of any session on record: ours in words, or the peer's."""
        if isinstance(why, Refusal):
            body = refusal_entry(why)
        else:
            words = why.encode("ascii", "replace").decode()[:2000]
            body = pack(["own", "no session", words])
        self.ledger.append(EntryKind.REFUSAL, "", body)

    def find(self, session: str) -> RecordedSession | None:
        """The session of this identifier; nothing if there never was one with this peer."""
        return self.recorded()[session] if session in self._register else None

    def recorded(self) -> dict[str, RecordedSession]:
        """All sessions with this peer, oldest first. What was read before is not read again."""
        return self._register.sessions()

    def _books(
        self, agreement: Agreement, *, joined: Joined, spec: ModelSpec, secrets: SessionSecrets
    ) -> Books:
        return Books(
            identity=self.identity,
            peer=self.peer,
            ledger=self.ledger,
            agreement=agreement,
            spec=spec,
            secrets=secrets,
            peer_sealing_key=joined.peer_sealing_key,
        )
