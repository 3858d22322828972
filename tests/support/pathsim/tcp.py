"""A small TCP: handshake, window, cumulative acknowledgements, fast retransmit, time-outs, close or abort."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.pathsim.wire import ACK, FIN, M32, PSH, RST, SYN, TCP, Wire

if TYPE_CHECKING:
    from tests.support.pathsim.network import Leg, Network

RTO_NS = 220_000_000
DUPLICATES = 3
POOL = bytes((k * k * 31 + k * 7 + (k >> 5)) & 0xFF for k in range(70_000))


@dataclass(frozen=True, slots=True)
class Stack:
    """How one host's TCP behaves."""

    ids: str = "counter"
    """IP identification: counter (a connection), zero, global or random."""
    timestamps: bool = True
    mss: int = 1448
    window: int = 10
    """Segments in flight."""
    delayed_ack: bool = False


@dataclass(slots=True)
class _Side:
    """One end of a connection."""

    stack: Stack
    forward: bool
    isn: int
    ip_id: int
    una: int = 0
    nxt: int = 0
    queued: int = 0
    got: int = 0
    """In-order bytes received, SYN and FIN counted."""
    early: dict[int, int] = field(default_factory=dict)
    duplicates: int = 0
    timer: int = 0
    backoff: int = 0
    peer_tsval: int = 0
    fin_at: int | None = None
    unacked: int = 0
    recover: int = 0


