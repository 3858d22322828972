"""Find the innermost IP header of each frame: at once where it follows Ethernet, with more trouble elsewhere.

Two kernels, so that what most frames need is compiled and run without the rest.  Reads hostile bytes: every length is
checked before it is used.
"""

from __future__ import annotations

import numpy as np

from orchestrator.jit import kernel
from orchestrator.model.hash_kernels import mix
from orchestrator.pcap.bytes_kernels import be16, digest
from orchestrator.pcap.link_kernels import CUT, rare_link, tagged_payload
from orchestrator.pcap.tunnel_kernels import follow, may_carry

LINK, SEQUENCE, SESSION, MARKS, TUNNEL = 7, 11, 8, 6, 7
"""Rows of the blocks of model.columns: of uint32 the first two, then of uint16, of uint8 the last two."""
GROUP = 1
SHORTEST_IP = 20


@kernel
def locate(data, where, caplen, interface, count, link_types, ip_at, ip_end, deeper, b4, b1, row):
    """Note where the IP header of each frame begins; return how many frames need a deeper look, listed in *deeper*.

    Args: data uint8[:]; where int64[:] offsets of *count* frames; caplen uint32[:]; interface uint16[:]; link_types
    int64[:] by interface; outputs ip_at int64[:] (-1 where it was not found), ip_end int64[:] end of what is kept,
    deeper int64[:]; blocks b4 uint32, b1 uint8 from *row* on.
    """
    later = 0
    for i in range(count):
        at = where[i]
        end = at + np.int64(caplen[i])
        ip_at[i] = -1
        ip_end[i] = end
        if link_types[interface[i]] == 1 and at + 14 + SHORTEST_IP <= end and be16(data, at + 12) in (0x0800, 0x86DD):
            ip_at[i] = at + 14
            b4[LINK, row + i] = np.uint32(mix(digest(data, at, 12), np.uint64(0)) & np.uint64(0xFFFFFFFF))
            b1[MARKS, row + i] = data[at] & GROUP
            if not may_carry(data, at + 14, end):
                continue
        deeper[later] = i
        later += 1
    return later


@kernel
def look_deeper(
    data, where, caplen, wirelen, interface, deeper, count, link_types, undecoded, ip_at, ip_end, b4, b2, b1, row
):  # fmt: skip
    """Find the innermost IP header of the *count* frames that *deeper* lists.

    Args: as in locate, and wirelen uint32[:]; undecoded int64[:] counts frames without IP by what they are instead; b2
    uint16.
    """
    for k in range(count):
        i = deeper[k]
        n = row + i
        at = where[i]
        end = at + np.int64(caplen[i])
        link_type = link_types[interface[i]]
        if link_type != 1:
            ip, what, group, link = rare_link(data, link_type, at, end)
        elif at + 14 <= end:
            ip, what, tags = tagged_payload(data, be16(data, at + 12), at + 14, end)
            group = (data[at] & 1) == 1
            link = mix(digest(data, at, 12), tags)
        else:
            ip, what, group, link = np.int64(-1), np.int64(CUT), False, np.uint64(0)
        if ip < 0 or ip + SHORTEST_IP > end:
            undecoded[what if ip < 0 else CUT] += 1
            ip = np.int64(-1)
        elif may_carry(data, ip, end):
            inner = follow(data, ip, end, at + np.int64(wirelen[i]))
            ip, end, tunnel, inner_group, inner_link, session, sequence, marks = inner
            if tunnel:
                group = group or inner_group
                link = mix(link, inner_link) if session == 0 else inner_link  # a mirror's own way says nothing
            b4[SEQUENCE, n] = sequence
            b2[SESSION, n] = session
            b1[TUNNEL, n] = tunnel
            b1[MARKS, n] = marks
        ip_at[i] = ip
        ip_end[i] = end
        b4[LINK, n] = np.uint32(link & np.uint64(0xFFFFFFFF))
        if group:
            b1[MARKS, n] |= GROUP
