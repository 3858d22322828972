"""Why a segment loses, holds up or reorders packets: one class a mechanism."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol
from zlib import crc32

if TYPE_CHECKING:
    import random

    from tests.support.pathsim.wire import Wire

HEADERS = 40


def size(packet: Wire) -> int:
    """Return the bytes of *packet* on the line, roughly."""
    return len(packet.payload) + HEADERS


class Fault(Protocol):
    """What happens to packets on one segment and direction, asked in order of their arrival there."""

    keeps_order: bool

    def holds(self, packet: Wire, time_ns: int, source: random.Random) -> int | None:
        """Return for how long *packet* is held up, None when it is dropped."""


@dataclass(slots=True)
class Queue:
    """A line of *rate* bits a second behind a queue that drops what does not fit into *limit* bytes."""

    rate: float
    limit: int
    free_at_ns: float = 0.0
    keeps_order: ClassVar[bool] = True

    def holds(self, packet: Wire, time_ns: int, source: random.Random) -> int | None:
        """Wait for what is queued, then for itself."""
        del source
        waiting = max(0.0, self.free_at_ns - time_ns)
        if waiting * self.rate / 8e9 + size(packet) > self.limit:
            return None
        self.free_at_ns = time_ns + waiting + size(packet) * 8e9 / self.rate
        return int(self.free_at_ns - time_ns)


@dataclass(slots=True)
class Policer:
    """A token bucket of *burst* bytes that fills with *rate* bits a second; what finds it empty is dropped."""

    rate: float
    burst: int
    level: float = -1.0
    at_ns: int = 0
    keeps_order: ClassVar[bool] = True

    def holds(self, packet: Wire, time_ns: int, source: random.Random) -> int | None:
        """Pass at once or never."""
        del source
        if self.level < 0:
            self.level, self.at_ns = self.burst, time_ns
        self.level = min(self.burst, self.level + (time_ns - self.at_ns) * self.rate / 8e9)
        self.at_ns = time_ns
        if self.level < size(packet):
            return None
        self.level -= size(packet)
        return 0


@dataclass(slots=True)
class Chance:
    """Every packet with the same chance."""

    share: float
    keeps_order: ClassVar[bool] = True

    def holds(self, packet: Wire, time_ns: int, source: random.Random) -> int | None:
        """Draw a lot."""
        del packet, time_ns
        return None if source.random() < self.share else 0


@dataclass(slots=True)
class Bursts:
    """Gilbert and Elliott: in a bad state that comes with *begins* and ends with *ends* a packet, *share* is lost."""

    begins: float
    ends: float
    share: float
    is_bad: bool = False
    keeps_order: ClassVar[bool] = True

    def holds(self, packet: Wire, time_ns: int, source: random.Random) -> int | None:
        """Change the state, then draw a lot."""
        del packet, time_ns
        self.is_bad = source.random() >= self.ends if self.is_bad else source.random() < self.begins
        return None if self.is_bad and source.random() < self.share else 0


@dataclass(slots=True)
class Member:
    """One of *members* links of a bundle loses *share* of its packets; a hash of the client's port chooses the link."""

    members: int
    share: float
    salt: int = 0
    keeps_order: ClassVar[bool] = True

    def is_bad(self, port: int) -> bool:
        """Say whether packets of *port* take the bad link."""
        return crc32(f"{port} {self.salt}".encode()) % self.members == 0

    def holds(self, packet: Wire, time_ns: int, source: random.Random) -> int | None:
        """Draw a lot on the bad link alone."""
        del time_ns
        return None if self.is_bad(packet.client[1]) and source.random() < self.share else 0


@dataclass(slots=True)
class Narrow:
    """Nothing longer than *longest* passes, and nobody is told."""

    longest: int
    keeps_order: ClassVar[bool] = True

    def holds(self, packet: Wire, time_ns: int, source: random.Random) -> int | None:
        """Look at the length."""
        del time_ns, source
        return None if size(packet) > self.longest else 0


@dataclass(slots=True)
class Outage:
    """Nothing passes from *begins_ns* to *ends_ns*."""

    begins_ns: int
    ends_ns: int
    keeps_order: ClassVar[bool] = True

    def holds(self, packet: Wire, time_ns: int, source: random.Random) -> int | None:
        """Look at the time."""
        del packet, source
        return None if self.begins_ns <= time_ns < self.ends_ns else 0


@dataclass(slots=True)
class Policy:
    """Nothing to or from *port* of the servers passes."""

    port: int
    keeps_order: ClassVar[bool] = True

    def holds(self, packet: Wire, time_ns: int, source: random.Random) -> int | None:
        """Look at the port."""
        del time_ns, source
        return None if packet.server[1] == self.port else 0


@dataclass(slots=True)
class Detour:
    """A *share* of the packets takes *longer_ns* more and is overtaken."""

    share: float
    longer_ns: int
    keeps_order: ClassVar[bool] = False

    def holds(self, packet: Wire, time_ns: int, source: random.Random) -> int | None:
        """Draw a lot."""
        del packet, time_ns
        return self.longer_ns if source.random() < self.share else 0
