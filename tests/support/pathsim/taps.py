"""What capture points record: views, super-segments, misses, copies, wrong clocks, shells, cut frames."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tests.support.pathsim.wire import FIN, PSH, RST, SYN, TCP, View, Wire, datagram, ones_sum

if TYPE_CHECKING:
    import random
    from pathlib import Path

LONGEST_SUPER = 64_000
MERGE_WITHIN_NS = 700_000


@dataclass(frozen=True, slots=True)
class Clock:
    """A host's clock against true time."""

    offset_ns: int = 0
    drift_ppm: float = 0.0
    step_at_ns: int = 0
    step_ns: int = 0

    def reads(self, true_ns: int, start_ns: int) -> int:
        """Return what it shows at *true_ns*."""
        slip = int((true_ns - start_ns) * self.drift_ppm * 1e-6)
        step = self.step_ns if self.step_at_ns and true_ns >= start_ns + self.step_at_ns else 0
        return true_ns + self.offset_ns + slip + step


@dataclass(frozen=True, slots=True)
class Tap:
    """One capture point."""

    name: str
    place: int
    """Its number along the path."""
    view: View = field(default_factory=View)
    clock: Clock = field(default_factory=Clock)
    shell: str = "ethernet"
    snaplen: int = 262_144
    miss: float = 0.0
    reports: bool = False
    """Writes pcapng with its drop counter."""
    merges: str = ""
    """tso: what its host sends is seen before it is split; gro: what it receives after it was joined; both."""
    host_is_client: bool = True
    mirror_loses: float = 0.0
    """Share of ERSPAN shells, numbered by the switch, that never reach the capture."""
    mirrored: str = ""
    """copy: every frame twice, microseconds apart; both-ways: once before and once after routing."""


@dataclass(slots=True)
class Record:
    """One frame in a capture file."""

    true_ns: int
    frame: bytes
    uids: tuple[int, ...]
    piece: tuple[int, int] | None = None
    """Which bytes of a datagram it is, where it is but a piece."""


def record(tap: Tap, packets: list[Wire], random_source: random.Random) -> tuple[list[Record], int]:
    """Return what *tap* writes of *packets*, in the order of its file, and how many it missed."""
    passing = [one for packet in packets for one in _passing(tap, packet)]
    passing.sort(key=lambda p: p[0])
    if tap.merges:
        passing = _merged(tap, passing)
    records, missed = [], 0
    for time, parts in passing:
        if tap.miss and random_source.random() < tap.miss:
            missed += 1
            continue
        uids = tuple(p.uid for p in parts)
        routed = tap.mirrored == "both-ways"
        before = int(routed and not parts[0].forward)  # seen from the server, the other side of the router comes first
        records.append(Record(time, _frame(tap, parts, before), uids, parts[0].piece))
        if tap.mirrored == "copy":
            records.append(Record(time + 4_000, _frame(tap, parts, 0), uids, parts[0].piece))
        elif routed:
            records.append(Record(time + 25_000, _frame(tap, parts, 1 - before), uids, parts[0].piece))
    records.sort(key=lambda r: r.true_ns)
    if tap.shell == "erspan":
        records = _numbered(tap, records, random_source)
    return records, missed


def _passing(tap: Tap, packet: Wire) -> list[tuple[int, list[Wire]]]:
    """Return when *packet*, or what of it, passes *tap*: whole or in pieces, once or twice."""
    first, last = packet.places
    index = tap.place - first if packet.forward else last - tap.place
    points = last - first + 1
    twice = packet.again and points > index >= points - len(packet.again)
    if index in packet.pieces:
        parts = [(time, [replace(packet, piece=(begin, end))]) for begin, end, time in packet.pieces[index]]
        return parts + [(time + 30_000, part) for time, part in parts if twice]
    found = [(packet.crossed[index], [packet])] if 0 <= index < len(packet.crossed) else []
    return [*found, (packet.again[index - points + len(packet.again)], [packet])] if twice else found


def _numbered(tap: Tap, records: list[Record], random_source: random.Random) -> list[Record]:
    """Let the switch number its shells, and the network lose some on their way to the capture."""
    for number, one in enumerate(records):
        one.frame = one.frame[:38] + struct.pack(">I", (0xFFFFFF00 + number) & 0xFFFFFFFF) + one.frame[42:]
    return [r for r in records if not tap.mirror_loses or random_source.random() >= tap.mirror_loses]


