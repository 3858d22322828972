"""One packet on the wire, and its bytes as any point of the path would see them."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass, field

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
TCP, UDP, ICMP = 6, 17, 1
M32 = 0xFFFFFFFF


@dataclass(slots=True)
class Wire:
    """One transmission, in the addresses and numbers of the client's end of the path."""

    uid: int
    forward: bool
    protocol: int
    client: tuple[str, int]
    server: tuple[str, int]
    ip_id: int = 0
    seq: int = 0
    ack: int = 0
    flags: int = 0
    window: int = 501
    times: tuple[int, int] | None = None
    """TCP timestamps: (value, echo)."""
    mss: int = 0
    payload: bytes = b""
    tos: int = 0
    sent_ns: int = 0
    places: tuple[int, int] = (0, 0)
    """First and last point of the part of the path that it travels, in path order."""
    crossed: tuple[int, ...] = ()
    """True time at every point passed, in the order of travel."""
    again: tuple[int, ...] = ()
    """The same for the copy of a packet that the network duplicated, from the end of its way backwards."""
    may_fragment: bool = False
    """Routers may cut it to pieces."""
    pieces: dict[int, tuple[tuple[int, int, int], ...]] = field(default_factory=dict)
    """By number of points passed before, where it passed in pieces: (first byte, end, true time) of what did."""
    deaths: list[tuple[int, int, int]] = field(default_factory=list)
    """(segment, first byte, end) of every piece that was dropped."""
    piece: tuple[int, int] | None = None
    """Of a piece: which bytes of the transport part it is."""
    lost_on: int | None = None
    """Segment on which it, or the first piece of it, was dropped: 0 before the first point in path order, n behind the
    last; None arrived."""


@dataclass(frozen=True, slots=True)
class View:
    """How packets look at one point: what the devices between the client and this point did to them."""

    hops: int = 0
    hops_behind: int = 0
    """Routers between this point and the server."""
    client: str | None = None
    """The client's address as translated so far."""
    client_port_shift: int = 0
    server: str | None = None
    client_seq: int = 0
    """Added to sequence numbers that the client chose."""
    server_seq: int = 0
    tos: int | None = None
    mss: int | None = None
    new_ids: bool = False
    """A device before this point numbers the IP identification anew."""
    tsval: int = 0
    """Added to timestamps that the server chose."""


def ones_sum(data: bytes) -> int:
    """Return the ones-complement sum of *data* (RFC 1071), never 0 for data that is not all zeros."""
    return int.from_bytes(data + b"\0" * (len(data) % 2), "big") % 0xFFFF or (0xFFFF if any(data) else 0)


def transport_length(packet: Wire) -> int:
    """Return the bytes behind the IP header."""
    header = 8 if packet.protocol != TCP else 20 + (4 if packet.mss else 0) + (12 if packet.times is not None else 0)
    return header + len(packet.payload)


def datagram(packet: Wire, view: View, payload: bytes | None = None, flags: int | None = None) -> bytes:
    """Return the IPv4 datagram of *packet* as seen through *view*; a super-segment brings its own payload and flags."""
    body = packet.payload if payload is None else payload
    client = (view.client or packet.client[0], (packet.client[1] + view.client_port_shift) & 0xFFFF or 1)
    server = (view.server or packet.server[0], packet.server[1])
    source, target = (client, server) if packet.forward else (server, client)
    segment = _segment(packet, view, source, target, body, packet.flags if flags is None else flags)
    ttl = 64 - (view.hops if packet.forward else view.hops_behind)
    tos = packet.tos if view.tos is None or not packet.forward else view.tos
    ip_id = packet.ip_id if not view.new_ids else (packet.uid * 40503 + 12345) & 0xFFFF
    place = 0 if packet.may_fragment else 0x4000
    if packet.piece is not None:
        begin, end = packet.piece
        place = begin // 8 | (0x2000 if end < len(segment) else 0)
        segment = segment[begin:end]
    total = 20 + len(segment)
    head = struct.pack(
        ">BBHHHBBH4s4s", 0x45, tos, total if total < 65536 else 0, ip_id, place, ttl, packet.protocol, 0,
        socket.inet_aton(source[0]), socket.inet_aton(target[0]),
    )  # fmt: skip
    check = 0xFFFF - ones_sum(head)
    return head[:10] + struct.pack(">H", check) + head[12:] + segment


def _segment(
    packet: Wire, view: View, source: tuple[str, int], target: tuple[str, int], payload: bytes, flags: int
) -> bytes:
    """Return the transport part with its checksum."""
    if packet.protocol == ICMP:
        head = struct.pack(">BBHHH", 8 if packet.forward else 0, 0, 0, packet.client[1], packet.seq)
        check = 0xFFFF - ones_sum(head + payload)
        return head[:2] + struct.pack(">H", check) + head[4:] + payload
    if packet.protocol == UDP:
        head = struct.pack(">HHHH", source[1], target[1], 8 + len(payload), 0)
        at = 6
    else:
        head = _tcp_header(packet, view, source[1], target[1], flags)
        at = 16
    pseudo = socket.inet_aton(source[0]) + socket.inet_aton(target[0])
    length = len(head) + len(payload)
    pseudo += struct.pack(">HH", packet.protocol, length & 0xFFFF)
    check = 0xFFFF - ones_sum(pseudo + head + payload)
    return head[:at] + struct.pack(">H", check or 0xFFFF) + head[at + 2 :] + payload


def _tcp_header(packet: Wire, view: View, sport: int, dport: int, flags: int) -> bytes:
    """Return the TCP header with options, checksum zero."""
    own, other = (view.client_seq, view.server_seq) if packet.forward else (view.server_seq, view.client_seq)
    options = b""
    if packet.mss:
        options += struct.pack(">BBH", 2, 4, min(packet.mss, view.mss or packet.mss))
    if packet.times is not None:
        value, echo = packet.times
        value = value if packet.forward else (value + view.tsval) & M32
        echo = (echo + view.tsval) & M32 if packet.forward and echo else echo
        options += b"\1\1\x08\x0a" + struct.pack(">II", value, echo)
    ack = (packet.ack + other) & M32 if flags & ACK else 0
    offset = (20 + len(options)) // 4 << 4
    seq = (packet.seq + own) & M32
    return struct.pack(">HHIIBBHHH", sport, dport, seq, ack, offset, flags, packet.window, 0, 0) + options
