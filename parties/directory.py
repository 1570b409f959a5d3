"""A party's directory: where everything of it is, and who may use it.

DIR/
  config.toml             written by ``init``, edited by a person
  keys/                   0700; identity.key 0600
  peers/NAME.card         public cards of the other parties
  ledger/NAME-KEYS.sqlite one append-only ledger a peer, its signed head and the peer's card
  agreements/ID.txt       what both signed
  rounds/ID/              what resuming a session needs: spool, snapshots, secrets
  models/assisted.safetensors, assisted.toml     the result and its card; others by session
"""

import fcntl
import os
import shlex
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Final

from assistlearn.bundle import Card, Identity
from assistlearn.checkpoints import ModelSpec
from assistlearn.durable import disk_errors, write_durably
from assistlearn.errors import CardError, PartyDirectoryError, TensorError, UnknownPeerError
from assistlearn.ledger import Ledger
from parties.settings import PartySettings
from parties.settings_file import load_settings

CARD_SUFFIX: Final = ".card"
LEDGER_SUFFIX: Final = ".sqlite"


class PartyDirectory:
    """Paths and readers. Nothing is created before it is asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "config.toml"
        self.keys = root / "keys"
        self.peers = root / "peers"
        self.ledgers = root / "ledger"
        self.agreements = root / "agreements"
        self.rounds = root / "rounds"
        self.models = root / "models"

    @property
    def parts(self) -> tuple[Path, ...]:
        """Everything in the directory that is ours."""
        return (
            self.config,
            self.keys,
            self.peers,
            self.ledgers,
            self.agreements,
            self.rounds,
            self.models,
        )

    @cached_property
    def settings(self) -> PartySettings:
        """What ``config.toml`` says.

        Raises:
            PartyDirectoryError: this is no party's directory.
            ConfigError: the file has problems.
        """
        if not self.config.is_file():
            raise PartyDirectoryError(
                f"{self.root} is not a party's directory: it has no config.toml",
                hint="name the right one (peer takes --dir), or make one: assistlearn init learner"
                f" {shlex.quote(str(self.root))} (or provider)",
            )
        return load_settings(self.config, PartySettings)

    @cached_property
    def identity(self) -> Identity:
        """Our keys.

        Raises:
            KeyFileError: they are absent, damaged or open to other users.
        """
        return Identity.load(self.keys)

    def cards(self) -> dict[str, Card]:
        """The peers' cards by name.

        Raises:
            CardError: a file is not a card, or has another party's name.
        """
        cards = {}
        for path in sorted(self.peers.glob(f"*{CARD_SUFFIX}")):
            try:
                card = Card.parse(path.read_text(encoding="ascii"))
            except UnicodeDecodeError as error:
                raise CardError(
                    f"{path} is not a card",
                    hint="remove it and add the card again with `assistlearn peer add`",
                ) from error
            if card.name != path.stem:
                raise CardError(
                    f"{path} holds the card of {card.name}",
                    hint="remove it and add the card again with `assistlearn peer add`",
                )
            cards[card.name] = card
        return cards

    def only_peer(self) -> Card:
        """The one peer of a learner.

        Raises:
            UnknownPeerError: there is none, or more than one.
        """
        cards = self.cards()
        if len(cards) != 1:
            raise UnknownPeerError(
                f"a learner's directory knows one provider, {self.peers} has {len(cards)}",
                hint=f"add its card: `assistlearn peer add CARD --dir {self.root}`"
                if not cards
                else "use one directory for each provider",
            )
        return next(iter(cards.values()))

    def ledger_path(self, peer: Card) -> Path:
        """The ledger kept with ``peer``. Other keys under the same name make another ledger."""
        return self.ledgers / f"{peer.name}-{peer.fingerprint[:16]}{LEDGER_SUFFIX}"

    def open_ledger(self, peer: Card) -> Ledger:
        """The ledger kept with ``peer``, for writing.

        Raises:
            LedgerError: it is damaged, shorter than its signed head says, or in use.
            StorageError: the disk is full, read-only or failing.
        """
        path = self.ledger_path(peer)
        card = path.with_suffix(CARD_SUFFIX)
        with disk_errors(f"write {self.ledgers}"):
            self.ledgers.mkdir(parents=True, exist_ok=True)
            if not card.exists():  # an audit needs it long after it was taken off file
                write_durably(card, f"{peer.line()}\n".encode(), mode=0o644)
        with ExitStack() as stack:
            ledger = stack.enter_context(Ledger.open(path, now_ms=now_ms))
            ledger.check_head(self.identity.card)  # or the next head would hide what is missing
            stack.pop_all()
        return ledger

    def ledger_paths(self) -> list[Path]:
        """Every ledger there is, or was: a card that is left shows one that is gone."""
        cards = (path.with_suffix(LEDGER_SUFFIX) for path in self.ledgers.glob(f"*{CARD_SUFFIX}"))
        return sorted({*self.ledgers.glob(f"*{LEDGER_SUFFIX}"), *cards})

    def session_folder(self, session: str) -> Path:
        """Where a session keeps what it needs to resume."""
        return self.rounds / session[:16]

    @property
    def pending(self) -> Path:
        """Where a learner keeps its secrets of a session until that has an identifier."""
        return self.rounds / "pending"

    def write_spec(self, session: str, spec: ModelSpec) -> None:
        """Keep the model specification, which the agreement only names by digest."""
        folder = self.session_folder(session)
        with disk_errors(f"write {folder}"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_durably(folder / "model.spec", spec.text().encode())

    def read_spec(self, session: str, digest: str) -> ModelSpec:
        """The model specification of a session.

        Raises:
            TensorError: the file is not what was agreed.
            StorageError: it cannot be read.
        """
        path = self.session_folder(session) / "model.spec"
        with disk_errors(f"read {path}"):
            spec = ModelSpec.parse(path.read_text(encoding="ascii"))
        if spec.digest != digest:
            raise TensorError(
                f"{path} is not the model specification that was agreed",
                hint="restore the directory from a backup",
            )
        return spec

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out of this directory while the context lasts.

        Raises:
            PartyDirectoryError: another process is using it.
        """
        with disk_errors(f"write to {self.root}"):
            descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise PartyDirectoryError(
                f"another process is using {self.root}",
                hint="wait until it ends, or stop it; nothing is lost by that",
            ) from None
        try:
            yield
        finally:
            os.close(descriptor)


def now_ms() -> int:
    """Wall-clock time for people to read in the ledger. Decides nothing."""
    return time.time_ns() // 1_000_000
