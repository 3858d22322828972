"""Find the IP header of a frame behind whatever link layer it was captured on.

Every function returns what it found instead where that is no IP: a number that undecoded.py has a name for.  Reads
hostile bytes: every length is checked before it is used.
"""

from __future__ import annotations

import numpy as np

from orchestrator.jit import inlined, kernel
from orchestrator.model.hash_kernels import mix
from orchestrator.pcap.bytes_kernels import ANYWHERE, MAY_BE_CUT, be16, be32, digest_of, is_ip, le16, le32

FOUND = 0
"""Nothing is left undecoded: there is an IP header."""
CUT, UNKNOWN_LINK, NO_IP, PPP_CONTROL, MPLS_OTHER = 256, 257, 258, 259, 260
ENCRYPTED_WIFI, WIFI_MANAGEMENT, WIFI_CONTROL, WIFI_EMPTY = 261, 262, 263, 264
"""What stands in the place of IP. Below are service access points of LLC, from 1536 on Ethernet types."""
LEAST_OF_MAKERS, LEAST_ETHERTYPE = 265, 1536
CODES = 1 << 16
UNPADDED, TO_WORDS = np.int64(1), np.int64(4)


@kernel
def tagged_payload(data, kind, at, end):
    """Follow VLAN tags, MPLS labels, PPPoE and LLC/SNAP from *kind*.

    Returns (offset of IP or -1, what stands there instead, hash of tags).
    """
    tags = np.uint64(0)
    nothing = np.int64(-1)
    for _ in range(12):
        if kind in (0x0800, 0x86DD):
            return at, np.int64(FOUND), tags
        if kind in (0x8100, 0x88A8, 0x9100, 0x9200):
            if at + 4 > end:
                return nothing, np.int64(CUT), tags
            tags = mix(tags, np.uint64(be16(data, at) & 0x0FFF))
            kind = be16(data, at + 2)
            at += 4
        elif kind in (0x8847, 0x8848):
            if at + 5 > end:
                return nothing, np.int64(CUT), tags
            bottom = data[at + 2] & 1
            at += 4
            if bottom:
                kind, at, tags = behind_labels(data, at, end, tags)
                if kind < 0:
                    return nothing, np.int64(MPLS_OTHER), tags
        elif kind == 0x8864:
            if at + 8 > end:
                return nothing, np.int64(CUT), tags
            found = ppp_payload(data, at + 6, end)
            return found, np.int64(FOUND if found >= 0 else PPP_CONTROL), tags
        elif kind in (0x88E5, 0x8909, 0x894F):
            kind, at, tags = opened(data, kind, at, end, tags)
            if kind not in (0x0800, 0x86DD, 0x8100):
                return nothing, kind, tags
        elif kind < LEAST_ETHERTYPE:
            if at + 8 > end:
                return nothing, np.int64(CUT), tags
            if data[at] != 0xAA or data[at + 1] != 0xAA:
                return nothing, np.int64(data[at]) | 1, tags
            kind = be16(data, at + 6)
            at += 8
            if kind < LEAST_ETHERTYPE:  # the number is not an Ethernet type but one of its maker's
                return nothing, max(kind, np.int64(LEAST_OF_MAKERS)), tags
        else:
            return nothing, kind, tags
    return nothing, np.int64(MPLS_OTHER), tags


@inlined
def opened(data, kind, at, end, tags):
    """Return (Ethernet type, offset, hash of tags) behind MACsec without encryption, Cisco's metadata or NSH."""
    if at + 12 > end:
        return np.int64(CUT), at, tags
    if kind == 0x88E5:
        control = np.int64(data[at])
        if control & 0x0C:  # encrypted or changed
            return kind, at, tags
        at += 14 if control & 0x20 else 6
    elif kind == 0x8909:
        at += 6
    else:
        following = data[at + 3]
        at += (be16(data, at) & 0x3F) * 4
        if following in (1, 2):
            return np.int64(0x0800 if following == 1 else 0x86DD), at, tags
        at += 12 if following == 3 else end
    if at + 2 > end:
        return np.int64(CUT), at, tags
    return be16(data, at), at + 2, tags


