"""The learners whose cards are on file, noticed as cards come and go."""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from assistlearn.bundle import Card
from assistlearn.errors import CardError
from parties.directory import CARD_SUFFIX
from parties.setup import read_card


class Guests:
    """A folder of cards. Each look costs a stat a card; only a change is read. For one thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: frozenset[tuple[str, int, int, int]] | None = None
        self.known: Mapping[str, Card] = {}
        """Sound cards by CURVE key, as the last look found them."""
        self._damaged: frozenset[str] = frozenset()
        self._told: frozenset[str] = frozenset()

    def cards(self) -> Mapping[str, Card]:
        """Sound cards by CURVE key, as they are now; a damaged one keeps nobody else out."""
        seen = frozenset(self._look())
        if seen != self._seen:
            self.known, self._damaged = self._read(name for name, *_ in sorted(seen))
            self._seen = seen
        return self.known

    def newly_damaged(self) -> tuple[str, ...]:
        """What is wrong with cards that the last look found damaged; each said once."""
        new = self._damaged - self._told
        self._told = self._damaged
        return tuple(sorted(new))

    def _look(self) -> Iterator[tuple[str, int, int, int]]:
        """Each card's name, and what changes whenever its file does."""
        with suppress(OSError), os.scandir(self._folder) as entries:  # no folder, no cards
            for entry in entries:
                if entry.name.endswith(CARD_SUFFIX):
                    with suppress(FileNotFoundError):  # deleted since the folder was listed
                        found = entry.stat()
                        yield entry.name, found.st_ino, found.st_ctime_ns, found.st_size

    def _read(self, names: Iterator[str]) -> tuple[Mapping[str, Card], frozenset[str]]:
        cards = {}
        damaged = set()
        for name in names:
            path = self._folder / name
            try:
                card = read_card(str(path))
            except CardError as error:
                damaged.add(f"{path}: {error}")
                continue
            if card.name != path.stem:
                damaged.add(f"{path} holds the card of {card.name}")
                continue
            cards[card.curve_public_key.decode()] = card
        return cards, frozenset(damaged)
