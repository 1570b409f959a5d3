"""Recognises the files of this project by their first bytes, and says what they hold."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError, safe_open

from assistlearn.bundle import Card
from assistlearn.digests import file_digest
from assistlearn.durable import disk_errors
from assistlearn.errors import BundleError, DataError, LedgerError
from assistlearn.ledger import EntryKind, Ledger
from parties.gate.books import header_of, recorded_offer
from protocols.agreement import TITLE, Agreement

Inspected = tuple[str, dict[str, Any], list[str]]
SHOWN_TENSORS: Final = 40
SHOWN_FEATURES: Final = 12
MAX_TEXT_BYTES: Final = 64 << 10


def inspected(path: Path, *, entry: int | None = None) -> Inspected:
    """What a file is: its kind, facts for programs, lines for people.

    Raises:
        DataError: it is none of ours.
        StorageError: it cannot be read.
    """
    if not path.is_file():
        what = "a directory" if path.is_dir() else "not there"
        raise DataError(f"{path} is {what}", hint="check the path, and pass one file")
    with disk_errors(f"read {path}"), path.open("rb") as file:
        start = file.read(64)
    if start.startswith(b"SQLite format 3\0"):
        return _ledger(path) if entry is None else _bundle(path, entry)
    if entry is not None:
        raise DataError(f"{path} is no ledger, so it has no entry {entry}")
    kinds: tuple[tuple[bytes, Callable[[Path], Inspected]], ...] = (
        (b"assistlearn-card-v1 ", _card),
        (TITLE.encode(), _agreement),
        (b"assistlearn/ledger-head/v1\n", _head),
        (b'seal = "', _rejector),
    )
    for prefix, reader in kinds:
        if start.startswith(prefix):
            return reader(path)
    if path.suffix == ".safetensors" or start[8:9] == b"{":
        return _checkpoint(path)
    raise DataError(
        f"{path} is no file that inspect can read",
        hint="pass a checkpoint (.safetensors), card, agreement, ledger, ledger head or"
        " rejector's card (.toml)",
    )


def _checkpoint(path: Path) -> Inspected:
    try:
        with safe_open(path, framework="numpy") as file:
            tensors = [
                (name, file.get_slice(name).get_dtype(), tuple(file.get_slice(name).get_shape()))
                for name in file.keys()  # noqa: SIM118  (not a mapping)
            ]
    except SafetensorError as error:
        raise DataError(f"{path} is no sound checkpoint: {error}") from error
    found = file_digest(path)
    lines = [f"sha256 {found}", f"{len(tensors)} tensors, {path.stat().st_size:,} bytes"]
    lines += [f"{name}  {dtype}  {list(shape)}" for name, dtype, shape in tensors[:SHOWN_TENSORS]]
    if len(tensors) > SHOWN_TENSORS:
        lines.append(f"... and {len(tensors) - SHOWN_TENSORS} more")
    facts = {
        "sha256": found,
        "tensors": [{"name": n, "dtype": d, "shape": list(s)} for n, d, s in tensors],
    }
    return "checkpoint", facts, lines


def _card(path: Path) -> Inspected:
    card = Card.parse(_text(path))
    lines = [f"name {card.name}", f"fingerprint {card.short} (by voice)", card.fingerprint]
    facts = {"name": card.name, "fingerprint": card.fingerprint, "short_fingerprint": card.short}
    return "public card", facts, lines


def _agreement(path: Path) -> Inspected:
    text, _, signatures = _text(path).partition("\n\n")
    agreement = Agreement.parse(text + "\n")
    names = sorted({line.split()[1] for line in signatures.splitlines() if line.startswith("— ")})
    lines = [*text.splitlines()[1:], f"session {agreement.session}"]
    lines.append(f"carries signatures of {' and '.join(names)}, not checked here")
    facts = dict(line.split(" ", 1) for line in text.splitlines()[1:])
    return "agreement", {"session": agreement.session, "terms": facts, "names": names}, lines


def _head(path: Path) -> Inspected:
    text, _, _ = _text(path).partition("\n\n")
    lines = text.splitlines()[1:]
    return "signed ledger head", {"head": lines}, [*lines, "its signature is not checked here"]


def _rejector(path: Path) -> Inspected:
    # Slow to load, and seldom needed.
    from assistlearn.deferral.rejector_card import RejectorCard  # noqa: PLC0415
    from assistlearn.deferral.rejector_files import read  # noqa: PLC0415
    from assistlearn.deferral.saving import LARGEST_CARD_BYTES  # noqa: PLC0415

    card = RejectorCard.parse(read(path, at_most=LARGEST_CARD_BYTES))
    count = card.feature_count
    named = isinstance(card.features, tuple)
    lines = [
        f"a {card.kind} that decides between {len(card.agent_names)} agents by {count} features",
        *(
            f"agent {name!r}, price {price:g}, single costs known to ±{error:.3g}"
            for name, price, error in zip(
                card.agent_names, card.prices, card.cost_errors, strict=True
            )
        ),
    ]
    if isinstance(card.features, tuple):
        more = f" and {count - SHOWN_FEATURES} more" if count > SHOWN_FEATURES else ""
        lines.append(f"features: {', '.join(map(repr, card.features[:SHOWN_FEATURES]))}{more}")
    said = {"agents", "prices"}
    lines += [f"{name} = {value!r}" for name, value in card.parameters.items() if name not in said]
    lines += [f"error of {name!r} weighs {value:g}" for name, value in card.error_costs.items()]
    if card.calibration is not None:
        rate, expected = card.calibration.threshold.value, card.calibration.expected
        lines.append(
            f"decides at threshold {rate:.4g}: defers {expected.lower:.1%} to"
            f" {expected.upper:.1%}, confidence {expected.confidence:.0%}"
        )
    lines += [f"model of {name!r}: sha256 {value}" for name, value in card.models.items()]
    lines.append(f"arrays: sha256 {card.tensors}, not looked at here")
    lines.append("fitted with " + ", ".join(f"{n} {v}" for n, v in card.versions.items()))
    facts = {
        "rejector": card.kind,
        "agents": card.agent_names,
        "features": card.features if named else count,
        "prices": card.prices,
        "parameters": card.parameters,
        "sha256": card.tensors,
        "models": card.models,
        "versions": card.versions,
    }
    return "rejector's card", facts, lines


def _ledger(path: Path) -> Inspected:
    with Ledger.read(path) as ledger:
        head = ledger.head()
        counts = dict.fromkeys(EntryKind, 0)
        for entry in ledger.entries():
            counts[entry.kind] += 1
    found = {kind.value: count for kind, count in counts.items() if count}
    lines = [f"{head.size} entries, root {head.root}"]
    lines += [f"{count} {kind}" for kind, count in found.items()]
    return "ledger", {"size": head.size, "root": head.root, "entries": found}, lines


def _bundle(path: Path, index: int) -> Inspected:
    with Ledger.read(path) as ledger:
        entry = next((e for e in ledger.entries() if e.index == index), None)
    if entry is None or entry.kind not in {EntryKind.SENT, EntryKind.RECEIVED}:
        kind = "absent" if entry is None else entry.kind.value
        raise LedgerError(
            f"entry {index} of {path} is {kind}, not a bundle",
            hint="list the bundles with `assistlearn audit show DIR`",
        )
    note = recorded_offer(entry.body, session=entry.session).note
    header = header_of(note)
    lines = note.decode().partition("\n\n")[0].splitlines()[1:]
    facts = {name: getattr(header, name) for name in header.__slots__}
    return f"bundle, {entry.kind.value}", facts, [*lines, "its body is sealed"]


def _text(path: Path) -> str:
    with disk_errors(f"read {path}"):
        data = path.read_bytes()[:MAX_TEXT_BYTES]
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BundleError(f"{path} is not text") from error
