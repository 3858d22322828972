"""Cut datagrams to pieces as hosts and routers do."""

from __future__ import annotations

import socket
import struct
from itertools import pairwise


def fragments4(datagram: bytes, *ends: int) -> list[bytes]:
    """Return the pieces of an IPv4 *datagram* whose transport part is cut at *ends*, multiples of eight."""
    head, body = datagram[:20], datagram[20:]
    cuts = [0, *ends, len(body)]
    return [piece4(head, body, begin, end) for begin, end in pairwise(cuts)]


def piece4(head: bytes, body: bytes, begin: int, end: int) -> bytes:
    """Return bytes *begin* to *end* of *body* as a fragment with the header *head*."""
    field = begin // 8 | (0x2000 if end < len(body) else 0)
    return (
        head[:2]
        + struct.pack(">H", 20 + end - begin)
        + head[4:6]
        + struct.pack(">H", field)
        + head[8:]
        + body[begin:end]
    )


def udp6(src: str, dst: str, ports: tuple[int, int], payload: bytes) -> bytes:
    """Return an IPv6 datagram."""
    body = struct.pack(">HHHH", *ports, 8 + len(payload), 0) + payload
    return _head6(src, dst, len(body), 17) + body


def fragments6(datagram: bytes, number: int, *ends: int) -> list[bytes]:
    """Return the pieces of an IPv6 *datagram*, numbered *number*, cut at *ends*."""
    src, dst = (socket.inet_ntop(socket.AF_INET6, datagram[k : k + 16]) for k in (8, 24))
    body, found = datagram[40:], []
    for begin, end in pairwise([0, *ends, len(body)]):
        more = struct.pack(">BBHI", 17, 0, begin | (end < len(body)), number)
        found.append(_head6(src, dst, 8 + end - begin, 44) + more + body[begin:end])
    return found


def _head6(src: str, dst: str, length: int, protocol: int) -> bytes:
    ends = socket.inet_pton(socket.AF_INET6, src) + socket.inet_pton(socket.AF_INET6, dst)
    return struct.pack(">IHBB", 6 << 28, length, protocol, 64) + ends
