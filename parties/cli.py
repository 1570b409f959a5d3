"""The command ``assistlearn``: finds commands, and turns every ending into words and a code.

Commands are imported when they run, so that ``assistlearn --help`` needs no torch.
"""

import importlib
import inspect
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Final

import click

from assistlearn import errors
from assistlearn.errors import AssistLearnError
from assistlearn.interrupts import stop_on_signals
from parties.output import print_error
from parties.version import installed_version
from parties.warnings import word_data_warnings

COMMANDS: Final = {
    "demo": "Show it all on this machine: two parties, real data, under a minute.",
    "init": "Make a party's directory: settings and keys.",
    "peer": "Add the other party's card, and compare fingerprints.",
    "provide": "Offer assistance to learners.",
    "learn": "Run a session and keep the best model.",
    "inspect": "Say what a file is, without secrets.",
    "audit": "Show what left and what came in, and check the record of it.",
    "simulate": "Try terms on data at hand, both parties in one place.",
    "defer": "Learn who should answer: fit and compare rejectors.",
    "doctor": "Check this machine, these settings, this link.",
}
RESUMED: Final = frozenset({"provide", "learn", "simulate"})  # typed again they go on
USAGE: Final = 2
BROKEN_PIPE: Final = 1  # what click leaves with when it notices first
BUG: Final = 70  # EX_SOFTWARE of sysexits.h
INTERRUPTED: Final = 128 + signal.SIGINT
DEBUG_VARIABLE: Final = "ASSISTLEARN_DEBUG"
REPORT: Final = "report this together with the traceback above: it is a bug in assistlearn"
DEBUG_FIRST: Final = (
    "type it again after 'assistlearn --debug' and report what it prints: it is a bug"
)


class LazyGroup(click.Group):
    """A group that knows its commands' names and first lines, and imports one when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which a newcomer meets them."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import ``parties.commands.NAME`` and return its ``NAME``."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"parties.commands.{cmd_name}")
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, with a suggestion for a name that is nearly right."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            # difflib costs nothing at start-up if it is loaded only for a mistake
            from difflib import get_close_matches  # noqa: PLC0415

            close = get_close_matches(args[0], COMMANDS, n=1)
            more = f", did you mean {close[0]}?" if close else ""
            raise click.UsageError(f"no such command {args[0]!r}{more}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in ``--help``, without importing any command."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(installed_version(), message="assistlearn %(version)s")
@click.option("--debug", is_flag=True, help=f"Show tracebacks (or set {DEBUG_VARIABLE}=1).")
def cli(debug: bool) -> None:
    """Train one model with another organisation. Data stay where they are."""
    if debug:
        os.environ[DEBUG_VARIABLE] = "1"  # also for the processes that commands start


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the console script. Always leaves through ``sys.exit``."""
    arguments = sys.argv[1:] if arguments is None else arguments
    sys.exit(_run(arguments))


def _run(arguments: Sequence[str]) -> int:
    try:
        return _ended(arguments)
    except BrokenPipeError:
        # The reader (head, less) has seen enough. Point stdout elsewhere, or Python
        # complains once more when it closes it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE


def _ended(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code, after words on what went wrong.

    Raises:
        BrokenPipeError: nobody reads the output, or those words.
    """
    try:
        word_data_warnings()
        stop_on_signals()  # before a command is imported: some take seconds to load
        # Without standalone mode click raises instead of exiting by itself.
        code = cli.main(args=list(arguments), prog_name="assistlearn", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return USAGE
    # The one place that may catch everything: nothing lies above it.
    except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001
        return _complain(error, arguments)
    return code if isinstance(code, int) else 0


def _complain(error: BaseException, arguments: Sequence[str]) -> int:
    """Say what ended the command and what to do about it, and return the exit code."""
    message, hint, code = _explained(error, arguments)
    if _debug() and code not in {USAGE, INTERRUPTED}:
        traceback.print_exception(error)
    print_error(message, hint=hint, code=code, as_json="--json" in arguments)
    return code


def _explained(error: BaseException, arguments: Sequence[str]) -> tuple[str, str, int]:
    match error:
        case AssistLearnError():
            return str(error), error.hint, error.exit_code
        case KeyboardInterrupt() | click.Abort():
            return "interrupted", _after_interrupt(arguments), INTERRUPTED
        case click.ClickException():
            context = getattr(error, "ctx", None)
            command = context.command_path if context else "assistlearn"
            text = _lowered(error.format_message())
            return text, f"type '{command} --help' to see what it takes", USAGE
        case _:
            return f"{type(error).__name__}: {error}", REPORT if _debug() else DEBUG_FIRST, BUG


def _after_interrupt(arguments: Sequence[str]) -> str:
    """What typing the same again does."""
    # --again would buy another session: without it the one that was begun goes on.
    again = shlex.join(["assistlearn", *(a for a in arguments if a != "--again")])
    if "--again" in arguments:
        again += " (with --again if it had not said yet that both signed)"
    command = next((a for a in arguments if not a.startswith("-")), "")
    if command in RESUMED:
        return f"type the same again to go on: {again}"
    return f"type the same again to start over: {again}"


def _lowered(text: str) -> str:
    """Click's sentence in the form of ours: lower case, no final period."""
    return f"{text[:1].lower()}{text[1:]}".rstrip(".")


def _debug() -> bool:
    return os.environ.get(DEBUG_VARIABLE, "") not in {"", "0"}


def exit_codes() -> tuple[tuple[int, str, str], ...]:
    """The published table: code, class, first line of its docstring; ordered by code."""
    kinds = {
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, AssistLearnError) and kind is not AssistLearnError
    }
    rows = [
        (kind.exit_code, kind.__name__, (inspect.getdoc(kind) or "").splitlines()[0])
        for kind in kinds
    ]
    return tuple(sorted(rows))
