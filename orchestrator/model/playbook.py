"""What to capture, when, and what is expected of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Keep = Literal["signals", "headers", "full"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """A class of traffic the playbook names. Node names or addresses; empty ``to`` means anywhere."""

    name: str
    clients: tuple[str, ...]
    to: str | None = None
    protocol: str | None = None
    ports: tuple[int, int] | None = None
    """Inclusive range of the server's port."""
    keep: Keep = "headers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The stretch of time that counts."""

    duration_ns: int
    start: str = "now"
    post_roll_ns: int = 2_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    """Always-on capture bounded on disk."""

    keep_ns: int
    file_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a capture may take of a host."""

    disk_free_bytes: int = 1 << 30
    file_total_bytes: int = 4 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """Who allowed this capture, for what, and until when."""

    ticket: str | None = None
    approved_by: str | None = None
    valid_from_ns: int | None = None
    valid_until_ns: int | None = None
    data_class: Keep | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """Where the evidence goes afterwards, and the key that signs it. Absolute paths."""

    to: str
    sign: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """An event that freezes or marks every point. Fields as written in the playbook."""

    when: str
    settings: Mapping[str, str | int | float | bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """A check of the result: ``kind`` is loss, resets, delay, precursor or connection; settings as written."""

    kind: str
    settings: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)
    """By setting: what it means as a number, a share of 1, a count or nanoseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Playbook:
    """A whole playbook, validated."""

    name: str
    about: str
    inventory: str
    """Absolute path."""
    flows: tuple[Flow, ...]
    window: Window
    points: tuple[str, ...] = ()
    """Points to capture at, in no order; empty means all of the inventory."""
    point_flows: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Flows captured at a point, where the playbook restricts them."""
    required: tuple[str, ...] = ()
    min_points: int = 2
    snaplen: int = 160
    buffer_bytes: int = 64 << 20
    filter: str | None = None
    ring: Ring | None = None
    limits: Limits = field(default_factory=Limits)
    authority: Authority | None = None
    triggers: tuple[Trigger, ...] = ()
    expect: tuple[Expectation, ...] = ()
    archive: Archive | None = None
