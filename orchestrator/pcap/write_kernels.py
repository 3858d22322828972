"""Assemble enhanced packet blocks. Copies hostile bytes: every length is checked against the buffer it is read from."""

from __future__ import annotations

import numpy as np

from orchestrator.jit import inlined, kernel


@inlined
def put32(out, at, value):
    """Store a little-endian 32-bit number."""
    out[at] = value & 0xFF
    out[at + 1] = (value >> 8) & 0xFF
    out[at + 2] = (value >> 16) & 0xFF
    out[at + 3] = (value >> 24) & 0xFF


@kernel
def write_packets(out, source, where, caplen, wirelen, time_ns, interface, token, comment_start, comment_end, comments):
    """Write one block a packet into *out*; return the bytes written.

    Args: out, source uint8[:]; by packet: where int64[:] offset in source, caplen, wirelen uint32[:], time_ns int64[:],
    interface int64[:], token int64[:] (-1 for none), comment_start, comment_end int64[:] into comments uint8[:] (equal
    for none). Timestamps have nanosecond resolution.
    """
    at = np.int64(0)
    for i in range(where.size):
        kept = np.int64(caplen[i])
        padded = (kept + 3) // 4 * 4
        length = 28 + padded + 4
        comment = comment_end[i] - comment_start[i]
        options = comment > 0 or token[i] >= 0
        if comment > 0:
            length += 4 + (comment + 3) // 4 * 4
        if token[i] >= 0:
            length += 12
        if options:
            length += 4
        put32(out, at, 6)
        put32(out, at + 4, length)
        put32(out, at + 8, interface[i])
        put32(out, at + 12, time_ns[i] >> 32)
        put32(out, at + 16, time_ns[i] & 0xFFFFFFFF)
        put32(out, at + 20, kept)
        put32(out, at + 24, np.int64(wirelen[i]))
        put = at + 28
        out[put : put + kept] = source[where[i] : where[i] + kept]
        for k in range(kept, padded):
            out[put + k] = 0
        put += padded
        if comment > 0:
            put32(out, put, 1 | (comment << 16))
            put += 4
            whole = (comment + 3) // 4 * 4
            for k in range(whole):
                out[put + k] = comments[comment_start[i] + k] if k < comment else 0
            put += whole
        if token[i] >= 0:
            put32(out, put, 5 | (8 << 16))
            put32(out, put + 4, token[i] & 0xFFFFFFFF)
            put32(out, put + 8, token[i] >> 32)
            put += 12
        if options:
            put32(out, put, 0)
            put += 4
        put32(out, put, length)
        at += length
    return at
