"""`vanishpoint analyse`: from captures to the answer, for a run or for files that somebody sent."""

from __future__ import annotations

import secrets
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.captures import EXPECTATION_FAILED, read_points, runs_option
from orchestrator.cli.compiling import announce_compiling
from orchestrator.cli.progress_bar import ProgressBar

if TYPE_CHECKING:
    from orchestrator.archive.layout import RunDirectory
    from orchestrator.model.plan import CapturePlan


@click.command("analyse")
@click.argument("run", required=False)
@click.option(
    "--point",
    "points",
    multiple=True,
    callback=read_points,
    metavar="NAME=FILE[,FILE…]",
    help="A capture point and its files; give them in path order, nearest to the clients first.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Directory of the run that is made from --point files.")
@click.option("--inventory", type=click.Path(path_type=Path), help="Inventory that the points belong to.")
@click.option("--reference", help="Point whose clock all times are stated in.  [default: the first]")
@click.option(
    "--order",
    type=click.Choice(["given", "auto"]),
    default="given",
    show_default=True,
    help="Take the path order as given, or from the packets.",
)
@runs_option
@click.option("--fail-on-expect", is_flag=True, help="Exit 10 when an expectation of the run's playbook does not hold.")
@click.option("--json", "as_json", is_flag=True, help="Print result.json instead of the report.")
def command(
    run: str | None, points: dict[str, list[Path]], out: Path | None, inventory: Path | None, reference: str | None,
    order: str, runs: Path, *, as_json: bool, fail_on_expect: bool,
) -> int:  # fmt: skip
    """Say where packets vanished and who sent each reset, for RUN or for --point files.

    Example: vanishpoint analyse --point client=a.pcap --point server=b.pcapng --out case-17
    """
    from orchestrator.archive.layout import find_run
    from orchestrator.pipeline import analyse  # numba takes its time

    if (run is None) == (not points):
        msg = "give either a RUN or --point NAME=FILE"
        raise click.UsageError(msg)
    announce_compiling()
    directory = (
        find_run(runs, run) if run is not None else _open(points, out or runs, inventory, reference, order, out is None)
    )
    with ProgressBar("analysing", "reading and matching packets"):
        result = analyse(directory, check_order=run is None and order == "given")
    path = directory.result if as_json else directory.report_text
    click.echo(path.read_text(encoding="utf-8"), nl=False)
    if not as_json:
        click.echo(f" {directory.result}", file=sys.stderr)
    failed = any(e.outcome == "fail" for e in result.expect)
    return EXPECTATION_FAILED if failed and fail_on_expect else 0


def _open(
    points: dict[str, list[Path]], out: Path, inventory: Path | None, reference: str | None, order: str, below: bool,  # noqa: FBT001
) -> RunDirectory:  # fmt: skip
    """Make a run from the files given."""
    from orchestrator.archive.layout import RunDirectory, new_run_id
    from orchestrator.intake import open_offline
    from orchestrator.pipeline import suggest_order

    run_id = new_run_id(time.time_ns(), secrets.token_hex(2))
    directory = RunDirectory(out / run_id if below else out)
    plan = _plan(inventory, points) if inventory is not None else None
    open_offline(directory, points, run_id=run_id, reference=reference, plan=plan)
    if order == "auto" and plan is None:
        ordered = {name: points[name] for name in suggest_order(directory)}
        open_offline(directory, ordered, run_id=run_id, reference=reference)
    return directory


def _plan(inventory: Path, points: dict[str, list[Path]]) -> CapturePlan:
    """Return the paths that *inventory* knows between its clients and servers, cut to *points*."""
    from orchestrator.config.inventory import load_inventory
    from orchestrator.core.plan import plan_capture
    from orchestrator.errors import InventoryError
    from orchestrator.model.playbook import Flow, Playbook, Window

    topology = load_inventory(inventory)
    unknown = sorted(set(points) - set(topology.points))
    if unknown:
        hint = f"It knows {', '.join(topology.points)}."
        msg = f"{inventory}: no capture point {', '.join(unknown)}"
        raise InventoryError(msg, hint=hint)
    clients = tuple(n.name for n in topology.nodes.values() if n.role == "client" and n.addresses)
    servers = [n.name for n in topology.nodes.values() if n.role == "server" and n.addresses]
    if not clients or not servers:
        msg = f"{inventory}: no node with role client, or none with role server"
        raise InventoryError(msg, hint="Give roles and addresses.")
    playbook = Playbook(
        name=topology.name, about="", inventory=str(inventory.resolve()), points=tuple(points), min_points=1,
        flows=tuple(Flow(name=s, clients=clients, to=s) for s in servers), window=Window(duration_ns=1_000_000_000),
    )  # fmt: skip
    return plan_capture(playbook, topology)
