"""A progress bar for a session, where somebody watches; nothing where nobody does."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from parties.output import Output


class SessionBar:
    """Counts the checkpoints of all rounds, both parties'."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None
        self._round_end = 0
        self._per_round = 0

    def take(self, event: str, fields: Mapping[str, Any]) -> None:
        """Move on by one event of the session."""
        if event in {"agreed", "resumed"} and self._task is None:
            self._per_round = fields["checkpoints_per_round"]
            done = (fields.get("round", 1) - 1) * self._per_round
            self._round_end = done + self._per_round
            total = fields["rounds"] * self._per_round
            self._task = self._progress.add_task("round 1", total=total, completed=done)
        if self._task is None:
            return
        if event in {"sampled", "scored"}:
            now = self._progress.tasks[0].completed
            verb = "training here" if event == "sampled" else "scoring theirs"
            number = self._round_end // self._per_round
            self._progress.update(
                self._task,
                completed=min(now + 1, self._round_end - 1),  # the round's end is an event
                description=f"round {number}: {verb}",
            )
        elif event == "round":
            self._round_end = (fields["round"] + 1) * self._per_round
            self._progress.update(self._task, completed=fields["round"] * self._per_round)


@contextmanager
def session_bar(output: Output) -> Iterator[SessionBar | None]:
    """A bar on an interactive screen while the context lasts; otherwise nothing."""
    if not output.interactive:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with output.bar(*columns) as progress:
        yield SessionBar(progress)
