"""Put packets into other packets in a test: every encapsulation as bytes."""

from __future__ import annotations

import socket
import struct

ETHERNET_HEADER = b"\x02\0\0\0\0\x0a\x02\0\0\0\0\x0b"


def checked(packet: bytes) -> bytes:
    """Return an IPv4 *packet* with the checksum of its header."""
    length = (packet[0] & 15) * 4
    header = packet[:10] + b"\0\0" + packet[12:length]
    total = sum(struct.unpack(f">{length // 2}H", header))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return header[:10] + struct.pack(">H", ~total & 0xFFFF) + packet[12:]


def ip4(protocol: int, body: bytes, *, src: str = "192.0.2.1", dst: str = "192.0.2.2", options: bytes = b"") -> bytes:
    header = struct.pack(
        ">BBHHHBBH4s4s", 0x45 + len(options) // 4, 0, 20 + len(options) + len(body), 9, 0, 60, protocol, 0,
        socket.inet_aton(src), socket.inet_aton(dst),
    )  # fmt: skip
    return checked(header + options + body)


def ip6(protocol: int, body: bytes, *, src: str = "2001:db8::1", dst: str = "2001:db8::2") -> bytes:
    addresses = socket.inet_pton(socket.AF_INET6, src) + socket.inet_pton(socket.AF_INET6, dst)
    return struct.pack(">IHBB", 6 << 28, len(body), protocol, 60) + addresses + body


def udp(port: int, body: bytes, *, sport: int = 50_000) -> bytes:
    return ip4(17, struct.pack(">HHHH", sport, port, 8 + len(body), 0) + body)


def ethernet(kind: int, body: bytes) -> bytes:
    return ETHERNET_HEADER + struct.pack(">H", kind) + body


def gre(
    kind: int, body: bytes, *, key: int | None = None, sequence: int | None = None, checksum: bool = False
) -> bytes:
    flags = (0x8000 if checksum else 0) | (0x2000 if key is not None else 0) | (0x1000 if sequence is not None else 0)
    fields = [b"\x12\x34\0\0" if checksum else b""]
    fields += [struct.pack(">I", number) for number in (key, sequence) if number is not None]
    return ip4(47, struct.pack(">HH", flags, kind) + b"".join(fields) + body)


def vxlan(frame: bytes, *, port: int = 4789, vni: int = 77) -> bytes:
    return udp(port, struct.pack(">II", 0x08000000, vni << 8) + frame)


def geneve(kind: int, body: bytes, *, options: bytes = b"") -> bytes:
    return udp(6081, struct.pack(">BBHI", len(options) // 4, 0, kind, 77 << 8) + options + body)


def gtp(body: bytes, *, optional: bytes = b"", flags: int = 0x30) -> bytes:
    return udp(2152, struct.pack(">BBHI", flags, 0xFF, len(optional) + len(body), 99) + optional + body)


def erspan(kind: int, session: int, sequence: int, frame: bytes, *, platform: bool = False) -> bytes:
    """Return a mirrored *frame* in a shell of type 1, 2 or 3."""
    if kind == 1:
        return gre(0x88BE, frame)
    if kind == 2:
        return gre(0x88BE, struct.pack(">HHI", 0x1000 | 20, 0x0800 | session, 5) + frame, sequence=sequence)
    header = struct.pack(">HHIHH", 0x2000 | 20, session, 123_456, 0, int(platform)) + (bytes(8) if platform else b"")
    return gre(0x22EB, header + frame, sequence=sequence)
