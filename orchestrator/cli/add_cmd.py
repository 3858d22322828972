"""`vanishpoint add`: a third party's capture joins a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli.captures import read_points, runs_option
from orchestrator.cli.output import escape

if TYPE_CHECKING:
    from pathlib import Path


@click.command("add")
@click.argument("run")
@click.option(
    "--point",
    "points",
    multiple=True,
    required=True,
    callback=read_points,
    metavar="NAME=FILE[,FILE…]",
    help="The capture point and its files.",
)
@click.option("--from", "supplied_by", required=True, help="Who handed it over; goes into the journal.")
@runs_option
def command(run: str, points: dict[str, list[Path]], supplied_by: str, runs: Path) -> None:
    """Take a capture that somebody hands over into RUN: copied, hashed, its clock unknown.

    Example: vanishpoint add 20260314-102107-7f3a --point carrier=pop.pcap --from "Carrier NOC"
    """
    from orchestrator.archive.journal import Journal
    from orchestrator.archive.layout import find_run
    from orchestrator.intake import add_capture

    directory = find_run(runs, run)
    journal = Journal(directory.journal)
    for name, files in points.items():
        record = add_capture(directory, name, files, supplied_by)
        kept = next(p for p in record.points if p.name == name)
        hashes = {f.path: f.sha256 for f in kept.files}
        journal.append("point.supplied", point=name, supplied_by=supplied_by, files=hashes)
        for path, digest in hashes.items():
            click.echo(escape(f"{name}  {path}  sha256 {digest}"))
    click.echo(escape(f"next: vanishpoint analyse {run}"), err=True)
