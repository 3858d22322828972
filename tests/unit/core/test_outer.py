"""One capture point: what TCP tells of loss before it, each lost range counted once."""

from __future__ import annotations

import pytest

from tests.support.offline import analyse_files, segment
from tests.support.wire import ACK, FIN, SYN, Packet, write_pcap

SIZE = 300
BEGIN = 1000


def stream(*steps):
    """Return client packets: each step is (first segment, how many, seen at the point), in sending order."""
    flags = {"syn": SYN, "ack": ACK, "fin": FIN | ACK}
    packets = []
    for number, (what, count, is_seen) in enumerate(steps):
        seq = BEGIN + SIZE * what if isinstance(what, int) else {"syn": BEGIN - 1, "ack": BEGIN}.get(what, count)
        payload = bytes(SIZE * count) if isinstance(what, int) else b""
        packet = Packet(
            "192.0.2.1", "192.0.2.2", 40000, 80, ip_id=500 + number, seq=seq, ack=what != "syn", tsval=number,
            flags=flags.get(what, ACK), payload=payload,
        )  # fmt: skip
        if is_seen:
            packets.append((10**18 + number * 10_000_000, packet.bytes()))
    return packets


OPEN = (("syn", 0, True), ("ack", 0, True))
END = BEGIN + 6 * SIZE


@pytest.mark.parametrize(
    ("steps", "holes"),
    [
        ([(k, 1, True) for k in range(6)], 0),
        ([(0, 1, True), (1, 1, False), (2, 1, True), (1, 1, True), (3, 1, True)], 1),
        ([(0, 1, False), (1, 1, True), (0, 1, True), (2, 1, True)], 1),
        ([(0, 1, True), (1, 1, False), (2, 1, False), (3, 1, False), (4, 1, True), (1, 3, True), (5, 1, True)], 3),
        ([(0, 1, True), (1, 1, False), (2, 1, True), (1, 1, False), (3, 1, True), (1, 1, True), (4, 1, True)], 1),
        ([*((k, 1, True) for k in range(6)), ("fin", END, False), ("fin", END, True)], 0),
        ([*((k, 1, True) for k in range(5)), (5, 1, False), ("fin", END, False), (5, 1, True), ("fin", END, True)], 1),
    ],
    ids=[
        "nothing lost", "one", "the very first", "three sent again as one", "its copy lost too", "only the FIN",
        "the last and the FIN",
    ],
)  # fmt: skip
def test_each_lost_range_is_one_hole(tmp_path, steps, holes):
    """Whether sent again one by one or together, whether the copy was lost too."""
    path = write_pcap(tmp_path / "gateway.pcap", stream(*OPEN, *steps))

    result = analyse_files(tmp_path, {"gateway": path})

    assert segment(result, None, "gateway").holes == holes
    assert result.vanished == ()