def _merged(tap: Tap, passing: list[tuple[int, list[Wire]]]) -> list[tuple[int, list[Wire]]]:
    """Join wire segments as the host's card or stack would."""
    result: list[tuple[int, list[Wire]]] = []
    open_ones: dict[tuple[object, ...], int] = {}
    for time, (packet,) in passing:
        if packet.piece is not None:
            result.append((time, [packet]))
            continue
        outgoing = packet.forward == tap.host_is_client
        wanted = tap.merges in {"both", "tso" if outgoing else "gro"}
        key = (packet.client, packet.server, packet.forward)
        known = open_ones.get(key)
        if wanted and known is not None and _joins(result[known], packet, time):
            when, parts = result[known]
            parts.append(packet)
            result[known] = (when if outgoing else time, parts)
            continue
        open_ones.pop(key, None)
        result.append((time, [packet]))
        if wanted and packet.protocol == TCP and packet.payload and not packet.flags & (SYN | FIN | RST | PSH):
            open_ones[key] = len(result) - 1
    return sorted(result, key=lambda r: r[0])


def _joins(held: tuple[int, list[Wire]], packet: Wire, time: int) -> bool:
    """Say whether *packet* goes on where the held segments end, with the same header."""
    when, parts = held
    first, last = parts[0], parts[-1]
    size = sum(len(p.payload) for p in parts)
    if last.flags & (PSH | FIN) or len(last.payload) != len(first.payload):
        return False
    follows = packet.seq == (last.seq + len(last.payload)) & 0xFFFFFFFF and packet.ip_id in {
        (last.ip_id + 1) & 0xFFFF, last.ip_id if last.ip_id == 0 else -1,
    }  # fmt: skip
    same = (packet.ack, packet.window, packet.times) == (last.ack, last.window, last.times)
    fits = 0 < len(packet.payload) <= len(first.payload) and size + len(packet.payload) <= LONGEST_SUPER
    return follows and same and fits and time - when < MERGE_WITHIN_NS and not packet.flags & (SYN | RST)


def _frame(tap: Tap, parts: list[Wire], hops_more: int) -> bytes:
    """Return the frame as captured, before it is cut."""
    view = tap.view
    if hops_more:
        view = View(**{n: getattr(view, n) for n in View.__dataclass_fields__} | {
            "hops": view.hops + hops_more, "hops_behind": view.hops_behind - hops_more,
        })  # fmt: skip
    payload = b"".join(p.payload for p in parts) if len(parts) > 1 else None
    flags = parts[0].flags | (parts[-1].flags & (PSH | FIN)) if len(parts) > 1 else None
    inner = datagram(parts[0], view, payload, flags)
    return SHELLS[tap.shell](inner, parts[0], hops_more)


def _macs(packet: Wire, hop: int) -> bytes:
    pair = (b"\x02\0\0\0\0" + bytes([1 + hop]), b"\x02\0\0\0\0" + bytes([2 + hop]))
    return b"".join(pair if packet.forward else pair[::-1])


def _ethernet(inner: bytes, packet: Wire, hop: int) -> bytes:
    frame = _macs(packet, hop) + b"\x08\0" + inner
    return frame + b"\0" * (60 - len(frame))


def _vlan(inner: bytes, packet: Wire, hop: int) -> bytes:
    return _macs(packet, hop) + b"\x81\0\0\x14\x08\0" + inner


def _qinq(inner: bytes, packet: Wire, hop: int) -> bytes:
    return _macs(packet, hop) + b"\x88\xa8\0\x64\x81\0\0\x14\x08\0" + inner


def _mpls(inner: bytes, packet: Wire, hop: int) -> bytes:
    return _macs(packet, hop) + b"\x88\x47\0\0\x11\x40" + inner


def _pppoe(inner: bytes, packet: Wire, hop: int) -> bytes:
    return _macs(packet, hop) + b"\x88\x64\x11\0\0\x01" + struct.pack(">H", len(inner) + 2) + b"\0\x21" + inner


