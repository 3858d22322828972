"""Follow encapsulations to the innermost IP header that can be read.

A UDP port is a hint, never a proof: what is inside is believed only where its own header is consistent (version,
lengths, checksum), so that ordinary datagrams to such a port stay what they are.  Reads hostile bytes: every length is
checked before it is used.
"""

from __future__ import annotations

import numpy as np

from orchestrator.jit import inlined, kernel
from orchestrator.model.hash_kernels import mix
from orchestrator.pcap.bytes_kernels import EXACTLY, FITS, MAY_BE_CUT, be16, be32, digest_of, is_ip
from orchestrator.pcap.link_kernels import UNPADDED, ppp_payload, tagged_payload, wifi_payload

NO_TUNNEL, IPIP, GRE, VXLAN, GENEVE, GTP, MPLS_IP, L2TP, CAPWAP, TEREDO, ERSPAN, TZSP = range(12)
"""Codes of the column ``tunnel``; from ERSPAN on they are mirror shells, which exist for the capture alone."""
DEEPEST = 6
NOTHING, ANY_IP, WIFI, L2TP_SESSION, ETHERNET, PPP, LABELS, NSH = 0, 1, 2, 3, 0x6558, 0x880B, 0x8847, 0x894F
"""What a shell says that it carries: an Ethernet type, or one of these."""
EXTENSIONS = (51, 0, 43, 44, 60, 135)
"""Protocols that are headers of IPv6, the first also of IPv4."""
MIRROR_SEQUENCE = 64
"""The same bit as model.columns.MARK_MIRROR_SEQUENCE."""


@kernel
def skip_extensions(data, protocol, l4, l4_length, end):
    """Follow the extension headers of IPv6, and the authentication header of either version.

    Returns (protocol, its offset, its length, fragment field, identification).
    """
    fragment = np.int64(0)
    ip_id = np.int64(0)
    for _ in range(8):
        if protocol not in EXTENSIONS or l4 + 8 > end:
            break
        if protocol == 44:
            fragment = be16(data, l4 + 2) & 0xFFF9
            ip_id = be16(data, l4 + 6)
            step = np.int64(8)
            if fragment == 0:
                ip_id = np.int64(0)
        elif protocol == 51:
            step = (np.int64(data[l4 + 1]) + 2) * 4
        else:
            step = (np.int64(data[l4 + 1]) + 1) * 8
        protocol = np.int64(data[l4])
        l4 += step
        l4_length -= step
        if fragment != 0:
            break
    return protocol, l4, l4_length, fragment, ip_id


@inlined
def may_carry(data, ip, end):
    """Return whether the IP header at *ip* may carry another one. Must be cheap: it is asked for every packet."""
    version = data[ip] >> 4
    if version == 4:
        protocol = data[ip + 9]
        l4 = ip + np.int64(data[ip] & 15) * 4
    else:
        protocol = data[ip + 6]
        l4 = ip + 40
    if protocol == 6:
        return False
    if protocol == 17:
        return l4 + 8 <= end and (is_tunnel_port(be16(data, l4 + 2)) or is_tunnel_port(be16(data, l4)))
    return protocol in (4, 41, 47, 51, 115, 137) or (version == 6 and protocol in (0, 43, 60, 44))


@inlined
def is_tunnel_port(port):
    """Return whether *port* is that of an encapsulation."""
    return port in (4789, 8472, 4790, 6081, 2152, 37008, 1701, 5247, 6635, 3544)


