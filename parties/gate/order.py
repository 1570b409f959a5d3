"""Where in a session each kind of entry stands: one rule for whoever replays a ledger."""

from dataclasses import dataclass
from typing import Final

from assistlearn.errors import LedgerHistoryError
from assistlearn.ledger import Entry, EntryKind
from protocols.record import Closed, Joined, Record, decode_record

WITH_RECORD: Final = frozenset({EntryKind.EVENT, EntryKind.CLOSED})


@dataclass(slots=True)
class Order:
    """Follows one session: its agreement, this party's joining, anything else, and an end."""

    entries: int = 0
    """That were taken so far."""
    over: bool = False

    def take(self, entry: Entry) -> Record | None:
        """The record in the session's next entry, where its kind has one.

        Raises:
            LedgerHistoryError: no honest run writes this entry here.
        """
        record = decode_record(entry.body) if entry.kind in WITH_RECORD else None
        place, self.entries = self.entries, self.entries + 1
        agreed, joined = entry.kind is EntryKind.AGREEMENT, isinstance(record, Joined)
        if agreed != (place == 0) or joined != (place == 1):
            raise LedgerHistoryError(
                "a session begins with its agreement, then this party's joining, once each"
            )
        if self.over:
            raise LedgerHistoryError("its session was closed before")
        self.over = entry.kind is EntryKind.CLOSED
        if self.over != isinstance(record, Closed):
            raise LedgerHistoryError(
                f"its kind is {entry.kind.value}, its body {type(record).__name__}"
            )
        return record