def _outer(protocol: int, body: bytes, packet: Wire) -> bytes:
    """Return an IPv4 packet between two tunnel ends."""
    ends = (b"\xc6\x33\x64\x01", b"\xc6\x33\x64\x02")
    source, target = ends if packet.forward else ends[::-1]
    total = min(20 + len(body), 65535)
    head = struct.pack(">BBHHHBBH", 0x45, 0, total, packet.uid & 0xFFFF, 0, 60, protocol, 0) + source + target
    return head[:10] + struct.pack(">H", 0xFFFF - ones_sum(head)) + head[12:] + body


def _vxlan(inner: bytes, packet: Wire, hop: int) -> bytes:
    body = b"\x08\0\0\0\0\0\x2a\0" + _ethernet(inner, packet, hop)
    udp = struct.pack(">HHHH", 50_000 + packet.client[1] % 1000, 4789, min(8 + len(body), 65535), 0)
    return _ethernet(_outer(17, udp + body, packet), packet, hop)


def _geneve(inner: bytes, packet: Wire, hop: int) -> bytes:
    body = b"\0\0\x65\x58\0\0\x2a\0" + _ethernet(inner, packet, hop)
    udp = struct.pack(">HHHH", 50_000 + packet.client[1] % 1000, 6081, min(8 + len(body), 65535), 0)
    return _ethernet(_outer(17, udp + body, packet), packet, hop)


def _gre(inner: bytes, packet: Wire, hop: int) -> bytes:
    return _ethernet(_outer(47, b"\0\0\x08\0" + inner, packet), packet, hop)


def _ipip(inner: bytes, packet: Wire, hop: int) -> bytes:
    return _ethernet(_outer(4, inner, packet), packet, hop)


def _erspan(inner: bytes, packet: Wire, hop: int) -> bytes:
    gre = struct.pack(">HHI", 0x1000, 0x88BE, 0)
    return _ethernet(_outer(47, gre + b"\x10\x14\0\x07\0\0\0\0" + _ethernet(inner, packet, hop), packet), packet, hop)


def _cooked(inner: bytes, packet: Wire, hop: int) -> bytes:
    del hop
    return b"\0\0\0\x01\0\x06\x02\0\0\0\0\x01\0\0\x08\0" + inner if packet else inner


def _raw(inner: bytes, packet: Wire, hop: int) -> bytes:
    del packet, hop
    return inner


SHELLS = {
    "ethernet": _ethernet, "vlan": _vlan, "qinq": _qinq, "mpls": _mpls, "pppoe": _pppoe, "vxlan": _vxlan,
    "geneve": _geneve, "gre": _gre, "ipip": _ipip, "erspan": _erspan, "cooked": _cooked, "raw": _raw,
}  # fmt: skip
LINK_TYPES = {"cooked": 113, "raw": 101}


def write(path: Path, tap: Tap, records: list[Record], missed: int, start_ns: int) -> None:
    """Write *records* as a nanosecond pcap, or as a pcapng that says how many packets were *missed*."""
    link_type = LINK_TYPES.get(tap.shell, 1)
    stamped = [(tap.clock.reads(r.true_ns, start_ns), r.frame) for r in records]
    if tap.reports:
        path.write_bytes(_pcapng(stamped, link_type, tap.snaplen, missed))
        return
    out = [struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, tap.snaplen, link_type)]
    for stamp, frame in stamped:
        kept = frame[: tap.snaplen]
        out.append(struct.pack("<IIII", stamp // 10**9, stamp % 10**9, len(kept), len(frame)) + kept)
    path.write_bytes(b"".join(out))


def _pcapng(stamped: list[tuple[int, bytes]], link_type: int, snaplen: int, missed: int) -> bytes:
    """Return a section with one interface, its packets and its statistics."""
    out = [
        struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28),
        struct.pack("<IIHHIHHB3xII", 1, 32, link_type, 0, snaplen, 9, 1, 9, 0, 32),
    ]
    for stamp, frame in stamped:
        kept = frame[:snaplen]
        body = kept + b"\0" * (-len(kept) % 4)
        length = 32 + len(body)
        head = struct.pack("<IIIIIII", 6, length, 0, stamp >> 32, stamp & 0xFFFFFFFF, len(kept), len(frame))
        out.append(head + body + struct.pack("<I", length))
    counters = struct.pack("<HHQHHQI", 4, 8, len(stamped) + missed, 7, 8, missed, 0)
    out.append(struct.pack("<IIIII", 5, 24 + len(counters), 0, 0, 0) + counters + struct.pack("<I", 24 + len(counters)))
    return b"".join(out)
