"""The shape of an inventory file. Names are checked against one another in `inventory.py`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from orchestrator.config.fields import (
    Address,
    Duration,
    Endpoint,
    Endpoints,
    Host,
    InterfaceName,
    LocalPath,
    Name,
    Network,
    Rate,
    Section,
    Text,
    Translated,
    User,
)
from orchestrator.model.topology import Privilege, Sees

__all__ = ["InventoryFile", "LinkSection", "NodeSection", "PathSection", "PointSection", "SshSection"]

PortNumber = Annotated[int, Field(ge=1, le=65535)]


class SshDefaults(Section):
    """How nodes are reached, unless a node says otherwise."""

    user: User | None = None
    port: PortNumber | None = None
    key_file: LocalPath | None = Field(
        default=None, description="Private key, relative to this file; the SSH agent if absent."
    )
    known_hosts: LocalPath | None = Field(
        default=None, description="Host keys, relative to this file. Others are refused."
    )
    privilege: Privilege | None = Field(default=None, description="Where the right to capture comes from on the host.")
    jump: Name | None = Field(default=None, description="Node through which this one is reached.")


class SshSection(SshDefaults):
    """How one node is reached."""

    host: Host


class Defaults(Section):
    """What holds for every node that does not say otherwise."""

    ssh: SshDefaults = SshDefaults()


class TranslationSection(Section):
    """An address translation that a node performs."""

    kind: Literal["snat", "dnat", "masquerade"]
    inside: Translated
    outside: Translated


class InterfaceSection(Section):
    """One interface of a node; links declare interfaces as well, so this is only for what a link cannot say."""

    addresses: tuple[Address, ...] = ()
    vrf: Name | None = None


class NodeSection(Section):
    """A host or device."""

    role: Name = Field(default="host", description="client, server, switch, router, firewall, load-balancer …")
    addresses: tuple[Address, ...] = ()
    ssh: SshSection | None = None
    site: Name | None = None
    vrf: Name | None = None
    translations: tuple[TranslationSection, ...] = ()
    shares: dict[Address, Name] = Field(default={}, description="Addresses this node shares with others, such as VRRP.")
    interfaces: dict[InterfaceName, InterfaceSection] = Field(default={})
    pool: tuple[Name, ...] = Field(default=(), description="Nodes that a load balancer hands connections to.")
    snat: Network | None = Field(default=None, description="Address behind which a load balancer hides its clients.")


class LinkSection(Section):
    """What connects two interfaces."""

    endpoints: Annotated[tuple[Endpoint, ...], Field(min_length=2, max_length=2)]
    kind: Name = "ethernet"
    name: Name | None = None
    circuit: Text | None = None
    rate: Rate | None = None
    committed: Rate | None = None
    mtu: Annotated[int, Field(ge=68, le=65535)] | None = None
    one_way_delay: Duration | None = None
    encrypted: Literal["ipsec", "wireguard"] | None = None


class SelectSection(Section):
    """Which part of a trunk, an ERSPAN session or an overlay a point means."""

    vlan: Annotated[int, Field(ge=1, le=4094)] | None = None
    session: Annotated[int, Field(ge=0, le=1023)] | None = None
    vni: Annotated[int, Field(ge=0, le=16777215)] | None = None


class PointSection(Section):
    """A capture point."""

    at: Annotated[Endpoints, Field(min_length=1)]
    mode: Literal["active-standby", "active-active", "lacp", "ecmp"] | None = None
    via: Endpoints = ()
    kind: Literal["span", "rspan", "erspan", "tap-pair"] | None = None
    sees: Sees = "all"
    select: SelectSection = SelectSection()
    supply: Literal["ssh", "file"] = "ssh"


class PathSection(Section):
    """Points in the order in which traffic from client to server meets them."""

    from_: Name = Field(alias="from")
    to: Name
    points: tuple[Name, ...] = ()
    forward: tuple[Name, ...] = Field(default=(), description="The same as points, beside reverse.")
    reverse: tuple[Name, ...] = Field(default=(), description="Points of the way back, in the order answers meet them.")
    nodes: tuple[Name, ...] = ()


class InventoryFile(Section):
    """A network as its owner describes it."""

    schema_: Literal[1] = Field(alias="schema")
    name: Name
    about: Text | None = None
    defaults: Defaults = Defaults()
    nodes: dict[Name, NodeSection]
    links: tuple[LinkSection, ...] = ()
    points: dict[Name, PointSection] = Field(default={})
    paths: dict[Name, PathSection] = Field(default={})
