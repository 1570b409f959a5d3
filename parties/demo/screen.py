"""The demo while it runs: both parties side by side, or plain lines where nothing can move."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from rich.live import Live
from rich.table import Table

from parties.output import Output, format_bytes
from protocols.roles import Role

DOING: Final[Mapping[str, str]] = {
    "listening": "waiting for the learner",
    "connecting": "looking for the provider",
    "connected": "comparing terms",
    "agreed": "signed the agreement",
    "started": "has an initial model",
    "initial": "has an initial model",
    "kept": "keeps the best model",
}


@dataclass(slots=True)
class PartyView:
    """What a party was last seen doing."""

    doing: str = "starting (loads torch)"
    round: int = 1
    sampled: int = 0
    scored: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0


@dataclass
class Screen:
    """Takes in both parties' events and shows where they are."""

    output: Output
    rounds: int
    views: dict[Role, PartyView] = field(default_factory=lambda: {r: PartyView() for r in Role})
    _live: Live | None = None

    @contextmanager
    def shown(self) -> Iterator["Screen"]:
        """Draw for as long as the context lasts, if somebody is looking."""
        if not self.output.interactive:
            yield self
            return
        console = self.output.live_console
        with Live(console=console, transient=True, refresh_per_second=8) as live:
            self._live = live
            live.update(self.table())
            yield self
        self._live = None

    def take(self, role: Role, event: Mapping[str, Any]) -> None:
        """One event of one party."""
        self._note(self.views[role], event)
        self.output.event("party", role=role.value, said=event)
        if self._live is not None:
            self._live.update(self.table())
            return
        text = _milestone(role, event)
        if text:
            self.output.say(text)

    def table(self) -> Table:
        """Both parties side by side."""
        table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
        table.add_column("")
        for role in Role:
            table.add_column(role.value, min_width=28)
        views = [self.views[role] for role in Role]
        table.add_row("doing", *(view.doing for view in views))
        table.add_row("round", *(f"{min(v.round, self.rounds)} of {self.rounds}" for v in views))
        table.add_row("checkpoints sampled", *(str(view.sampled) for view in views))
        table.add_row("peer's models scored", *(str(view.scored) for view in views))
        table.add_row("sent", *(format_bytes(view.sent_bytes) for view in views))
        table.add_row("received", *(format_bytes(view.received_bytes) for view in views))
        return table

    @staticmethod
    def _note(view: PartyView, event: Mapping[str, Any]) -> None:
        match event["event"]:
            case "sampled":
                view.round = event["round"]
                view.sampled += 1
                view.doing = f"training, at step {event['step']}"
            case "scored":
                view.scored += 1
                view.doing = "scoring the peer's models"
            case "round":
                view.round = event["round"] + 1
                view.sent_bytes += event["bytes_sent"]
                view.received_bytes += event["bytes_received"]
                view.doing = f"round {event['round']} is complete"
            case "finished":
                view.doing = "done"
            case name:
                view.doing = DOING.get(str(name), str(name))


def _milestone(role: Role, event: Mapping[str, Any]) -> str:
    match role, event["event"]:
        case _, "listening":
            return "the provider is listening"
        case Role.LEARNER, "agreed":
            return "both parties signed the same agreement"
        case Role.LEARNER, "round":
            accuracy = event.get("metrics", {}).get("accuracy")
            figure = "" if accuracy is None else f": accuracy {100 * accuracy:.1f} %"
            return f"round {event['round']} is complete{figure}"
        case Role.LEARNER, "finished":
            return "the session is complete"
    return ""
