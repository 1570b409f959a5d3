"""``assistlearn learn``: the learner's side of one session."""

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from parties.output import Output, json_option

if TYPE_CHECKING:
    from parties.gate.result import SessionResult


@click.command(epilog="Example: assistlearn learn clinic --preview, then: assistlearn learn clinic")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--preview", is_flag=True, help="Say what would leave this house; connect nowhere.")
@click.option("--again", is_flag=True, help="Buy another session though one is complete.")
@json_option
def learn(directory: Path, preview: bool, again: bool, as_json: bool) -> None:
    """Buy assistance rounds as DIRECTORY's settings say, and keep the best model.

    Stop it with Ctrl-C at any time: the same command goes on at the last sampled checkpoint,
    and no round is paid twice.
    """
    from parties.directory import PartyDirectory  # noqa: PLC0415
    from parties.gate.learner import LearnerGate  # noqa: PLC0415
    from parties.narrate import LEARNER, lines  # noqa: PLC0415
    from parties.session_bar import session_bar  # noqa: PLC0415

    output = Output(as_json=as_json)
    party = PartyDirectory(directory)
    if preview:
        from parties.preview import preview_lines, previewed  # noqa: PLC0415

        with output.waiting("loading the task"):
            facts = previewed(party)
        output.event("preview", **facts)
        for line in preview_lines(facts):
            output.say(line)
        return

    with session_bar(output) as bar:

        def report(event: str, fields: Mapping[str, Any]) -> None:
            output.event(event, **fields)
            if bar is not None:
                bar.take(event, fields)
            for line in lines(LEARNER, event, fields):
                output.say(line)

        result = LearnerGate(party, report=report).run(again=again)
    output.event(
        "finished",
        session=result.session,
        round=result.round,
        rounds=result.rounds,
        global_loss=result.global_loss,
        digest=result.digest,
        model=str(result.model),
        new=result.new,
    )
    for line in _last_lines(result, directory):
        output.say(line)


def _last_lines(result: "SessionResult", directory: Path) -> Iterator[str]:
    """What there is now, and a command to copy into a shell."""
    where = shlex.quote(str(directory))
    if result.new:
        yield f"best model: round {result.round} of {result.rounds}, {result.model}"
        yield f"what left and what came in: assistlearn audit show {where}"
    else:
        yield f"a session was completed here before: its model is {result.model}"
        yield f"to buy another one: assistlearn learn {where} --again"
