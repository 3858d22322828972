"""Decode frames to columns. Reads hostile bytes: every length is checked before it is used.

What makes two frames the same packet is worked out later, from these columns: only then is it known which fields the
way between two points leaves alone.
"""

from __future__ import annotations

import numpy as np

from orchestrator.jit import inlined, kernel
from orchestrator.model.columns import BRIEF_BYTES, DIGEST_BYTES

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
SHIFT = np.uint64(32)


@inlined
def mix(state, value):
    """Fold *value* into *state*; both uint64."""
    state = (state ^ value) * GOLDEN
    return state ^ (state >> SHIFT)


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


@inlined
def payload_residue(data, ip, version, protocol, l4, l4_length, body, checksum_at):
    """Return the ones-complement sum of the payload that a transport checksum implies: it survives translation.

    The checksum is taken for right; that of a packet on the host that sends it often is not (ALGORITHMS A.4).
    """
    total = np.int64(protocol) + l4_length
    start = ip + 12 if version == 4 else ip + 8
    length = 8 if version == 4 else 32
    for k in range(0, length, 2):
        total += be16(data, start + k)
    for k in range(l4, body, 2):
        total += be16(data, k)
    stated = be16(data, checksum_at)
    total -= stated
    rest = 2 * 0xFFFF * 0xFFFF + (0xFFFF - stated) - total
    return 1 + rest % 0xFFFF


@inlined
def ethertype_payload(data, kind, at, end):
    """Follow VLAN tags, MPLS labels, PPPoE and LLC/SNAP from *kind*; return (offset of IP or -1, hash of tags)."""
    tags = np.uint64(0)
    for _ in range(8):
        if kind in (0x0800, 0x86DD):
            return at, tags
        if kind in (0x8100, 0x88A8, 0x9100):
            if at + 4 > end:
                return np.int64(-1), tags
            tags = mix(tags, np.uint64(be16(data, at) & 0x0FFF))
            kind = be16(data, at + 2)
            at += 4
        elif kind in (0x8847, 0x8848):
            if at + 5 > end:
                return np.int64(-1), tags
            bottom = data[at + 2] & 1
            at += 4
            if bottom:
                kind = np.int64(0x86DD) if data[at] >> 4 == 6 else np.int64(0x0800)
        elif kind == 0x8864:
            if at + 8 > end:
                return np.int64(-1), tags
            protocol = be16(data, at + 6)
            kind = np.int64(0x0800) if protocol == 0x21 else np.int64(0x86DD) if protocol == 0x57 else np.int64(0)
            at += 8
        elif kind <= 1500 and at + 8 <= end and data[at] == 0xAA and data[at + 1] == 0xAA:
            kind = be16(data, at + 6)
            at += 8
        else:
            return np.int64(-1), tags
    return np.int64(-1), tags


@inlined
def ppp_payload(data, at, end):
    """Return the offset of IP behind a PPP header (with or without address and control, compressed or not), or -1."""
    if at + 2 <= end and data[at] == 0xFF and data[at + 1] == 0x03:
        at += 2
    if at + 1 <= end and data[at] in (0x21, 0x57):
        return at + 1
    if at + 2 <= end and be16(data, at) in (0x0021, 0x0057):
        return at + 2
    return np.int64(-1)


@inlined
def wifi_payload(data, at, end):
    """Return (offset of IP behind an 802.11 data header or -1, sent to a group, hash of the header)."""
    if at + 24 > end:
        return np.int64(-1), False, np.uint64(0)
    control = np.int64(data[at])
    flags = np.int64(data[at + 1])
    if (control >> 2) & 3 != 2 or flags & 0x40:  # not a data frame, or encrypted
        return np.int64(-1), False, np.uint64(0)
    subtype = control >> 4
    group = (data[at + 4] & 1) == 1
    header = np.int64(24)
    if flags & 3 == 3:
        header += 6
    if subtype & 8:
        header += 2
        if flags & 0x80:
            header += 4
    if subtype & 4:  # carries no data
        return np.int64(-1), group, np.uint64(0)
    link = digest(data, at + 4, 12)
    start = at + header
    if start + 8 > end or data[start] != 0xAA or data[start + 1] != 0xAA:
        return np.int64(-1), group, link
    offset, _ = ethertype_payload(data, be16(data, start + 6), start + 8, end)
    return offset, group, link


