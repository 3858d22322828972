"""`vanishpoint explain`: the whole story of one reset, packet or connection, point by point."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli.captures import runs_option
from orchestrator.cli.compiling import announce_compiling
from orchestrator.cli.output import print_json
from orchestrator.cli.progress_bar import ProgressBar
from orchestrator.cli.wanted import read_flow
from orchestrator.model.story import Asked

if TYPE_CHECKING:
    from pathlib import Path


@click.command("explain")
@click.argument("run")
@click.option("--reset", type=click.IntRange(1), metavar="N", help="The Nth of the resets in result.json.")
@click.option("--vanished", type=click.IntRange(1), metavar="N", help="The Nth of what vanished in result.json.")
@click.option("--packet", metavar="POINT:FRAME", help="Any packet, by the number of a frame that a point captured.")
@click.option("--flow", metavar="END-END", help="A connection: 10.0.0.1:1234-10.0.0.2:443; or what a host or port has.")
@click.option(
    "--context",
    type=click.IntRange(0, 10_000),
    default=5,
    show_default=True,
    metavar="N",
    help="How many packets of the connection to tell around it.",
)
@click.option("--fields", is_flag=True, help="Every field of the frame, too.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@runs_option
def command(
    run: str, reset: int | None, vanished: int | None, packet: str | None, flow: str | None, context: int, runs: Path,
    *, fields: bool, as_json: bool,
) -> None:  # fmt: skip
    """Tell who saw a packet of RUN, when and in which shape, who did not, and what came before and after.

    Of a connection it tells what opens and ends it, what vanished, and whatever was seen at other points than its
    neighbours. Times are on the clock of the run.

    Example: vanishpoint explain case-17 --reset 1
    """
    if sum(given is not None for given in (reset, vanished, packet, flow)) != 1:
        msg = "give one of --reset, --vanished, --packet, --flow"
        raise click.UsageError(msg)
    asked = Asked(
        reset=reset, vanished=vanished, frame=None if packet is None else _frame(packet),
        flow=None if flow is None else read_flow(flow), context=context,
    )  # fmt: skip
    from orchestrator.archive.layout import find_run
    from orchestrator.pipeline import explain  # numba takes its time
    from orchestrator.report.story import render_story, story_document

    announce_compiling()
    with ProgressBar("explaining", "reading and matching packets"):
        story = explain(find_run(runs, run), asked, fields=fields)
    if as_json:
        print_json(story_document(story))
    else:
        click.echo(render_story(story), nl=False)


def _frame(text: str) -> tuple[str, int]:
    """Return point and frame number."""
    point, colon, number = text.rpartition(":")
    if not colon or not number.isascii() or not number.isdecimal() or len(number) > 12:  # noqa: PLR2004
        msg = f"--packet {text!r} is not POINT:FRAME, such as core:1234"
        raise click.UsageError(msg)
    return point, int(number)
