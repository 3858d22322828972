"""Packets that carry numbers in the clear: ESP, WireGuard, DTLS and RTP, as one or several points see them."""

from __future__ import annotations

import random
import struct
from typing import TYPE_CHECKING

from tests.support.shells import ip4, udp
from tests.support.wire import write_pcap

if TYPE_CHECKING:
    from pathlib import Path

START_NS = 1_790_000_000 * 10**9
STEP_NS = 2_000_000


def esp(number: int, name: int = 0x1234) -> bytes:
    return ip4(50, struct.pack(">II", name, number & 0xFFFFFFFF) + _cipher(number))


def wireguard(number: int, name: int = 7) -> bytes:
    return udp(51_820, struct.pack("<IIQ", 4, name, number % 2**64) + _cipher(number))


def dtls(number: int, name: int = 1) -> bytes:
    number %= 2**48
    head = struct.pack(">BHHHIH", 23, 0xFEFD, name, number >> 32, number & 0xFFFFFFFF, 48)
    return udp(4433, head + _cipher(number))


def rtp(number: int, name: int = 99) -> bytes:
    return udp(
        20_000, struct.pack(">BBHII", 0x80, 8, number & 0xFFFF, 160 * number & 0xFFFFFFFF, name) + _cipher(number)
    )


MAKERS = {"esp": (esp, 32), "wireguard": (wireguard, 64), "dtls": (dtls, 48), "rtp": (rtp, 16)}


def _cipher(number: int) -> bytes:
    return random.Random(number).randbytes(48)


def stream(begin: int, count: int, lost: set[int], late: dict[int, int], twice: set[int]) -> list[tuple[int, int]]:
    """Return (time, number) of what arrives of *count* packets from *begin* on.

    Args: *lost* places that do not arrive; *late* by how many steps others are late; *twice* places that come twice.
    """
    found = []
    for place in range(count):
        if place in lost:
            continue
        time = START_NS + place * STEP_NS + late.get(place, 0) * STEP_NS + (1000 if place in late else 0)
        found.append((time, begin + place))
        if place in twice:
            found.append((time + 150_000_000, begin + place))
    return sorted(found)


def capture(path: Path, kind: str, arrivals: list[tuple[int, int]], **fields: int) -> Path:
    """Write what a point saw."""
    make, _ = MAKERS[kind]
    return write_pcap(path, [(time, make(number, **fields)) for time, number in arrivals])
