"""Put rows in order by one or several columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.core.sort_kernels import DIGIT_BITS, count_into, first_places, settle_prefixes, sort_by_digits

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEWEST_DISTINCT = 1 << 12
MOST_SAMPLED = 200_000
SPARE_BITS = 10
"""Bits of a hash beyond those that number its places: one place in a thousand shares them with another value."""
WORTH_IT = 4096
"""Rows below which NumPy is done sooner."""


def stable_order(*keys: NDArray[Any]) -> NDArray[np.int64]:
    """Return what ``np.lexsort(keys)`` returns: the order by the last key, ties by the one before it, then as given.

    Args: keys are integers or booleans of any width, all of one length.
    """
    if len(keys[0]) < WORTH_IT:
        return np.lexsort(keys)
    order = np.arange(len(keys[0]), dtype=np.int64)
    spare_order, spare_key = np.empty_like(order), np.empty(len(order), np.uint64)
    for number, key in enumerate(keys):
        lifted, bits = _lifted(key)
        if number:
            lifted = lifted[order]
        if sort_by_digits(lifted, order, spare_key, spare_order, bits):
            order, spare_order = spare_order, order
    return order


def together(hashes: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Return (places, hashes) with equal hashes together, ascending places among these; groups in no set order."""
    count = len(hashes)
    if count < WORTH_IT:
        order = np.argsort(hashes, kind="stable")
        return order, hashes[order]
    bits = DIGIT_BITS * -(-(count.bit_length() + SPARE_BITS) // DIGIT_BITS)
    order = np.arange(count, dtype=np.int64)
    spare_order, spare_key = np.empty_like(order), np.empty_like(hashes)
    shift = np.uint64(64 - bits)
    if sort_by_digits(hashes >> shift, order, spare_key, spare_order, bits):
        order = spare_order
    ordered = hashes[order]
    settle_prefixes(ordered, order, shift)
    return order, ordered


def spread(places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return at most MOST_SAMPLED of *places*, spread evenly: enough for quantiles and for what bounds a clock."""
    if len(places) <= MOST_SAMPLED:
        return places
    return places[np.linspace(0, len(places) - 1, MOST_SAMPLED).astype(np.int64)]


def nearly_sorted(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the order of *values* that consist of a few long runs, such as times by token: far faster than others."""
    return np.argsort(values, kind="stable")  # of 64-bit numbers this merges runs


def by_group(order: NDArray[np.int64], group: NDArray[Any]) -> NDArray[np.int64]:
    """Return *order*, places in some order, with those of one group together, groups ascending.

    Args: group by place, small numbers from 0 on.
    """
    if not len(order):
        return order
    counts = np.bincount(group[order])
    out = np.empty_like(order)
    count_into(order, group, np.cumsum(counts) - counts, out)
    return out


def number_values(values: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number the distinct *values*, hashes, in ascending order; return (first place of each, number by place)."""
    number, room = np.empty(len(values), np.int64), FEWEST_DISTINCT
    while True:
        first, table = np.empty(room, np.int64), np.full(2 * room, -1, np.int64)
        count = first_places(values, table, number, first)
        if count >= 0:
            break
        room *= 8
    first = first[:count]
    order = np.argsort(values[first])
    rank = np.empty(count, np.int64)
    rank[order] = np.arange(count)
    return first[order], rank[number]


def _lifted(key: NDArray[Any]) -> tuple[NDArray[np.uint64], int]:
    """Return *key* counted from its smallest value, and how many bits that takes."""
    low, high = int(key.min()), int(key.max())
    if key.dtype == np.uint64:
        return key - np.uint64(low), (high - low).bit_length()
    # the difference of two int64 needs 64 bits: it is taken modulo 2**64, which is exact
    return key.astype(np.int64).view(np.uint64) - np.uint64(low % 2**64), (high - low).bit_length()