@inlined
def find_ip(data, link_type, at, end):
    """Return (offset of the IP header or -1, sent to a group, hash of the link header)."""
    group = False
    link = np.uint64(0)
    ip = np.int64(-1)
    if link_type == 1:  # Ethernet
        if at + 14 <= end:
            group = (data[at] & 1) == 1
            link = digest(data, at, 12)
            ip, tags = ethertype_payload(data, be16(data, at + 12), at + 14, end)
            link = mix(link, tags)
    elif link_type in (12, 14, 101, 228, 229):  # raw IP
        ip = at
    elif link_type in (0, 108):  # null, loop: four bytes of address family in either order
        ip = at + 4
    elif link_type == 113:  # Linux cooked v1
        if at + 16 <= end:
            packet_type = be16(data, at)
            group = packet_type in (1, 2)
            link = mix(np.uint64(packet_type), digest(data, at + 6, 8))
            ip, _ = ethertype_payload(data, be16(data, at + 14), at + 16, end)
    elif link_type == 276:  # Linux cooked v2
        if at + 20 <= end:
            packet_type = np.int64(data[at + 10])
            group = packet_type in (1, 2)
            link = mix(np.uint64(packet_type), np.uint64(be32(data, at + 4)))
            ip, _ = ethertype_payload(data, be16(data, at), at + 20, end)
    elif link_type in (9, 50):  # PPP, PPP in HDLC framing
        ip = ppp_payload(data, at, end)
    elif link_type == 104:  # Cisco HDLC
        if at + 4 <= end:
            ip, _ = ethertype_payload(data, be16(data, at + 2), at + 4, end)
    elif link_type == 105:  # 802.11
        ip, group, link = wifi_payload(data, at, end)
    elif link_type == 127 and at + 4 <= end:  # radiotap
        header = np.int64(data[at + 2]) | (np.int64(data[at + 3]) << 8)
        if header >= 8 and at + header <= end:
            ip, group, link = wifi_payload(data, at + header, end)
    return ip, group, link


