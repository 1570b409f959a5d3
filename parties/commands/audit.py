"""``assistlearn audit``: what left, what came in, and whether the record of it is whole."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table
from rich.text import Text

from assistlearn.errors import AssistLearnError
from parties.output import Output, format_bytes, format_money, json_option, print_error

if TYPE_CHECKING:
    from assistlearn.bundle import Card
    from parties.audit import LedgerView
    from parties.directory import PartyDirectory

DIRECTORY = click.argument("directory", type=click.Path(file_okay=False, path_type=Path))


class _Failures:
    """What is wrong with single ledgers: told at once, and no reason to skip the others."""

    def __init__(self, output: Output) -> None:
        self._json = output.as_json
        self.code = 0
        """Exit code of the first."""

    def tell(self, error: AssistLearnError, path: Path) -> None:
        """Say what is wrong with ``path``, in the form in which every command ends with one."""
        message = str(error) if str(path) in str(error) else f"{path}: {error}"
        print_error(message, hint=error.hint, code=error.exit_code, as_json=self._json)
        self.code = self.code or error.exit_code

    @contextmanager
    def told(self, path: Path) -> Iterator[None]:
        """Tell of what goes wrong with ``path``, and go on."""
        try:
            yield
        except AssistLearnError as error:
            self.tell(error, path)

    def end(self) -> None:
        """Leave with the first one's exit code, if there was one."""
        if self.code:
            raise SystemExit(self.code)


@click.group()
def audit() -> None:
    """Show a party's ledger, or check it."""


@audit.command(epilog="Example: assistlearn audit show clinic --entries")
@DIRECTORY
@click.option("--entries", is_flag=True, help="Every entry, not only what left and came in.")
@json_option
def show(directory: Path, entries: bool, as_json: bool) -> None:
    """List what left DIRECTORY's house and what came in, session by session."""
    from parties.audit import ledgers, view  # noqa: PLC0415
    from parties.directory import PartyDirectory  # noqa: PLC0415

    output = Output(as_json=as_json)
    party = PartyDirectory(directory)
    assert party.settings  # a party's directory, with settings in order
    failures = _Failures(output)
    for peer, path in ledgers(party, failed=failures.tell):
        with failures.told(path):
            with output.waiting("reading"):
                seen = view(party, peer, path)
            _show(seen, entries=entries, output=output)
    failures.end()


@audit.command(epilog="Example: assistlearn audit verify clinic")
@DIRECTORY
@json_option
def verify(directory: Path, as_json: bool) -> None:
    """Check every byte, root, signature, replay and file of DIRECTORY's ledgers.

    The steps are numbered; the first that fails ends the check of its ledger, and the others are
    checked all the same. The exit code is that of the first failure (51 bytes, 52 chain,
    53 signatures, 54 files, 55 truncation, 56 history). A learner's models and their cards are
    compared with the ledgers once all of those are whole.
    """
    from parties.audit import check_results, ledgers  # noqa: PLC0415
    from parties.directory import PartyDirectory  # noqa: PLC0415

    output = Output(as_json=as_json)
    party = PartyDirectory(directory)
    assert party.settings  # a party's directory, with settings in order
    failures = _Failures(output)
    views = []
    for peer, path in ledgers(party, failed=failures.tell):
        output.say(f"{path}")
        with failures.told(path):
            views.append(_verify(party, peer, path, output=output))
    if not failures.code:
        with failures.told(party.models):
            with output.waiting("checking"):
                count = check_results(party, views)
            output.event("results", folder=str(party.models), count=count)
            if count:
                output.say(f"{party.models}")
                output.say(f"  whole: models and cards are what the ledgers say ({count} checked)")
    failures.end()


def _verify(party: "PartyDirectory", peer: "Card", path: Path, *, output: Output) -> "LedgerView":
    from parties.audit import verify as verify_one  # noqa: PLC0415

    number = 0

    def passed(step: str) -> None:
        nonlocal number
        number += 1
        output.event("step", number=number, step=step)
        output.say(f"  {number}. {step}")

    with output.waiting("checking"):
        report, seen = verify_one(party, peer, path, passed=passed)
    output.event(
        "verified",
        ledger=str(path),
        size=report.head.size,
        root=report.head.root,
        signed=None if report.signed is None else asdict(report.signed),
        notes=report.verified_notes,
        own=report.own,
        peer=report.peer,
    )
    output.say(
        f"  whole: {report.head.size} entries, {report.verified_notes} signed notes,"
        f" head {report.head.root[:16]}"
    )
    if report.verified_notes:
        us = party.identity.card.short
        output.say(f"  signed by {us} (us) and {peer.short} ({peer.name})")
    if report.signed is None:
        output.say("  note: there is no signed head, so entries cut off would not show here")
    return seen


def _show(seen: "LedgerView", *, entries: bool, output: Output) -> None:
    from assistlearn.ledger import EntryKind  # noqa: PLC0415
    from parties.audit import summary  # noqa: PLC0415
    from parties.history import CAME_IN  # noqa: PLC0415

    told = {EntryKind.AGREEMENT, EntryKind.SENT, EntryKind.REFUSAL, EntryKind.CLOSED}
    table = Table(title=f"with {seen.peer.name} ({seen.peer.short})", title_justify="left")
    for column in ("#", "when (UTC)", "session", "what"):
        table.add_column(column, no_wrap=column != "what")
    for entry, words in seen.entries:
        if entries or entry.kind in told or words.startswith(CAME_IN):
            when = datetime.fromtimestamp(entry.at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
            # The peer's words are among them: no markup, and nothing that moves a cursor.
            shown = Text("".join(each if each.isprintable() else "?" for each in words))
            table.add_row(str(entry.index), when, entry.session[:8], shown)
            output.event(
                "entry",
                index=entry.index,
                at_ms=entry.at_ms,
                session=entry.session,
                kind=entry.kind.value,
                what=words,
            )
    output.show(table)
    for figures in summary(seen):
        output.event("session", **figures)
        charge = format_money(figures["charge"], figures["currency"])
        output.say(
            f"session {figures['session'][:8]} with {figures['peer']} ({figures['state']}):"
            f" {figures['messages_left']} messages left,"
            f" {format_bytes(figures['bytes_left'])};"
            f" {figures['messages_came_in']} came in,"
            f" {format_bytes(figures['bytes_came_in'])};"
            f" {figures['rounds']} of {figures['rounds_agreed']} rounds, {charge};"
            f" {figures['refusals']} refusals"
        )
