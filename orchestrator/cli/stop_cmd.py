"""`vanishpoint stop`: close the window of a run from any shell that sees its directory."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("stop")
@click.argument("run")
@click.option(
    "--runs",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    envvar="VANISHPOINT_RUNS",
    show_default=True,
    help="Where runs are.  [also: VANISHPOINT_RUNS]",
)
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
