"""Walk the records of capture files. Reads hostile bytes: every length is checked before it is used."""

from __future__ import annotations

import numpy as np

from orchestrator.jit import inlined, kernel

NEED_MORE, STOPPED_AT_BLOCK, TOO_LONG, FULL, ONLY_ZEROS, UNEVEN = 0, 1, 2, 3, 4, 5
"""Why a walk ended: the chunk is used up, a block is for the caller, a length cannot be true, the output is full, a
page of zeros follows (file systems fill up so what a crash left unwritten), the two lengths of a block differ."""
PAGE_BYTES = 4096

DROPS, CONTRADICTING, FIRST_CONTRADICTING, WITHOUT_TIME, LAST_TIME, CLAIMED = 0, 1, 2, 3, 4, 5
"""Places in the tally of a walk: packets that the file says were dropped, packets that contradict their block and the
count of good ones before the first of them, packets without a time, the time read last, the length that ended it."""
TALLIES = 6

LARGEST_RECORD = 1 << 24
"""Bytes; more than any capture tool writes for one frame, so a longer claim is damage."""
LARGEST_SECONDS = 9_223_372_035
"""Seconds whose nanoseconds still fit into an int64: the year 2262."""
UNKNOWN_DROPS = 0xFFFF
NEVER_SWAPPED, ALWAYS_SWAPPED, SWAPPED_WHERE_LONGER = 0, 1, 2
"""Old versions of pcap put the two lengths of a record the other way round."""


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


@inlined
def all_zeros(data, at):
    """Return whether a page of zeros begins at *at*."""
    if at + PAGE_BYTES > data.size:
        return False
    k = at
    while k < at + PAGE_BYTES and data[k] == 0:
        k += 1
    return k == at + PAGE_BYTES


@kernel
def walk_pcap(data, big, header, unit_ns, swapped, where, caplen, wirelen, time_ns, tally):
    """Find the records of a classic pcap chunk.

    Args: data uint8[:], header bytes of a record header (16 or more), unit_ns of the fraction, swapped one of the three
    above; outputs where int64[:], caplen and wirelen uint32[:], time_ns int64[:], tally int64[:].
    Returns (records, bytes used, reason).
    """
    at = 0
    count = 0
    while at + header <= data.size:
        if count == where.size:
            return count, at, FULL
        kept = load32(data, at + 8, big)
        wire = load32(data, at + 12, big)
        if swapped == ALWAYS_SWAPPED or (swapped == SWAPPED_WHERE_LONGER and kept > wire):
            kept, wire = wire, kept
        if kept > LARGEST_RECORD:
            tally[CLAIMED] = kept
            return count, at, TOO_LONG
        if at + header + kept > data.size:
            tally[CLAIMED] = kept
            return count, at, NEED_MORE
        seconds = load32(data, at, big)
        fraction = load32(data, at + 4, big)
        if kept == 0 and wire == 0 and seconds == 0 and fraction == 0 and all_zeros(data, at):
            return count, at, ONLY_ZEROS
        where[count] = at + header
        caplen[count] = kept
        wirelen[count] = wire
        time_ns[count] = seconds * 1_000_000_000 + fraction * unit_ns
        count += 1
        at += header + kept
    return count, at, NEED_MORE


@inlined
def ticks_to_ns(high, low, rate, offset_s):
    """Return nanoseconds of a 64-bit tick count, exactly; rate uint64 is ticks a second, 10**19 or 2**63 at most."""
    billion = np.uint64(1_000_000_000)
    ticks = (np.uint64(high) << np.uint64(32)) | np.uint64(low)
    seconds = ticks // rate
    rest = ticks - seconds * rate
    if rate <= np.uint64(1 << 33):  # the product fits
        fraction = rest * billion // rate
    elif rate & (rate - np.uint64(1)) == np.uint64(0):  # 2**k, k > 33: in two halves of 32 bits
        shift = np.uint64(0)
        while (rate >> shift) > np.uint64(1):
            shift += np.uint64(1)
        upper = rest >> np.uint64(32)
        lower = rest & np.uint64(0xFFFFFFFF)
        fraction = (upper * billion + (lower * billion >> np.uint64(32))) >> (shift - np.uint64(32))
    else:  # 10**k, k > 9
        fraction = rest // (rate // billion)
    whole = np.int64(min(seconds, np.uint64(1 << 62))) + offset_s
    whole = min(max(whole, np.int64(-LARGEST_SECONDS)), np.int64(LARGEST_SECONDS))
    return whole * 1_000_000_000 + np.int64(fraction)