@kernel
def follow(data, ip, end, wire_end):
    """Return (innermost IP header, end of what is kept of it, tunnel, group, link hash, session, sequence, marks).

    Args: ip offset of an IP header; the frame is kept up to *end* and was on the wire up to *wire_end*. The session of
    a mirror is one more than its number, 1 for a mirror without one.
    """
    tunnel = np.int64(NO_TUNNEL)
    group = False
    link = np.uint64(0)
    session = np.int64(0)
    sequence = np.int64(0)
    marks = np.int64(0)
    for _ in range(DEEPEST):
        if ip + 20 > end:
            break
        version = data[ip] >> 4
        fragment = np.int64(0)
        if version == 4:
            total = be16(data, ip + 2)
            limit = ip + total if total else wire_end
            protocol = np.int64(data[ip + 9])
            fragment = be16(data, ip + 6) & 0x3FFF
            l4 = ip + np.int64(data[ip] & 15) * 4
        elif version == 6 and ip + 40 <= end:
            total = be16(data, ip + 4)
            limit = ip + 40 + total if total else wire_end
            protocol = np.int64(data[ip + 6])
            l4 = ip + 40
        else:
            break
        if protocol in EXTENSIONS and fragment == 0:
            protocol, l4, _, fragment, _ = skip_extensions(data, protocol, l4, limit - l4, end)
        if l4 < ip + 20 or fragment != 0 or protocol == 6:
            break
        stop = min(end, limit)
        at, form, code, demands, shell_session, shell_sequence, shell_marks = shell(data, protocol, l4, stop)
        inside, inner_group, inner_link = carried(data, form, at, stop)
        if code >= ERSPAN and inside < 0:  # a copy of a frame without IP: its number counts all the same
            session = shell_session
            sequence = shell_sequence
            marks = shell_marks
        if inside < 0 or not is_ip(data, inside, stop, limit, demands):
            break
        addresses = ip + 12 if version == 4 else ip + 8
        length = np.int64(8 if version == 4 else 32)
        ip = inside
        end = stop
        tunnel = code
        group = group or inner_group
        if code < ERSPAN:
            outer = digest_of(data, addresses, length)
            link = mix(mix(inner_link, outer), link + np.uint64(code))
        else:  # the way that a mirror's shell took says nothing
            session = shell_session
            sequence = shell_sequence
            marks = shell_marks
            link = mix(inner_link, np.uint64(session))
    return ip, end, tunnel, group, link, session, sequence, marks


@kernel
def carried(data, form, at, end):
    """Return (offset of the IP header in what a shell carries or -1, sent to a group, hash of its link header)."""
    group = False
    link = np.uint64(0)
    if form == ANY_IP:
        return at, group, link
    if form == PPP:
        return ppp_payload(data, at, end), group, link
    if form == WIFI:
        ip, _, group, link = wifi_payload(data, at, end, UNPADDED)
        return ip, group, link
    if form == L2TP_SESSION:  # whether a cookie and a sublayer come first, only the peers know
        start = at
        at = end
        for skip in (16, 12, 8, 4):
            if start + skip + 16 <= end and be16(data, start + skip + 12) in (0x0800, 0x86DD, 0x8100):
                at = start + skip
        form = np.int64(ETHERNET)
    if form == ETHERNET:
        if at + 14 > end:
            return np.int64(-1), group, link
        group = (data[at] & 1) == 1
        link = digest_of(data, at, np.int64(12))
        form = be16(data, at + 12)
        at += 14
    ip, _, tags = tagged_payload(data, form, at, end)
    return ip, group, mix(link, tags)


@kernel
def shell(data, protocol, l4, end):
    """Return (offset of what an IP packet carries, its form, code, demands on the IP inside, session, sequence, marks).

    Args: *protocol* begins at *l4*; data is kept up to *end*.
    """
    at = l4
    form = np.int64(NOTHING)
    code = np.int64(NO_TUNNEL)
    demands = FITS
    session = np.int64(0)
    sequence = np.int64(0)
    marks = np.int64(0)
    if protocol in (4, 41):
        form = np.int64(ANY_IP)
        code = np.int64(IPIP)
    elif protocol == 137:
        form = np.int64(LABELS)
        code = np.int64(MPLS_IP)
    elif protocol == 115:
        if l4 + 4 <= end and be32(data, l4) != 0:  # session 0 is control
            form = np.int64(L2TP_SESSION)
        code = np.int64(L2TP)
    elif protocol == 47:
        at, form, code, session, sequence, marks = gre(data, l4, end)
        if code == ERSPAN:
            demands = MAY_BE_CUT
    elif protocol == 17 and l4 + 16 <= end:
        at, form, code, demands = datagram(data, l4, end)
        session = np.int64(code == TZSP)
    return at, form, code, demands, session, sequence, marks


@inlined
def gre(data, at, end):
    """Return (offset behind a GRE header, form, code, session, sequence, marks)."""
    form = np.int64(NOTHING)
    code = np.int64(GRE)
    session = np.int64(0)
    sequence = np.int64(0)
    marks = np.int64(0)
    flags = be16(data, at) if at + 4 <= end else np.int64(0x4000)
    if flags & 0x4000 or flags & 7 > 1:  # source routes; versions that nobody knows
        return at, form, code, session, sequence, marks
    form = be16(data, at + 2)
    at += 4
    at += 4 if flags & 0x8000 else 0
    at += 4 if flags & 0x2000 else 0
    if flags & 0x1000:
        if at + 4 <= end and form in (0x88BE, 0x22EB):
            sequence = be32(data, at)
            marks = np.int64(MIRROR_SEQUENCE)
        at += 4
    if flags & 7 == 1:  # PPTP: the acknowledgement
        at += 4 if flags & 0x0080 else 0
    if form in (0x88BE, 0x22EB):
        code = np.int64(ERSPAN)
        session = np.int64(1)
        if form == 0x22EB or flags & 0x1000:  # type I, which numbers nothing, has no header of its own
            session += be16(data, at + 2) & 0x03FF if at + 4 <= end else 0
            if form == 0x22EB:
                at += 4 + (8 if at + 12 <= end and data[at + 11] & 1 else 0)
            at += 8
        form = np.int64(ETHERNET)
    elif form == 0x883E:  # WCCP: version 2 has four bytes of its own
        at += 4 if at < end and data[at] >> 4 != 4 else 0
        form = np.int64(ANY_IP)
    return at, form, code, session, sequence, marks


