"""Build frames and capture files in a test, byte by byte."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


@dataclass(frozen=True)
class Packet:
    """One IPv4 packet as it leaves its sender."""

    src: str
    dst: str
    sport: int
    dport: int
    ip_id: int = 0
    ttl: int = 64
    payload: bytes = b""
    protocol: int = 6
    seq: int = 0
    ack: int = 0
    flags: int = ACK
    window: int = 512
    tsval: int | None = None

    def hop(self, count: int = 1) -> Packet:
        return replace(self, ttl=self.ttl - count)

    def bytes(self) -> bytes:
        if self.protocol == 17:
            body = struct.pack(">HHHH", self.sport, self.dport, 8 + len(self.payload), 0) + self.payload
        else:
            options = b"" if self.tsval is None else b"\x01\x01\x08\x0a" + struct.pack(">II", self.tsval, 7)
            offset = (20 + len(options)) // 4 << 4
            body = struct.pack(
                ">HHIIBBHHH", self.sport, self.dport, self.seq, self.ack, offset, self.flags, self.window, 0, 0
            )
            body += options + self.payload
        head = struct.pack(
            ">BBHHHBBH4s4s", 0x45, 0, 20 + len(body), self.ip_id, 0x4000, self.ttl, self.protocol, 0,
            socket.inet_aton(self.src), socket.inet_aton(self.dst),
        )  # fmt: skip
        return head + body


def write_pcap(
    path: Path, records: Iterable[tuple[int, bytes]], *, link_type: int = 101, snaplen: int = 65535, big: bool = False
) -> Path:
    """Write (nanoseconds, frame) *records* as a nanosecond pcap."""
    order = ">" if big else "<"
    out = [struct.pack(order + "IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, snaplen, link_type)]
    for time_ns, frame in records:
        kept = frame[:snaplen]
        out.append(struct.pack(order + "IIII", time_ns // 10**9, time_ns % 10**9, len(kept), len(frame)) + kept)
    path.write_bytes(b"".join(out))
    return path


def records_of(path: Path) -> tuple[bytes, list[bytes]]:
    """Return the header and the records, each with its own header of 16 bytes, of a little-endian pcap."""
    data = path.read_bytes()
    found, at = [], 24
    while at < len(data):
        size = 16 + int.from_bytes(data[at + 8 : at + 12], "little")
        found.append(data[at : at + size])
        at += size
    return data[:24], found
