"""Capture files of every shape, whole and damaged."""

from __future__ import annotations

import pytest

from orchestrator.pcap.reader import read_capture
from tests.support.wire import Packet, write_pcap

IP = Packet("10.0.0.1", "10.0.0.2", 1234, 80, 77, payload=b"hello", seq=9, ack=8, tsval=55).bytes()


@pytest.mark.parametrize("big", [False, True])
def test_both_byte_orders(tmp_path, big):
    """A file written on a big-endian machine is read the same."""
    records = [(5, IP), (1_700_000_000_123_456_789, IP)]

    packets, _ = read_capture(write_pcap(tmp_path / "a.pcap", records, big=big))

    assert packets.time_ns.tolist() == [t for t, _ in records]
    assert packets.dport.tolist() == [80, 80]


def test_routers_translators_and_marking_do_not_change_the_identity(tmp_path):
    """TTL, addresses, ports and DSCP differ; the identity does not."""
    packet = Packet("10.0.0.1", "10.0.0.2", 1234, 80, 77, payload=b"hello", seq=9, ack=8)
    moved = Packet("203.0.113.1", "10.0.0.2", 61000, 80, 77, ttl=61, payload=b"hello", seq=9, ack=8)
    marked = moved.bytes()[:1] + b"\xb8" + moved.bytes()[2:]

    packets, _ = read_capture(write_pcap(tmp_path / "a.pcap", [(0, packet.bytes()), (1, marked)]))

    assert packets.digest[0] == packets.digest[1]
    assert packets.flow[0] != packets.flow[1]


def test_more_packets_than_a_chunk_holds(tmp_path):
    """Records that straddle chunk borders are read once and whole."""
    records = [
        (k, Packet("10.0.0.1", "10.0.0.2", 1, 2, k & 0xFFFF, payload=b"x" * (k % 1400), seq=k).bytes())
        for k in range(3000)
    ]

    packets, file = read_capture(write_pcap(tmp_path / "a.pcap", records))

    assert packets.seq.tolist() == list(range(3000))
    assert file.defects == []


def test_a_cut_file_keeps_what_was_readable(tmp_path):
    """The last record is cut: everything before it is kept, and one line says so."""
    path = write_pcap(tmp_path / "a.pcap", [(k, IP) for k in range(10)])
    path.write_bytes(path.read_bytes()[:-5])

    packets, file = read_capture(path)

    assert len(packets) == 9
    assert file.defects == ["the file ends inside record 10"]


def test_an_impossible_length_ends_the_file_there(tmp_path):
    """A record that claims 4 GiB is damage, not a reason to allocate."""
    path = write_pcap(tmp_path / "a.pcap", [(0, IP), (1, IP)])
    data = bytearray(path.read_bytes())
    data[24 + 16 + len(IP) + 8 : 24 + 16 + len(IP) + 12] = b"\xff\xff\xff\xff"
    path.write_bytes(bytes(data))

    packets, file = read_capture(path)

    assert len(packets) == 1
    assert file.defects == ["record 2 claims 4 GiB, file cut there"]
