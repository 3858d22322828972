"""Join rows that show one packet: rows of equal keys are one token, unless a point shows it twice."""

from __future__ import annotations

import numpy as np

from orchestrator.jit import inlined, kernel
from orchestrator.model.columns import TCP
from orchestrator.model.hash_kernels import mix

FEW = 32
"""Rows up to which insertion sorts faster than merging."""
SOLID, COPY, SAME_POINT, FRESH = 1, 2, 4, 8
"""Of a place: no other packet can look like it; it repeats the one before it; that one was seen at the same point;
another token begins."""
FOLDED, LEFT = 1, 2
"""Of a row: it repeats another one of its token; its token came several times, so that only time tells which is which.
"""


SOLID_BIT, POINT_BITS, WAY_BITS = np.uint64(1 << 24), np.uint64(16), np.uint64(25)
"""What describe_rows packs into one number, so that rows in hash order are looked up once: IP identification in the
lowest 16 bits, point, whether no other packet can look like it, flow direction."""


@kernel
def describe_rows(rows, identity, flow, bit, point, ip_id, protocol, payload, key, what):
    """Fold the flow direction into the identity of each of *rows*, and pack what is asked of it next.

    Args: rows int64[:]; by row: identity uint64[:], flow int32[:], bit, point uint8[:], ip_id uint16[:], protocol
    uint8[:], payload uint32[:]; outputs key uint64[:], what uint64[:] by place.
    """
    for k in range(rows.size):
        r = rows[k]
        way = np.uint64(flow[r]) * np.uint64(2) + np.uint64(bit[r])
        key[k] = mix(identity[r], way)
        solid = ip_id[r] != 0 or (protocol[r] == TCP and payload[r] > 0)
        packed = way << WAY_BITS | np.uint64(point[r]) << POINT_BITS | np.uint64(ip_id[r])
        what[k] = packed | SOLID_BIT if solid else packed


@inlined
def number_of(packed):
    """Return the IP identification."""
    return np.int64(packed & np.uint64(0xFFFF))


@inlined
def point_of(packed):
    """Return the point."""
    return np.int64(packed >> POINT_BITS & np.uint64(0xFF))


@kernel
def compare_numbers(key, what, total, different, present):
    """Count by flow direction and point how often the IP identification differs from that at the point before.

    Args: key uint64[:], what uint64[:] of describe_rows, rows by key, then ascending; outputs total, different, present
    int64[:, :] by direction and point, the last of all rows. Packets that one point shows under several numbers are
    left out of the others, for they are several; so are those without a number, which devices leave so.
    """
    begin = 0
    while begin < key.size:
        end = begin + 1
        clear = True
        while end < key.size and key[end] == key[begin]:
            same_point = point_of(what[end]) == point_of(what[end - 1])
            clear &= not (same_point and number_of(what[end]) != number_of(what[end - 1]))
            end += 1
        way = np.int64(what[begin] >> WAY_BITS)
        for k in range(begin, end):
            here = point_of(what[k])
            present[way, here] += 1
            if clear and k > begin and point_of(what[k - 1]) != here and number_of(what[k]) | number_of(what[k - 1]):
                total[way, here] += 1
                if number_of(what[k]) != number_of(what[k - 1]):
                    different[way, here] += 1
        begin = end


@inlined
def sort_by_number(rows, what, begin, end):
    """Sort rows[begin:end] and what they are by IP identification, equal ones as they stand."""
    if end - begin > FEW:
        numbers = what[begin:end] & np.uint64(0xFFFF)
        by_number = np.argsort(numbers, kind="mergesort")
        rows[begin:end] = rows[begin:end][by_number]
        what[begin:end] = what[begin:end][by_number]
        return
    for k in range(begin + 1, end):
        row, packed = rows[k], what[k]
        at = k
        while at > begin and number_of(what[at - 1]) > number_of(packed):
            rows[at] = rows[at - 1]
            what[at] = what[at - 1]
            at -= 1
        rows[at] = row
        what[at] = packed


@kernel
def mark_copies(rows, key, what, renumbered, limits, ttl, time, marks, total, twice):
    """Find where tokens begin and which rows repeat the one before them.

    Args: rows int64[:] by key, then ascending, and what uint64[:] of describe_rows, both changed: by IP identification
    too where it tells packets apart; key uint64[:] by place; renumbered bool[:] by flow direction; limits int64[4]:
    within which time a copy comes, of numbered packets with the same and another TTL, of others with the same and
    another; by row: ttl uint8[:], time int64[:]; outputs marks uint8[:] by place of the flags above; by point: total
    int64[:] of solid ones, twice int64[:] of those that are copies.
    """
    begin = 0
    while begin < rows.size:
        end = begin + 1
        while end < rows.size and key[end] == key[begin]:
            end += 1
        by_number = not renumbered[np.int64(what[begin] >> WAY_BITS)]
        if by_number and end - begin > 1:
            sort_by_number(rows, what, begin, end)
        for k in range(begin, end):
            number, at = number_of(what[k]), point_of(what[k])
            mark = SOLID if what[k] & SOLID_BIT else 0
            before = max(k - 1, begin)
            if k == begin or (by_number and number_of(what[before]) != number):
                mark |= FRESH
            elif point_of(what[before]) == at:
                mark |= SAME_POINT
                here, there = rows[k], rows[before]
                # a later copy is farther on its way: one that has its TTL back was sent again
                limit = limits[(0 if number != 0 else 2) + (1 if ttl[here] != ttl[there] else 0)]
                near = abs(time[here] - time[there]) < limit
                if near and ttl[here] <= ttl[there] and number_of(what[before]) == number:
                    mark |= COPY
            marks[k] = mark
            if mark & SOLID:
                total[at] += 1
                if mark & COPY:
                    twice[at] += 1
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
