"""What one session keeps secret: three seeds in one file, deleted when the session is over.

After that nothing on this machine opens the session's bundles any more (forward secrecy from
session to session, as far as the disk really deletes).
"""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from assistlearn.bundle import SealingKey
from assistlearn.durable import disk_errors, write_durably
from assistlearn.errors import KeyFileError

TAG: Final = "assistlearn-session-v1"
TEXT: Final = re.compile(TAG + r"(?: [0-9a-f]{64}){4}\n")
FILE: Final = "secrets.key"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSecrets:
    """Four random values of 32 bytes."""

    nonce: bytes
    """Our part of what makes the session unique. Told to the peer."""
    sealing_seed: bytes = field(repr=False)
    """Of the key to which the peer seals bundles for us."""
    bundle_secret: bytes = field(repr=False)
    """Of the keys of the bundles that we send."""
    noise_seed: bytes = field(repr=False)
    """Of the noise on privately reported losses."""

    @classmethod
    def draw(cls) -> Self:
        """New ones, from the operating system."""
        return cls(
            nonce=os.urandom(32),
            sealing_seed=os.urandom(32),
            bundle_secret=os.urandom(32),
            noise_seed=os.urandom(32),
        )

    @property
    def sealing_key(self) -> SealingKey:
        """The key to which the peer seals bundles for us."""
        return SealingKey(self.sealing_seed)

    def store(self, folder: Path) -> None:
        """Write them to ``folder``, readable by us alone, on disk before this returns.

        Raises:
            StorageError: the disk is full, read-only or failing.
        """
        values = (self.nonce, self.sealing_seed, self.bundle_secret, self.noise_seed)
        text = f"{TAG} {' '.join(value.hex() for value in values)}\n"
        with disk_errors(f"write secrets to {folder}"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_durably(folder / FILE, text.encode())

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """The ones in ``folder``; nothing if there are none.

        Raises:
            KeyFileError: the file is damaged or cannot be read.
        """
        try:
            text = (folder / FILE).read_text(encoding="ascii")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise KeyFileError(f"cannot read {folder / FILE}: {error}") from error
        if not TEXT.fullmatch(text):
            raise KeyFileError(
                f"{folder / FILE} is damaged",
                hint="restore it from a backup, or delete the session's folder to give it up",
            )
        nonce, sealing, bundle, noise = (bytes.fromhex(part) for part in text.split()[1:])
        return cls(nonce=nonce, sealing_seed=sealing, bundle_secret=bundle, noise_seed=noise)

    @staticmethod
    def destroy(folder: Path) -> None:
        """Delete the file, if it is there."""
        with disk_errors(f"delete {folder / FILE}"):
            (folder / FILE).unlink(missing_ok=True)
