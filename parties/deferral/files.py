"""A folder of results: tried before the work, and filled at once or not at all."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from assistlearn.deferral.report import Report, report_markdown, write_report
from assistlearn.deferral.report.names import markdown
from assistlearn.deferral.tables import Outcomes
from assistlearn.digests import file_digest
from assistlearn.durable import disk_errors
from parties.deferral.screen import one_stage_table
from parties.version import installed_version


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where results come from."""

    file: str
    """Name of the table's file."""

    sha256: str
    outcomes: Outcomes
    seeds: tuple[int, ...]

    @classmethod
    def of(cls, table: Path, outcomes: Outcomes, seeds: Sequence[int]) -> Self:
        """What a table that was read, and the seeds, say of what follows."""
        with disk_errors(f"read {table}"):
            found = file_digest(table)
        return cls(file=table.name, sha256=found, outcomes=outcomes, seeds=tuple(seeds))

    def document(self) -> dict[str, Any]:
        """For programs."""
        table = self.outcomes
        return {
            "file": self.file,
            "sha256": self.sha256,
            "rows": len(table),
            "rows_left_out": 0,  # a row that cannot be used is an error
            "agents": table.agents,
            "features": table.feature_names,
            "columns_left_out": [*table.left_out, *table.row_numbers],
            "prices": self._prices(),
            "seeds": self.seeds,
            "warnings": table.doubts,
            "assistlearn": installed_version(),
        }

    def markdown(self) -> str:
        """For people, with every feature."""
        told = self.document()
        prices = ", ".join(f"{name} {price}" for name, price in told["prices"].items())
        lines = [
            f"table: {self.file}, SHA-256 {self.sha256}",
            f"rows: {told['rows']}, none left out",
            f"agents: {', '.join(told['agents'])}",
            f"prices: {prices}",
            f"features ({len(told['features'])}): {', '.join(told['features'])}",
            f"columns left out: {', '.join(map(repr, told['columns_left_out'])) or 'none'}",
            f"seeds: {', '.join(map(str, self.seeds))}",
            *(f"warning: {each}" for each in told["warnings"]),
            f"assistlearn {told['assistlearn']}",
        ]
        return "\n".join(["**source**", "", *(f"* {markdown(each)}" for each in lines)])

    def _prices(self) -> dict[str, float | str]:
        """A number for each agent, or that it differs from row to row."""
        prices = self.outcomes.prices
        return {
            name: float(column[0]) if (column == column[0]).all() else "differs by row"
            for name, column in zip(self.outcomes.agents, prices.T, strict=True)
        }


def prepare(folder: Path) -> None:
    """Make the folder and try it, before work whose results it is for.

    Raises:
        StorageError: it cannot be made, or not be written.
    """
    with disk_errors(f"make {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
    with disk_errors(f"write in {folder}"), tempfile.NamedTemporaryFile(dir=folder):
        pass


def write_results(
    report: Report,
    folder: Path,
    source: Source,
    findings: Sequence[str],
    *,
    one_stage: Mapping[str, Report] | None = None,
    **more: object,
) -> list[Path]:
    """All tables, all figures, all values, each file whole or not at all; their paths.

    Args:
        report: of all methods.
        folder: that was prepared. What is there by these names is replaced, links themselves and
            not what they point at.
        source: where it all comes from.
        findings: what it comes to, in sentences.
        one_stage: a report for each one-stage method.
        **more: what else goes into the document for programs.

    Raises:
        StorageError: a file cannot be written.
    """
    from assistlearn.deferral.report.figures import write_figures  # noqa: PLC0415  (matplotlib)

    told = {"source": source.document(), "findings": [*findings], **more}
    parts = ["\n\n".join(map(markdown, findings)), report_markdown(report)]
    if one_stage:
        parts.append(one_stage_table(one_stage).markdown())
    with _staged(folder) as stage:
        write_report(stage / "results.json", report, **told)
        text = stage / "report.md"
        with disk_errors(f"write {folder / text.name}"):
            text.write_text("\n\n".join([*parts, source.markdown()]) + "\n", encoding="utf-8")
        others = []
        for name, each in (one_stage or {}).items():
            others.append(stage / f"{name.replace(' ', '_').replace('-', '_')}.json")
            write_report(others[-1], each, source=told["source"])
        files = [stage / "results.json", text, *others, *write_figures(stage, report)]
    return [folder / each.name for each in files]


@contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """A folder inside to write in; if all goes well its files then move up."""
    with disk_errors(f"write in {folder}"):
        stage = tempfile.TemporaryDirectory(dir=folder, prefix=".")
    with stage as name:
        yield Path(name)
        for path in sorted(Path(name).iterdir()):
            with disk_errors(f"write {folder / path.name}"):
                path.replace(folder / path.name)
