"""What a run will do on each host: the value that is sealed, stored and carried out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.model.playbook import Authority, Expectation, Window
    from orchestrator.model.topology import Ssh


@dataclass(frozen=True, slots=True, kw_only=True)
class PointPlan:
    """One capture: an interface of a host, a filter and limits."""

    point: str
    node: str
    interface: str
    ssh: Ssh
    filter: str
    snaplen: int
    buffer_bytes: int
    max_seconds: int
    """tcpdump ends by itself after this long, whatever happens."""
    lease_seconds: int
    """The capture ends on the host when nobody renews for this long."""
    disk_free_bytes: int
    file_total_bytes: int
    required: bool = False
    flows: tuple[str, ...] = ()
    complete: bool = True
    """False where the platform or filter does not see everything: such a point may not accuse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPath:
    """Capture points between two ends, nearest to the client first, with the ends' addresses."""

    name: str
    points: tuple[str, ...]
    client_addresses: tuple[str, ...]
    """Addresses or networks of the near end as seen anywhere on the path (translations applied)."""
    server_addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentLabel:
    """What the inventory says lies between two neighbouring points."""

    near: str
    far: str
    contains: tuple[str, ...]
    """Devices, interfaces and links from tap to tap, in order, for the report."""
    name: str | None = None
    """Name of the line on this segment, when it has one."""
    circuit: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturePlan:
    """A playbook worked out against its inventory; no host has been touched."""

    name: str
    about: str
    points: tuple[PointPlan, ...]
    paths: tuple[PlannedPath, ...]
    segments: tuple[SegmentLabel, ...]
    window: Window
    min_points: int
    translations: tuple[tuple[str, str, str], ...] = ()
    """(node, inside, outside) as declared."""
    hosts: Mapping[str, str] = field(default_factory=dict)
    """Address to node name, for reports."""
    ticket: str | None = None
    authority: Authority | None = None
    """Who allowed this, and when; outside its interval nothing may be captured."""
    expect: tuple[Expectation, ...] = ()
    notes: tuple[str, ...] = ()
    """What the planner decided and its user should know."""