@kernel
def behind_labels(data, at, end, tags):
    """Return (Ethernet type or -1, offset, hash of tags) of what follows the last MPLS label: IP or a pseudowire.

    The label does not tell. An IP header tells by its checksum, else an Ethernet frame by its type and what it carries,
    with or without a control word before it.
    """
    version = data[at] >> 4
    if version == 4 and is_ip(data, at, end, ANYWHERE, MAY_BE_CUT):
        return np.int64(0x0800), at, tags
    for skip in (4, 0):
        frame = at + skip
        if frame + 15 <= end and (skip == 0 or version == 0):
            kind = be16(data, frame + 12)
            if kind in (0x0800, 0x86DD) and is_ip(data, frame + 14, end, ANYWHERE, MAY_BE_CUT):
                return kind, frame + 14, mix(tags, digest_of(data, frame, np.int64(12)))
            if kind in (0x8100, 0x88A8):
                return kind, frame + 14, mix(tags, digest_of(data, frame, np.int64(12)))
    if version == 4 and at + 20 <= end and be16(data, at + 10) == 0:  # its sender left the checksum to the card
        return np.int64(0x0800), at, tags
    if version == 6 and at + 40 <= end:
        return np.int64(0x86DD), at, tags
    return np.int64(-1), at, tags


@kernel
def ppp_payload(data, at, end):
    """Return the offset of IP behind a PPP header (with or without address and control, compressed or not), or -1."""
    if at + 2 <= end and data[at] == 0xFF and data[at + 1] == 0x03:
        at += 2
    if at + 1 <= end and data[at] in (0x21, 0x57):
        return at + 1
    if at + 2 <= end and be16(data, at) in (0x0021, 0x0057):
        return at + 2
    return np.int64(-1)


@kernel
def wifi_payload(data, at, end, padding):
    """Find IP behind an 802.11 data header; return as rare_link does.

    Args: the 802.11 header is filled up to a multiple of *padding* bytes.
    """
    nothing = np.int64(-1)
    if at + 10 > end:
        return nothing, np.int64(CUT), False, np.uint64(0)
    control = np.int64(data[at])
    flags = np.int64(data[at + 1])
    kind = (control >> 2) & 3
    if kind != 2:
        return nothing, np.int64(WIFI_CONTROL if kind == 1 else WIFI_MANAGEMENT), False, np.uint64(0)
    if at + 24 > end:
        return nothing, np.int64(CUT), False, np.uint64(0)
    subtype = control >> 4
    group = (data[at + 4] & 1) == 1
    link = digest_of(data, at + 4, np.int64(12))
    if subtype & 4:  # carries no data
        return nothing, np.int64(WIFI_EMPTY), group, link
    if flags & 0x40:
        return nothing, np.int64(ENCRYPTED_WIFI), group, link
    header = np.int64(24)
    if flags & 3 == 3:
        header += 6
    aggregated = False
    if subtype & 8:
        if at + header + 2 > end:
            return nothing, np.int64(CUT), group, link
        aggregated = (data[at + header] & 0x80) != 0
        header += 2
        if flags & 0x80:
            header += 4
    header = (header + padding - 1) // padding * padding
    start = at + header
    if aggregated:  # of several frames in one, the first
        start += 14
    if start + 8 > end:
        return nothing, np.int64(CUT), group, link
    if data[start] != 0xAA or data[start + 1] != 0xAA:
        return nothing, np.int64(data[start]) | 1, group, link
    offset, what, _ = tagged_payload(data, be16(data, start + 6), start + 8, end)
    return offset, what, group, link


@inlined
def radiotap(data, at, end):
    """Return (bytes of the radiotap header at *at* or -1, to what the length of the 802.11 header is rounded up)."""
    if at + 8 > end:
        return np.int64(-1), UNPADDED
    length = le16(data, at + 2)
    if length < 8 or at + length > end:
        return np.int64(-1), UNPADDED
    present = le32(data, at + 4)
    field = np.int64(8)
    more = present
    while more & 0x80000000 and field + 4 <= length:
        more = le32(data, at + field)
        field += 4
    if present & 1:
        field = (field + 7) // 8 * 8 + 8
    padded = present & 2 != 0 and field < length and (data[at + field] & 0x20) != 0
    return length, TO_WORDS if padded else UNPADDED


@inlined
def wifi_behind_a_header(data, link_type, at, end):
    """Do as wifi_payload behind the header that the radio's driver puts first: radiotap, Prism, AVS or PPI."""
    length = np.int64(0)
    padding = UNPADDED
    if link_type == 127:
        length, padding = radiotap(data, at, end)
    elif link_type != 105 and at + 8 <= end:
        if link_type == 192:
            length = le16(data, at + 2) if le32(data, at + 4) == 105 else np.int64(-1)
        elif be32(data, at) & 0xFFFFF000 == 0x80211000:  # AVS, also where Prism is announced
            length = be32(data, at + 4)
        else:
            length = le32(data, at + 4)
    if length < 0 or at + length > end:
        return np.int64(-1), np.int64(CUT), False, np.uint64(0)
    return wifi_payload(data, at + length, end, padding)


