"""Sequence numbers that encrypted and media packets carry in the clear: gaps in them tell of loss before a point.

Reads hostile bytes: every length is checked before it is used.
"""

from __future__ import annotations

import numpy as np

from orchestrator.jit import inlined, kernel
from orchestrator.model.hash_kernels import mix
from orchestrator.pcap.bytes_kernels import be16, be32, le32

NO_SERIES, ESP, WIREGUARD, DTLS, RTP = range(5)
"""Kinds of a series, the lowest three bits of its column; RTP is a guess that only a run of numbers confirms."""
KIND_BITS = 7
ESP_PORT = 4500


@inlined
def named(kind, number):
    """Return the series of *kind* that the uint64 *number* tells from others."""
    mixed = mix(np.uint64(kind), number)
    return np.int64(mixed >> np.uint64(35)) << 3 | kind


@kernel
def find_series(data, protocol, l4, payload, end, sport, dport):
    """Return (series, counter) of a packet that is neither TCP nor a fragment; a series of 0 where it has none.

    Args: protocol at offset *l4*, *payload* bytes of payload on the wire, kept up to *end*.
    """
    if protocol == 50:
        if l4 + 8 <= end:
            return named(ESP, np.uint64(be32(data, l4))), np.uint64(be32(data, l4 + 4))
    elif protocol == 17 and payload >= 12 and l4 + 8 + 12 <= end:
        return in_datagram(data, l4 + 8, payload, end, sport, dport)
    return np.int64(NO_SERIES), np.uint64(0)


@inlined
def in_datagram(data, at, payload, end, sport, dport):
    """Return (series, counter) of the datagram whose payload begins at *at*; at least 12 bytes are kept."""
    first = np.int64(data[at])
    number = be32(data, at)
    if ESP_PORT in (sport, dport):
        if number == 0:  # a key exchange
            return np.int64(NO_SERIES), np.uint64(0)
        return named(ESP, np.uint64(number)), np.uint64(be32(data, at + 4))
    if number == 0x04000000:
        if payload >= 32 and at + 16 <= end:  # padded to 16 bytes, but never beyond the MTU
            counter = np.uint64(le32(data, at + 8)) | (np.uint64(le32(data, at + 12)) << np.uint64(32))
            return named(WIREGUARD, np.uint64(le32(data, at + 4))), counter
    elif 20 <= first <= 26 and be16(data, at + 1) in (0xFEFD, 0xFEFF) and at + 13 <= end:
        if be16(data, at + 11) <= payload - 13 or first == 25:  # with a connection id the length stands behind it
            counter = np.uint64(be32(data, at + 5)) << np.uint64(16) | np.uint64(be16(data, at + 9))
            return named(DTLS, np.uint64(be16(data, at + 3))), counter
    elif first >> 6 == 2:
        kind = np.int64(data[at + 1]) & 0x7F
        if (kind < 72 or kind > 76) and 12 + (first & 15) * 4 <= payload:
            return named(RTP, np.uint64(be32(data, at + 8))), np.uint64(be16(data, at + 2))
    return np.int64(NO_SERIES), np.uint64(0)
