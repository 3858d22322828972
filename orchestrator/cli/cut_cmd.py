"""`vanishpoint cut`: the few packets that somebody wants to look at, from all points, on one clock."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli.captures import runs_option
from orchestrator.cli.compiling import announce_compiling
from orchestrator.cli.output import print_lines
from orchestrator.cli.progress_bar import ProgressBar
from orchestrator.cli.wanted import wanted


@click.command("cut")
@click.argument("run", required=False)
@click.option("--merged", type=click.Path(path_type=Path), help="Cut this file, which merge wrote, instead of RUN.")
@click.option("--from", "start", metavar="TIME", help="Begin: 2026-11-24T22:49:01Z, 22:49:01 (UTC), or 12.5s in.")
@click.option("--to", "end", metavar="TIME", help="End, written likewise.")
@click.option("--around", metavar="TIME[±SPAN]", help="Both at once: 22:49:01±2s.  [default span: 1s]")
@click.option(
    "--flow", "flows", multiple=True, metavar="END[-END]", help="10.0.0.1:1234-10.0.0.2:443, a host, or :443."
)
@click.option("--point", "points", multiple=True, metavar="NAME", help="Only what this point saw.")
@click.option(
    "--vanished", is_flag=True, help="What vanished, and what passed just before and after it at every point."
)
@click.option("--resets", is_flag=True, help="Resets, and what passed just before and after them at every point.")
@click.option("--context", multiple=True, metavar="N|SPAN", help="How much before and after: 5, or 50ms.  [default: 5]")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="File to write.")
@runs_option
def command(
    run: str | None, merged: Path | None, start: str | None, end: str | None, around: str | None,
    flows: tuple[str, ...], points: tuple[str, ...], context: tuple[str, ...], output: Path, runs: Path, *,
    vanished: bool, resets: bool,
) -> None:  # fmt: skip
    """Cut packets out of the captures of RUN, or of a merged file, into one pcapng.

    Everything given must hold; of several --flow or --point any. A flow is followed where a translator changed its
    addresses. Times are on the clock of the run; of a relative time the window's opening is zero.

    Example: vanishpoint cut case-17 --vanished --context 50ms -o lost.pcapng
    """
    if (run is None) == (merged is None):
        msg = "give either a RUN or --merged FILE"
        raise click.UsageError(msg)
    asked = wanted(
        start=start, end=end, around=around, flows=flows, points=points, vanished=vanished, resets=resets,
        context=context,
    )  # fmt: skip
    from orchestrator.archive.layout import find_run
    from orchestrator.pipeline import cut, cut_merged  # numba takes its time

    announce_compiling()
    with ProgressBar("cutting", "reading and matching packets") as bar:
        if merged is not None:
            count = cut_merged(merged, asked, output, bar)
        else:
            count = cut(find_run(runs, str(run)), asked, output, bar)
    print_lines([str(output)])
    click.echo(f"{count:,} packets", err=True)