@kernel
def dissect(
    data, where, caplen, wirelen, time_ns, interface, count, base, link_types, b8, q8, b4, b2, b1, row
):
    """Decode *count* frames of a chunk into the blocks of model.columns.Packets from *row* on.

    Args: data uint8[:]; where int64[:] offsets in data; base file offset of data[0]; link_types int64[:] by
    interface; b8 int64, q8 uint64, b4 uint32, b2 uint16, b1 uint8
    blocks of shape (columns, packets).
    """
    for i in range(count):
        n = row + i
        at = where[i]
        kept = np.int64(caplen[i])
        end = at + kept
        b8[0, n] = time_ns[i]
        b8[1, n] = base + at
        b4[0, n] = caplen[i]
        b4[1, n] = wirelen[i]
        b2[4, n] = interface[i]
        marks = np.int64(0)
        ip, group, link = find_ip(data, link_types[interface[i]], at, end)
        b4[7, n] = np.uint32(link & np.uint64(0xFFFFFFFF))
        if group:
            marks |= 1
        if ip < 0 or ip + 20 > end:
            b1[6, n] = marks
            continue
        version = data[ip] >> 4
        fragment = np.int64(0)
        ip_id = np.int64(0)
        src_hi = np.uint64(0)
        dst_hi = np.uint64(0)
        if version == 4:
            header = np.int64(data[ip] & 15) * 4
            total = be16(data, ip + 2)
            if total == 0:  # segmentation left to the card, more than 64 KiB: the frame length is all there is
                total = np.int64(wirelen[i]) - (ip - at)
            if header < 20 or total < header:
                b1[6, n] = marks | 2
                continue
            tos = np.int64(data[ip + 1])
            ip_id = be16(data, ip + 4)
            fragment = be16(data, ip + 6) & 0x3FFF
            ttl = np.int64(data[ip + 8])
            protocol = np.int64(data[ip + 9])
            src_lo = np.uint64(be32(data, ip + 12))
            dst_lo = np.uint64(be32(data, ip + 16))
            if data[ip + 16] >= 224:
                marks |= 1
            l4 = ip + header
            l4_length = total - header
        elif version == 6 and ip + 40 <= end:
            tos = ((np.int64(data[ip]) & 15) << 4) | (np.int64(data[ip + 1]) >> 4)
            l4_length = be16(data, ip + 4)
            if l4_length == 0:
                l4_length = np.int64(wirelen[i]) - (ip - at) - 40
            protocol = np.int64(data[ip + 6])
            ttl = np.int64(data[ip + 7])
            src_hi = be64(data, ip + 8)
            src_lo = be64(data, ip + 16)
            dst_hi = be64(data, ip + 24)
            dst_lo = be64(data, ip + 32)
            if data[ip + 24] == 0xFF:
                marks |= 1
            l4 = ip + 40
            for _ in range(8):
                if protocol in (0, 43, 60, 51, 44) and l4 + 8 <= end:
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
                else:
                    break
        else:
            b1[6, n] = marks | 2
            continue
        sport = np.int64(0)
        dport = np.int64(0)
        seq = np.int64(0)
        ack = np.int64(0)
        window = np.int64(0)
        flags = np.int64(0)
        tsval = np.int64(0)
        tsecr = np.int64(0)
        l4_length = max(l4_length, 0)
        payload = l4_length
        body = l4
        code = np.uint64(0)
        residue = np.int64(0)
        mss = np.int64(0)
        if fragment != 0:
            marks |= 16
        elif protocol == 6:
            if l4 + 20 > end or l4_length < 20:
                marks |= 2
            else:
                sport = be16(data, l4)
                dport = be16(data, l4 + 2)
                seq = be32(data, l4 + 4)
                ack = be32(data, l4 + 8)
                header = np.int64(data[l4 + 12] >> 4) * 4
                flags = np.int64(data[l4 + 13])
                window = be16(data, l4 + 14)
                body = l4 + header
                payload = max(l4_length - header, 0)
                k = l4 + 20
                if header > 20:
                    marks |= 8
                while k < min(body, end):
                    option = data[k]
                    if option == 0:
                        break
                    if option == 1:
                        k += 1
                        continue
                    if k + 2 > end or data[k + 1] < 2:
                        break
                    if option == 2 and data[k + 1] == 4 and k + 4 <= min(body, end):
                        mss = be16(data, k + 2)
                    elif option == 8 and data[k + 1] == 10 and k + 10 <= min(body, end):
                        tsval = be32(data, k + 2)
                        tsecr = be32(data, k + 6)
                        marks |= 4
                    k += np.int64(data[k + 1])
                if flags & 16 == 0:
                    ack = np.int64(0)
                if payload > 0 and body <= end:
                    residue = payload_residue(data, ip, version, protocol, l4, l4_length, body, l4 + 16)
        elif protocol == 17:
            if l4 + 8 > end:
                marks |= 2
            else:
                sport = be16(data, l4)
                dport = be16(data, l4 + 2)
                body = l4 + 8
                payload = max(l4_length - 8, 0)
                if payload > 0 and be16(data, l4 + 6) != 0:
                    residue = payload_residue(data, ip, version, protocol, l4, l4_length, body, l4 + 6)
        elif protocol in (1, 58):
            if l4 + 8 > end:
                marks |= 2
            else:
                flags = np.int64(data[l4])
                echo = flags in (0, 8) if protocol == 1 else flags in (128, 129)
                error = flags in (3, 4, 5, 11, 12) if protocol == 1 else flags < 128
                if error:
                    marks |= 32
                if echo:
                    sport = be16(data, l4 + 4)
                    dport = sport
                    seq = be16(data, l4 + 6)
                code = np.uint64(1 + np.int64(data[l4 + 1]))
                body = l4 + 8
                payload = max(l4_length - 8, 0)
        available = max(min(end, body + payload) - body, 0)
        whole = digest(data, body, min(available, DIGEST_BYTES)) ^ code
        short = digest(data, body, min(available, BRIEF_BYTES)) ^ code
        source = mix(mix(src_hi, src_lo), np.uint64(sport))
        target = mix(mix(dst_hi, dst_lo), np.uint64(dport))
        swapped = src_hi > dst_hi or (src_hi == dst_hi and (src_lo > dst_lo or (src_lo == dst_lo and sport > dport)))
        low = target if swapped else source
        high = source if swapped else target
        q8[0, n] = src_hi
        q8[1, n] = src_lo
        q8[2, n] = dst_hi
        q8[3, n] = dst_lo
        q8[4, n] = mix(mix(low, high), np.uint64(protocol))
        q8[5, n] = whole
        b4[2, n] = seq
        b4[3, n] = ack
        b4[4, n] = payload
        b4[5, n] = tsval
        b4[6, n] = tsecr
        b4[8, n] = available
        b4[9, n] = np.uint32(short & np.uint64(0xFFFFFFFF))
        b2[0, n] = sport
        b2[1, n] = dport
        b2[2, n] = ip_id
        b2[3, n] = window
        b2[5, n] = fragment
        b2[6, n] = residue
        b2[7, n] = mss
        b1[0, n] = 4 if version == 4 else 6
        b1[1, n] = protocol
        b1[2, n] = ttl
        b1[3, n] = tos
        b1[4, n] = flags
        b1[5, n] = swapped
        b1[6, n] = marks
