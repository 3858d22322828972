"""What somebody wants cut out of the captures of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

HOUR_NS = 3_600 * 10**9
DAY_NS = 24 * HOUR_NS


@dataclass(frozen=True, slots=True)
class Moment:
    """A time as people give it: absolute, so long after the window opened, or of the day."""

    kind: Literal["absolute", "after", "of-day"]
    ns: int
    shift_ns: int = 0
    """Added at the end: for what lies around a moment."""

    def resolve(self, begin_ns: int) -> int:
        """Return nanoseconds since the epoch for a window that opened at *begin_ns*."""
        if self.kind == "absolute":
            return self.ns + self.shift_ns
        if self.kind == "after":
            return begin_ns + self.ns + self.shift_ns
        earliest = begin_ns - HOUR_NS  # who names a time just before the window does not mean the next day
        return earliest + (self.ns - earliest) % DAY_NS + self.shift_ns


@dataclass(frozen=True, slots=True)
class End:
    """One end of a flow; None where anything goes."""

    address: tuple[int, int] | None = None
    """Two big-endian halves, IPv4 in the low 32 bits."""
    port: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked for; everything given must hold, of several flows or points any."""

    start: Moment | None = None
    end: Moment | None = None
    flows: tuple[tuple[End, End], ...] = ()
    """Either way round."""
    points: tuple[str, ...] = ()
    vanished: bool = False
    resets: bool = False
    context_packets: int = 0
    """Before and after what vanished or was reset, at every point."""
    context_ns: int = 0
