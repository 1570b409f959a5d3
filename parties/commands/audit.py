"""``assistlearn audit``: what left, what came in, and whether the record of it is whole."""

from datetime import UTC, datetime
from pathlib import Path

import click
from rich.table import Table

from parties.output import Output, format_bytes, format_money, json_option

DIRECTORY = click.argument("directory", type=click.Path(file_okay=False, path_type=Path))


@click.group()
def audit() -> None:
    """Show a party's ledger, or check it."""


@audit.command(epilog="Example: assistlearn audit show clinic --entries")
@DIRECTORY
@click.option("--entries", is_flag=True, help="Every entry, not only what left and came in.")
@json_option
def show(directory: Path, entries: bool, as_json: bool) -> None:
    """List what left DIRECTORY's house and what came in, session by session."""
    from assistlearn.ledger import EntryKind  # noqa: PLC0415
    from parties.audit import ledgers, summary, view  # noqa: PLC0415
    from parties.directory import PartyDirectory  # noqa: PLC0415
    from parties.history import CAME_IN  # noqa: PLC0415

    output = Output(as_json=as_json)
    party = PartyDirectory(directory)
    assert party.settings  # a party's directory, with settings in order
    told = {EntryKind.AGREEMENT, EntryKind.SENT, EntryKind.REFUSAL, EntryKind.CLOSED}
    for peer, path in ledgers(party):
        with output.waiting("reading"):
            seen = view(party, peer, path)
        table = Table(title=f"with {peer.name} ({peer.short})", title_justify="left")
        for column in ("#", "when (UTC)", "session", "what"):
            table.add_column(column, no_wrap=column != "what")
        for entry, words in seen.entries:
            if entries or entry.kind in told or words.startswith(CAME_IN):
                when = datetime.fromtimestamp(entry.at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
                table.add_row(str(entry.index), when, entry.session[:8], words)
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


@audit.command(epilog="Example: assistlearn audit verify clinic")
@DIRECTORY
@json_option
def verify(directory: Path, as_json: bool) -> None:
    """Check every byte, root, signature, replay and file of DIRECTORY's ledgers.

    The steps are numbered; the first that fails ends the check with an exit code of its own
    (51 bytes, 52 chain, 53 signatures, 54 files, 55 truncation, 56 history).
    """
    from parties.audit import ledgers  # noqa: PLC0415
    from parties.audit import verify as verify_one  # noqa: PLC0415
    from parties.directory import PartyDirectory  # noqa: PLC0415

    output = Output(as_json=as_json)
    party = PartyDirectory(directory)
    assert party.settings  # a party's directory, with settings in order
    for peer, path in ledgers(party):
        output.say(f"{path}")
        number = 0

        def passed(step: str) -> None:
            nonlocal number
            number += 1
            output.event("step", number=number, step=step)
            output.say(f"  {number}. {step}")

        with output.waiting("checking"):
            report, _ = verify_one(party, peer, path, passed=passed)
        output.event(
            "verified",
            ledger=str(path),
            size=report.head.size,
            root=report.head.root,
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
