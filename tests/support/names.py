"""Messages in the clear, byte by byte: DNS, errors of ICMP, alerts of TLS."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.support.offline import analyse_files
from tests.support.shells import checked
from tests.support.wire import Packet, write_pcap

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.model.result import Result

SERVFAIL, NXDOMAIN, REFUSED = 2, 3, 5


def wire_name(name: str) -> bytes:
    labels = [label.encode() for label in name.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def question(ident: int, name: str, qtype: int = 1) -> bytes:
    return struct.pack(">HHHHHH", ident, 0x0100, 1, 0, 0, 0) + wire_name(name) + struct.pack(">HH", qtype, 1)


def answer(ident: int, name: str, qtype: int = 1, *, rcode: int = 0, records: int = 1) -> bytes:
    """Return an answer whose records point back to the name in the question."""
    head = struct.pack(">HHHHHH", ident, 0x8180 | rcode, 1, 0 if rcode else records, 0, 0)
    record = b"\xc0\x0c" + struct.pack(">HHIH", qtype, 1, 60, 4) + b"\x0a\x01\x02\x03"
    return head + wire_name(name) + struct.pack(">HH", qtype, 1) + record * (0 if rcode else records)


def datagram(src: str, sport: int, dst: str, dport: int, payload: bytes, ip_id: int = 0, ttl: int = 64) -> Packet:
    return Packet(src, dst, sport, dport, ip_id=ip_id, ttl=ttl, payload=payload, protocol=17)


def icmp_error(src: str, dst: str, kind: int, code: int, quoted: bytes, *, rest: int = 0, ttl: int = 64) -> bytes:
    """Return an IPv4 packet with an error that quotes *quoted*."""
    packet = bytearray(Packet(src, dst, 0, 0, ttl=ttl, protocol=17).bytes()[:20])
    body = struct.pack(">BBHI", kind, code, 0, rest) + quoted
    packet[2:4] = struct.pack(">H", 20 + len(body))
    packet[9] = 1
    return checked(bytes(packet) + body)


def alert(level: int, description: int, *, version: int = 3) -> bytes:
    return struct.pack(">BBBHBB", 21, 3, version, 2, level, description)


MS, S = 10**6, 10**9
START = 1_700_000_000 * S
CLIENT, SERVER = "192.0.2.1", "198.51.100.53"


class Line:
    """Points in a row between clients and servers, a millisecond and a router apart."""

    def __init__(self, names: str = "ab") -> None:
        self.names = names
        self.records: dict[str, list[tuple[int, bytes]]] = {name: [] for name in names}
        self._ip_id = 0

    def send(self, at: int, packet: Packet | bytes, *, up: bool = True, seen: str | None = None) -> int:
        """Let *packet* pass the points *seen*; return when it came to the last one."""
        order = self.names if up else self.names[::-1]
        if isinstance(packet, Packet) and not packet.ip_id:
            self._ip_id += 1
            packet = replace(packet, ip_id=self._ip_id)
        for hops, name in enumerate(order):
            if seen is None or name in seen:
                data = packet.hop(hops).bytes() if isinstance(packet, Packet) else hopped(packet, hops)
                self.records[name].append((START + at + hops * MS, data))
        return at + (len(order) - 1) * MS

    def ask(self, at: int, ident: int, name: str, *, seen: str | None = None, **ends) -> int:
        """Send a question; return when it came to the server."""
        client, sport, server = (
            ends.get("client", CLIENT),
            ends.get("sport", 40_000 + ident),
            ends.get("server", SERVER),
        )
        return self.send(at, datagram(client, sport, server, 53, question(ident, name)), seen=seen)

    def tell(self, at: int, ident: int, name: str, *, seen: str | None = None, rcode: int = 0, **ends) -> int:
        """Send an answer; return when it came to the client."""
        client, sport, server = (
            ends.get("client", CLIENT),
            ends.get("sport", 40_000 + ident),
            ends.get("server", SERVER),
        )
        packet = datagram(server, 53, client, sport, answer(ident, name, rcode=rcode))
        return self.send(at, packet, up=False, seen=seen)

    def exchange(self, at: int, ident: int, name: str, *, after: int = 5 * MS, seen: str | None = None, **ends) -> None:
        """Ask and be told *after* the server heard the question."""
        self.tell(self.ask(at, ident, name, seen=seen, **ends) + after, ident, name, seen=seen, **ends)

    def result(self, folder: Path, **options) -> Result:
        paths = {n: write_pcap(folder / f"{n}.pcap", sorted(r), link_type=101) for n, r in self.records.items()}
        return analyse_files(folder, paths, **options)


def hopped(packet: bytes, hops: int) -> bytes:
    """Return an IPv4 *packet* behind so many routers."""
    return checked(packet[:8] + bytes([packet[8] - hops]) + packet[9:])
