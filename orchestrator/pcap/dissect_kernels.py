"""Decode frames to columns. Reads hostile bytes: every length is checked before it is used.

What makes two frames the same packet is worked out later, from these columns: only then is it known which fields the
way between two points leaves alone.
"""

from __future__ import annotations

import numpy as np

from orchestrator.jit import inlined, kernel
from orchestrator.model.columns import BRIEF_BYTES, DIGEST_BYTES
from orchestrator.model.hash_kernels import name_flow
from orchestrator.pcap.bytes_kernels import be16, be32, be64, digest
from orchestrator.pcap.link_kernels import CUT, NO_IP
from orchestrator.pcap.series_kernels import find_series
from orchestrator.pcap.tunnel_kernels import EXTENSIONS, skip_extensions


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


@kernel
def dissect(
    data, where, caplen, wirelen, time_ns, interface, count, base, ip_at, ip_end, undecoded, b8, q8, b4, b2, b1, row
):  # fmt: skip
    """Decode *count* frames of a chunk into the blocks of model.columns.Packets from *row* on.

    Args: data uint8[:]; where int64[:] offsets in data; base file offset of data[0]; ip_at, ip_end int64[:] offsets of
    the IP header (-1 for none; else 20 bytes are there) and of the end of what is kept; undecoded int64[:] counts what
    is no IP (link_kernels); b8 int64, q8 uint64, b4 uint32, b2 uint16, b1 uint8 blocks of shape (columns, packets), of
    which locate_kernels filled its own rows and all else is zero.

    The first fragment of a datagram shows its transport header; ``residue`` is 1 + the length of that, 0 where not all
    of it is there. Its ``flow`` is that of the others, without ports, until core.fragments puts them together.
    """
    for i in range(count):
        n = row + i
        at = where[i]
        end = ip_end[i]
        b8[0, n] = time_ns[i]
        b8[1, n] = base + at
        b4[0, n] = caplen[i]
        b4[1, n] = wirelen[i]
        b2[4, n] = interface[i]
        ip = ip_at[i]
        if ip < 0:
            continue
        marks = np.int64(b1[6, n])
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
                undecoded[NO_IP] += 1
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
            if protocol == 51:  # an authentication header hides nothing
                protocol, l4, l4_length, _, _ = skip_extensions(data, protocol, l4, l4_length, end)
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
            if protocol in EXTENSIONS:
                protocol, l4, l4_length, fragment, ip_id = skip_extensions(data, protocol, l4, l4_length, end)
        else:
            undecoded[NO_IP if version != 6 else CUT] += 1
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
        checksum_at = np.int64(0)
        mss = np.int64(0)
        wscale = np.int64(0)
        begins = fragment != 0 and (fragment & 0x1FFF if version == 4 else fragment >> 3) == 0
        before = marks
        if fragment != 0 and not begins:
            pass
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
                    elif option == 3 and data[k + 1] == 3 and k + 3 <= min(body, end):
                        wscale = min(np.int64(data[k + 2]), np.int64(14)) + 1  # RFC 7323 §2.3: at most 14
                    elif option == 8 and data[k + 1] == 10 and k + 10 <= min(body, end):
                        tsval = be32(data, k + 2)
                        tsecr = be32(data, k + 6)
                        marks |= 4
                    k += np.int64(data[k + 1])
                if flags & 16 == 0:
                    ack = np.int64(0)
                if payload > 0 and body <= end:
                    checksum_at = l4 + 16
                    if payload >= 7 and body + 3 <= end and data[body] == 21 and data[body + 1] == 3:  # an alert of TLS
                        marks |= 128
        elif protocol == 17:
            if l4 + 8 > end:
                marks |= 2
            else:
                sport = be16(data, l4)
                dport = be16(data, l4 + 2)
                body = l4 + 8
                payload = max(l4_length - 8, 0)
                if payload > 0 and be16(data, l4 + 6) != 0:
                    checksum_at = l4 + 6
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
        elif protocol in EXTENSIONS:  # an extension header that is not kept
            marks |= 2
        if protocol != 6 and fragment == 0:
            series, counter = find_series(data, protocol, l4, payload, end, sport, dport)
            if series:
                b4[10, n] = series
                q8[6, n] = counter
        if begins:
            fits = marks & 2 == before & 2 and body - l4 <= min(l4_length, end - l4)
            if fits:
                residue = 1 + body - l4
            else:  # the header goes on in the next fragment, or was cut
                sport, dport, payload, body = np.int64(0), np.int64(0), l4_length, l4
            marks = marks & ~2 | before & 2
        elif checksum_at:
            residue = payload_residue(data, ip, version, protocol, l4, l4_length, body, checksum_at)
        if fragment != 0:
            marks |= 16
        available = max(min(end, body + payload) - body, 0)
        whole = digest(data, body, min(available, DIGEST_BYTES)) ^ code
        short = digest(data, body, min(available, BRIEF_BYTES)) ^ code
        ports = fragment == 0  # those of later fragments are not known: all are one flow
        here, there = (sport, dport) if ports else (np.int64(0), np.int64(0))
        flow, swapped = name_flow(src_hi, src_lo, here, dst_hi, dst_lo, there, protocol)
        q8[0, n] = src_hi
        q8[1, n] = src_lo
        q8[2, n] = dst_hi
        q8[3, n] = dst_lo
        q8[4, n] = flow
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
        b1[9, n] = wscale
