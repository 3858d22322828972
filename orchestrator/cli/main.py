"""The command line: a table of commands, each imported only when it is used, and the meaning of exit codes.

`vanishpoint --help` must answer at once, so nothing heavy may be imported here.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from orchestrator import __version__
from orchestrator.errors import VanishpointError

if TYPE_CHECKING:
    from collections.abc import Sequence

_BUG = 1
_USAGE = 2
_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command lives, and what the overview says about it."""

    target: str
    summary: str


COMMANDS = {
    "inventory": Entry("orchestrator.cli.inventory_cmd:command", "Check, show or draw an inventory."),
    "plan": Entry("orchestrator.cli.plan_cmd:command", "Show what a playbook would capture; touches no host."),
    "doctor": Entry("orchestrator.cli.doctor_cmd:command", "Ask every host of a playbook whether it could capture."),
    "run": Entry("orchestrator.cli.run_cmd:command", "Carry a playbook out: capture, collect, analyse, merge."),
    "status": Entry("orchestrator.cli.status_cmd:command", "Show how a run is doing."),
    "stop": Entry("orchestrator.cli.stop_cmd:command", "Close the window of a run now."),
    "sweep": Entry("orchestrator.cli.sweep_cmd:command", "Find and end what a crashed run left on hosts."),
    "analyse": Entry("orchestrator.cli.analyse_cmd:command", "Say where packets vanished and who sent each reset."),
    "add": Entry("orchestrator.cli.add_cmd:command", "Take a third party's capture into a run."),
    "explain": Entry("orchestrator.cli.explain_cmd:command", "Tell the story of one reset, packet or connection."),
    "merge": Entry("orchestrator.cli.merge_cmd:command", "Merge captures into one, on one clock."),
    "cut": Entry("orchestrator.cli.cut_cmd:command", "Cut out a time, a flow, or what vanished with its surroundings."),
    "report": Entry("orchestrator.cli.report_cmd:command", "Print the report of a run."),
    "worker": Entry("orchestrator.cli.worker_cmd:command", "Serve a queue of capture steps at this site."),
    "warmup": Entry("orchestrator.cli.warmup_cmd:command", "Compile the analysis beforehand."),
    "schema": Entry("orchestrator.cli.schema_cmd:command", "Print the JSON Schema of inventories or playbooks."),
}
"""In the order in which they are used."""


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Return the names in the order of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click's signature
        """Import and return the command *cmd_name*."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            msg = f"{entry.target} is not a command"
            raise TypeError(msg)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, naming the nearest one when there is none."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib  # noqa: PLC0415  # only for a mistyped command

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            ctx.fail(f"no command {args[0]!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's signature
        """List the commands from the table, importing none of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="vanishpoint")
def group() -> None:
    """Capture at many points at once; say where packets vanish and where resets are born."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 1 our bug, 2 wrong input, 3 and 4 as in errors.py."""
    try:
        given = None if arguments is None else list(arguments)
        code = group.main(args=given, prog_name="vanishpoint", standalone_mode=False)
    except Exception as end:  # noqa: BLE001  # the last line: whatever ends a command becomes words and an exit code
        return _exit_code(end)
    except KeyboardInterrupt:
        return _exit_code(click.Abort())
    return code if isinstance(code, int) else 0


def _exit_code(end: Exception) -> int:
    """Say what *end* means to the user, and return the exit code for it."""
    match end:
        case click.exceptions.Exit():
            return end.exit_code
        case click.ClickException():
            _say_usage(end)
            return _USAGE
        case click.Abort():
            click.echo("interrupted", err=True)
            return _INTERRUPTED
        case VanishpointError():
            _say("error", str(end))
            _say("hint", end.hint)
            return end.exit_code
        case BrokenPipeError():
            # Whoever read our output has seen enough. Python would complain once more when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
    _say("error", f"this is a bug: {type(end).__name__}: {end}")
    _say("hint", f"Please report it with the log file {_write_bug_log(end)}.")
    return _BUG


def _say_usage(mistake: click.ClickException) -> None:
    _say("error", mistake.format_message())
    context = mistake.ctx if isinstance(mistake, click.UsageError) else None
    _say("hint", f"`{context.command_path if context else 'vanishpoint'} --help` shows how it is used.")


def _say(label: str, text: str) -> None:
    from orchestrator.cli.output import escape  # noqa: PLC0415  # not needed for --help

    for line in text.splitlines() or [""]:
        click.echo(f"{label}: {escape(line)}", err=True)


def _write_bug_log(bug: Exception) -> str:
    """Write what a developer needs, and return the path."""
    import platform  # noqa: PLC0415  # only when something broke
    import traceback  # noqa: PLC0415

    with tempfile.NamedTemporaryFile("w", prefix="vanishpoint-bug-", suffix=".log", delete=False) as log:
        log.write(f"vanishpoint {__version__}, Python {platform.python_version()}, {platform.platform()}\n")
        log.write(f"command: {sys.argv!r}\n\n{''.join(traceback.format_exception(bug))}")
    return log.name


if __name__ == "__main__":
    sys.exit(main())
