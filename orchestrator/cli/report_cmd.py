"""`vanishpoint report`: the report of a run, again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli.captures import runs_option

if TYPE_CHECKING:
    from pathlib import Path


@click.command("report")
@click.argument("run")
@runs_option
@click.option("--json", "as_json", is_flag=True, help="Print result.json.")
def command(run: str, runs: Path, *, as_json: bool) -> None:
    """Print the report of RUN; analyse it first where that was not done.

    Example: vanishpoint report 20260314-102107-7f3a
    """
    from orchestrator.archive.layout import find_run

    directory = find_run(runs, run)
    if not directory.result.exists() or not directory.report_text.exists():
        from orchestrator.pipeline import analyse  # numba takes its time

        analyse(directory, check_order=False)
    path = directory.result if as_json else directory.report_text
    click.echo(path.read_text(encoding="utf-8"), nl=False)
