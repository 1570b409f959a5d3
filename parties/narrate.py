"""What happens in a session, in plain lines for people. JSON readers get the events as they are."""

import signal
from collections.abc import Iterator, Mapping
from typing import Any

from parties.output import format_bytes


def stop_on_sigterm() -> None:
    """Let a service manager's SIGTERM end the process as Ctrl-C does."""

    def stop(number: int, frame: object) -> None:
        del number, frame
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)


def learner_lines(event: str, fields: Mapping[str, Any]) -> Iterator[str]:
    """Lines for the learner's events."""
    match event:
        case "loading":
            yield f"loading the task {fields['task']} and its data"
        case "connecting":
            yield f"looking for {fields['peer']} at {fields['address']}"
        case "connected":
            yield f"connected to {fields['peer']}"
        case "agreed":
            yield f"agreed on up to {_rounds(fields['rounds'])}, session {fields['session'][:16]}"
        case "resumed":
            yield f"going on with session {fields['session'][:16]} in round {fields['round']}"
        case "started":
            yield f"the initial model's own loss is {fields['loss']:.4f}"
        case "sampled":
            loss = "diverged" if fields["loss"] is None else f"own loss {fields['loss']:.4f}"
            yield f"  round {fields['round']}: sampled at step {fields['step']}, {loss}"
        case "round":
            yield (
                f"round {fields['round']}: global loss {fields['global_loss']:.4f}"
                f"{_figures(fields['metrics'])}, {format_bytes(fields['bytes_sent'])} sent,"
                f" {format_bytes(fields['bytes_received'])} received, {fields['seconds']:.1f} s"
            )


def provider_lines(event: str, fields: Mapping[str, Any]) -> Iterator[str]:
    """Lines for the provider's events."""
    who = fields.get("learner", "")
    match event:
        case "loading":
            yield f"loading the task {fields['task']} and its data"
        case "listening":
            yield f"{fields['name']} listens at {fields['address']}; stop with Ctrl-C"
        case "agreed":
            yield f"{who}: agreed on up to {_rounds(fields['rounds'])}, {fields['session'][:16]}"
        case "resumed":
            yield f"{who}: going on with session {fields['session'][:16]}"
        case "sampled":
            yield f"{who}:   round {fields['round']}: sampled at step {fields['step']}"
        case "round":
            yield (
                f"{who}: round {fields['round']} provided, {format_bytes(fields['bytes_sent'])}"
                f" sent, {format_bytes(fields['bytes_received'])} received,"
                f" {fields['seconds']:.1f} s"
            )
        case "finished":
            yield f"{who}: done after {_rounds(fields['rounds'])}"
        case "silent":
            yield (
                f"{who}: nothing heard for {fields['seconds']:g} s; its session waits on disk"
                " until it comes back"
            )
        case "suspended":
            yield f"{who}: stopped for now, the session waits on disk: {fields['why']}"
        case "refused":
            yield f"{who}: refused: {fields['why']}"


def _rounds(count: int) -> str:
    return f"{count} round{'' if count == 1 else 's'}"


def _figures(metrics: Mapping[str, float]) -> str:
    return "".join(f", {name} {value:.3f}" for name, value in metrics.items())