@inlined
def datagram(data, l4, end):
    """Return (offset of what a datagram carries, form, code, demands); at least 16 bytes are kept."""
    sport = be16(data, l4)
    dport = be16(data, l4 + 2)
    at = l4 + 8
    form = np.int64(NOTHING)
    code = np.int64(NO_TUNNEL)
    demands = FITS
    port = dport if is_tunnel_port(dport) else sport
    if port in (4789, 8472):
        code = np.int64(VXLAN)
        demands = MAY_BE_CUT
        form = np.int64(ETHERNET if data[at] & 0x08 else NOTHING)
        at += 8
    elif port == 4790:
        code = np.int64(VXLAN)
        protocol = np.int64(data[at + 3]) if data[at] & 0x04 else np.int64(3)
        if data[at] & 0x08:
            form = np.int64(ANY_IP if protocol in (1, 2) else ETHERNET if protocol == 3 else NSH)
        at += 8
    elif port == 6081:
        code = np.int64(GENEVE)
        demands = MAY_BE_CUT
        form = be16(data, at + 2) if data[at] >> 6 == 0 else np.int64(NOTHING)
        at += 8 + np.int64(data[at] & 0x3F) * 4
    elif port == 2152:
        code = np.int64(GTP)
        demands = EXACTLY
        if data[at] >> 4 == 3 and data[at + 1] == 0xFF and be16(data, at + 2) + 16 == be16(data, l4 + 4):
            form = np.int64(ANY_IP)
        at = behind_gtp(data, at, end)
    elif port == 37008:
        code = np.int64(TZSP)
        demands = MAY_BE_CUT
        if data[at] == 1 and data[at + 1] <= 1:
            protocol = be16(data, at + 2)
            form = np.int64(ETHERNET if protocol == 1 else WIFI if protocol == 18 else NOTHING)
        at = behind_tags(data, at + 4, end)
    elif port == 1701:
        code = np.int64(L2TP)
        demands = EXACTLY
        flags = be16(data, at)
        if flags & 0x8000 == 0 and flags & 0x000F == 2:  # data, version 2
            form = np.int64(PPP)
        at += 6 + (2 if flags & 0x4000 else 0) + (4 if flags & 0x0800 else 0)
        if flags & 0x0200:
            at += 2 + (be16(data, at) if at + 2 <= end else 0)
    elif port == 5247:
        code = np.int64(CAPWAP)
        word = be32(data, at)
        if word >> 24 == 0 and word & 0x80 == 0:  # no DTLS, no fragment
            form = np.int64(WIFI if word & 0x100 else ETHERNET)
        at += (word >> 19 & 0x1F) * 4
    elif port == 6635:
        code = np.int64(MPLS_IP)
        form = np.int64(LABELS)
    elif port == 3544:
        code = np.int64(TEREDO)
        demands = EXACTLY
        form = np.int64(ANY_IP if data[at] >> 4 == 6 else NOTHING)
    return at, form, code, demands


@inlined
def behind_gtp(data, at, end):
    """Return the offset of what the GTP-U header at *at* carries, *end* where its extensions make no sense."""
    flags = np.int64(data[at])
    at += 8
    if flags & 7 == 0:
        return at
    following = np.int64(data[at + 3]) if at + 4 <= end and flags & 4 else np.int64(0)
    at += 4
    for _ in range(8):
        if following == 0:
            break
        step = np.int64(data[at]) * 4 if at < end else np.int64(0)
        if step == 0 or at + step > end:
            return end
        at += step
        following = np.int64(data[at - 1])
    return at


@inlined
def behind_tags(data, at, end):
    """Return the offset behind the tags of a TZSP header."""
    while at < end and data[at] != 1:
        at += 1 if data[at] == 0 else 2 + np.int64(data[at + 1] if at + 1 < end else 0)
    return at + 1
