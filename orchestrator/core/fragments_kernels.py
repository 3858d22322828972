"""What fragments cover of their datagrams, in one walk; and the flows of what was put together."""

from __future__ import annotations

import numpy as np

from orchestrator.jit import kernel
from orchestrator.model.hash_kernels import mix, name_flow

COMPLETE, ODD = 1, 2
"""Of a group: every byte from the first to the last is there; fragments overlap or end in several places."""


@kernel
def hash_conversations(src_hi, src_lo, dst_hi, dst_lo, protocol, out):
    """Hash source, target and protocol of every row.

    Args: columns of model.columns.Packets; output out uint64[:].
    """
    for row in range(out.size):
        source, target = mix(src_hi[row], src_lo[row]), mix(dst_hi[row], dst_lo[row])
        out[row] = mix(mix(source, target), np.uint64(protocol[row]))


@kernel
def cover(order, group, offset, end, last, time, state, first, earliest, total, spread):
    """Say of every group of fragments what they cover.

    Args: order int64[:] places by group, then offset; by place: group, offset, end int64[:] in bytes of the datagram,
    last bool[:] (no more behind it), time int64[:]; outputs by group: state uint8[:] of the flags above, first and
    earliest int64[:] of -1 (places of the longest fragment that begins the datagram and of the one seen first), total
    int64[:] bytes of the datagram, spread int64[:] of 0 (time between its first and its last fragment).
    """
    begin = 0
    while begin < order.size:
        which = group[order[begin]]
        reach, length = np.int64(0), np.int64(-1)
        whole, odd = True, False
        stop = begin
        latest = time[order[begin]]
        while stop < order.size and group[order[stop]] == which:
            k = order[stop]
            whole &= offset[k] <= reach
            odd |= offset[k] < reach or (0 <= length < end[k]) or (last[k] and reach > end[k])
            if last[k]:
                odd |= length >= 0 and length != end[k]
                length = max(length, end[k])
            if offset[k] == 0 and (first[which] < 0 or end[k] > end[first[which]]):
                first[which] = k
            if earliest[which] < 0 or time[k] < time[earliest[which]]:
                earliest[which] = k
            latest = max(latest, time[k])
            reach = max(reach, end[k])
            stop += 1
        if whole and length >= 0 and reach == length:
            state[which] |= COMPLETE
        if odd:
            state[which] |= ODD
        total[which] = reach
        spread[which] = latest - time[earliest[which]]
        begin = stop


@kernel
def name_flows(rows, src_hi, src_lo, dst_hi, dst_lo, sport, dport, protocol, flow, swapped):
    """Write flow and orientation of *rows* as the reader does of whole packets.

    Args: rows int64[:]; columns of model.columns.Packets, of which flow and swapped are written.
    """
    for k in range(rows.size):
        r = rows[k]
        flow[r], swapped[r] = name_flow(
            src_hi[r], src_lo[r], np.int64(sport[r]), dst_hi[r], dst_lo[r], np.int64(dport[r]), protocol[r]
        )
