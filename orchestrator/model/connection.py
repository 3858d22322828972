"""Connections and datagram flows, as all points together saw them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from orchestrator.model.finding import FlowKey, Origin, Side

Opened = Literal["handshake", "unanswered", "refused", "unseen", "mid-stream", "datagrams"]
"""SYN and SYN-ACK were seen; nothing answered the SYN; a reset did; an answer was not seen, or may still come; it was
there before; there is nothing to open."""
Closed = Literal["fin", "half", "reset", "open"]
"""Both ends finished; one did; a reset ended it; neither was seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Half:
    """What one end sent."""

    packets: int
    bytes: int
    """Reach of its byte stream as far as it was seen; of datagrams, their payload."""
    resent: int
    """Packets with data that was sent before."""
    vanished: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshake:
    """The opening as one point saw it; differences between neighbours are the round trips of the segment between."""

    point: str
    server_ns: int | None
    """From SYN to SYN-ACK, round trip beyond this point towards the server; None where several SYNs may be meant."""
    client_ns: int | None
    """From the SYN-ACK to the ACK: round trip beyond this point, towards the client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """Small exchanges at equal distances."""

    period_ns: int
    beats: int
    missed: int
    """Beats that did not come between others that did."""
    missed_at_ns: tuple[int, ...] = field(default=(), compare=False)
    """When the first of them should have come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """What one end sent, and sent again, without hearing anything more of the other."""

    by: Side
    """Who sent it."""
    kind: Literal["data", "fin"]
    """What the latest of it was."""
    packets: int
    resent: int
    since_ns: int
    until_ns: int
    last_seen: str
    """The point farthest along the way that saw the latest of it."""
    frame: int
    """Of that packet, there, 1-based."""
    first_missing: str | None
    """The point that should have seen it next and did not; None where it was seen by all."""
    silent_before_ns: int
    """How long the connection had been silent when it began; 0 where it was not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroWindow:
    """An end that took no data for a while: its application did not read."""

    by: Side
    longest_ns: int
    at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One TCP connection, or all datagrams between two ports."""

    flow: FlowKey
    """From client to server, as the point nearest to the client knows them."""
    elsewhere: tuple[tuple[str, FlowKey], ...]
    """Points that know it by other addresses."""
    first_ns: int
    last_ns: int
    opened: Opened
    closed: Closed
    closed_by: Side
    """Whose reset or FIN came first; unknown where a device may have made the reset, or both FINs crossed."""
    origin: Origin | None
    """Of that reset, as it was located; None where none closed it."""
    client: Half
    server: Half
    handshake: tuple[Handshake, ...]
    idle_ns: int
    """The longest time without any packet."""
    idle_at_ns: int
    """When that began."""
    heartbeat: Heartbeat | None
    stall: Stall | None = None
    zero_window: ZeroWindow | None = None