@inlined
def dropped_before(data, at, end, big):
    """Return epb_dropcount of the options between *at* and *end*, 0 without one."""
    while at + 4 <= end:
        code = load16(data, at, big)
        length = load16(data, at + 2, big)
        if code == 0 or at + 4 + length > end:
            break
        if code == 4 and length == 8:
            low = load32(data, at + 8 if big else at + 4, big)
            return low & 0x7FFFFFFF
        at += 4 + (length + 3) // 4 * 4
    return np.int64(0)


@kernel
def walk_pcapng(data, big, interfaces, rates, offsets, snaplens, where, caplen, wirelen, time_ns, interface, tally):
    """Find the packets of a pcapng chunk; stop at the first block that tells of a section or an interface.

    Args: data uint8[:], interfaces known so far in this section, rates uint64[:] ticks a second, offsets int64[:]
    seconds, snaplens int64[:]; outputs as in walk_pcap, plus interface uint16[:]. A packet that contradicts its block
    is left out and counted: where blocks begin is still known. A simple packet has the time of the packet before it.
    Returns (packets, bytes used, reason).
    """
    at = 0
    count = 0
    while at + 12 <= data.size:
        if count == where.size:
            return count, at, FULL
        kind = load32(data, at, big)
        stated = load32(data, at + 4, big)
        length = (stated + 3) // 4 * 4  # some writers do not count the padding
        if kind not in (2, 3, 6):
            if kind in (1, 5, 0x0A0D0D0A) or length < 12 or at + length > data.size:
                return count, at, STOPPED_AT_BLOCK
            if load32(data, at + length - 4, big) != stated:
                return count, at, STOPPED_AT_BLOCK
            at += length
            continue
        tally[CLAIMED] = stated
        if length < 16 or length > LARGEST_RECORD + 65_536:
            return count, at, TOO_LONG
        if at + length > data.size:
            return count, at, NEED_MORE
        if load32(data, at + length - 4, big) != stated:
            return count, at, UNEVEN
        number = np.int64(0)
        if kind == 3:
            wire = load32(data, at + 8, big)
            kept = min(length - 16, wire)
            sound = interfaces > 0
            if sound and snaplens[0] > 0:
                kept = min(kept, snaplens[0])
            start = at + 12
            tally[WITHOUT_TIME] += sound
        elif length < 32:
            sound = False
            start = at
            kept = np.int64(0)
            wire = np.int64(0)
        else:
            number = load32(data, at + 8, big) if kind == 6 else load16(data, at + 8, big)
            kept = load32(data, at + 20, big)
            wire = load32(data, at + 24, big)
            start = at + 28
            sound = number < interfaces and kept <= length - 32
            if sound:
                tally[LAST_TIME] = ticks_to_ns(
                    load32(data, at + 12, big), load32(data, at + 16, big), rates[number], offsets[number]
                )
            options = start + (kept + 3) // 4 * 4
            if kind == 2:
                drops = load16(data, at + 10, big)
                tally[DROPS] += drops if drops != UNKNOWN_DROPS else 0
            elif sound and options + 4 < at + length:
                tally[DROPS] += dropped_before(data, options, at + length - 4, big)
        at += length
        if not sound:
            if tally[CONTRADICTING] == 0:
                tally[FIRST_CONTRADICTING] = count
            tally[CONTRADICTING] += 1
            continue
        where[count] = start
        caplen[count] = kept
        wirelen[count] = wire
        time_ns[count] = tally[LAST_TIME]
        interface[count] = number
        count += 1
    return count, at, NEED_MORE