@kernel
def rare_link(data, link_type, at, end):
    """Find IP on what is no Ethernet.

    Returns (offset of the IP header or -1, what stands there instead, sent to a group, hash of the link header).
    """
    group = False
    link = np.uint64(0)
    ip = np.int64(-1)
    what = np.int64(CUT)
    if link_type == 113:  # Linux cooked v1
        if at + 16 <= end:
            packet_type = be16(data, at)
            group = packet_type in (1, 2)
            link = mix(np.uint64(packet_type), digest_of(data, at + 6, np.int64(8)))
            ip, what, _ = tagged_payload(data, be16(data, at + 14), at + 16, end)
    elif link_type == 276:  # Linux cooked v2
        if at + 20 <= end:
            packet_type = np.int64(data[at + 10])
            group = packet_type in (1, 2)
            link = mix(np.uint64(packet_type), np.uint64(be32(data, at + 4)))
            ip, what, _ = tagged_payload(data, be16(data, at), at + 20, end)
    elif link_type in (12, 14, 101, 228, 229):  # raw IP
        ip = at
    elif link_type in (0, 108):  # null, loop: four bytes of address family in either order
        ip = at + 4
    elif link_type == 109:  # OpenBSD's IPsec interface: family, SPI, flags
        ip = at + 12
    elif link_type == 117:  # OpenBSD's packet filter log: its first byte says how long it is
        if at + 1 <= end:
            ip = at + (np.int64(data[at]) + 3) // 4 * 4
    elif link_type in (9, 50, 166, 204):  # PPP, in HDLC framing, with the direction before it
        if link_type == 204 or (link_type == 166 and at + 1 <= end and data[at] < 2):
            at += 1
        ip = ppp_payload(data, at, end)
        what = np.int64(PPP_CONTROL)
        labels = at + 2 if at + 2 <= end and data[at] == 0xFF and data[at + 1] == 0x03 else at
        if labels + 2 <= end and be16(data, labels) == 0x0281:
            ip, what, link = tagged_payload(data, np.int64(0x8847), labels + 2, end)
    elif link_type == 51:  # PPP over Ethernet without the Ethernet
        ip, what, _ = tagged_payload(data, np.int64(0x8864), at, end)
    elif link_type == 104:  # Cisco HDLC
        if at + 4 <= end:
            ip, what, _ = tagged_payload(data, be16(data, at + 2), at + 4, end)
    elif link_type == 138:  # IP over FireWire
        if at + 18 <= end:
            link = digest_of(data, at, np.int64(16))
            ip, what, _ = tagged_payload(data, be16(data, at + 16), at + 18, end)
    elif link_type == 10:  # FDDI
        if at + 21 <= end:
            link = digest_of(data, at + 1, np.int64(12))
            ip, what, _ = tagged_payload(data, np.int64(0), at + 13, end)
    elif link_type == 107:  # frame relay: a two-byte address, then what RFC 2427 puts there, or Cisco an Ethernet type
        if at + 4 <= end and be16(data, at + 2) >= LEAST_ETHERTYPE:
            ip, what, _ = tagged_payload(data, be16(data, at + 2), at + 4, end)
        elif at + 4 <= end and data[at + 2] == 0x03:
            carried = data[at + 3]
            ip = at + 4 if carried in (0xCC, 0x8E) else ip
            what = np.int64(PPP_CONTROL)
            if carried == 0x80 and at + 9 <= end:
                ip, what, _ = tagged_payload(data, be16(data, at + 7), at + 9, end)
    elif link_type == 226:  # Solaris IP observability
        ip = at + 24
    elif link_type == 242:  # IP over InfiniBand, behind a global route header
        if at + 44 <= end:
            ip, what, _ = tagged_payload(data, be16(data, at + 40), at + 44, end)
    elif link_type == 239:  # what a firewall rule logged: fields of a length, a type and a value
        at += 4
        while at + 4 <= end and ip < 0:
            length = le16(data, at)
            if le16(data, at + 2) & 0x7FFF == 9:
                ip = at + 4
            at += max((length + 3) // 4 * 4, 4)
    elif link_type in (281, 284, 285, 282):  # Ethernet with the tag of a switch chip behind or before the addresses
        if link_type == 282:
            at += 4
        tag = np.int64(0) if link_type == 282 else np.int64(8) if link_type == 285 else np.int64(4)
        if at + 14 + tag <= end:
            group = (data[at] & 1) == 1
            link = digest_of(data, at, np.int64(12))
            ip, what, _ = tagged_payload(data, be16(data, at + 12 + tag), at + 14 + tag, end)
    elif link_type in (105, 119, 127, 163, 192):  # 802.11
        ip, what, group, link = wifi_behind_a_header(data, link_type, at, end)
    else:
        what = np.int64(UNKNOWN_LINK)
    return ip, what, group, link
