"""Walk the records of capture files. Reads hostile bytes: every length is checked before it is used."""

from __future__ import annotations

import numpy as np

from orchestrator.jit import inlined, kernel

NEED_MORE, STOPPED_AT_BLOCK, BAD_LENGTH, FULL = 0, 1, 2, 3
"""Why a walk ended: the chunk is used up, a block is for the caller, a length cannot be true, the output is full."""

LARGEST_RECORD = 1 << 24
"""Bytes; more than any capture tool writes for one frame, so a longer claim is damage."""


@inlined
def load16(data, at, big):
    """Return the 16-bit number at *at*."""
    if big:
        return (np.int64(data[at]) << 8) | np.int64(data[at + 1])
    return (np.int64(data[at + 1]) << 8) | np.int64(data[at])


@inlined
def load32(data, at, big):
    """Return the 32-bit number at *at*, as a non-negative int64."""
    if big:
        return (
            (np.int64(data[at]) << 24)
            | (np.int64(data[at + 1]) << 16)
            | (np.int64(data[at + 2]) << 8)
            | np.int64(data[at + 3])
        )
    return (
        (np.int64(data[at + 3]) << 24)
        | (np.int64(data[at + 2]) << 16)
        | (np.int64(data[at + 1]) << 8)
        | np.int64(data[at])
    )


@kernel
def walk_pcap(data, end, big, header, unit_ns, where, caplen, wirelen, time_ns):
    """Find the records of a classic pcap chunk.

    Args: data uint8[:], end valid bytes, header 16 or 24 bytes a record, unit_ns of the fraction;
    outputs where int64[:], caplen and wirelen uint32[:], time_ns int64[:].
    Returns (records, bytes used, reason).
    """
    at = 0
    count = 0
    while at + header <= end:
        if count == where.size:
            return count, at, FULL
        kept = load32(data, at + 8, big)
        if kept > LARGEST_RECORD:
            return count, at, BAD_LENGTH
        if at + header + kept > end:
            return count, at, NEED_MORE
        where[count] = at + header
        caplen[count] = kept
        wirelen[count] = load32(data, at + 12, big)
        time_ns[count] = load32(data, at, big) * 1_000_000_000 + load32(data, at + 4, big) * unit_ns
        count += 1
        at += header + kept
    return count, at, NEED_MORE


@inlined
def ticks_to_ns(high, low, per_second, offset_s):
    """Return nanoseconds of a 64-bit tick count; per_second is the tick rate."""
    ticks = (np.uint64(high) << np.uint64(32)) | np.uint64(low)
    rate = np.uint64(per_second)
    seconds = ticks // rate
    rest = ticks - seconds * rate
    if rate <= np.uint64(4_000_000_000):
        fraction = np.int64(rest * np.uint64(1_000_000_000) // rate)
    else:
        fraction = np.int64(np.float64(rest) / np.float64(rate) * 1e9)
    return (np.int64(seconds) + offset_s) * 1_000_000_000 + fraction


@kernel
def walk_pcapng(data, end, big, interfaces, rates, offsets, snaplens, where, caplen, wirelen, time_ns, interface):
    """Find the packets of a pcapng chunk; stop at the first block that is not a packet.

    Args: data uint8[:], end valid bytes, interfaces known so far in this section, rates int64[:] ticks a second,
    offsets int64[:] seconds, snaplens int64[:]; outputs as in walk_pcap, plus interface uint16[:].
    Returns (packets, bytes used, reason).
    """
    at = 0
    count = 0
    while at + 12 <= end:
        if count == where.size:
            return count, at, FULL
        kind = load32(data, at, big)
        length = load32(data, at + 4, big)
        if kind not in (2, 3, 6):
            return count, at, STOPPED_AT_BLOCK
        if length < 16 or length % 4 != 0 or length > LARGEST_RECORD + 65_536:
            return count, at, BAD_LENGTH
        if at + length > end:
            return count, at, NEED_MORE
        if kind == 3:
            if interfaces == 0:
                return count, at, BAD_LENGTH
            wire = load32(data, at + 8, big)
            kept = min(length - 16, wire)
            if snaplens[0] > 0:
                kept = min(kept, snaplens[0])
            start = at + 12
            number = 0
            stamp = np.int64(0)
        else:
            if length < 32:
                return count, at, BAD_LENGTH
            number = load32(data, at + 8, big) if kind == 6 else load16(data, at + 8, big)
            kept = load32(data, at + 20, big)
            wire = load32(data, at + 24, big)
            start = at + 28
            if number >= interfaces or kept > length - 32:
                return count, at, BAD_LENGTH
            stamp = ticks_to_ns(load32(data, at + 12, big), load32(data, at + 16, big), rates[number], offsets[number])
        where[count] = start
        caplen[count] = kept
        wirelen[count] = wire
        time_ns[count] = stamp
        interface[count] = number
        count += 1
        at += length
    return count, at, NEED_MORE
