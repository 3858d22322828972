"""The path: delays, losses, and a clock that only goes forward."""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING

from tests.support.pathsim.wire import TCP, transport_length

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tests.support.pathsim.faults import Fault
    from tests.support.pathsim.wire import Wire

Piece = tuple[int, int, int]
"""First byte of the transport part, end, true time."""
START_NS = 1_790_000_000_000_000_000


class Network:
    """Packets between one client side and one server side over *points* capture points in a row."""

    def __init__(
        self, random_source: random.Random, points: int, *, loss: list[float], delay_ns: list[int], jitter_ns: int,
        doubles: float = 0.0, faults: dict[tuple[int, bool], Fault] | None = None, mtu: tuple[int, ...] = (),
        cuts_tcp: bool = False,
    ) -> None:  # fmt: skip
        """Prepare a path of ``points + 1`` segments.

        Args: loss and delay_ns by segment; doubles the share copied; faults by (segment, forward); mtu
        by segment, 0 for none: what is longer goes on in pieces, TCP only if *cuts_tcp*.
        """
        self.mtu, self.cuts_tcp = mtu, cuts_tcp
        self.faults = faults or {}
        self.doubles = doubles
        self.random, self.points = random_source, points
        self.loss, self.delay_ns, self.jitter_ns = loss, delay_ns, jitter_ns
        self.now = START_NS
        self.sent: list[Wire] = []
        self._agenda: list[tuple[int, int, Callable[[], None]]] = []
        self._number = itertools.count()
        self._last: dict[tuple[bool, int, tuple[int, int]], int] = {}

    def at(self, time_ns: int, action: Callable[[], None]) -> None:
        """Run *action* at *time_ns*."""
        heapq.heappush(self._agenda, (max(time_ns, self.now), next(self._number), action))

    def send(self, packet: Wire, arrived: Callable[[Wire], None], places: tuple[int, int] | None = None) -> None:
        """Put *packet* on the way past the points *places*; *arrived* is called at its end unless it is lost."""
        packet.uid = len(self.sent)
        packet.sent_ns = self.now
        packet.places = first, last = places or (0, self.points - 1)
        self.sent.append(packet)
        packet.may_fragment = any(self.mtu) and (packet.protocol != TCP or self.cuts_tcp)
        order = range(first, last + 2) if packet.forward else range(last + 1, first - 1, -1)
        length = transport_length(packet)
        pieces, crossed = [(0, length, self.now)], []
        for number, segment in enumerate(order):
            passed = [self._pass(packet, one, segment) for one in self._cut(packet, pieces, segment)]
            pieces = [one for one in passed if one is not None]
            if not pieces:
                break
            if number <= last - first:
                crossed += [min(time for _, _, time in pieces)] * (packet.lost_on is None)
                if pieces[0][:2] != (0, length):
                    packet.pieces[number] = tuple(pieces)
        packet.crossed = tuple(crossed)
        if packet.lost_on is None:
            time = max(time for _, _, time in pieces)
            self.at(time, lambda: arrived(packet))
            if self.doubles and self.random.random() < self.doubles:
                since = self.random.randrange(len(order))  # on this segment of its way
                packet.again = tuple(t + 30_000 for t in crossed[since:])
                self.at(time + 30_000, lambda: arrived(packet))

    def _cut(self, packet: Wire, pieces: list[Piece], segment: int) -> list[Piece]:
        """Return *pieces* as a router, or the host, hands them to the line of *segment*."""
        longest = self.mtu[segment] - 20 if packet.may_fragment and self.mtu[segment] else 1 << 20
        step = longest // 8 * 8
        return [
            (start, end if end - begin <= longest else min(start + step, end), time)
            for begin, end, time in pieces
            for start in range(begin, end, step if end - begin > longest else end - begin)
        ]

    def _pass(self, packet: Wire, piece: Piece, segment: int) -> Piece | None:
        """Let one piece cross *segment*; return it as it arrives, or None."""
        begin, end, time = piece
        fault = self.faults.get((segment, packet.forward))
        held = fault.holds(packet, time, self.random) if fault is not None else 0
        if held is None or self.random.random() < self.loss[segment]:
            packet.lost_on = segment if packet.lost_on is None else packet.lost_on
            packet.deaths.append((segment, begin, end))
            return None
        time += self.delay_ns[segment] + int(self.random.expovariate(1.0) * self.jitter_ns) + held
        key = (packet.forward, segment, packet.places)
        if self.jitter_ns < 1_000_000 and (fault is None or fault.keeps_order):  # small jitter is queueing
            time = max(time, self._last.get(key, 0) + 1_000)
        self._last[key] = max(time, self._last.get(key, 0))
        return begin, end, time

    def run(self, until_ns: int) -> None:
        """Let time pass."""
        while self._agenda and self._agenda[0][0] <= until_ns:
            time, _, action = heapq.heappop(self._agenda)
            self.now = time
            action()
        self.now = until_ns


class Leg:
    """The part of a path on one side of a relay that ends connections and opens its own."""

    def __init__(self, whole: Network, places: tuple[int, int]) -> None:
        """Take the points *places* of *whole*."""
        self.whole, self.places = whole, places
        self.random, self.sent, self.at = whole.random, whole.sent, whole.at

    @property
    def now(self) -> int:
        """Return the true time."""
        return self.whole.now

    def send(self, packet: Wire, arrived: Callable[[Wire], None]) -> None:
        """Put *packet* on its way."""
        self.whole.send(packet, arrived, self.places)
