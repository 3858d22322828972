"""What one would write without thinking of speed; each says how many packets it handled and in which time.

`python -m bench.rivals scapy COUNT FILE`, `python -m bench.rivals naive COUNT FILE FILE`: COUNT of each file.
"""

from __future__ import annotations

import json
import struct
import sys
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RECORD = struct.Struct("<IIII")


def read_with_scapy(count: int, paths: list[Path]) -> int:
    """Dissect packets and look at four fields of each; return how many there were."""
    from scapy.layers.inet import IP, TCP  # noqa: PLC0415  # loaded where it is used: it takes a second
    from scapy.layers.inet6 import IPv6  # noqa: F401, PLC0415  # its layers are registered by importing them
    from scapy.layers.l2 import Ether  # noqa: F401, PLC0415
    from scapy.utils import PcapReader  # noqa: PLC0415

    packets = 0
    with PcapReader(str(paths[0])) as reader:
        for packet in islice(reader, count):
            packets += 1
            if IP in packet and TCP in packet:
                _ = packet.time, packet[IP].id, packet[TCP].seq, packet[TCP].ack
    return packets


def match_naively(count: int, paths: list[Path]) -> int:
    """Find by a dictionary which packets of the first file are not in the second; return how many were handled."""
    waiting: dict[bytes, list[int]] = {}
    packets = 0
    for time_ns, data in islice(_records(paths[0]), count):
        packets += 1
        waiting.setdefault(_identity(data), []).append(time_ns)
    delays = []
    for time_ns, data in islice(_records(paths[1]), count):
        packets += 1
        if times := waiting.get(_identity(data)):
            delays.append(time_ns - times.pop(0))
    return packets


def _records(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as data:
        data.read(24)
        while header := data.read(RECORD.size):
            seconds, part, kept, _ = RECORD.unpack(header)
            yield seconds * 1_000_000_000 + part, data.read(kept)


def _identity(data: bytes) -> bytes:
    """Return what stays the same on the way: no link header, no time to live, no checksum of IP."""
    if data[12:14] == b"\x86\xdd":
        return data[22:70]
    return data[18:20] + data[23:24] + data[26:50]


RIVALS: dict[str, Callable[[int, list[Path]], int]] = {"scapy": read_with_scapy, "naive": match_naively}


def main() -> None:
    """Let one of them run; imports are not on its time."""
    name, count, *paths = sys.argv[1:]
    RIVALS[name](1, [Path(path) for path in paths])
    wall, cpu = time.perf_counter(), time.process_time()
    packets = RIVALS[name](int(count), [Path(path) for path in paths])
    print(
        json.dumps({
            "packets": packets, "wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu,
        })
    )  # fmt: skip


if __name__ == "__main__":
    main()
