"""Read DNS messages, errors of ICMP and alerts of TLS out of frames.

Reads hostile bytes: every length is checked before it is used, and a name's pointers only ever lead backwards.
"""

from __future__ import annotations

import numpy as np

from orchestrator.jit import inlined, kernel
from orchestrator.model.hash_kernels import mix, name_flow
from orchestrator.model.messages import HEADER, NAME_BYTES, QUESTION, UNREAD
from orchestrator.pcap.bytes_kernels import be16, be32, be64
from orchestrator.pcap.tunnel_kernels import EXTENSIONS, skip_extensions

ALERT, LONGEST_RECORD, MOST_RECORDS = 21, 16_384 + 2_048, 16
"""Content type of TLS; bytes that a record holds at most; records that are looked at in one segment."""
CLOSE_NOTIFY = 0


@kernel
def transport(data, ip, end, wire_end):
    """Return (protocol or -1, offset of its header, its bytes on the wire, whether it is a later fragment).

    Args: ip offset of an IP header of which 20 bytes are there; the frame is kept up to *end*, and was on the wire up
    to *wire_end*.
    """
    version = data[ip] >> 4
    if version == 4:
        header = np.int64(data[ip] & 15) * 4
        total = be16(data, ip + 2)
        if total == 0:
            total = wire_end - ip
        if header < 20 or total < header:
            return np.int64(-1), ip, np.int64(0), False
        protocol, l4, length = np.int64(data[ip + 9]), ip + header, total - header
        if protocol == 51:
            protocol, l4, length, _, _ = skip_extensions(data, protocol, l4, length, end)
        return protocol, l4, length, be16(data, ip + 6) & 0x1FFF != 0
    if version != 6 or ip + 40 > end:
        return np.int64(-1), ip, np.int64(0), False
    protocol, l4, length = np.int64(data[ip + 6]), ip + 40, be16(data, ip + 4)
    fragment = np.int64(0)
    if length == 0:
        length = max(wire_end - l4, np.int64(0))
    if protocol in EXTENSIONS:
        protocol, l4, length, fragment, _ = skip_extensions(data, protocol, l4, length, end)
    return protocol, l4, length, fragment >> 3 != 0


@kernel
def read_dns(data, where, wirelen, ip_at, ip_end, chosen, table, names):
    """Read the DNS messages of the frames *chosen*, an int64[:] of places in the batch.

    Args: data uint8[:]; by frame of the batch where int64[:] offset in data, wirelen uint32[:], ip_at, ip_end int64[:]
    as of locate_kernels; outputs by place in *chosen*: table of messages.DNS, zeros, and names uint8[:, NAME_BYTES].
    """
    for k in range(chosen.size):
        i = chosen[k]
        ip, end = ip_at[i], ip_end[i]
        if ip < 0:
            continue
        protocol, l4, length, later = transport(data, ip, end, where[i] + np.int64(wirelen[i]))
        if later or l4 + 8 > end:
            continue
        at = l4 + 8
        size = length - 8
        if protocol == 6:
            at, size = in_segment(data, l4, length, end)
        elif protocol != 17:
            continue
        if size >= 12 and at + 12 <= end:
            read_message(data, at, min(at + size, end), table, names, k)
            src_hi, src_lo, dst_hi, dst_lo = addresses(data, ip)
            sport, dport = be16(data, l4), be16(data, l4 + 2)
            table[k].flow, _ = name_flow(src_hi, src_lo, sport, dst_hi, dst_lo, dport, protocol)


@inlined
def addresses(data, ip):
    """Return source and target of the packet whose whole IP header is at *ip*, each in two halves."""
    if data[ip] >> 4 == 4:
        return np.uint64(0), np.uint64(be32(data, ip + 12)), np.uint64(0), np.uint64(be32(data, ip + 16))
    return be64(data, ip + 8), be64(data, ip + 16), be64(data, ip + 24), be64(data, ip + 32)


@inlined
def in_segment(data, l4, length, end):
    """Return (offset, bytes) of the DNS message that a TCP segment consists of; no bytes where it is another."""
    if l4 + 20 > end:
        return l4, np.int64(0)
    header = np.int64(data[l4 + 12] >> 4) * 4
    body = l4 + header
    size = length - header - 2
    if header < 20 or body + 2 > end or be16(data, body) != size:
        return body, np.int64(0)
    return body + 2, size


@inlined
def read_message(data, at, end, table, names, k):
    """Read the message of which *at* to *end* are there, at least 12 bytes, into place *k*."""
    flags = be16(data, at + 2)
    questions = be16(data, at + 4)
    if (flags >> 11) & 15 != 0 or questions > 1:  # only ordinary questions, which come one a message
        return
    if flags >> 15 == 0 and (questions == 0 or be16(data, at + 6) != 0):  # a question asks, and answers nothing
        return
    table[k].ident = be16(data, at)
    table[k].flags = flags
    table[k].answers = be16(data, at + 6)
    table[k].state = HEADER
    behind, length, state = read_name(data, at, at + 12, end, names, k)
    if questions == 0 or length == 0 or behind + 4 > end:
        if flags >> 15 == 0:  # which question that is cannot be told
            table[k].state = UNREAD
        return
    table[k].state = QUESTION
    table[k].length = length
    table[k].qtype = be16(data, behind)
    table[k].name = mix(state, np.uint64(be32(data, behind)))


