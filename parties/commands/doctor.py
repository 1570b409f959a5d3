"""``assistlearn doctor``: is everything in order before the other party is called?"""

from pathlib import Path

import click

from parties.output import Output, json_option


@click.command(epilog="Example: assistlearn doctor clinic")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@json_option
def doctor(directory: Path, as_json: bool) -> None:
    """Check this machine, DIRECTORY's settings, keys and task, and the way to the peer.

    Every check that can be made is made, even after one has failed; without settings in order,
    those of peers, task and link cannot. The exit code is that of the first failure.
    """
    from parties.checkup import checks  # noqa: PLC0415

    output = Output(as_json=as_json)
    first = warnings = 0
    with output.waiting("checking, which loads the task"):
        found = list(checks(directory))
    for check in found:
        output.event(
            "check",
            name=check.name,
            state=check.state,
            detail=check.detail,
            hint=check.hint,
            exit_code=check.exit_code,
        )
        output.say(f"{check.state:>7}  {check.name}: {check.detail}")
        if check.hint:
            output.say(f"         -> {check.hint}")
        first = first or check.exit_code
        warnings += check.state == "warning"
    if first:
        output.say("mend the above, then type the same again")
        raise SystemExit(first)
    plural = "s" if warnings > 1 else ""
    output.say(f"in order, with {warnings} warning{plural}" if warnings else "all in order")
