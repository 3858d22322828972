"""`vanishpoint inventory`: check, show or draw an inventory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.output import print_json, print_lines, table

if TYPE_CHECKING:
    from orchestrator.model.topology import Link, Topology

_FILE = click.argument("file", type=click.Path(path_type=Path))
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group("inventory")
def command() -> None:
    """Check, show or draw an inventory.

    Example: vanishpoint inventory check inventory/lab.yaml
    """


@command.command("check")
@_FILE
@_JSON
def check(file: Path, *, as_json: bool) -> None:
    """Name everything that is wrong with FILE, each with its line."""
    topology = _load(file)
    counts = {"nodes": len(topology.nodes), "links": len(topology.links), "points": len(topology.points)}
    if as_json:
        print_json({"name": topology.name, "valid": True, **counts})
    else:
        print_lines([f"{file}: {topology.name}: " + ", ".join(f"{count} {what}" for what, count in counts.items())])


@command.command("show")
@_FILE
@_JSON
def show(file: Path, *, as_json: bool) -> None:
    """Print nodes and points of FILE as they are understood."""
    topology = _load(file)
    if as_json:
        from orchestrator.model.codec import encode  # not needed for text

        print_json(encode(topology))
        return
    nodes = [("NODE", "ROLE", "SITE", "ADDRESSES", "SSH")]
    for node in topology.nodes.values():
        addresses = [*node.addresses, *(a for port in node.interfaces.values() for a in port.addresses)]
        ssh = f"{node.ssh.user}@{node.ssh.host}:{node.ssh.port}" if node.ssh else "-"
        nodes.append((node.name, node.role, node.site or "-", " ".join(addresses) or "-", ssh))
    points = [("POINT", "AT", "VIA", "SEES", "SUPPLY")]
    for point in topology.points.values():
        places = (" ".join(map(str, point.at)), " ".join(map(str, point.via)) or "-")
        points.append((point.name, *places, point.sees, point.supply))
    print_lines([*table(nodes), "", *table(points)])


@command.command("graph")
@_FILE
@click.option("--format", "form", type=click.Choice(["text", "dot"]), default="text", help="DOT is for Graphviz.")
def graph(file: Path, *, form: str) -> None:
    """Draw the links of FILE, with the capture points on them."""
    topology = _load(file)
    print_lines(_dot(topology) if form == "dot" else _text(topology))


def _load(file: Path) -> Topology:
    from orchestrator.config.inventory import load_inventory  # pydantic takes its time

    return load_inventory(file)


def _points_at(topology: Topology) -> dict[str, str]:
    places: dict[str, list[str]] = {}
    for point in topology.points.values():
        for interface in point.at:
            places.setdefault(str(interface), []).append(point.name)
    return {interface: ", ".join(names) for interface, names in places.items()}


def _text(topology: Topology) -> list[str]:
    points = _points_at(topology)
    rows = [("FROM", "POINT", "LINK", "POINT", "TO")]
    for link in topology.links:
        near, far = map(str, link.endpoints)
        rows.append((near, points.get(near, ""), f"-- {_label(link)} --", points.get(far, ""), far))
    return table(rows)


def _dot(topology: Topology) -> list[str]:
    points = _points_at(topology)
    lines = [f"graph {_quoted(topology.name)} {{", "  node [shape=box];"]
    lines += [
        f"  {_quoted(node.name)} [label={_quoted(f'{node.name} ({node.role})')}];" for node in topology.nodes.values()
    ]
    for link in topology.links:
        near, far = link.endpoints
        tail, head = (f"{end.name} [{points[str(end)]}]" if str(end) in points else end.name for end in link.endpoints)
        labels = f"taillabel={_quoted(tail)}, headlabel={_quoted(head)}, label={_quoted(_label(link))}"
        lines.append(f"  {_quoted(near.node)} -- {_quoted(far.node)} [{labels}];")
    return [*lines, "}"]


def _label(link: Link) -> str:
    return " ".join(part for part in (link.kind, link.name, link.circuit) if part)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
