"""Traffic without connections: calls, questions and answers, heartbeats that are all alike, pings."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from tests.support.pathsim.wire import ICMP, UDP, Wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.pathsim.network import Network

Ends = tuple[tuple[str, int], tuple[str, int]]


def _later(net: Network, after_ns: int, packet: Wire, arrived: Callable[[Wire], None]) -> None:
    net.at(net.now + after_ns, lambda: net.send(packet, arrived))


def _nothing(_: Wire) -> None:
    pass


def _there(ends: Ends, protocol: int, **fields: object) -> Wire:
    return Wire(uid=-1, forward=True, protocol=protocol, client=ends[0], server=ends[1], **fields)


def _back(ends: Ends, protocol: int, **fields: object) -> Wire:
    return Wire(uid=-1, forward=False, protocol=protocol, client=ends[0], server=ends[1], **fields)


def call(net: Network, ends: Ends, count: int, *, tos: int = 0xB8) -> None:
    """Send *count* numbered datagrams each way, 20 ms apart, as a telephone call does."""
    sources = [net.random.getrandbits(32), net.random.getrandbits(32)]
    for k in range(count):
        for turn, way in enumerate((_there, _back)):
            head = struct.pack(">BBHII", 0x80, 0, k & 0xFFFF, 160 * k, sources[turn])
            number = (k * 3 + turn * 77) & 0xFFFF
            packet = way(ends, UDP, ip_id=number, payload=head + net.random.randbytes(40), tos=tos)
            _later(net, 20_000_000 * k + 3_000_000 * turn, packet, _nothing)


def questions(net: Network, ends: Ends, count: int) -> None:
    """Ask *count* times; every question that arrives is answered."""

    def answer(asked: Wire) -> None:
        body = asked.payload + b"\xc0\x0c\0\1\0\1" + net.random.randbytes(4)
        net.send(_back(ends, UDP, ip_id=net.random.getrandbits(16), payload=body), _nothing)

    for k in range(count):
        name = b"\4host" + bytes([97 + k % 26]) + b"\0\0\1\0\1"
        asked = _there(ends, UDP, payload=net.random.randbytes(2) + b"\1\0\0\1\0\0\0\0\0\0" + name)
        _later(net, 31_000_000 * k, asked, answer)


def heartbeats(net: Network, ends: Ends, count: int, gap_ns: int) -> None:
    """Send *count* identical datagrams without an IP identification."""
    for k in range(count):
        _later(net, gap_ns * k, _there(ends, UDP, payload=b"alive and well here"), _nothing)


def pings(net: Network, ends: Ends, count: int, size: int = 40) -> None:
    """Send *count* echo requests; those that arrive are answered."""

    def answer(asked: Wire) -> None:
        number = net.random.getrandbits(16)
        net.send(_back(ends, ICMP, ip_id=number, seq=asked.seq, payload=asked.payload), _nothing)

    for k in range(count):
        asked = _there(ends, ICMP, ip_id=(k + 1) * 5, seq=k, payload=bytes(n % 256 for n in range(size)))
        _later(net, 50_000_000 * k, asked, answer)


def transfers(net: Network, ends: Ends, count: int) -> None:
    """Send *count* datagrams of all lengths each way, many longer than any line takes."""
    for k in range(count):
        for turn, way in enumerate((_there, _back)):
            size = net.random.choice((30, 500, 900, 1400, 1500, 2900, 5000)) + net.random.randrange(60)
            number = (1 + k * 7 + turn * 31_000) & 0xFFFF
            packet = way(ends, UDP, ip_id=number, payload=net.random.randbytes(size))
            _later(net, 17_000_000 * k + 4_000_000 * turn, packet, _nothing)
