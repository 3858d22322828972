"""Super-segments are taken apart into exactly the segments that the wire carried."""

from __future__ import annotations

import numpy as np

from orchestrator.core.supers import split_supers
from orchestrator.model.columns import ACK, MARK_TIMESTAMPS, SYN, TCP, Packets

HEADERS = 14 + 20 + 20 + 12
"""Ethernet, IP, TCP with timestamps."""
SACKED = 12
"""Bytes that one block of a selective acknowledgement adds."""


def table(rows):
    """Return packets of one flow; *rows* are (point, seq, payload, further option bytes, flags)."""
    packets = Packets.allocate(len(rows))
    points = np.array([r[0] for r in rows], np.uint8)
    packets.time_ns[:] = np.arange(len(rows))
    packets.family[:], packets.protocol[:], packets.flow[:] = 4, TCP, 7
    packets.src_lo[:], packets.dst_lo[:], packets.sport[:], packets.dport[:] = 1, 2, 40_000, 443
    packets.marks[:] = MARK_TIMESTAMPS
    for number, (_, seq, payload, further, flags) in enumerate(rows):
        packets.seq[number], packets.payload[number], packets.flags[number] = seq, payload, flags
        packets.wirelen[number] = HEADERS + further + payload
        packets.mss[number] = 1460 if flags & SYN else 0
    return packets, points


def test_segments_that_carry_selective_acknowledgements_hold_less_data():
    """A super-segment with further options is split where the card splits it: 1 436 bytes, not 1 448."""
    host = [(0, 0, 0, 8, SYN), (0, 1, 2 * 1448, 0, ACK), (0, 2897, 3 * 1436, SACKED, ACK)]
    wire = [(1, 0, 0, 8, SYN), (1, 1, 1448, 0, ACK), (1, 1449, 1448, 0, ACK)]
    wire += [(1, 2897 + k * 1436, 1436, SACKED, ACK) for k in range(3)]
    packets, point = table([*host, *wire])

    split = split_supers(packets, point, 2)

    rows = sorted(zip(split.point.tolist(), split.packets.seq.tolist(), split.packets.payload.tolist(), strict=True))
    seen = [[row[1:] for row in rows if row[0] == k] for k in (0, 1)]
    assert seen[0] == seen[1]
    assert split.supers.tolist() == [2, 0]


def test_a_merged_frame_shorter_than_a_full_segment_is_taken_apart():
    """A host joined 1 436 bytes with 8 more, both with selective acknowledgements: together they fit no segment."""
    host = [(0, 0, 0, 8, SYN), (0, 1, 1448, 0, ACK), (0, 1449, 1444, SACKED, ACK)]
    wire = [(1, 0, 0, 8, SYN), (1, 1, 1448, 0, ACK), (1, 1449, 1436, SACKED, ACK), (1, 2885, 8, SACKED, ACK)]
    packets, point = table([*host, *wire])

    split = split_supers(packets, point, 2)

    assert split.packets.payload[split.point == 0].tolist() == [0, 1448, 1436, 8]


def test_full_segments_that_all_carry_further_options_are_whole():
    """Only a short segment shows the headers without them: the full ones are no super-segments."""
    rows = [(k, 0, 0, 8, SYN) for k in (0, 1)]
    for k in (0, 1):
        rows += [(k, 1, 552, 0, ACK), (k, 553, 1436, SACKED, ACK), (k, 1989, 1436, SACKED, ACK)]
    packets, point = table(sorted(rows, key=lambda row: row[0]))

    assert split_supers(packets, point, 2).supers.tolist() == [0, 0]


def test_a_full_segment_that_was_lost_is_whole_where_it_was_seen():
    """Behind the loss the longest frame is shorter: that makes no super-segment of what one segment could hold."""
    rows = [(k, 0, 0, 8, SYN) for k in (0, 1)] + [(k, 1, 1200, 0, ACK) for k in (0, 1)] + [(0, 1201, 1448, 0, ACK)]
    packets, point = table(sorted(rows, key=lambda row: row[0]))

    assert split_supers(packets, point, 2).supers.tolist() == [0, 0]


def test_identifications_are_counted_on_across_zero():
    """A counter wraps: a frame that begins with zero is numbered on; a sender that never counts stays at zero."""
    host = [(0, 0, 0, 8, SYN), (0, 1, 2 * 1448, 0, ACK), (0, 2897, 2 * 1448, 0, ACK), (0, 5793, 1448, 0, ACK)]
    wire = [(1, 0, 0, 8, SYN), *((1, 1 + 1448 * k, 1448, 0, ACK) for k in range(5))]
    for numbers in ((65_533, 65_534, 0, 2, 65_533, 65_534, 65_535, 0, 1, 2), (0,) * 10):
        packets, point = table([*host, *wire])
        packets.ip_id[:] = numbers

        split = split_supers(packets, point, 2)

        seen = [split.packets.ip_id[split.point == k].tolist() for k in (0, 1)]
        assert seen[0] == seen[1]
