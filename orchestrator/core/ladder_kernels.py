"""Loops over tokens that vectorising would not make clearer: sequence numbers, acknowledgements, copies."""

from __future__ import annotations

import numpy as np

from orchestrator.jit import kernel

NEW_CONNECTION = 1 << 40
"""Distance between connections that reuse one five-tuple, so that their bytes never overlap."""

LARGEST_WINDOW = 1 << 30
"""Bytes; TCP cannot have more in flight (RFC 7323)."""

MOST_LATER = 4096
"""Acknowledgements behind a missing one among which one that passed is looked for."""

RESENT, EARLIER_COPY, CERTIFIED, HOLE, RECUT, SUPERSEDED, PASSED_LATER, PARTLY = 1, 2, 4, 8, 16, 32, 64, 128
"""What examine() found about a missing token.

RESENT a later copy of its bytes exists; EARLIER_COPY it is itself a copy; CERTIFIED its bytes were acknowledged though
no other copy can have delivered them; HOLE later bytes reached the far side before the copy did; RECUT its bytes
reached the far side in packets that the near side never saw, PARTLY some of them did: its borders are not those on
the wire; SUPERSEDED a later acknowledgement passed; PASSED_LATER a later copy reached the far side.
"""


@kernel
def unwrap(order, row, stream, seq, ack, flags, payload, number, place, opened, epoch, start, end, acked):
    """Give every TCP token its place in a byte stream that never wraps.

    Args: order int64[:] token numbers by time; by token: row int32[:] one that shows it, stream int64[:] twice its
    connection, plus its direction; by row: seq, ack, payload uint32[:], flags uint8[:]; work arrays by connection and
    direction: number int64[:, :] of -1 the last sequence number, place int64[:, :] where that is in the stream, opened
    int64[:, :] of -1 that of its SYN; epoch int64[:] of 0 by connection; outputs by token: start, end, acked int64[:]
    (-1 without ACK flag).
    """
    for position in range(order.size):
        token = order[position]
        f = stream[token] >> 1
        side = stream[token] & 1
        at = row[token]
        here = np.int64(seq[at])
        mask = flags[at]
        if mask & 2 and not mask & 16:
            if number[f, side] >= 0 and opened[f, side] != here and (opened[f, side] >= 0 or number[f, 1 - side] >= 0):
                epoch[f] += NEW_CONNECTION
                number[f, 0] = -1
                number[f, 1] = -1
            opened[f, side] = here
        if number[f, side] < 0:
            number[f, side] = here
            place[f, side] = epoch[f] + (1 << 33)
        delta = ((here - number[f, side] + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)
        start[token] = place[f, side] + delta
        length = np.int64(payload[at]) + (1 if mask & 2 else 0) + (1 if mask & 1 else 0)
        end[token] = start[token] + length
        if delta > 0 and not mask & 4:
            number[f, side] = here
            place[f, side] = start[token]
        acked[token] = -1
        if mask & 16:
            other = 1 - side
            here = np.int64(ack[at])
            if number[f, other] < 0:
                number[f, other] = here
                place[f, other] = epoch[f] + (1 << 33)
            delta = ((here - number[f, other] + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)
            acked[token] = place[f, other] + delta


@kernel
def examine(
    tokens,
    tail,
    near,
    start,
    end,
    acked,
    time,
    seen,
    by_start,
    start_low,
    start_high,
    by_ack,
    highest,
    ack_low,
    ack_high,
    own_low,
    own_high,
    last,
    row,
    stamp,
    slack_ns,
    found,
):
    """Look at copies and acknowledgements of tokens that are missing behind a point.

    What came first is read from the clock of the last point that saw the token, where that point saw both; only
    otherwise from times of different clocks, with slack_ns.

    Args: tokens int64[:] the missing ones; tail, near uint64[:] bit masks of the points that miss it and of the last
    that saw it; start, end, acked, time int64[:] by token (time: first seen, reference clock); seen uint64[:] by token;
    by_start int64[:] tokens with bytes by flow direction and start, start_low/high int64[:] each candidate's range in
    it; by_ack int64[:] tokens with ACK by flow direction and time, highest int64[:] running maximum of acked within a
    direction, ack_low/high the opposite direction's range, own_low/high its own; last int64[:] the number of the last
    point that saw it; row int32[:, :] by token and point, stamp int64[:] by row; output found uint8[:] of the flags
    above.
    """
    for c in range(tokens.size):
        x = tokens[c]
        flags = 0
        if end[x] == start[x]:
            low = own_low[c]
            high = own_high[c]
            while low < high:  # the first that is not earlier
                middle = (low + high) // 2
                if time[by_ack[middle]] < time[x]:
                    low = middle + 1
                else:
                    high = middle
            for k in range(low, min(low + MOST_LATER, own_high[c])):
                y = by_ack[k]
                if y != x and acked[y] >= acked[x] and seen[y] & tail[c]:
                    flags |= SUPERSEDED
                    break
            found[c] = flags
            continue
        acknowledged = np.int64(-1)
        ack_row = np.int64(-1)
        low = ack_low[c]
        high = ack_high[c]
        if high > low and highest[high - 1] >= end[x]:
            while low < high:
                middle = (low + high) // 2
                if highest[middle] >= end[x]:
                    high = middle
                else:
                    low = middle + 1
            ahead = acked[by_ack[low]] - end[x]
            # an older acknowledgement speaks of an older copy; one beyond any window speaks of another stream
            ack = by_ack[low]
            ack_row = np.int64(row[ack, last[c]])
            later = stamp[ack_row] >= stamp[row[x, last[c]]] if ack_row >= 0 else time[ack] + slack_ns >= time[x]
            if later and ahead < LARGEST_WINDOW:
                acknowledged = time[ack]
        low = start_low[c]
        high = start_high[c]
        while low < high:  # first token that starts at or behind the earliest possible overlap
            middle = (low + high) // 2
            if start[by_start[middle]] < start[x] - 70_000:
                low = middle + 1
            else:
                high = middle
        rival = False
        recut = np.int64(0)
        delivered_at = np.int64(-1)
        k = low
        while k < start_high[c] and start[by_start[k]] < end[x]:
            y = by_start[k]
            k += 1
            if y == x or end[y] <= start[x]:
                continue
            if time[y] > time[x]:
                flags |= RESENT
                if seen[y] & tail[c]:
                    flags |= PASSED_LATER
                    if delivered_at < 0 or time[y] < delivered_at:
                        delivered_at = time[y]
            else:
                flags |= EARLIER_COPY
            if acknowledged < 0:
                rival = True
            elif ack_row >= 0 and row[y, last[c]] >= 0:
                rival |= stamp[row[y, last[c]]] <= stamp[ack_row]
            else:
                rival |= time[y] <= acknowledged + slack_ns
            if seen[y] & tail[c] and not seen[y] & near[c]:
                recut += min(end[x], end[y]) - max(start[x], start[y])
        if recut >= end[x] - start[x]:
            flags |= RECUT
        elif recut > 0:
            flags |= PARTLY
        if acknowledged >= 0 and not rival:
            flags |= CERTIFIED
        if delivered_at >= 0:
            limit = min(k + 64, start_high[c])
            while k < limit:
                z = by_start[k]
                k += 1
                if seen[z] & tail[c] and time[z] < delivered_at:
                    flags |= HOLE
                    break
        found[c] = flags


@kernel
def arrives_within(low, high, time, place, gone_time, gone_place, early_ns, late_ns, hit):
    """Say for each missing token whether an arrival with its key came by farther on and at the right time.

    Args: low, high int64[:] by missing token: its key's range among the arrivals; time, place int64[:] by arrival, in
    order of time within a key: when and how far along it was first seen; gone_time, gone_place int64[:] the same of
    the missing token's last sighting; early_ns, late_ns how far the times may lie apart; output hit bool[:].
    """
    for c in range(hit.size):
        left = low[c]
        right = high[c]
        while left < right:
            middle = (left + right) // 2
            if time[middle] < gone_time[c] - early_ns:
                left = middle + 1
            else:
                right = middle
        k = left
        while k < high[c] and time[k] <= gone_time[c] + late_ns:
            if place[k] > gone_place[c]:
                hit[c] = True
                break
            k += 1


@kernel
def pair_by_time(order, group, place, time, latest_ns, early_ns, token, unsure):
    """Match identical packets by time, first in first out, within a window.

    Args: order int64[:] entries by group and time; group int64[:], place int64[:] position of the point in
    travel order, time int64[:] reference clock; latest_ns the longest delay between any two points; early_ns how
    much a later
    point may seem early; outputs token int64[:] (number within the whole call), unsure bool[:] by entry.
    Returns the number of tokens.
    """
    size = 256
    open_token = np.empty(size, np.int64)
    open_place = np.empty(size, np.int64)
    open_time = np.empty(size, np.int64)
    open_unsure = np.zeros(order.size + 1, np.bool_)
    count = 0
    held = 0
    current = np.int64(-1)
    for position in range(order.size):
        entry = order[position]
        if group[entry] != current:
            current = group[entry]
            held = 0
        kept = 0
        for k in range(held):  # forget what is too old to be matched
            if time[entry] - open_time[k] <= latest_ns:
                open_token[kept] = open_token[k]
                open_place[kept] = open_place[k]
                open_time[kept] = open_time[k]
                kept += 1
        held = kept
        chosen = -1
        rivals = 0
        for k in range(held):
            if open_place[k] < place[entry] or (
                open_place[k] > place[entry] and time[entry] - open_time[k] <= early_ns
            ):
                rivals += 1
                if chosen < 0:
                    chosen = k
        if chosen < 0:
            token[entry] = count
            if held < size:
                open_token[held] = count
                open_place[held] = place[entry]
                open_time[held] = time[entry]
                held += 1
            else:
                open_unsure[count] = True
            count += 1
        else:
            token[entry] = open_token[chosen]
            if rivals > 1:
                for k in range(held):
                    open_unsure[open_token[k]] = True
            open_place[chosen] = max(open_place[chosen], place[entry])
    for entry in range(order.size):
        unsure[entry] = open_unsure[token[entry]]
    return count
