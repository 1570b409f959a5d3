"""``assistlearn init``: a party's directory, with settings to edit and new keys."""

import re
import shlex
import socket
import unicodedata
from pathlib import Path

import click

from parties.output import Output, json_option

EPILOG = "Example: assistlearn init learner clinic --name clinic-a"


@click.command(epilog=EPILOG)
@click.argument("role", type=click.Choice(["learner", "provider"]))
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--name", help="What others call this party.  [default: DIRECTORY's name]")
@json_option
def init(role: str, directory: Path, name: str | None, as_json: bool) -> None:
    """Make DIRECTORY for a learner or a provider: settings to edit, and new keys.

    Nothing that is there is overwritten: where an earlier init was interrupted, its keys are kept.
    Says where the card to give to the other party is.
    """
    from parties.setup import has_keys, make_party  # noqa: PLC0415
    from protocols.roles import Role  # noqa: PLC0415

    output = Output(as_json=as_json)
    kept = has_keys(directory)
    card = make_party(directory, role=Role(role), name=name or _name_of(directory))
    output.event(
        "made",
        directory=str(directory),
        name=card.name,
        fingerprint=card.fingerprint,
        short_fingerprint=card.short,
        card=card.line(),
        keys_kept=kept,
    )
    keys = "the keys that were in keys/ are kept" if kept else "keys in keys/ (secret)"
    output.say(f"made {directory}: settings in {directory / 'config.toml'}, {keys}")
    output.say(f"your fingerprint is {card.short}; others will know you as {card.name}")
    output.say("")
    directory_text = shlex.quote(str(directory))
    output.say("next:")
    output.say(f"  1. give the other party your card, the file {directory / 'keys' / 'card.txt'}")
    output.say(f"  2. add theirs:    assistlearn peer add THEIR-CARD --dir {directory_text}")
    output.say(f"  3. edit           {directory / 'config.toml'}")
    output.say(f"  4. check it:      assistlearn doctor {directory_text}")
    verb = "learn --preview" if role == "learner" else "provide"
    output.say(f"  5. then:          assistlearn {verb} {directory_text}")


def _name_of(directory: Path) -> str:
    """A valid name from the directory's, or from this machine's."""
    for candidate in (directory.resolve().name, socket.gethostname(), "party"):
        name = re.sub(r"[^a-z0-9.-]+", "-", _plain(candidate)).strip("-.")[:63]
        if name:
            return name
    return "party"


def _plain(name: str) -> str:
    """In lower case, accents taken off."""
    letters = unicodedata.normalize("NFKD", name.lower())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))
