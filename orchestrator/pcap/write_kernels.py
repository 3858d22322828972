"""Assemble enhanced packet blocks. Copies hostile bytes: every length is checked against the buffer it is read from."""

from __future__ import annotations

import numpy as np

from orchestrator.jit import inlined, kernel

UNKNOWN_ETHERTYPE = 0x88B5
"""For local experiments (IEEE 802): the frame carried nothing that has an EtherType."""


@inlined
def put_bytes(out, at, source, start, count):
    """Copy *count* bytes."""
    target = out[at : at + count]
    part = source[start : start + count]
    if target.size != count or part.size != count:
        raise IndexError
    for k in range(count):
        target[k] = part[k]


@inlined
def big16(data, at):
    """Return the big-endian 16-bit number at *at*."""
    return (np.int64(data[at]) << 8) | np.int64(data[at + 1])


@inlined
def ethertype_of_ip(data, at, end):
    """Return the EtherType of what begins at *at*, by the version that an IP header begins with."""
    if at < end and data[at] >> 4 == 4:
        return np.int64(0x0800)
    if at < end and data[at] >> 4 == 6:
        return np.int64(0x86DD)
    return np.int64(UNKNOWN_ETHERTYPE)


@inlined
def ethertype_of_snap(data, at, end):
    """Return the EtherType in an LLC/SNAP header, -1 where there is none."""
    if at + 8 <= end and data[at] == 0xAA and data[at + 1] == 0xAA:
        return big16(data, at + 6)
    return np.int64(-1)


@inlined
def link_header(data, link_type, at, end):
    """Return (bytes of the frame at *at* to leave out, EtherType of the rest), for every link type but Ethernet.

    What no EtherType can be found for is kept whole.
    """
    if link_type in (12, 14, 101, 228, 229):  # raw IP
        return np.int64(0), ethertype_of_ip(data, at, end)
    if link_type in (0, 108) and at + 4 <= end:  # null, loop
        return np.int64(4), ethertype_of_ip(data, at + 4, end)
    if link_type == 113 and at + 16 <= end:  # Linux cooked v1
        return np.int64(16), big16(data, at + 14)
    if link_type == 276 and at + 20 <= end:  # Linux cooked v2
        return np.int64(20), big16(data, at)
    if link_type in (9, 50):  # PPP
        skip = np.int64(2) if at + 2 <= end and data[at] == 0xFF and data[at + 1] == 0x03 else np.int64(0)
        if at + skip + 1 <= end and data[at + skip] in (0x21, 0x57):
            return skip + 1, ethertype_of_ip(data, at + skip + 1, end)
        if at + skip + 2 <= end and big16(data, at + skip) in (0x21, 0x57):
            return skip + 2, ethertype_of_ip(data, at + skip + 2, end)
    elif link_type == 104 and at + 4 <= end:  # Cisco HDLC
        return np.int64(4), big16(data, at + 2)
    elif link_type in (105, 127):  # 802.11, bare or behind radiotap
        skip = np.int64(0)
        if link_type == 127 and at + 4 <= end:
            skip = np.int64(data[at + 2]) | (np.int64(data[at + 3]) << 8)
        if at + skip + 24 <= end and (data[at + skip] >> 2) & 3 == 2 and data[at + skip + 1] & 0x40 == 0:
            header = np.int64(24)
            if data[at + skip + 1] & 3 == 3:
                header += 6
            if data[at + skip] & 0x80:
                header += 6 if data[at + skip + 1] & 0x80 else 2
            kind = ethertype_of_snap(data, at + skip + header, end)
            if kind >= 0:
                return skip + header + 8, kind
    return np.int64(0), np.int64(UNKNOWN_ETHERTYPE)


@inlined
def direction(data, link_type, at, end):
    """Return epb_flags for what a cooked header says of the way a packet went; 0 where nothing says it.

    Bits 0-1: 1 in, 2 out; bits 2-4: 1 unicast, 2 multicast, 3 broadcast, 4 promiscuous.
    """
    kind = np.int64(-1)
    if link_type == 113 and at + 2 <= end:
        kind = big16(data, at)
    elif link_type == 276 and at + 11 <= end:
        kind = np.int64(data[at + 10])
    if kind == 0:
        return np.int64(1 | (1 << 2))
    if kind == 1:
        return np.int64(1 | (3 << 2))
    if kind == 2:
        return np.int64(1 | (2 << 2))
    if kind == 3:
        return np.int64(1 | (4 << 2))
    if kind == 4:
        return np.int64(2)
    return np.int64(0)


