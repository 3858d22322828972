"""The network as its owner describes it: nodes, links, capture points, paths."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Privilege = Literal["auto", "capabilities", "root", "wrapper"]
Sees = Literal["all", "control-only", "cpu-only"]


@dataclass(frozen=True, slots=True, order=True)
class Interface:
    """One interface of one node, written ``node:interface``."""

    node: str
    name: str

    def __str__(self) -> str:
        """Return ``node:interface``."""
        return f"{self.node}:{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ssh:
    """How a node is reached. Holds references to keys, never a secret."""

    host: str
    user: str
    port: int = 22
    key_file: str | None = None
    """Absolute path; None means the agent."""
    known_hosts: str
    privilege: Privilege = "auto"
    jump: Ssh | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """A declared address translation of a node."""

    kind: Literal["snat", "dnat", "masquerade"]
    inside: str
    outside: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """What is declared of one interface of a node."""

    addresses: tuple[str, ...] = ()
    vrf: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A host or device."""

    name: str
    role: str
    addresses: tuple[str, ...] = ()
    ssh: Ssh | None = None
    site: str | None = None
    vrf: str | None = None
    translations: tuple[Translation, ...] = ()
    shares: Mapping[str, str] = field(default_factory=dict)
    interfaces: Mapping[str, Port] = field(default_factory=dict)
    """Interfaces declared by name; links name more."""
    pool: tuple[str, ...] = ()
    """Nodes that a load balancer hands connections to."""
    snat: str | None = None
    """Address behind which a load balancer hides its clients."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What connects two interfaces."""

    endpoints: tuple[Interface, Interface]
    kind: str = "ethernet"
    name: str | None = None
    circuit: str | None = None
    rate_bps: int | None = None
    committed_bps: int | None = None
    mtu: int | None = None
    one_way_delay_ns: int | None = None
    encrypted: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A capture point: where packets are observed."""

    name: str
    at: tuple[Interface, ...]
    """Several interfaces for an HA pair, LACP members or ECMP."""
    mode: str | None = None
    via: tuple[Interface, ...] = ()
    """Interfaces that see this port's traffic: mirror or TAP."""
    kind: str | None = None
    sees: Sees = "all"
    select: Mapping[str, int] = field(default_factory=dict)
    supply: Literal["ssh", "file"] = "ssh"


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """Capture points in the order a packet from client to server meets them."""

    name: str
    client: str
    """Node name of the near end."""
    server: str
    """Node name of the far end."""
    points: tuple[str, ...]
    nodes: tuple[str, ...] = ()
    reverse: tuple[str, ...] = ()
    """Points that the way back meets, also from client to server; empty when it is the same way."""

    @property
    def segments(self) -> tuple[tuple[str, str], ...]:
        """The stretches between neighbouring points, in order."""
        return tuple(pairwise(self.points))


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """A whole inventory, validated."""

    name: str
    nodes: Mapping[str, Node]
    links: tuple[Link, ...]
    points: Mapping[str, Point]
    paths: tuple[Path, ...] = ()
    """Paths given by hand; others are derived from the links."""
