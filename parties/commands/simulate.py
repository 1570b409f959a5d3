"""``assistlearn simulate``: both parties in one place, on data at hand."""

from pathlib import Path

import click

from assistlearn.errors import ConfigError
from parties.output import Output, json_option
from parties.settings import SimulationSettings
from parties.settings_file import load_settings


@click.command(epilog="Example: assistlearn simulate study.toml --seeds 3")
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--output",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for results.  [default: results/NAME-OF-CONFIG; with --scale 0.1"
    " results/NAME-OF-CONFIG-scale-0.1]",
)
@click.option("--seeds", type=click.IntRange(min=1), help="Only the first so many seeds.")
@click.option(
    "--scale", type=float, default=1.0, help="Multiply rounds and steps by this, such as 0.1."
)
@click.option("--processes", is_flag=True, help="Two real parties, sealed and signed, per seed.")
@click.option(
    "--force",
    is_flag=True,
    help="Run again what an earlier run has finished: do so after a change of data files or of"
    " modules that the task imports.",
)
@json_option
def simulate(  # noqa: PLR0913  (one parameter for each option)
    *,
    config: Path,
    folder: Path | None,
    seeds: int | None,
    scale: float,
    processes: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Try the terms in CONFIG with both parties in one place.

    Compares assisted learning with its baselines, seed by seed, and says whether the next round
    is worth buying. Finished runs are kept: the same command goes on where it was stopped. They
    are run again when CONFIG or the task's own source file changes.
    """
    from parties.simulate.scaling import scaled_down  # noqa: PLC0415
    from parties.simulate.study import results_table, run_study  # noqa: PLC0415

    output = Output(as_json=as_json)
    settings, scaled = scaled_down(load_settings(config, SimulationSettings), scale)
    if seeds is not None:
        if seeds > len(settings.seeds):
            raise ConfigError(
                f"--seeds asks for {seeds}, {config} lists {len(settings.seeds)}",
                hint="list more in the settings file: seeds = [0, 1, 2, ...]",
            )
        settings = settings.model_copy(update={"seeds": settings.seeds[:seeds]})
    run_session = None
    if processes:
        from parties.simulate.processes import run_processes  # noqa: PLC0415

        run_session = run_processes
    if folder is None:  # what is scaled never takes the place of the study's own results
        folder = Path("results") / (f"{config.stem}-scale-{scale:g}" if scaled else config.stem)
    if scaled:
        output.say(scaled)
    study = run_study(
        settings,
        folder=folder,
        output=output,
        force=force,
        run_session=run_session,
        scale=scale,
        scaled=scaled,
    )
    output.show(results_table(study.results))
    if len(settings.seeds) > 1:
        output.say(f"±: standard error over {len(settings.seeds)} seeds")
    output.say("")
    for sentence in study.advice:
        output.say(sentence)
    output.say("")
    for path in study.files:
        output.say(f"wrote {path}")
    if scaled:
        output.say(f"note: {scaled}")
    output.event(
        "finished",
        advice=study.advice,
        scaled=scaled,
        files=[str(path) for path in study.files],
        seeds=settings.seeds,
    )
