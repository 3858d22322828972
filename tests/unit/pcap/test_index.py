"""One point's files as one table."""

from __future__ import annotations

import struct

import numpy as np

from orchestrator.pcap.reader import read_capture
from tests.support.wire import Packet

MANY = 12_000
"""Datagrams of 120 bytes: more than one chunk of a file."""


def test_a_table_that_had_to_grow_holds_every_packet_once(tmp_path):
    """Rows, times and offsets run on across chunks."""
    path = tmp_path / "a.pcap"
    out = [struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 101)]
    for k in range(MANY):
        frame = Packet("10.0.0.1", "10.0.0.2", 4000, 53, k & 0xFFFF, 64, f"{k:08d}".encode() * 15, 17).bytes()
        out.append(struct.pack("<IIII", k, 0, len(frame), len(frame)) + frame)
    path.write_bytes(b"".join(out))

    packets, _ = read_capture(path)

    assert np.array_equal(packets.time_ns, np.arange(MANY) * 1_000_000_000)
    assert np.array_equal(packets.position, 24 + 16 + np.arange(MANY) * (16 + 148))
    assert all(column.flags.c_contiguous for column in (packets.time_ns, packets.digest, packets.marks))