class Connection:
    """One TCP connection whose ends exchange *turns*: (from the client?, bytes), one after the other."""

    def __init__(
        self, net: Network | Leg, client: tuple[str, int], server: tuple[str, int], stacks: tuple[Stack, Stack],
        turns: list[tuple[bool, int]], *, gap_ns: int = 3_000_000, ending: str = "fin", tos: int = 0,
        content: int = 0,
    ) -> None:  # fmt: skip
        """Open at once; *ending* is fin, reset (the client aborts) or none."""
        self.net, self.client, self.server, self.turns = net, client, server, list(turns)
        self.gap_ns, self.ending, self.tos, self.content = gap_ns, ending, tos, content
        draw = net.random.getrandbits
        self.sides = {
            True: _Side(stacks[0], forward=True, isn=draw(32), ip_id=draw(16)),
            False: _Side(stacks[1], forward=False, isn=draw(32), ip_id=draw(16)),
        }
        self.dead = self.established = False
        self._open()

    def _open(self) -> None:
        side = self.sides[True]
        side.nxt = 1
        self._emit(side, 0, SYN, b"")
        self._arm(side)

    def _emit(self, side: _Side, place: int, flags: int, payload: bytes) -> None:
        """Send one segment that starts at *place* of the side's stream."""
        other = self.sides[not side.forward]
        number = 0
        if not (flags & SYN and flags & ACK) and not flags & RST:
            if side.stack.ids == "counter":
                side.ip_id = (side.ip_id + 1) & 0xFFFF
                number = side.ip_id
            elif side.stack.ids == "global":
                number = (len(self.net.sent) * 3 + 17) & 0xFFFF
            elif side.stack.ids == "random":
                number = self.net.random.getrandbits(16)
        times = None
        if side.stack.timestamps and other.stack.timestamps and not flags & RST:
            times = ((self.net.now // 1_000_000 + side.isn) & M32, side.peer_tsval)
        packet = Wire(
            uid=-1, forward=side.forward, protocol=TCP, client=self.client, server=self.server, ip_id=number,
            seq=(side.isn + place) & M32, ack=(other.isn + side.got) & M32 if flags & ACK else 0, flags=flags,
            times=times, mss=self._offered(side) if flags & SYN else 0, payload=payload, tos=self.tos,
        )  # fmt: skip
        side.unacked = 0
        self.net.send(packet, lambda p: self._arrive(p, place))

    def _offered(self, side: _Side) -> int:
        """Return the MSS option: what a segment would hold without the options of every segment."""
        stamped = self.sides[True].stack.timestamps and self.sides[False].stack.timestamps
        return side.stack.mss + (12 if stamped else 0)

    def _arm(self, side: _Side) -> None:
        """Start the retransmission timer anew."""
        side.timer += 1
        mine = side.timer
        self.net.at(self.net.now + (RTO_NS << min(side.backoff, 4)), lambda: self._expired(side, mine))

    def _expired(self, side: _Side, timer: int) -> None:
        if self.dead or timer != side.timer or side.una >= side.nxt:
            return
        side.backoff += 1
        if side.backoff > 6:
            self.dead = True
            return
        self._resend(side)
        side.recover = side.nxt
        self._arm(side)

    def _resend(self, side: _Side) -> None:
        """Send the oldest unacknowledged segment again."""
        if side.una == 0:
            self._emit(side, 0, SYN if side.forward else SYN | ACK, b"")
        elif side.fin_at is not None and side.una == side.fin_at:
            self._emit(side, side.una, FIN | ACK, b"")
        else:
            limit = side.fin_at if side.fin_at is not None else side.nxt
            self._data(side, side.una, min(side.stack.mss, limit - side.una))

    def _data(self, side: _Side, place: int, size: int) -> None:
        start = (place * 7 + self.content + 31 * side.forward) % 60_000
        end_of_turn = place + size == side.queued + 1
        self._emit(side, place, ACK | (PSH if end_of_turn else 0), (POOL * 2)[start : start + size])

    def _arrive(self, packet: Wire, place: int) -> None:
        """Let the receiving end take *packet* in."""
        if self.dead:
            return
        side, peer = self.sides[not packet.forward], self.sides[packet.forward]
        if packet.flags & RST:
            self.dead = True
            return
        if packet.times is not None and place <= side.got:
            side.peer_tsval = packet.times[0]
        if packet.flags & ACK:
            self._acknowledged(side, (packet.ack - side.isn) & M32, has_data=bool(packet.payload))
        length = len(packet.payload) + (1 if packet.flags & (SYN | FIN) else 0)
        if packet.flags & SYN:
            self._opened(side, peer, packet)
            return
        if length and not self.dead:
            self._take(side, place, length)

    def _opened(self, side: _Side, peer: _Side, packet: Wire) -> None:
        del peer
        side.got = max(side.got, 1)
        if not packet.flags & ACK:
            side.nxt = max(side.nxt, 1)
            self._emit(side, 0, SYN | ACK, b"")
            self._arm(side)
            return
        self._emit(side, side.nxt, ACK, b"")
        if not self.established:
            self.established = True
            self._next_turn()

    def _take(self, side: _Side, place: int, length: int) -> None:
        """Take in bytes and acknowledge them."""
        before = side.got
        side.early[place] = max(length, side.early.get(place, 0))
        while True:
            usable = [p for p, n in side.early.items() if p <= side.got]
            if not usable:
                break
            for start in usable:
                side.got = max(side.got, start + side.early.pop(start))
        in_order = side.got > before and not side.early
        side.unacked += 1
        if side.stack.delayed_ack and in_order and side.unacked < 2:
            expected = side.got
            self.net.at(self.net.now + 40_000_000, lambda: self._late_ack(side, expected))
        else:
            self._emit(side, side.nxt, ACK, b"")
        peer = self.sides[not side.forward]
        if side.got == peer.queued + 1 and side.got > before:
            self._turn_done(peer)
        if peer.fin_at is not None and side.got == peer.fin_at + 1 and side.got > before and side.fin_at is None:
            self._close(side)

    def _late_ack(self, side: _Side, expected: int) -> None:
        if not self.dead and side.unacked and side.got == expected:
            self._emit(side, side.nxt, ACK, b"")

    def _acknowledged(self, side: _Side, upto: int, *, has_data: bool) -> None:
        """Take in an acknowledgement of *side*'s bytes."""
        if upto > side.una and upto <= side.nxt:
            side.una, side.duplicates, side.backoff = upto, 0, 0
            self._arm(side)
            if upto < side.recover:
                self._resend(side)  # the next hole (RFC 6582)
            self._fill(side)
        elif upto == side.una and side.una < side.nxt and not has_data:
            side.duplicates += 1
            if side.duplicates == DUPLICATES and side.una >= side.recover:
                side.recover = side.nxt
                self._resend(side)

    def _fill(self, side: _Side) -> None:
        """Send what the window allows."""
        while side.nxt < side.queued + 1 and side.nxt - side.una < side.stack.window * side.stack.mss:
            size = min(side.stack.mss, side.queued + 1 - side.nxt)
            place = side.nxt
            side.nxt += size
            self._data(side, place, size)
            self._arm(side)

    def _next_turn(self) -> None:
        if not self.turns:
            if self.ending == "fin":
                self._close(self.sides[True])
            elif self.ending == "reset":
                self.dead = True
                side = self.sides[True]
                self._emit(side, side.nxt, RST | ACK, b"")
            return
        from_client, size = self.turns.pop(0)
        side = self.sides[from_client]
        side.queued += size
        self.net.at(self.net.now + self.gap_ns, lambda: None if self.dead else self._fill(side))

    def _turn_done(self, side: _Side) -> None:
        if side.queued and side.fin_at is None:
            self._next_turn()

    def _close(self, side: _Side) -> None:
        side.fin_at = side.nxt
        side.nxt += 1
        self._emit(side, side.fin_at, FIN | ACK, b"")
        self._arm(side)
