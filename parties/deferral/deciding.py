"""``assistlearn defer decide``: a saved rejector on new rows."""

import csv
import tempfile
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from assistlearn.deferral.rejectors import Decisions
from assistlearn.deferral.report import Table
from assistlearn.deferral.saving import load, load_card
from assistlearn.deferral.tables import read_features
from assistlearn.durable import disk_errors
from assistlearn.errors import ConfigError
from assistlearn.tasks.references import did_you_mean
from parties.deferral.screen import show_table
from parties.output import Output


def decide(  # noqa: PLR0913  (one parameter for each option)
    rejector: Path,
    table: Path,
    *,
    target: Path | None,
    threshold: float | None,
    unavailable: Sequence[str],
    output: Output,
) -> None:
    """Say who answers each row of ``table``, and write it to ``target``.

    Args:
        rejector: a saved rejector's arrays or card, or the folder that ``fit`` wrote.
        table: its features by name; other columns are passed over.
        target: a CSV file to write.
        threshold: what asking an expert must be expected to save; None to go by the scores.
        unavailable: agents that cannot be had.
        output: where to speak.

    Raises:
        ConfigError: the rejector is not there or names no features, an agent is unknown, or
            ``target`` is what is read.
        DataError: the rejector is not whole, or the table lacks a feature.
        StorageError: a file cannot be read or written.
    """
    arrays = arrays_of(rejector)
    card = load_card(arrays)
    if isinstance(card.features, int):
        raise ConfigError(
            f"the rejector names none of its {card.features} features",
            hint="use it from Python, with features in the order of fitting",
        )
    for name in unavailable:
        if name not in card.agent_names:
            raise ConfigError(
                f"there is no agent {name!r}", hint=did_you_mean(name, card.agent_names)
            )
    if target is not None:
        _check_target(target, (table, arrays, arrays.with_suffix(".toml")))
    features = read_features(table, card.features)
    with warnings.catch_warnings():
        # They have no names any more: their order is by the names on the card.
        warnings.filterwarnings("ignore", r"X does not have valid feature names")
        decisions = load(arrays).decide(features)
    if threshold is not None or unavailable:
        there = np.array([name not in {*unavailable} for name in card.agent_names])
        decisions = decisions.under(threshold=threshold, available=there)
    _show(decisions, output)
    if target is not None:
        write_decisions(target, decisions)
        output.say(f"wrote {target}")
    else:
        output.say("note: row by row, with --output FILE.csv")
    output.event("finished", files=[] if target is None else [str(target)])


def arrays_of(path: Path) -> Path:
    """The arrays' file of a rejector, by itself, its card or its folder.

    Raises:
        ConfigError: nothing is there.
        StorageError: it cannot be looked at.
    """
    with disk_errors(f"read {path}"):
        if not path.exists():
            raise ConfigError(
                f"there is no file or folder {str(path)!r}",
                hint="pass the folder that `defer fit --output` made",
            )
        if path.is_dir():
            return path / "rejector.safetensors"
    return path.with_suffix(".safetensors") if path.suffix == ".toml" else path


def write_decisions(target: Path, decisions: Decisions) -> None:
    """One line for each row, whole or not at all: agent, why, and all expected costs.

    Raises:
        StorageError: the file cannot be written.
    """
    heads = ["row", "agent", "reason", "explanation"]
    heads += [f"expected_cost:{name}" for name in decisions.agent_names]
    names = decisions.names.tolist()
    with (
        disk_errors(f"write {target}"),
        tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as folder,
    ):
        file = Path(folder) / target.name
        with file.open("w", newline="", encoding="utf-8") as opened:
            writer = csv.writer(opened)
            writer.writerow(heads)
            for row, costs in enumerate(decisions.expected_costs.tolist()):
                reason = decisions.reasons[row].value
                writer.writerow([row + 1, names[row], reason, decisions.explain(row), *costs])
        file.replace(target)


def _check_target(target: Path, sources: Sequence[Path]) -> None:
    if target.is_dir() or not target.parent.is_dir():
        raise ConfigError(
            f"{target} is a folder, or in one that is not there", hint="name a file to write"
        )
    if target.exists() and any(each.exists() and target.samefile(each) for each in sources):
        raise ConfigError(f"{target} is itself what is read", hint="name another file to write")


def _show(decisions: Decisions, output: Output) -> None:
    counts = np.bincount(decisions.agents, minlength=len(decisions.agent_names))
    expected = decisions.expected_costs.mean(axis=0).tolist()
    rows = zip(decisions.agent_names, counts.tolist(), decisions.shares, expected, strict=True)
    show_table(
        Table(
            title=f"who answers {len(decisions)} rows",
            columns=("agent", "rows", "share %", "expected cost"),
            rows=tuple((n, str(c), f"{100 * s:.1f}", f"{e:.3f}") for n, c, s, e in rows),
            note="expected cost: if it answered every row, as the rejector estimates it",
        ),
        output,
    )
    paid = decisions.expected_costs[np.arange(len(decisions)), decisions.agents].mean()
    reasons = Counter(each.value for each in decisions.reasons)
    told = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
    output.say(f"expected cost of those who answer: {paid:.3f}; rows by reason: {told}")
    output.event(
        "decided",
        rows=len(decisions),
        counts=dict(zip(decisions.agent_names, counts.tolist(), strict=True)),
        expected_costs=dict(zip(decisions.agent_names, expected, strict=True)),
        expected_cost=float(paid),
        reasons=reasons,
    )
