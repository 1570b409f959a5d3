"""What a killed process left behind of sessions that are over."""

import shutil
from pathlib import Path

from assistlearn.ledger import EntryKind, Ledger
from parties.directory import PartyDirectory
from parties.secrets import SessionSecrets


def clear(folder: Path) -> None:
    """Delete a session's secrets, then all else in its folder.

    Raises:
        StorageError: the secrets cannot be deleted.
    """
    SessionSecrets.destroy(folder)
    shutil.rmtree(folder, ignore_errors=True)  # the secrets are gone; the rest is tidiness


def sweep(directory: PartyDirectory) -> tuple[str, ...]:
    """Delete the secrets, then the folder, of every session that is not open in a ledger.

    A process that is killed between the last entry of a session and the end of its tidying up
    would otherwise leave a key that opens all of the session's bundles. The same goes for a
    session that was prepared on disk and never entered in a ledger.

    Returns:
        The names of the folders that went.

    Raises:
        LedgerError: a ledger cannot be read, or is shorter than it was; nothing was deleted.
        StorageError: the disk is read-only or failing.
    """
    if not directory.rounds.is_dir():
        return ()
    kept = {directory.pending.name}
    folders = [path for path in sorted(directory.rounds.iterdir()) if path.is_dir()]
    if all(folder.name in kept for folder in folders):
        return ()
    for path in directory.ledger_paths():
        with Ledger.read(path) as ledger:
            ledger.check_head(directory.identity.card)
            kept |= {directory.session_folder(each).name for each in _open_sessions(ledger)}
    gone = [folder for folder in folders if folder.name not in kept]
    for folder in gone:
        clear(folder)
    return tuple(folder.name for folder in gone)


def _open_sessions(ledger: Ledger) -> set[str]:
    sessions: set[str] = set()
    for entry in ledger.entries():
        if entry.kind is EntryKind.AGREEMENT:
            sessions.add(entry.session)
        elif entry.kind is EntryKind.CLOSED:
            sessions.discard(entry.session)
    return sessions
