"""Numbers and hashes from bytes. Reads hostile bytes: an offset outside of them is an IndexError, never a read."""

from __future__ import annotations

import numpy as np

from orchestrator.jit import inlined, kernel
from orchestrator.model.hash_kernels import SHIFT, mix

FITS, EXACTLY, MAY_BE_CUT = np.int64(0), np.int64(1), np.int64(2)
"""How far an IP packet inside something may reach. (Of plain numbers each would be compiled for.)"""
ANYWHERE = np.int64(1 << 60)


@inlined
def be16(data, at):
    """Return the big-endian 16-bit number at *at*."""
    if at < 0 or at + 2 > data.size:  # checked once, the compiler leaves out the checks of each byte
        raise IndexError
    return (np.int64(data[at]) << 8) | np.int64(data[at + 1])


@inlined
def be32(data, at):
    """Return the big-endian 32-bit number at *at*."""
    if at < 0 or at + 4 > data.size:
        raise IndexError
    return (
        (np.int64(data[at]) << 24) | (np.int64(data[at + 1]) << 16) | (np.int64(data[at + 2]) << 8)
        | np.int64(data[at + 3])
    )  # fmt: skip


@inlined
def be64(data, at):
    """Return the big-endian 64-bit number at *at*, as uint64."""
    return (np.uint64(be32(data, at)) << SHIFT) | np.uint64(be32(data, at + 4))


@inlined
def le16(data, at):
    """Return the little-endian 16-bit number at *at*."""
    if at < 0 or at + 2 > data.size:
        raise IndexError
    return (np.int64(data[at + 1]) << 8) | np.int64(data[at])


@inlined
def le32(data, at):
    """Return the little-endian 32-bit number at *at*."""
    return (le16(data, at + 2) << 16) | le16(data, at)


@inlined
def digest(data, at, length):
    """Return a hash of *length* bytes at *at*."""
    state = np.uint64(length)
    part = data[at : at + length]  # never longer than the data, and indices that count up from 0 need no check
    whole = part.size // 8
    for k in range(whole):
        word = np.uint64(0)
        for j in range(8):
            word = (word << np.uint64(8)) | np.uint64(part[8 * k + j])
        state = mix(state, word)
    rest = np.uint64(0)
    for k in range(8 * whole, part.size):
        rest = (rest << np.uint64(8)) | np.uint64(part[k])
    return mix(state, rest)


@kernel
def digest_of(data, at, length):
    """Do the same where it is called so rarely that its code need not be everywhere."""
    return digest(data, at, length)


@inlined
def ipv4_checksum_fits(data, at, length):
    """Return whether the header of *length* bytes at *at* sums up to what its checksum says."""
    total = np.int64(0)
    for k in range(at, at + length, 2):
        total += be16(data, k)
    total = (total & 0xFFFF) + (total >> 16)
    return (total & 0xFFFF) + (total >> 16) == 0xFFFF


@kernel
def is_ip(data, at, end, limit, demands):
    """Return whether a whole and consistent IP header stands at *at*.

    Args: data is kept up to *end*; on the wire the packet ends at *limit* at the latest. IPv6 has no checksum:
    *demands* of EXACTLY let it end nowhere else. Mirrors cut what they copy: with MAY_BE_CUT the checksum of IPv4 is
    enough.
    """
    if at < 0 or at + 20 > end:
        return False
    version = data[at] >> 4
    if version == 4:
        length = np.int64(data[at] & 15) * 4
        total = be16(data, at + 2)
        if length < 20 or at + length > end or total < length or (at + total > limit and demands != MAY_BE_CUT):
            return False
        return ipv4_checksum_fits(data, at, length)
    if version == 6 and at + 40 <= end:
        last = at + 40 + be16(data, at + 4)
        return last == limit or (last < limit and demands != EXACTLY)
    return False
