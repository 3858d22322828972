"""A merged capture holds every packet once, in order of corrected time, with what was noted about it."""

from __future__ import annotations

import numpy as np

from orchestrator.model.columns import Packets
from orchestrator.pcap.reader import read_capture
from orchestrator.pcap.writer import Source, write_merged
from tests.support.wire import Packet, write_pcap

NAMES = ("near", "far")


def merged(folder, comments):
    """Merge two captures whose second clock is 1000 s ahead; return (table that was read back, bytes of the file)."""
    tables, sources, start = [], [], 0
    for number, name in enumerate(NAMES):
        frames = [Packet("10.0.0.1", "10.0.0.2", 1, 2, k, 64, bytes([k] * (k + 1))).bytes() for k in range(50)]
        records = [(10**18 + (number * 10**12) + k * 1_000 + number, frame) for k, frame in enumerate(frames)]
        path = write_pcap(folder / f"{name}.pcap", records)
        tables.append(read_capture(path)[0])
        sources.append(Source(path=path, name=name, link_types=(101,), start=start, stop=start + 50))
        start += 50
    packets = Packets.concatenate(tables)
    corrected = packets.time_ns - np.repeat([0, 10**12], 50)
    target = folder / "merged.pcapng"
    assert write_merged(target, sources, packets, corrected, np.arange(100), comments, "about") == 100
    return read_capture(target)[0], target.read_bytes()


def test_packets_of_both_points_take_turns(tmp_path):
    """Two interfaces, one clock."""
    packets, data = merged(tmp_path, {})
    assert packets.time_ns.tolist() == sorted(10**18 + k * 1_000 + n for k in range(50) for n in (0, 1))
    assert packets.interface.tolist() == [0, 1] * 50
    assert packets.ip_id.tolist() == [k for k in range(50) for _ in NAMES]
    assert all(Packet("10.0.0.1", "10.0.0.2", 1, 2, k, 64, bytes([k] * (k + 1))).bytes() in data for k in range(50))


def test_comments_stand_at_their_packets(tmp_path):
    """Rows are those of the table, not of the file."""
    packets, data = merged(tmp_path, {3: "the fourth of near", 53: "the fourth of far, «quoted»"})
    assert len(packets) == 100
    assert packets.payload.tolist() == [k + 1 for k in range(50) for _ in NAMES]
    near, far = data.index(b"the fourth of near"), data.index("the fourth of far, «quoted»".encode())
    assert packets.position[6] < near < packets.position[7] < far < packets.position[8]
