"""One digest for all points, found without reading twice where the start of a file shows it."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from orchestrator.pcap.index import index_points
from orchestrator.pcap.reader import DIGEST_BYTES, read_capture
from tests.support.wire import Packet

FEW, MANY = 40, 12_000
"""Datagrams of 120 bytes: the second number fills more than one chunk of a file."""


def capture(path, count, kept_payload):
    """Write *count* datagrams; *kept_payload* gives the payload bytes kept of the nth."""
    out = [struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 101)]
    for k in range(count):
        frame = Packet("10.0.0.1", "10.0.0.2", 4000, 53, k & 0xFFFF, 64, f"{k:08d}".encode() * 15, 17).bytes()
        kept = frame[: 28 + kept_payload(k)]
        out.append(struct.pack("<IIII", k, 0, len(kept), len(frame)) + kept)
    path.write_bytes(b"".join(out))
    return path


@pytest.mark.parametrize("count", [FEW, MANY])
@pytest.mark.parametrize("odd", [lambda k: k == 7, lambda k: k == FEW - 1, lambda k: k == MANY - 1, lambda _: False])
def test_every_point_has_the_digest_that_the_shortest_packet_allows(tmp_path, count, odd):
    """Whether the short packet stands in the first chunk, in a later one, or nowhere."""
    whole = capture(tmp_path / "a.pcap", count, lambda _: 120)
    cut = capture(tmp_path / "b.pcap", count, lambda k: 33 if odd(k) else 60)
    expected = 33 if any(odd(k) for k in range(count)) else 60

    indexes = index_points([[whole], [cut]])

    for path, index in zip((whole, cut), indexes, strict=True):
        assert np.array_equal(index.packets.identity, read_capture(path, expected)[0].identity)
    assert np.array_equal(indexes[0].packets.identity, indexes[1].packets.identity)


def test_where_everything_is_kept_the_whole_digest_is_used(tmp_path):
    """No point is the shortest then."""
    path = capture(tmp_path / "a.pcap", FEW, lambda _: 120)
    (index,) = index_points([[path]])
    assert np.array_equal(index.packets.identity, read_capture(path, DIGEST_BYTES)[0].identity)


def test_a_table_that_had_to_grow_holds_every_packet_once(tmp_path):
    """Rows, times and offsets run on across chunks."""
    path = capture(tmp_path / "a.pcap", MANY, lambda _: 120)
    packets, _ = read_capture(path)
    assert np.array_equal(packets.time_ns, np.arange(MANY) * 1_000_000_000)
    assert np.array_equal(packets.position, 24 + 16 + np.arange(MANY) * (16 + 148))
    assert all(column.flags.c_contiguous for column in (packets.time_ns, packets.identity, packets.marks))
