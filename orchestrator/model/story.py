"""The story of one packet or connection: what every point saw of it, step by step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.model.wanted import End


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What somebody wants explained: exactly one of the first four."""

    reset: int | None = None
    """Its number in the report, from 1."""
    vanished: int | None = None
    """Likewise."""
    frame: tuple[str, int] | None = None
    """A point, and the number of a frame there, from 1."""
    flow: tuple[End, End] | None = None
    context: int = 5
    """Packets of the connection to tell before and after what matters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One packet at one point that saw it."""

    point: str
    frame: int
    """From 1, through the point's files."""
    time_ns: int
    """Reference clock."""
    after_ns: int
    """Since the first sighting, on the reference clock."""
    uncertainty_ns: int | None
    """Hard half-width of ``after_ns``; None where a clock is unbounded."""
    ttl: int
    copies: int
    """Further frames of this point that show it."""
    changed: tuple[str, ...]
    """What differs from the first sighting, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """One packet at one point that did not see it."""

    point: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One packet of a connection."""

    packet: int
    """``frame.packet_id`` of all its copies in written files."""
    time_ns: int
    """Seen first, reference clock."""
    along: bool
    """Whether it goes the way of the connection's first packet."""
    what: str
    seen: tuple[bool, ...]
    """By point of the story."""
    fate: str
    """What is to be said about it beside what was seen; often nothing."""
    skipped: int
    """Packets before it that are not told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What is told."""

    title: str
    way: tuple[str, str]
    """Sender and receiver of the connection's first packet, as seen there."""
    points: tuple[str, ...]
    steps: tuple[Step, ...]
    focus: int | None
    """Packet number of what was asked for; None for a whole connection."""
    left_out: int
    """Packets behind the last step that are not told."""
    sightings: tuple[Sighting, ...] = ()
    absences: tuple[Absence, ...] = ()
    evidence: tuple[str, ...] = ()
    decoded: tuple[str, ...] = ()
    """The frame of the first sighting, field by field."""
