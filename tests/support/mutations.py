"""Damage bytes the way disks, networks and fuzzers do, and sample captures worth damaging."""

from __future__ import annotations

import gzip
import struct
from typing import TYPE_CHECKING

import zstandard
from hypothesis import strategies as st

from tests.support.pcapng import Blocks
from tests.support.shells import checked, erspan, ethernet, geneve, gre, gtp, ip4, ip6, udp, vxlan
from tests.support.wire import ACK, SYN, Packet

if TYPE_CHECKING:
    from collections.abc import Callable

NUMBERS = (0, 1, 4, 12, 15, 16, 28, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 1 << 20, 1 << 24, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
MOST_EDITS = 6


@st.composite
def damaged(draw: Callable[..., object], content: bytes, other: bytes) -> bytes:
    """Draw *content* with a few edits; pieces of *other* may be spliced in."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, MOST_EDITS))):
        at = draw(st.integers(0, len(data)))
        edit = draw(st.sampled_from(["flip", "number", "insert", "delete", "cut", "repeat", "splice"]))
        if edit == "flip" and at < len(data):
            data[at] ^= draw(st.integers(1, 255))
        elif edit == "number":
            packed = struct.pack(draw(st.sampled_from(["<I", ">I"])), draw(st.sampled_from(NUMBERS)))
            data[at : at + draw(st.sampled_from([0, 4]))] = packed
        elif edit == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=40))
        elif edit == "delete":
            del data[at : at + draw(st.integers(1, 64))]
        elif edit == "cut":
            del data[at:]
        elif edit == "repeat":
            data[at:at] = bytes(data[max(0, at - draw(st.integers(1, 200))) : at]) * draw(st.integers(1, 3))
        elif edit == "splice":
            start = draw(st.integers(0, len(other)))
            data[at : at + draw(st.integers(0, 64))] = other[start : start + draw(st.integers(1, 200))]
    return bytes(data)


def conversation() -> list[Packet]:
    """Return a short TCP connection with a datagram and a ping beside it."""
    there, back = ("10.0.0.1", "10.0.0.2", 4000, 80), ("10.0.0.2", "10.0.0.1", 80, 4000)
    return [
        Packet(*there, ip_id=1, seq=99, flags=SYN, tsval=1),
        Packet(*back, ip_id=2, seq=499, ack=100, flags=SYN | ACK, tsval=2),
        Packet(*there, ip_id=3, seq=100, ack=500, payload=b"GET / HTTP/1.1", tsval=3),
        Packet(*back, ip_id=4, seq=500, ack=114, payload=b"HTTP/1.1 200 OK" * 4, tsval=4),
        Packet("10.0.0.1", "10.0.0.3", 53, 53, ip_id=5, payload=b"question", protocol=17),
        Packet("10.0.0.1", "10.0.0.3", 0x0800, 7, ip_id=6, payload=b"ping", protocol=17),
        Packet(*there, ip_id=7, seq=114, ack=560, flags=ACK | 1),
    ]


def shells(packet: bytes) -> list[bytes]:
    """Return *packet* in one encapsulation after the other, with the odd encrypted or fragmented one beside it."""
    frame = ethernet(0x0800, packet)
    six = ip6(44, b"\x06\0\0\1\0\0\0\7" + packet[20:])
    inside = [
        gre(0x0800, packet, key=1, sequence=2), gre(0x6558, frame), vxlan(frame), geneve(0x6558, frame), ip4(4, packet),
        gtp(packet, flags=0x34, optional=b"\0\0\0\x85\1\0\1\0"), erspan(2, 1, 7, frame), erspan(3, 1, 8, frame),
        udp(37008, b"\1\0\0\1\x0a\1\x55\1" + frame), udp(1701, b"\0\2\0\1\0\2\xff\x03\0\x21" + packet),
        ip4(115, b"\0\0\0\7" + frame), vxlan(ethernet(0x0800, gre(0x0800, ip4(4, packet)))),
        ip4(50, bytes(range(60))), udp(4500, bytes(range(60))), udp(4433, b"\x17\xfe\xfd" + bytes(60)),
        udp(51_820, b"\4\0\0\0" + bytes(60)), udp(10_000, b"\x80\x08" + bytes(60)),
        ip4(1, b"\3\1\0\0" + bytes(4) + packet),
    ]  # fmt: skip
    mpls = ethernet(0x8847, b"\0\0\x11\x40" + bytes(4) + frame)
    return [*(ethernet(0x0800, p) for p in inside), ethernet(0x86DD, six), mpls, ethernet(0x0806, bytes(28))]


def samples() -> list[bytes]:
    """Return small captures: pcap and pcapng of both byte orders, with every block and many a link type, and packed."""
    frames = [packet.bytes() for packet in conversation()]
    plain = [_pcap(order, frames, link_type) for order in "<>" for link_type in (101, *LINK_HEADERS)]
    plain += [_pcap(order, shells(checked(frames[2])), 1) for order in "<>"]
    blocks = [_pcapng(Blocks(order), frames) for order in "<>"]
    packed = [gzip.compress(plain[0]), zstandard.ZstdCompressor().compress(blocks[0])]
    return [*plain, *blocks, *packed]


SNAP_IP = b"\xaa\xaa\x03\0\0\0\x08\0"
WIFI = b"\x08\x01" + bytes(22) + SNAP_IP
LINK_HEADERS = {
    0: b"\x02\0\0\0", 1: bytes(12) + b"\x08\0", 9: b"\0\x21", 105: WIFI,
    113: b"\0\0\0\x01\0\x06\x02\0\0\0\0\x01\0\0\x08\0", 117: b"\x3d" + bytes(63),
    119: b"\x80\x21\x10\x02\0\0\0\x0c" + bytes(4) + WIFI, 127: b"\0\0\x08\0\0\0\0\0" + WIFI, 147: bytes(4),
    192: b"\0\0\x0c\0\x69\0\0\0" + bytes(4) + b"\x88\x01" + bytes(22) + b"\x80\0" + bytes(14) + SNAP_IP,
    276: b"\x08\0\0\0\0\0\0\x02\0\x01\0\x06\x02\0\0\0\0\x01\0\0", 285: bytes(20) + b"\x08\0",
}  # fmt: skip


def _pcap(order: str, frames: list[bytes], link_type: int) -> bytes:
    out = [struct.pack(order + "IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, link_type)]
    for k, packet in enumerate(frames):
        frame = LINK_HEADERS.get(link_type, b"") + packet
        out.append(struct.pack(order + "IIII", 1_700_000_000, k * 1_000_000, len(frame), len(frame)) + frame)
    return b"".join(out)


def _pcapng(make: Blocks, frames: list[bytes]) -> bytes:
    start = 1_700_000_000 * 10**9
    out = [make.section(), make.interface(resolution=9), make.interface(), make.block(4, bytes(8))]
    out += [
        make.packet(frame, start + k * 10**6, options=make.option(4, bytes(8))) for k, frame in enumerate(frames[:3])
    ]
    out += [make.obsolete(frame, (start // 1000) + 5_000, interface=1, drops=0) for frame in frames[3:4]]
    out += [make.simple(frame) for frame in frames[4:5]]
    out += [make.statistics(0, ifdrop=0), make.section(), make.interface(resolution=9)]
    return b"".join([*out, *(make.packet(frame, start + 6 * 10**6) for frame in frames[5:])])
