"""``assistlearn peer``: the other party's card."""

from pathlib import Path

import click

from parties.output import Output, json_option

DIRECTORY = click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    show_default="the current one",
    help="This party's directory.",
)


@click.group()
def peer() -> None:
    """Add the other party's card, and compare fingerprints."""


@peer.command(epilog="Example: assistlearn peer add radlab.card --dir clinic")
@click.argument("card")
@DIRECTORY
@json_option
def add(card: str, directory: Path, as_json: bool) -> None:
    """Put CARD on file: a file's path, or the card's one line in quotes.

    Then compare the short fingerprint with the other party by voice: whoever can change a card
    on its way to you could stand in for them.
    """
    from parties.directory import PartyDirectory  # noqa: PLC0415
    from parties.setup import add_peer, read_card  # noqa: PLC0415

    output = Output(as_json=as_json)
    party = PartyDirectory(directory)
    found = read_card(card)
    new = add_peer(party, found)
    own = party.identity.card
    output.event(
        "added" if new else "known",
        name=found.name,
        fingerprint=found.fingerprint,
        short_fingerprint=found.short,
        own_short_fingerprint=own.short,
    )
    output.say(f"{'added' if new else 'already on file:'} {found.name}")
    output.say("compare both by voice before any session:")
    output.say(f"  theirs ({found.name}): {found.short}")
    output.say(f"  yours  ({own.name}): {own.short}")


@peer.command(name="list", epilog="Example: assistlearn peer list --dir clinic")
@DIRECTORY
@json_option
def list_(directory: Path, as_json: bool) -> None:
    """Show the cards on file, and our own."""
    from parties.directory import PartyDirectory  # noqa: PLC0415

    output = Output(as_json=as_json)
    party = PartyDirectory(directory)
    assert party.settings  # a party's directory, with settings in order
    for name, card in {"(ours)": party.identity.card, **party.cards()}.items():
        output.event("card", name=card.name, fingerprint=card.fingerprint, own=name == "(ours)")
        output.say(f"{card.short}  {card.name}{' (ours)' if name == '(ours)' else ''}")
