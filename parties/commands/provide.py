"""``assistlearn provide``: the provider's side, until it is stopped."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from parties.output import Output, json_option


@click.command(epilog="Example: assistlearn provide radlab")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--sessions", type=click.IntRange(min=1), help="Stop after so many have ended.")
@json_option
def provide(directory: Path, sessions: int | None, as_json: bool) -> None:
    """Serve learners whose cards are on file, as DIRECTORY's settings say.

    Stop it with Ctrl-C at any time: sessions go on where they stopped when it is started again.
    """
    from parties.directory import PartyDirectory  # noqa: PLC0415
    from parties.gate.provider import ProviderGate  # noqa: PLC0415
    from parties.narrate import PROVIDER, lines  # noqa: PLC0415

    output = Output(as_json=as_json)

    def report(event: str, fields: Mapping[str, Any]) -> None:
        output.event(event, **fields)
        for line in lines(PROVIDER, event, fields):
            output.say(line)

    served = ProviderGate(PartyDirectory(directory), report=report).run(sessions=sessions)
    output.say(f"{served} session{'' if served == 1 else 's'} served")
