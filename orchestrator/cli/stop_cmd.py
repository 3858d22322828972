"""`vanishpoint stop`: close the window of a run from any shell that sees its directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli.captures import runs_option

if TYPE_CHECKING:
    from pathlib import Path


@click.command("stop")
@click.argument("run")
@runs_option
def command(run: str, runs: Path) -> None:
    """Close the window of RUN now; its points are stopped and collected as usual.

    Example: vanishpoint stop 20260314-102107-7f3a
    """
    from orchestrator.archive.layout import find_run
    from orchestrator.errors import InputError

    directory = find_run(runs, run)
    if directory.read_record().closed_ns is not None or not directory.control.is_dir():
        msg = f"{run}: its window is not open"
        raise InputError(msg, hint=f"vanishpoint status {run} shows what became of it.")
    directory.write_text("control/stop", "stop\n")
    click.echo(f"asked to stop; vanishpoint status {run} shows how it goes on", err=True)
