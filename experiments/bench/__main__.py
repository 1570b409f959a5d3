"""``python -m experiments.bench [ROW ...] [--quick] [--json FILE] [--markdown]``."""

import json
import os
import platform
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Final

import click
import zmq

from experiments.bench import deferral, memory, overlap, resume, rounds, training, transfer
from experiments.bench.plan import Plan
from experiments.bench.table import Result, markdown, show
from parties.output import json_safe

ROWS: Final[Mapping[str, Callable[[Plan], Result]]] = {
    "training": training.measure,
    "transfer": transfer.measure,
    "memory": memory.measure,
    "round": rounds.measure,
    "resume": resume.measure,
    "overlap": overlap.measure,
    "deferral": deferral.measure,
}
PACKAGES: Final = ("torch", "pyzmq", "cryptography", "safetensors", "numpy", "scikit-learn")


def heading() -> str:
    """Machine, versions and command."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].partition(":")[2].strip() if names else cpu
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return "\n".join(
        [
            (
                f"{cpu}, {len(os.sched_getaffinity(0))} cores, {platform.system()}"
                f" {platform.release()}, load {load} when begun"
            ),
            f"Python {platform.python_version()}, {packages}, ZeroMQ {zmq.zmq_version()}",
            f"command: python -m experiments.bench {shlex.join(sys.argv[1:])}".rstrip(),
        ]
    )


def run(name: str, *, quick: bool, folder: Path | None) -> Result:
    """Measure one row, in a folder of its own."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=folder) as place:
        result = ROWS[name](Plan(folder=Path(place), quick=quick))
    click.echo(f"{name}: {time.monotonic() - started:.0f} s", err=True)
    return result


@click.command()
@click.argument("rows", nargs=-1, metavar="[ROW]...", type=click.Choice(list(ROWS)))
@click.option("--quick", is_flag=True, help="Fewer and smaller: shows that it works, no more.")
@click.option("--json", "document", type=click.Path(path_type=Path), help="Also write this file.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print Markdown.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where to write [default: /tmp].")
def main(
    rows: tuple[str, ...], *, quick: bool, document: Path | None, as_markdown: bool, folder: Path
) -> None:
    """Measure speed and memory of the whole stack, beside what it is built from."""
    first = heading()
    click.echo(first + "\n")
    results = []
    for name in rows or tuple(ROWS):
        results.append(run(name, quick=quick, folder=folder))
        if as_markdown:
            click.echo(markdown(results[-1]))
        else:
            show(results[-1])
    if document is not None:
        content = {"heading": first, "rows": [asdict(result) for result in results]}
        document.write_text(json.dumps(json_safe(content), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
