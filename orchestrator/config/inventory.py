"""Load an inventory: YAML to `Topology`, or every error at once with its position."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.config.inventory_checks import InventoryChecks, jump_chain
from orchestrator.config.inventory_schema import InventoryFile
from orchestrator.config.problems import raise_problems
from orchestrator.config.validation import validate
from orchestrator.config.yamlfile import read_document
from orchestrator.errors import InventoryError
from orchestrator.model.topology import (
    Interface,
    Link,
    Node,
    Path as PathByHand,
    Point,
    Port,
    Ssh,
    Topology,
    Translation,
)

if TYPE_CHECKING:
    from orchestrator.config.inventory_schema import LinkSection, NodeSection, PathSection, PointSection
    from orchestrator.config.problems import Path as Steps, Problem

HINT = "`vanishpoint schema inventory` prints the format; inventory/lab.yaml is a whole example."
_SSH_PORT = 22
_STAND_INS: dict[Steps, object] = {("schema",): 1, ("name",): "unnamed", ("nodes",): {}}


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryReading:
    """What a file said, and what is wrong with it."""

    topology: Topology | None
    """None where the file is too broken to be understood."""
    problems: tuple[Problem, ...]
    nodes: tuple[str, ...] = ()
    """Every name that the file uses, also of nodes whose description is wrong."""
    points: tuple[str, ...] = ()


def load_inventory(path: Path) -> Topology:
    """Return the network described in the file at *path*.

    Raises:
        InventoryError: Everything that is wrong with the file, one line each.
    """
    reading = read_inventory(path)
    raise_problems(reading.problems, InventoryError, HINT)
    if reading.topology is None:
        msg = f"{path}: this cannot be understood as an inventory"
        raise InventoryError(msg, hint=HINT)
    return reading.topology


def read_inventory(path: Path) -> InventoryReading:
    """Return as much as can be understood of the inventory at *path*, with its problems.

    Raises:
        InventoryError: The file cannot be read or is not YAML.
    """
    document = read_document(path, InventoryError)
    checked = validate(document, InventoryFile, _STAND_INS)
    if checked is None:
        return InventoryReading(topology=None, problems=tuple(document.problems))
    checks = InventoryChecks(document, checked)
    checks.check()
    topology = None if document.problems else _Conversion(checked.content, path.absolute().parent).topology()
    return InventoryReading(
        topology=topology, problems=tuple(document.problems), nodes=checks.nodes, points=checks.points
    )


class _Conversion:
    """Turn a checked file into model objects; paths become absolute from the directory of the file."""

    def __init__(self, content: InventoryFile, directory: Path) -> None:
        self._content = content
        self._directory = directory

    def topology(self) -> Topology:
        content = self._content
        return Topology(
            name=content.name,
            nodes={name: self._node(name, node) for name, node in content.nodes.items()},
            links=tuple(_link(link) for link in content.links),
            points={name: _point(name, point) for name, point in content.points.items()},
            paths=tuple(_path(name, path) for name, path in content.paths.items()),
        )

    def _node(self, name: str, node: NodeSection) -> Node:
        return Node(
            name=name,
            role=node.role,
            addresses=node.addresses,
            ssh=self._ssh(name, jump_chain(self._content, name)),
            site=node.site,
            vrf=node.vrf,
            translations=tuple(
                Translation(kind=item.kind, inside=item.inside, outside=item.outside) for item in node.translations
            ),
            shares=node.shares,
            interfaces={key: Port(addresses=port.addresses, vrf=port.vrf) for key, port in node.interfaces.items()},
            pool=node.pool,
            snat=node.snat,
        )

    def _ssh(self, name: str, jumps: tuple[str, ...]) -> Ssh | None:
        ssh, defaults = self._content.nodes[name].ssh, self._content.defaults.ssh
        if ssh is None:
            return None
        key_file = ssh.key_file or defaults.key_file
        return Ssh(
            host=ssh.host,
            user=ssh.user or defaults.user or "",
            port=ssh.port or defaults.port or _SSH_PORT,
            key_file=self._absolute(key_file) if key_file else None,
            known_hosts=self._absolute(ssh.known_hosts or defaults.known_hosts or "~/.ssh/known_hosts"),
            privilege=ssh.privilege or defaults.privilege or "auto",
            jump=self._ssh(jumps[0], jumps[1:]) if jumps else None,
        )

    def _absolute(self, text: str) -> str:
        return absolute_path(text, self._directory)


def absolute_path(text: str, directory: Path) -> str:
    """Return the path *text*, written in a file of *directory*, as an absolute path."""
    try:
        expanded = Path(text).expanduser()
    except RuntimeError:  # no home directory is known: leave the tilde for the message of whoever opens it
        expanded = Path(text)
    return str(Path(os.path.normpath(directory / expanded)))


def _interface(endpoint: str) -> Interface:
    node, _, name = endpoint.partition(":")
    return Interface(node, name)


def _link(link: LinkSection) -> Link:
    near, far = link.endpoints
    return Link(
        endpoints=(_interface(near), _interface(far)),
        kind=link.kind,
        name=link.name,
        circuit=link.circuit,
        rate_bps=link.rate,
        committed_bps=link.committed,
        mtu=link.mtu,
        one_way_delay_ns=link.one_way_delay,
        encrypted=link.encrypted,
    )


def _point(name: str, point: PointSection) -> Point:
    return Point(
        name=name,
        at=tuple(map(_interface, point.at)),
        mode=point.mode,
        via=tuple(map(_interface, point.via)),
        kind=point.kind,
        sees=point.sees,
        select=point.select.model_dump(exclude_none=True),
        supply=point.supply,
    )


def _path(name: str, path: PathSection) -> PathByHand:
    return PathByHand(
        name=name,
        client=path.from_,
        server=path.to,
        points=path.points or path.forward,
        nodes=path.nodes,
        # The file gives the way back as answers travel it; inside, every order is from client to server.
        reverse=tuple(reversed(path.reverse)),
    )
