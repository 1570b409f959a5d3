"""What happens in a session, in plain lines for people. JSON readers get the events as they are."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from parties.output import format_bytes

LEARNER: Final[Mapping[str, str]] = {
    "loading": "loading the task {task} and its data",
    "connecting": "looking for {peer} at {address}, for up to {deadline_s:g} s",
    "connected": "connected to {peer}",
    "agreed": "both signed; rounds: up to {rounds}, session {session:.16}",
    "resumed": "going on with session {session:.16} in round {round}{kept}",
    "lost": "session {session:.16} is given up: {folder} is gone, or its keys are",
    "saved": "the session is broken off; the best model of its complete rounds is {model}",
    "quiet": "  nothing heard from {peer} for {seconds:.0f} s; waiting up to {deadline_s:g} s",
    "started": "the initial model's own loss is {loss:.4f}",
    "sampled": "  round {round}: sampled at step {step}, own loss {loss_or_word}",
    "round": (
        "round {round}: global loss {global_loss:.4f}{figures}, {sent} sent, {received} received,"
        " {seconds:.1f} s"
    ),
}
PROVIDER: Final[Mapping[str, str]] = {
    "loading": "loading the task {task} and its data",
    "listening": "{name} listens at {address}; stop with Ctrl-C",
    "agreed": "{learner}: both signed; rounds: up to {rounds}, session {session:.16}",
    "resumed": "{learner}: going on with session {session:.16} in round {round}{kept}",
    "sampled": "{learner}:   round {round}: sampled at step {step}",
    "round": "{learner}: round {round} provided, {sent} sent, {received} received, {seconds:.1f} s",
    "finished": "{learner}: done, rounds made: {rounds}",
    "silent": "{learner}: silent for {seconds:g} s; its session waits on disk until it is back",
    "suspended": "{learner}: stopped for now, its session waits on disk: {why}{remedy}",
    "damaged": "damaged, so its owner is kept out: {why}",
    "refused": "{learner}: refused: {why}",
}


def lines(templates: Mapping[str, str], event: str, fields: Mapping[str, Any]) -> Iterator[str]:
    """The line for an event, if it has one."""
    if event in templates:
        yield templates[event].format(**fields, **_in_words(fields))


def _in_words(fields: Mapping[str, Any]) -> dict[str, str]:
    loss = fields.get("loss")
    metrics = fields.get("metrics", {})
    return {
        "loss_or_word": f"{loss:.4f}" if loss is not None else "not finite: diverged",
        "figures": "".join(f", {name} {value:.3f}" for name, value in metrics.items()),
        "remedy": f"; {fields['hint']}" if fields.get("hint") else "",
        "kept": f"; {', '.join(edited)} in config.toml changed since: what was signed holds"
        if (edited := fields.get("edited"))
        else "",
        "sent": format_bytes(fields.get("bytes_sent", 0)),
        "received": format_bytes(fields.get("bytes_received", 0)),
    }
