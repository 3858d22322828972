"""Write invented packets as pcap records: Ethernet, IPv4 or IPv6, TCP or UDP, payload, every checksum right."""

from __future__ import annotations

import numba
import numpy as np

from bench.flow_kernels import DATAGRAMS, SYN

RECORD = 16
LINK = 14
CLIENTS, SERVERS = 240, 40
TCP_OPTIONS, SYN_OPTIONS = 12, 20
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MIXER = np.uint64(0xBF58476D1CE4E5B9)


@numba.njit(cache=True)
def word(flow, seq, place):
    """Return eight bytes of payload, the same wherever and however often the segment is sent."""
    mixed = ((np.uint64(flow) << np.uint64(32)) | np.uint64(seq)) + np.uint64(place + 1) * GOLDEN
    mixed = (mixed ^ (mixed >> np.uint64(31))) * MIXER
    return mixed ^ (mixed >> np.uint64(29))


@numba.njit(cache=True)
def digest(rows):
    """Fill in the checksum of each packet's payload, as RFC 1071 adds it up."""
    low = np.uint64(0xFFFFFFFF)
    for at in range(rows.size):
        size, total = np.int64(rows[at].size), np.uint64(0)
        for place in range((size + 7) // 8):
            data = word(rows[at].flow, rows[at].seq, place)
            rest = size - 8 * place
            if rest < 8:
                data &= (np.uint64(1) << np.uint64(8 * rest)) - np.uint64(1)
            total += (data & low) + (data >> np.uint64(32))
        while total >> np.uint64(16):
            total = (total & np.uint64(0xFFFF)) + (total >> np.uint64(16))
        rows[at].digest = np.uint16(((total & np.uint64(0xFF)) << np.uint64(8)) | (total >> np.uint64(8)))


@numba.njit(cache=True)
def big(out, at, value, size):
    """Store *value* in *size* bytes, the highest first."""
    for k in range(size):
        out[at + k] = (value >> (8 * (size - 1 - k))) & 0xFF


@numba.njit(cache=True)
def little(out, at, value):
    """Store *value* in four bytes, the lowest first."""
    for k in range(4):
        out[at + k] = (value >> (8 * k)) & 0xFF


@numba.njit(cache=True)
def folded(out, start, end, total):
    """Return the checksum over *out* from *start* to *end*, an even number of bytes, and *total*."""
    for at in range(start, end, 2):
        total += (np.int64(out[at]) << 8) | np.int64(out[at + 1])
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


@numba.njit(cache=True)
def addresses(out, at, row, v6):
    """Write source and destination."""
    host = 1 + row.flow % CLIENTS + ((row.flow // CLIENTS) % CLIENTS << 8)
    server = 0x640001 + row.flow % SERVERS
    width = 16 if v6 else 4
    for side in range(2):
        start = at + side * width
        value = host if (side == 0) == (row.up == 1) else server
        if v6:
            big(out, start, 0x20010DB8, 4)
            for k in range(4, 12):
                out[start + k] = 0
            big(out, start + 12, value, 4)
        else:
            big(out, start, 0x0A000000 + value, 4)


@numba.njit(cache=True)
def network(out, at, row, kind, v6, hops):
    """Write the IP header; return (where it ends, the sum of the pseudo header)."""
    protocol = 17 if kind == DATAGRAMS else 6
    inner = row.size + (8 if kind == DATAGRAMS else 20 + (SYN_OPTIONS if row.flags & SYN else TCP_OPTIONS))
    if v6:
        big(out, at, 0x60000000 | (row.flow & 0xFFFFF), 4)
        big(out, at + 4, inner, 2)
        out[at + 6], out[at + 7] = protocol, 64 - hops
        addresses(out, at + 8, row, True)
        return at + 40, (folded(out, at + 8, at + 40, 0) ^ 0xFFFF) + protocol + inner
    big(out, at, 0x45000000 | (20 + inner), 4)
    big(out, at + 4, row.id, 2)
    big(out, at + 6, 0x4000, 2)
    out[at + 8], out[at + 9] = 64 - hops, protocol
    big(out, at + 10, 0, 2)
    addresses(out, at + 12, row, False)
    big(out, at + 10, folded(out, at, at + 20, 0), 2)
    return at + 20, (folded(out, at + 12, at + 20, 0) ^ 0xFFFF) + protocol + inner


@numba.njit(cache=True)
def options(out, at, row):
    """Write TCP's options; return where they end."""
    if row.flags & SYN:
        big(out, at, 0x020405B4, 4)
        big(out, at + 4, 0x01030307, 4)
        at += 8
    big(out, at, 0x0101080A, 4)
    big(out, at + 4, row.tsval, 4)
    big(out, at + 8, row.tsecr, 4)
    return at + 12


@numba.njit(cache=True)
def transport(out, at, row, kind, total):
    """Write the TCP or UDP header; return where it ends. Args: total, the sum of the pseudo header."""
    client = 20_000 + (row.flow // (CLIENTS * CLIENTS)) % 40_000
    server = 50_004 if kind == DATAGRAMS else 443
    big(out, at, client if row.up else server, 2)
    big(out, at + 2, server if row.up else client, 2)
    if kind == DATAGRAMS:
        big(out, at + 4, 8 + row.size, 2)
        big(out, at + 6, 0, 2)
        big(out, at + 6, folded(out, at, at + 8, total + row.digest), 2)
        return at + 8
    big(out, at + 4, row.seq, 4)
    big(out, at + 8, row.ack, 4)
    length = 20 + (SYN_OPTIONS if row.flags & SYN else TCP_OPTIONS)
    out[at + 12], out[at + 13] = length << 2, row.flags
    big(out, at + 14, 0xFAF0 if row.flags & SYN else 501, 2)
    big(out, at + 16, 0, 4)
    end = options(out, at + 20, row)
    big(out, at + 16, folded(out, at, end, total + row.digest), 2)
    return end


@numba.njit(cache=True)
def link(out, at, row, v6, point):
    """Write the Ethernet header of the wire at *point*."""
    for side in range(2):
        big(out, at + 6 * side, 0x0200_0000_0000 | (point << 8) | ((side + row.up) & 1), 6)
    big(out, at + 12, 0x86DD if v6 else 0x0800, 2)


@numba.njit(cache=True)
def payload(out, at, end, row):
    """Write what is kept of the payload."""
    for start in range(at, end, 8):
        data = word(row.flow, row.seq, (start - at) // 8)
        for k in range(min(8, end - start)):
            out[start + k] = (data >> np.uint64(8 * k)) & np.uint64(0xFF)


@numba.njit(cache=True)
def render(rows, order, clock, kinds, v6, point, points, snaplen, out):
    """Write the packets *order* as records to *out*; return the bytes written.

    Args: clock int64[:], ns, a time a place of *order*; kinds and v6 uint8[:], by flow; out uint8[:], with room for the
    longest frame behind the last record.
    """
    at = 0
    for place in range(order.size):
        row = rows[order[place]]
        kind, six = kinds[row.flow], v6[row.flow] == 1
        start = at + RECORD
        link(out, start, row, six, point)
        hops = point if row.up else points - 1 - point
        inner, total = network(out, start + LINK, row, kind, six, hops)
        body = transport(out, inner, row, kind, total)
        length = body + row.size - start
        kept = length if snaplen == 0 else min(length, snaplen)
        payload(out, body, start + kept, row)
        little(out, at, clock[place] // 1_000_000_000)
        little(out, at + 4, clock[place] % 1_000_000_000)
        little(out, at + 8, kept)
        little(out, at + 12, length)
        at = start + kept
    return at