@kernel
def write_packets(
    out, words, at, begin, data, where, rows, file, caplen, wirelen, time_ns, shift_ns, interface, swapped, token,
    first_of_file, number_of, link_of, point_of_file, comment_ends, comments, ethernet, options
):  # fmt: skip
    """Write one block a packet into *out* from *at*, a multiple of 4, until it is full; return (end, packets done).

    Args: out uint8[:] and words uint32[:] are one buffer; data uint8[:]; begin the first of the batch to write; by
    packet of the batch int64[:]: where its offset in data, rows, file; by row: caplen, wirelen uint32[:], time_ns
    int64[:], interface uint16[:], swapped uint8[:], token int64[:] (-1 for none); number_of int64[:] interface numbers
    by first_of_file int64[:] of the file + interface, link_of int64[:] link types likewise; point_of_file int64[:];
    comment_ends int64[:] by packet of the batch into comments uint8[:]; shift_ns is added to every time. With ethernet,
    link headers are replaced by Ethernet with invented addresses. Without options, neither comments nor tokens nor
    directions are written.
    """
    # What every packet needs is written out here: counting references around calls would take most of the time.
    for i in range(begin, where.size):
        row = rows[i]
        kept = np.int64(caplen[row])
        wire = np.int64(wirelen[row])
        start = where[i]
        place = first_of_file[file[i]] + np.int64(interface[row])
        link_type = link_of[place]
        comment = np.int64(0)
        flags = np.int64(0)
        identity = np.int64(-1)
        if start < 0 or start + kept > data.size:
            raise IndexError
        if options:
            comment = comment_ends[i] - (comment_ends[i - 1] if i > 0 else 0)
            identity = token[row]
            if link_type in (113, 276):
                flags = direction(data, link_type, start, start + kept)
        header = np.int64(0)
        ethertype = np.int64(-1)
        if ethernet:
            skip = min(np.int64(12), kept)
            if link_type != 1:
                skip, ethertype = link_header(data, link_type, start, start + kept)
            header = np.int64(12) if ethertype < 0 else np.int64(14)
            start += skip
            kept += header - skip
            wire = max(wire + header - skip, kept)
        has_options = comment > 0 or flags != 0 or identity >= 0
        need = 32 + (kept + 3) // 4 * 4
        if has_options:
            need += 4
            if comment > 0:
                need += 4 + (comment + 3) // 4 * 4
            if flags != 0:
                need += 8
            if identity >= 0:
                need += 12
        if at + need > out.size:
            return at, i
        stamp = time_ns[row] + shift_ns
        word = at >> 2
        words[word] = 6
        words[word + 1] = need
        words[word + 2] = number_of[place]
        words[word + 3] = stamp >> 32
        words[word + 4] = stamp & 0xFFFFFFFF
        words[word + 5] = kept
        words[word + 6] = wire
        put = at + 28
        word = (put + kept + 3) >> 2
        if kept & 3:
            words[word - 1] = 0  # what fills the frame up to a multiple of 4; the frame's last bytes come over it
        if ethernet:
            # 02:50:00:00:point:end of the receiver, then of the sender: 1 for the end with the lower address, else 2
            point = point_of_file[file[i]] & 0xFF
            sender = np.int64(2) if swapped[row] else np.int64(1)
            words[put >> 2] = 0x00005002
            words[(put >> 2) + 1] = 0x50020000 | ((3 - sender) << 8) | point
            words[(put >> 2) + 2] = (sender << 24) | (point << 16)
            if ethertype >= 0:
                out[put + 12] = ethertype >> 8
                out[put + 13] = ethertype & 0xFF
            put += header
            kept -= header
        target = out[put : put + kept]
        frame = data[start : start + kept]
        if target.size != kept or frame.size != kept:
            raise IndexError
        for k in range(kept):  # the lengths are known to be equal: copied in long words, at a quarter of the time
            target[k] = frame[k]
        if has_options:
            if comment > 0:
                words[word] = 1 | (comment << 16)
                words[word + (comment + 3) // 4] = 0
                put_bytes(out, 4 * word + 4, comments, comment_ends[i] - comment, comment)
                word += 1 + (comment + 3) // 4
            if flags != 0:
                words[word] = 2 | (4 << 16)
                words[word + 1] = flags
                word += 2
            if identity >= 0:
                words[word] = 5 | (8 << 16)
                words[word + 1] = identity & 0xFFFFFFFF
                words[word + 2] = identity >> 32
                word += 3
            words[word] = 0
            word += 1
        words[word] = need
        at += need
    return at, where.size
