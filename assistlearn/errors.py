"""Every error that assistlearn raises on purpose: what happened, what to do, an exit code.

``str(error)`` says what happened and names the offending value; ``hint`` starts with a verb
and says what the reader can do next. The command line prints both and exits with
``exit_code``. Codes are published in the README and never re-used:

    10-19 settings, task, data    20-29 protocol    30-39 bundles and keys
    40-49 transport               50-59 ledger      60-69 this machine    70 a bug of ours
"""

import re
from typing import ClassVar, Final, Self

DIGEST: Final = re.compile("[0-9a-f]{64}")
AFTER_AN_EDIT: Final = "; a provider reads its settings when it starts: restart it after an edit"


class DataWarning(UserWarning):
    """Data that can be used, but hardly as they are."""


class AssistLearnError(Exception):
    """Base class of all the others."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    @classmethod
    def worded(cls, message: str, *, hint: str) -> Self:
        """One that another process raised, in its words; some kinds word theirs from parts."""
        error = cls.__new__(cls)
        AssistLearnError.__init__(error, message, hint=hint)
        return error


# 10-19: what a person can mend in their own settings, task or data


class ConfigError(AssistLearnError):
    """A settings file is missing, unreadable or wrong."""

    exit_code = 10


class TaskError(AssistLearnError):
    """The user's task could not be built, or broke its own promises."""

    exit_code = 11


class DataError(AssistLearnError):
    """Data are missing or not in the form that the task needs."""

    exit_code = 12


class DeviceError(AssistLearnError):
    """The device or precision asked for is not available here."""

    exit_code = 13


class PartyDirectoryError(AssistLearnError):
    """A party's directory is absent, not a party's, or in use by another process."""

    exit_code = 14


# 20-29: the protocol


class ProtocolError(AssistLearnError):
    """A rule of SPEC.md was broken."""

    exit_code = 20


class LocalProtocolError(ProtocolError):
    """Our own side broke a rule: a bug of ours or of the caller."""

    exit_code = 20


class PeerProtocolError(ProtocolError):
    """The peer broke a rule. The session ends."""

    exit_code = 21


class AgreementMismatchError(ProtocolError):
    """The two parties' terms differ."""

    exit_code = 22

    def __init__(self, *, field: str, own: str, peer: str) -> None:
        hints = {
            "version": "install the same version of assistlearn on both sides",
            "model": (
                "compare what `assistlearn doctor DIR` says of the task on both sides: the same"
                " architecture, inputs and classes give the same model; name all classes in"
                " [task.settings], as one side's files may lack some" + AFTER_AN_EDIT
            ),
            "data": (
                "compare what `assistlearn doctor DIR` says of the data on both sides: features,"
                " classes, their order, scaling and loss must be alike" + AFTER_AN_EDIT
            ),
        }
        super().__init__(
            f"the terms differ in {field!r}: ours is {_shown(own)!r}, the peer's is"
            f" {_shown(peer)!r}",
            hint=hints.get(field)
            or f"settle {field!r} with the other party, then edit [terms] on one side"
            + AFTER_AN_EDIT,
        )
        self.field = field
        self.own = own
        self.peer = peer


class QuotaError(ProtocolError):
    """More bytes than the agreement allows in one round."""

    exit_code = 23


class BudgetError(ProtocolError):
    """More rounds than the agreed budget pays for."""

    exit_code = 24


class RefusedByPeerError(ProtocolError):
    """The peer ended the session and said why."""

    exit_code = 25


# 30-39: bundles and keys


class KeyFileError(AssistLearnError):
    """A key file is absent, damaged or readable by others."""

    exit_code = 30


class CardError(AssistLearnError):
    """A public card is malformed or does not match the one on file."""

    exit_code = 31


class UnknownPeerError(AssistLearnError):
    """Nobody with this key was added with ``peer add``."""

    exit_code = 32


class BundleError(AssistLearnError):
    """A bundle is forged, altered, truncated or not meant for us."""

    exit_code = 33


class TensorError(AssistLearnError):
    """Tensors differ from the agreed model specification, or hold values out of bounds."""

    exit_code = 34


class DigestMismatchError(BundleError):
    """Bytes are not the bytes that were signed for."""

    exit_code = 35

    def __init__(self, *, what: str, signed: str, found: str) -> None:
        super().__init__(
            f"{what} hashes to {found[:16]}, but {signed[:16]} was signed",
            hint="ask the other party whether its disk or its program altered the data; this"
            " session is over",
        )
        self.signed = signed
        self.found = found


# 40-49: transport


class TransportError(AssistLearnError):
    """An address cannot be used, or a socket failed."""

    exit_code = 40


class LinkLostError(TransportError):
    """Nothing came from the peer for the whole deadline."""

    exit_code = 41


class FrameError(TransportError):
    """The peer sent a message of several parts, which no frame has."""

    exit_code = 42


# 50-59: the ledger, one code for each kind of failure that an audit tells apart


class LedgerError(AssistLearnError):
    """The ledger cannot be opened or written."""

    exit_code = 50


class LedgerDamagedError(LedgerError):
    """The file is not a sound ledger: its structure or bytes were changed."""

    exit_code = 51


class LedgerChainError(LedgerError):
    """An entry's digest or the Merkle head does not follow from the entries."""

    exit_code = 52


class LedgerSignatureError(LedgerError):
    """A signature in the ledger does not verify."""

    exit_code = 53


class LedgerDigestError(LedgerError):
    """A file does not have the digest that the ledger records."""

    exit_code = 54


class LedgerTruncatedError(LedgerError):
    """Entries are missing that a signed head says were there."""

    exit_code = 55


class LedgerHistoryError(LedgerError):
    """The recorded events do not replay: no honest run writes them."""

    exit_code = 56


# 60-69: this machine


class StorageError(AssistLearnError):
    """A disk is full, read-only or failing."""

    exit_code = 60


class WorkerError(AssistLearnError):
    """The worker process ended or answered out of turn."""

    exit_code = 61


def _shown(value: str) -> str:
    """As much of a digest as `assistlearn doctor` shows of it; any other value whole."""
    return value[:16] if DIGEST.fullmatch(value) else value