@kernel
def read_name(data, begin, at, end, names, k):
    """Copy the name at *at* into row *k* of *names*; return (offset behind it, bytes of it, hash), no bytes if damaged.

    Args: the message begins at *begin* and is there up to *end*. A pointer must lead to before what was read since the
    one before it, so that none is followed twice.
    """
    nothing = np.int64(0)
    state = np.uint64(0)
    length = np.int64(0)
    behind = np.int64(-1)
    lowest = at
    while at < end:
        size = np.int64(data[at])
        if size >= 192:
            if at + 2 > end:
                return at, nothing, state
            target = begin + (be16(data, at) & 0x3FFF)
            if behind < 0:
                behind = at + 2
            if target >= lowest:
                return at, nothing, state
            at = target
            lowest = target
            continue
        if size >= 64 or at + 1 + size > end or length + 1 + size > NAME_BYTES:
            return at, nothing, state
        for j in range(at, at + 1 + size):
            byte = data[j]
            names[k, length] = byte
            length += 1
            if j > at and 65 <= byte <= 90:
                byte += 32
            state = mix(state, np.uint64(byte))
        at += 1 + size
        if size == 0:
            return at if behind < 0 else behind, length, state
    return at, nothing, state


@kernel
def read_icmp(data, where, wirelen, ip_at, ip_end, chosen, table):
    """Read the errors of ICMP of the frames *chosen*; arguments as of read_dns, table of messages.ICMP_ERRORS."""
    for k in range(chosen.size):
        i = chosen[k]
        ip, end = ip_at[i], ip_end[i]
        if ip < 0:
            continue
        protocol, l4, length, later = transport(data, ip, end, where[i] + np.int64(wirelen[i]))
        if later or protocol not in (1, 58) or l4 + 8 > end:
            continue
        kind, code = np.int64(data[l4]), np.int64(data[l4 + 1])
        table[k].type = kind
        table[k].code = code
        if protocol == 1 and kind == 3 and code == 4:
            table[k].mtu = be16(data, l4 + 6)
        elif protocol == 58 and kind == 2:
            table[k].mtu = be32(data, l4 + 4)
        read_quoted(data, l4 + 8, min(end, l4 + length), table, k)


@inlined
def read_quoted(data, ip, end, table, k):
    """Read whose packet an error quotes; of it *ip* to *end* are there."""
    if ip + 20 > end:
        return
    protocol, l4, _, later = transport(data, ip, end, end)
    if protocol < 0:
        return
    src_hi, src_lo, dst_hi, dst_lo = addresses(data, ip)
    sport, dport = np.int64(0), np.int64(0)
    if not later and protocol in (6, 17) and l4 + 4 <= end:
        sport, dport = be16(data, l4), be16(data, l4 + 2)
    elif not later and protocol in (1, 58) and l4 + 6 <= end and data[l4] in (0, 8, 128, 129):
        sport = be16(data, l4 + 4)
        dport = sport
    flow, _ = name_flow(src_hi, src_lo, sport, dst_hi, dst_lo, dport, protocol)
    table[k].family = data[ip] >> 4
    table[k].protocol = protocol
    table[k].src_hi = src_hi
    table[k].src_lo = src_lo
    table[k].dst_hi = dst_hi
    table[k].dst_lo = dst_lo
    table[k].sport = sport
    table[k].dport = dport
    table[k].flow = flow


@kernel
def read_alerts(data, where, wirelen, ip_at, ip_end, chosen, table):
    """Read the alerts of TLS of the frames *chosen*; arguments as of read_dns, table of messages.ALERTS.

    Of several in the clear the first that is more than a goodbye counts.
    """
    for k in range(chosen.size):
        i = chosen[k]
        ip, end = ip_at[i], ip_end[i]
        if ip < 0:
            continue
        protocol, l4, length, later = transport(data, ip, end, where[i] + np.int64(wirelen[i]))
        if later or protocol != 6 or l4 + 20 > end:
            continue
        header = np.int64(data[l4 + 12] >> 4) * 4
        at, stop = l4 + header, l4 + length
        for _ in range(MOST_RECORDS):
            if at + 5 > min(stop, end) or data[at + 1] != 3 or data[at + 2] > 4:
                break
            size = be16(data, at + 3)
            if data[at] == ALERT and size == 2 and at + 7 <= min(stop, end) and 1 <= data[at + 5] <= 2:
                if table[k].level == 0 or table[k].description == CLOSE_NOTIFY:
                    table[k].level = data[at + 5]
                    table[k].description = data[at + 6]
            elif data[at] == ALERT and 2 < size <= LONGEST_RECORD and at + 5 + size <= stop:
                table[k].encrypted += 1
            at += 5 + size
