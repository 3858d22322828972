"""What TCP itself tells at one point about the parts of the path that no point covers."""

from __future__ import annotations

import numpy as np

from orchestrator.jit import kernel

MOST_OPEN_HOLES = 512
REORDERED_NS = 2_000_000
"""Without an IP identification, a hole filled faster than this is taken for reordering."""
BACKOFF_NS = 550_000_000
"""A pause this long contains two retransmission time-outs (RFC 6298: at least 200 ms in practice, then doubled)."""


@kernel
def watch_senders(order, row, way, ip_id, payload, last, counts, share, numbered, against):
    """Learn which senders count their packets up by one, and how much data each packet of their peers had met.

    Args: order int64[:] tokens of this point by row; by token: row int32[:], way int64[:]; by row: ip_id uint16[:],
    payload uint32[:]; work arrays last int64[:] of -1 and counts int64[3, :] of 0 by way; share of small steps that
    shows a counter; outputs numbered bool[:] by way, against int64[:] by token: data tokens of the opposite direction
    before it.
    """
    for k in range(order.size):
        token = order[k]
        w = way[token]
        r = row[token]
        number = np.int64(ip_id[r])
        if last[w] >= 0:
            counts[1, w] += 1
            if 1 <= ((number - last[w]) & 0xFFFF) <= 5:
                counts[0, w] += 1
        last[w] = number
        against[token] = counts[2, w ^ 1]
        if payload[r] > 0:
            counts[2, w] += 1
    for w in range(numbered.size):
        numbered[w] = counts[1, w] > 0 and counts[0, w] / max(counts[1, w], 1) >= share


@kernel
def scan_outer(
    order, row, way, start, end, row_time, row_ip_id, row_flags, numbered_way, reverse_data, lost_before, sent_again
):  # fmt: skip
    """Mark data that was lost before this point and data sent again after it passed here.

    Args: order int64[:] tokens of this point by flow direction and row; by token: row int32[:], way, start, end
    int64[:]; by row: row_time int64[:], row_ip_id uint16[:], row_flags uint8[:]; numbered_way bool[:] by way: its
    sender counts packets up by one; reverse_data int64[:] by token: how many data tokens this point had seen in the
    opposite direction; outputs lost_before int64[:] (segments that the token makes good) and sent_again bool[:] by
    token.

    A hole that a packet fills which was sent later (by IP identification) is a range lost before the point.  Data that
    begins exactly where the stream stood, but after packets are missing in the sender's count although the sender
    had nothing to acknowledge, was lost at the tail: its first copy is among the missing.  A sender may send several
    lost segments again as one: the sender's count, where no other packet can be missing, or else the largest segment
    seen tells how many it stands for.
    """
    hole_start = np.empty(MOST_OPEN_HOLES, np.int64)
    hole_end = np.empty(MOST_OPEN_HOLES, np.int64)
    hole_id = np.empty(MOST_OPEN_HOLES, np.int64)
    hole_time = np.empty(MOST_OPEN_HOLES, np.int64)
    hole_segments = np.empty(MOST_OPEN_HOLES, np.int64)
    holes = 0
    current = np.int64(-1)
    frontier = np.int64(0)
    last_id = np.int64(0)
    last_time = np.int64(0)
    last_reverse = np.int64(0)
    largest = np.int64(1)
    carry = np.int64(0)
    is_counted = False
    for position in range(order.size):
        token = order[position]
        if way[token] != current:
            current = way[token]
            holes = 0
            carry = np.int64(0)
            frontier = np.int64(-1)
            largest = np.int64(1)
            is_counted = False
        at = row[token]
        time = row_time[at]
        ip_id = np.int64(row_ip_id[at])
        numbered = numbered_way[way[token]]
        if row_flags[at] & 2:  # where the stream begins; the count of a SYN-ACK need not go on with the data (RFC 6864)
            frontier = end[token]
            is_counted = False
            continue
        length = end[token] - start[token]
        step = ((ip_id - last_id + 32768) & 0xFFFF) - 32768
        gap = step - 1 if numbered and is_counted and 0 < step < 4096 else np.int64(0)
        quiet = reverse_data[token] == last_reverse
        pause = time - last_time
        if length > 0:
            if frontier < 0:
                frontier = end[token]
                largest = length
            elif start[token] >= frontier:
                usual = max(largest, length)
                skipped = (start[token] - frontier + usual - 1) // usual
                if skipped > 0:
                    carry = np.int64(0)
                    if holes < MOST_OPEN_HOLES:
                        hole_segments[holes] = max(skipped, gap) if quiet and holes == 0 else skipped
                        hole_start[holes] = frontier
                        hole_end[holes] = start[token]
                        hole_id[holes] = ip_id
                        hole_time[holes] = time
                        holes += 1
                elif gap > 0 and quiet and holes == 0:
                    stands_for = min(gap, (length + largest - 1) // largest)
                    lost_before[token] = stands_for
                    carry = gap - stands_for
                    backoff = BACKOFF_NS
                    while carry > 0 and pause > backoff:
                        carry -= 1
                        backoff *= 2
                elif carry > 0 and holes == 0:
                    lost_before[token] = 1
                    carry -= 1
                frontier = end[token]
                if lost_before[token] == 0:
                    largest = max(largest, length)  # copies sent again may be several segments in one
            else:
                filled = False
                stands_for = np.int64(0)
                reordered = False
                k = 0
                while k < holes:
                    if start[token] < hole_end[k] and end[token] > hole_start[k]:
                        filled = True
                        if numbered:
                            reordered = ((ip_id - hole_id[k] + 32768) & 0xFFFF) - 32768 < 0
                        else:
                            reordered = time - hole_time[k] < REORDERED_NS
                        left = start[token] > hole_start[k]
                        right = end[token] < hole_end[k]
                        covered = min(end[token], hole_end[k]) - max(start[token], hole_start[k])
                        part = max(np.int64(1), (covered + largest - 1) // largest)
                        rest = max(np.int64(1), hole_segments[k] - 1)
                        part = min(part, rest) if left or right else hole_segments[k]
                        hole_segments[k] = max(np.int64(1), hole_segments[k] - part)
                        stands_for += part
                        if left and right and holes < MOST_OPEN_HOLES:
                            hole_start[holes] = end[token]
                            hole_end[holes] = hole_end[k]
                            hole_id[holes] = hole_id[k]
                            hole_time[holes] = hole_time[k]
                            hole_segments[holes] = hole_segments[k]
                            holes += 1
                            hole_end[k] = start[token]
                        elif left:
                            hole_end[k] = start[token]
                        elif right:
                            hole_start[k] = end[token]
                        else:
                            holes -= 1
                            hole_start[k] = hole_start[holes]
                            hole_end[k] = hole_end[holes]
                            hole_id[k] = hole_id[holes]
                            hole_time[k] = hole_time[holes]
                            hole_segments[k] = hole_segments[holes]
                            continue
                    k += 1
                if filled and not reordered:
                    lost_before[token] = stands_for
                elif not filled and not (length <= 1 and end[token] == frontier):  # that would be a keep-alive
                    sent_again[token] = True
                frontier = max(frontier, end[token])
        if step > 0 or not numbered or not is_counted:
            is_counted = True
            last_id = ip_id
            last_time = time
            last_reverse = reverse_data[token]
