"""Which header fields of a packet are others at the far end of a segment."""

from __future__ import annotations

from orchestrator.jit import kernel

SRC, DST, SPORT, DPORT, DSCP, ECN, IP_ID, MSS, SEQ, ACKED, TSVAL, TSECR, ICMP_ID = range(13)
"""Numbers of the fields, and of their bits."""
FIELDS = 13


@kernel
def compare_fields(
    left,
    right,
    src_hi,
    src_lo,
    dst_hi,
    dst_lo,
    sport,
    dport,
    tos,
    ip_id,
    mss,
    seq,
    ack,
    tsval,
    tsecr,
    family,
    protocol,
    flags,
    marks,
    fragment,
    piece,
    differs,
    compared,
):
    """Mark by pair of rows the fields that differ, and count by field in how many pairs it can be compared.

    Args: left, right int32[:] rows at both ends; columns of model.columns.Packets as captured; outputs differs
    uint16[:] by pair, compared int64[FIELDS].

    The identification of pieces is the reader's work and not compared; a segment size that one end does not show may
    have been cut off.
    """
    for k in range(left.size):
        a = left[k]
        b = right[k]
        found = 0
        compared[SRC] += 1
        if src_lo[a] != src_lo[b] or src_hi[a] != src_hi[b]:
            found |= 1 << SRC
        if dst_lo[a] != dst_lo[b] or dst_hi[a] != dst_hi[b]:
            found |= 1 << DST
        if (tos[a] ^ tos[b]) & 0xFC:
            found |= 1 << DSCP
        if (tos[a] ^ tos[b]) & 3:
            found |= 1 << ECN
        if family[a] == 4 and family[b] == 4 and piece[a] == 0 and piece[b] == 0:
            compared[IP_ID] += 1
            if ip_id[a] != ip_id[b]:
                found |= 1 << IP_ID
        kind = protocol[a]
        if fragment[a] == 0 and fragment[b] == 0:
            if kind in (6, 17):
                compared[SPORT] += 1
                if sport[a] != sport[b]:
                    found |= 1 << SPORT
                if dport[a] != dport[b]:
                    found |= 1 << DPORT
            elif kind in (1, 58) and sport[a] > 0 and sport[b] > 0:
                compared[ICMP_ID] += 1
                if sport[a] != sport[b]:
                    found |= 1 << ICMP_ID
            if kind == 6:
                compared[SEQ] += 1
                if seq[a] != seq[b]:
                    found |= 1 << SEQ
                if flags[a] & 16:
                    compared[ACKED] += 1
                    if ack[a] != ack[b]:
                        found |= 1 << ACKED
                if marks[a] & marks[b] & 4:
                    compared[TSVAL] += 1
                    if tsval[a] != tsval[b]:
                        found |= 1 << TSVAL
                    if tsecr[a] != tsecr[b]:
                        found |= 1 << TSECR
                if mss[a] > 0 and mss[b] > 0:
                    compared[MSS] += 1
                    if mss[a] != mss[b]:
                        found |= 1 << MSS
        differs[k] = found
    compared[DST] = compared[SRC]
    compared[DSCP] = compared[SRC]
    compared[ECN] = compared[SRC]
    compared[DPORT] = compared[SPORT]
    compared[TSECR] = compared[TSVAL]
