"""Making a party's directory, and introducing the other party to it."""

from pathlib import Path

from assistlearn.bundle import Card, Identity
from assistlearn.bundle.keys import CARD_FILE, KEY_FILE
from assistlearn.durable import disk_errors, write_durably
from assistlearn.errors import CardError, PartyDirectoryError
from parties.directory import PartyDirectory
from parties.template import config_text
from protocols.roles import Role


def has_keys(root: Path) -> bool:
    """Whether keys are in ``root``; without settings beside them, ``init`` was interrupted."""
    return (PartyDirectory(root).keys / KEY_FILE).exists()


def make_party(root: Path, *, role: Role, name: str, config: str | None = None) -> Card:
    """Make a directory with settings and keys; our public card.

    Keys that are there without settings, as an interruption leaves them, are kept.

    Raises:
        PartyDirectoryError: there is a party already, or keys of another name; nothing was
            touched.
        CardError: ``name`` is not a party's name.
        KeyFileError: keys that are there cannot be used.
        StorageError: the disk is full, read-only or failing.
    """
    directory = PartyDirectory(root)
    if directory.config.exists():
        raise PartyDirectoryError(
            f"{root} is a party's directory already",
            hint="choose another directory; nothing in this one was touched",
        )
    with disk_errors(f"create {root}"):
        root.mkdir(parents=True, exist_ok=True)
        card = _kept_card(directory, name) if has_keys(root) else _new_card(directory, name)
        directory.peers.mkdir(exist_ok=True)
        text = config_text(role) if config is None else config
        # Last: a directory with settings is whole.
        write_durably(directory.config, text.encode(), mode=0o644)
    return card


def _new_card(directory: PartyDirectory, name: str) -> Card:
    return Identity.create(directory.keys, name=name).card


def _kept_card(directory: PartyDirectory, name: str) -> Card:
    card = directory.identity.card
    if card.name != name:
        raise PartyDirectoryError(
            f"{directory.keys} has the keys of {card.name}, not of {name}",
            hint=f"pass --name {card.name} to go on with these keys, or choose another directory",
        )
    # The copy for people to send on may be what was interrupted.
    write_durably(directory.keys / CARD_FILE, f"{card.line()}\n".encode(), mode=0o644)
    return card


def read_card(given: str) -> Card:
    """A card from a file's path or from the line itself.

    Raises:
        CardError: it is neither.
    """
    if given.lstrip().startswith("assistlearn-card"):
        return Card.parse(given.strip() + "\n")
    path = Path(given)
    try:
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise CardError(
            f"cannot read a card from {given!r}: {getattr(error, 'strerror', None) or 'not text'}",
            hint="pass the file that the other party sent, or its one line in quotes",
        ) from error
    if text.startswith("assistlearn-secret-key"):
        raise CardError(
            f"{given} is a SECRET key",
            hint="never send it to anybody; the card is card.txt beside it. If this one came from"
            " the other party, tell them to make new keys",
        )
    return Card.parse(text)


def add_peer(directory: PartyDirectory, card: Card) -> bool:
    """Put the other party's card on file. False if the very same card was there.

    Raises:
        CardError: it is our own card, or another card of that name is on file.
        StorageError: the disk is full, read-only or failing.
    """
    assert directory.settings  # a party's directory, with settings in order
    if card.fingerprint == directory.identity.card.fingerprint:
        raise CardError("this is our own card", hint="add the card of the other party")
    known = directory.cards().get(card.name)
    if known is not None:
        if known.fingerprint == card.fingerprint:
            return False
        raise CardError(
            f"another card of {card.name} is on file: {known.short}, this one is {card.short}",
            hint=f"ask {card.name} by voice which is right; to replace the old one, delete"
            f" {directory.peers / (card.name + '.card')} first. The ledger kept with it stays",
        )
    with disk_errors(f"write {directory.peers}"):
        directory.peers.mkdir(exist_ok=True)
        line = f"{card.line()}\n".encode()
        write_durably(directory.peers / f"{card.name}.card", line, mode=0o644)
    return True
