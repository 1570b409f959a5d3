"""``assistlearn demo``: two real parties on this machine, in under a minute."""

from pathlib import Path

import click

from parties.output import Output, json_option


@click.command(epilog="Example: assistlearn demo")
@click.option(
    "--output",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo-results"),
    show_default=True,
    help="Folder for both parties' directories and the figure.",
)
@json_option
def demo(folder: Path, *, as_json: bool) -> None:
    """Show it all on this machine: two parties, real data, under a minute.

    A learner and a provider run as processes of their own, with keys, a signed agreement, sealed
    checkpoints and ledgers; only the wire is short. Compares the result with training alone and
    with pooled data.
    """
    from parties.demo.report import demo_table, findings, next_steps  # noqa: PLC0415
    from parties.demo.run import run_demo  # noqa: PLC0415
    from parties.simulate.results import summary  # noqa: PLC0415

    output = Output(as_json=as_json)
    done = run_demo(folder, output=output)
    output.say("")
    output.show(demo_table(done.results))
    output.say("")
    for sentence in findings(done.results):
        output.say(sentence)
    output.say("")
    output.say(f"figure: {done.figure}")
    output.say(f"took {done.seconds:.0f} s")
    output.say("")
    output.say("type next:")
    for line in next_steps(done.directories):
        output.say(f"  {line}")
    output.event(
        "finished",
        figure=str(done.figure),
        results=str(done.document),
        directories={role.value: str(path) for role, path in done.directories.items()},
        seconds=done.seconds,
        summary=summary(done.results),
    )
