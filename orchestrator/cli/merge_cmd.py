"""`vanishpoint merge`: all points in one file, on one clock."""

from __future__ import annotations

import secrets
import tempfile
import time
from pathlib import Path

import click

from orchestrator.cli.captures import read_points, runs_option
from orchestrator.cli.compiling import announce_compiling
from orchestrator.cli.output import print_lines
from orchestrator.cli.progress_bar import ProgressBar


@click.command("merge")
@click.argument("run", required=False)
@click.option(
    "--point",
    "points",
    multiple=True,
    callback=read_points,
    metavar="NAME=FILE[,FILE…]",
    help="A capture point and its files, in path order.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File to write.  [default: merged.pcapng of RUN]")
@click.option("--view", is_flag=True, help="Also write view.pcapng: one link type, for Wireshark 4.4 and later.")
@click.option("--aligned", is_flag=True, help="Also write aligned/POINT.pcapng: times corrected, nothing else changed.")
@click.option("--reference", help="Point whose clock all times are stated in.  [default: the first]")
@runs_option
def command(
    run: str | None, points: dict[str, list[Path]], output: Path | None, reference: str | None, runs: Path, *,
    view: bool, aligned: bool,
) -> None:  # fmt: skip
    """Merge the captures of RUN, or --point files, into one pcapng with corrected times.

    Every point is a named interface; copies of one packet have the same frame.packet_id. With -o, the view and the
    aligned files stand beside FILE.

    Example: vanishpoint merge --point client=a.pcap --point server=b.pcap -o merged.pcapng
    """
    from orchestrator.archive.layout import RunDirectory, find_run, new_run_id
    from orchestrator.intake import open_offline
    from orchestrator.pipeline import merge  # numba takes its time

    if (run is None) == (not points):
        msg = "give either a RUN or --point NAME=FILE"
        raise click.UsageError(msg)
    if run is not None and reference is not None:
        msg = "--reference belongs to --point; a run has its own"
        raise click.UsageError(msg)
    if run is None and output is None:
        msg = "--point needs -o FILE"
        raise click.UsageError(msg)
    announce_compiling()
    with tempfile.TemporaryDirectory() as scratch, ProgressBar("merging", "reading and matching packets") as bar:
        if run is not None:
            directory = find_run(runs, run)
        else:
            directory = RunDirectory(Path(scratch) / "merge")
            run_id = new_run_id(time.time_ns(), secrets.token_hex(2))
            open_offline(directory, points, run_id=run_id, reference=reference)
        written = merge(directory, output, view=view, aligned=aligned, progress=bar)
    print_lines(map(str, written))
