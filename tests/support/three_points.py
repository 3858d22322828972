"""One connection between a client and a server, captured at three points: what is lost and missed is known."""

from __future__ import annotations

import gzip

from tests.support.wire import ACK, PSH, RST, SYN, Packet, write_pcap

START = 1_700_000_000 * 10**9
MS = 10**6
SERVER_BEHIND = 3_600 * 10**9
CLIENT, SERVER = ("192.0.2.1", 40000), ("198.51.100.2", 80)
NAMES = ("client", "gateway", "server")
HIDDEN = 11
"""Passed the gateway, whose capture missed it."""
LOST = 7
"""Vanished between gateway and server, and was sent again as 30."""
TWICE = 20
"""Seen twice at the gateway."""


def packet(way, ip_id, seq, ack, payload=b"", flags=ACK | PSH):
    (src, sport), (dst, dport) = (CLIENT, SERVER) if way == "up" else (SERVER, CLIENT)
    return Packet(src, dst, sport, dport, ip_id=ip_id, seq=seq, ack=ack, payload=payload, flags=flags, tsval=ip_id)


def story():
    """Yield (sent at, way, packet): a connection of 40 requests and answers; what was lost is sent again."""
    yield START, "up", packet("up", 1, 0, 0, flags=SYN)
    yield START + 5 * MS, "down", packet("down", 1001, 0, 1, flags=SYN | ACK)
    yield START + 10 * MS, "up", packet("up", 2, 1, 1, flags=ACK)
    for k in range(3, 43):
        at = START + 20 * MS * k
        seq, ack = 1 + 10 * (k - 3), 1 + 20 * (k - 3)
        yield at, "up", packet("up", k, seq, ack, bytes([k]) * 10)
        if k == LOST:
            yield at + 12 * MS, "up", packet("up", 100, seq, ack, bytes([k]) * 10)
        yield at + 16 * MS, "down", packet("down", 1000 + k, ack, seq + 10, bytes([k]) * 20)
    yield START + 2_000 * MS, "down", packet("down", 2000, 801, 401, flags=RST | ACK)


def write_story(folder):
    """Write the story as three points saw it; return (file, records) by point.

    The middle one is big-endian and compressed, the last an hour behind.
    """
    files = {name: [] for name in NAMES}
    for at, way, what in story():
        for hops, name in enumerate(NAMES if way == "up" else NAMES[::-1]):
            here = (at + hops * MS - (SERVER_BEHIND if name == "server" else 0), what.hop(hops).bytes())
            if name == "gateway" and what.ip_id == HIDDEN:
                continue
            if name == "server" and what.ip_id == LOST:
                continue
            files[name].append(here)
            if name == "gateway" and what.ip_id == TWICE:
                files[name].append((here[0] + 1_000, here[1]))
    paths = {name: write_pcap(folder / f"{name}.pcap", sorted(r), big=name == "gateway") for name, r in files.items()}
    packed = folder / "gateway.pcap.gz"
    packed.write_bytes(gzip.compress(paths["gateway"].read_bytes()))
    return {**paths, "gateway": packed}, {name: sorted(r) for name, r in files.items()}
