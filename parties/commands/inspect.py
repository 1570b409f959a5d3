"""``assistlearn inspect``: what a file is, without opening any secret."""

from pathlib import Path

import click

from parties.output import Output, json_option


@click.command(epilog="Example: assistlearn inspect clinic/models/assisted.safetensors")
@click.argument("file", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.option("--entry", type=click.IntRange(min=0), help="Of a ledger: the bundle it recorded.")
@json_option
def inspect(file: Path, entry: int | None, as_json: bool) -> None:
    """Say what BUNDLE is: a checkpoint, card, agreement, signed head, ledger or saved rejector.

    With --entry, says what the signed header of one recorded bundle says. Needs no keys, and
    loads nothing into a model.
    """
    from parties.inspection import inspected  # noqa: PLC0415

    output = Output(as_json=as_json)
    kind, facts, lines = inspected(file, entry=entry)
    output.event("inspected", file=str(file), kind=kind, **facts)
    output.say(f"{file}: {kind}")
    for line in lines:
        output.say(f"  {line}")
