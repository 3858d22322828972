"""Stable sorting by digits: several times as fast as comparing, and cost grows with the span of the keys."""

from __future__ import annotations

import numpy as np

from orchestrator.jit import kernel

DIGIT_BITS = 11
DIGITS = 1 << DIGIT_BITS


@kernel
def sort_by_digits(key, order, spare_key, spare_order, bits):
    """Sort *order* by *key*, equal keys in the order given.

    Args: key uint64[:] in which only the lowest *bits* bits are in use, order int64[:], both by place and both changed;
    spare_key, spare_order of the same size and type. Returns 1 where the outcome stands in the spare arrays, else 0.
    """
    passes = (bits + DIGIT_BITS - 1) // DIGIT_BITS
    counts = np.zeros((max(passes, 1), DIGITS), np.int64)
    mask = np.uint64(DIGITS - 1)
    for place in range(key.size):
        rest = key[place]
        for digit in range(passes):
            counts[digit, np.int64(rest & mask)] += 1
            rest >>= np.uint64(DIGIT_BITS)
    swapped = 0
    for digit in range(passes):
        shift = np.uint64(digit * DIGIT_BITS)
        if key.size > 0 and counts[digit, np.int64((key[0] >> shift) & mask)] == key.size:
            continue  # all the same
        start = np.int64(0)
        for value in range(DIGITS):
            count = counts[digit, value]
            counts[digit, value] = start
            start += count
        for place in range(key.size):
            found = np.int64((key[place] >> shift) & mask)
            target = counts[digit, found]
            counts[digit, found] = target + 1
            spare_key[target] = key[place]
            spare_order[target] = order[place]
        key, spare_key = spare_key, key
        order, spare_order = spare_order, order
        swapped = 1 - swapped
    return swapped


@kernel
def settle_prefixes(key, order, shift):
    """Put equal keys together where several share what remains of them above *shift* bits.

    Args: key uint64[:] by that remainder, order int64[:] their places; both are changed.
    """
    begin = 0
    while begin < order.size:
        end = begin + 1
        mixed = False
        while end < order.size and key[end] >> shift == key[begin] >> shift:
            mixed |= key[end] != key[begin]
            end += 1
        if mixed:
            by_key = np.argsort(key[begin:end], kind="mergesort")
            key[begin:end] = key[begin:end][by_key]
            order[begin:end] = order[begin:end][by_key]
        begin = end


@kernel
def count_into(order, group, starts, out):
    """Write *order* to *out* with the members of each group together, in the order given.

    Args: order int64[:] places; group int64[:] by place; starts int64[:] by group, changed: where each begins in out.
    """
    for k in range(order.size):
        g = group[order[k]]
        out[starts[g]] = order[k]
        starts[g] += 1


@kernel
def first_places(values, table, number, first):
    """Number the distinct *values* in order of appearance; return how many there are, -1 where *first* is too short.

    Args: values uint64[:], already hashes; table int64[:] of -1, its size a power of two at least twice that of first,
    changed; outputs number int64[:] by place, first int64[:] by number: where it was met first.
    """
    mask = table.size - 1
    count = 0
    last = np.int64(-1)
    for k in range(values.size):
        value = values[k]
        if k > 0 and value == values[k - 1]:
            number[k] = last
            continue
        at = np.int64((value ^ (value >> np.uint64(32))) & np.uint64(mask))
        while table[at] >= 0 and values[first[table[at]]] != value:
            at = (at + 1) & mask
        if table[at] < 0:
            if count == first.size:
                return -1
            table[at] = count
            first[count] = k
            count += 1
        last = table[at]
        number[k] = last
    return count
