"""`vanishpoint sweep`: end and remove what a crashed run left on hosts."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli.output import escape


@click.command("sweep")
@click.argument("inventory", type=click.Path(path_type=Path))
@click.option("--run", "run_id", help="Only what this run left, even where its lease still holds.")
def command(inventory: Path, run_id: str | None) -> int:
    """Find what our captures left on the hosts of INVENTORY, end and remove it. Exit 5 when a host did not answer.

    Example: vanishpoint sweep inventory/call-centre.yaml
    """
    from orchestrator.capture.steps import sweep_host
    from orchestrator.config.inventory import load_inventory

    silent = 0
    for node in load_inventory(inventory).nodes.values():
        if node.ssh is None:
            continue
        outcome = sweep_host(node.ssh, run_id)
        if not outcome["ok"]:
            silent += 1
            click.echo(escape(f"{node.name}: {outcome['message']}"), err=True)
        for name in outcome.get("swept", []):
            click.echo(escape(f"{node.name}: ended {name}"))
    return 5 if silent else 0
