"""Join rows that show one packet: rows of equal keys are one token, unless a point shows it twice."""

from __future__ import annotations

import numpy as np

from orchestrator.core.identity_kernels import fold
from orchestrator.jit import inlined, kernel
from orchestrator.model.columns import TCP

FEW = 32
"""Rows up to which insertion sorts faster than merging."""
SOLID, COPY, SAME_POINT, FRESH = 1, 2, 4, 8
"""Of a place: no other packet can look like it; it repeats the one before it; that one was seen at the same point;
another token begins."""
FOLDED, LEFT = 1, 2
"""Of a row: it repeats another one of its token; its token came several times, so that only time tells which is which.
"""


@kernel
def key_rows(rows, identity, flow, bit, key):
    """Fold the flow direction into the identity of each of *rows*.

    Args: rows int64[:]; by row: identity uint64[:], flow int32[:], bit uint8[:]; output key uint64[:] by place.
    """
    for k in range(rows.size):
        r = rows[k]
        key[k] = fold(identity[r], np.uint64(flow[r]) * np.uint64(2) + np.uint64(bit[r]))


@kernel
def compare_numbers(rows, key, point, flow, bit, ip_id, total, different, present):
    """Count by flow direction and point how often the IP identification differs from that at the point before.

    Args: rows int64[:] by key, then ascending; key uint64[:] by place; by row: point uint8[:], flow int32[:], bit
    uint8[:], ip_id uint16[:]; outputs total, different, present int64[:, :] by direction and point, the last of all
    rows. Packets that one point shows under several numbers are left out of the others: they are several.
    """
    begin = 0
    while begin < rows.size:
        end = begin + 1
        clear = True
        while end < rows.size and key[end] == key[begin]:
            before, here = rows[end - 1], rows[end]
            if point[before] == point[here] and ip_id[before] != ip_id[here]:
                clear = False
            end += 1
        for k in range(begin, end):
            here = rows[k]
            way = np.int64(flow[here]) * 2 + np.int64(bit[here])
            present[way, point[here]] += 1
            if clear and k > begin:
                before = rows[k - 1]
                if point[before] != point[here]:
                    total[way, point[here]] += 1
                    if ip_id[before] != ip_id[here]:
                        different[way, point[here]] += 1
        begin = end


@inlined
def sort_by_number(rows, begin, end, ip_id):
    """Sort rows[begin:end] by IP identification, equal ones as they stand."""
    if end - begin > FEW:
        part = rows[begin:end].copy()
        numbers = np.empty(part.size, np.uint16)
        for k in range(part.size):
            numbers[k] = ip_id[part[k]]
        rows[begin:end] = part[np.argsort(numbers, kind="mergesort")]
        return
    for k in range(begin + 1, end):
        row = rows[k]
        number = ip_id[row]
        at = k
        while at > begin and ip_id[rows[at - 1]] > number:
            rows[at] = rows[at - 1]
            at -= 1
        rows[at] = row


@kernel
def mark_copies(
    rows, key, renumbered, limits, point, flow, bit, ip_id, ttl, protocol, payload, time, marks, total, twice
):  # fmt: skip
    """Find where tokens begin and which rows repeat the one before them.

    Args: rows int64[:] by key, then ascending, changed: by IP identification too where it tells packets apart; key
    uint64[:] by place; renumbered bool[:] by flow direction; limits int64[4]: within which time a copy comes, of
    numbered packets with the same and another TTL, of others with the same and another; by row: columns of
    model.columns.Packets and point uint8[:], flow int32[:], bit uint8[:]; outputs marks uint8[:] by place of the flags
    above; by point: total int64[:] of solid ones, twice int64[:] of those that are copies.
    """
    begin = 0
    while begin < rows.size:
        end = begin + 1
        while end < rows.size and key[end] == key[begin]:
            end += 1
        way = np.int64(flow[rows[begin]]) * 2 + np.int64(bit[rows[begin]])
        by_number = not renumbered[way]
        if by_number and end - begin > 1:
            sort_by_number(rows, begin, end, ip_id)
        for k in range(begin, end):
            here = rows[k]
            number = ip_id[here]
            solid = number != 0 or (protocol[here] == TCP and payload[here] > 0)
            mark = SOLID if solid else 0
            before = rows[max(k - 1, 0)]
            if k == begin or (by_number and ip_id[before] != number):
                mark |= FRESH
            elif point[before] == point[here]:
                mark |= SAME_POINT
                gap = abs(time[here] - time[before])
                # a later copy is farther on its way: one that has its TTL back was sent again
                limit = limits[(0 if number != 0 else 2) + (1 if ttl[here] != ttl[before] else 0)]
                if gap < limit and ttl[here] <= ttl[before] and ip_id[before] == number:
                    mark |= COPY
            marks[k] = mark
            if solid:
                total[point[here]] += 1
                if mark & COPY:
                    twice[point[here]] += 1
        begin = end


@kernel
def settle(rows, marks, mirrored, point, leader, state, left, group, unsure):
    """Decide by token whether all points show it once; return how many rows are left over.

    Args: rows int64[:], marks uint8[:] as of mark_copies; mirrored bool[:] by point: copies of what may be alike are
    folded there too; outputs by row: leader int32[:] first row of its token, state uint8[:] of FOLDED and LEFT; left,
    group int64[:], unsure bool[:]: the rows that are left over, of which token, and whether some that may be alike were
    folded among them.
    """
    count = 0
    tokens = 0
    begin = 0
    while begin < rows.size:
        end = begin
        repeated = False
        doubtful = False
        while end < rows.size and (end == begin or not marks[end] & FRESH):
            mark = marks[end]
            row = rows[end]
            leader[row] = rows[begin]
            if mark & COPY and (mark & SOLID or mirrored[point[row]]):
                state[row] = FOLDED
                doubtful |= not mark & SOLID
            elif mark & SAME_POINT:
                repeated = True
            end += 1
        if repeated:
            for k in range(begin, end):
                if state[rows[k]] != FOLDED:
                    left[count] = rows[k]
                    group[count] = tokens
                    unsure[count] = doubtful
                    count += 1
                state[rows[k]] |= LEFT
            tokens += 1
        begin = end
    return count


@kernel
def fill_tokens(leader, state, point, flow, bit, token_of_row, table, copies, token_flow, token_bit):
    """Number the tokens in order of their first row and note where each was seen; return how many there are.

    Args: by row: leader int32[:] (-1: no token), state uint8[:] as of settle, point uint8[:], flow int32[:], bit
    uint8[:]; work array token_of_row int32[:]; outputs by token: table int32[:, :] and copies uint8[:, :] by point,
    token_flow int32[:], token_bit uint8[:].
    """
    count = 0
    for row in range(leader.size):
        if leader[row] < 0 or state[row] & LEFT:
            continue
        if leader[row] == row:
            token_of_row[row] = count
            token_flow[count] = flow[row]
            token_bit[count] = bit[row]
            count += 1
        token = token_of_row[leader[row]]
        at = point[row]
        if not state[row] & FOLDED:
            table[token, at] = row
        if copies[token, at] < 255:
            copies[token, at] += 1
    return count
