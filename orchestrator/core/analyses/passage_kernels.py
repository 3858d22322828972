"""One walk over the packets of a segment in order of arrival."""

from __future__ import annotations

from orchestrator.jit import kernel

MOST_STEPS = 20_000
"""Overtakers that are followed back; nobody needs an extent beyond."""


@kernel
def find_reordered(arrival, sent, received, way, jitter, last, before, count, recent, position, extent, late, thrice):
    """Find packets that later ones of their flow direction overtook (RFC 4737).

    Args: arrival int64[:] places, which are in order of departure, in order of arrival; sent, received int64[:] times
    by place; way int64[:] by place; jitter the lead in nanoseconds that a mirror may invent; work arrays last int64[:]
    by way of -1, before and position int64[:] by place, count int64[:] by way of 0, recent int64[:, 3] by way of -1;
    outputs by place of 0: extent, late int64[:], thrice uint8[:].

    A packet sent at the same time as its overtaker was not overtaken: both left in one super-segment.
    """
    for k in range(arrival.size):
        i = arrival[k]
        w = way[i]
        count[w] += 1
        position[i] = count[w]
        top = last[w]
        if i > top:
            before[i] = top
            last[w] = i
        else:
            first = -1
            r = top
            steps = 0
            while r > i and steps < MOST_STEPS:
                if sent[r] > sent[i]:
                    first = r
                r = before[r]
                steps += 1
            if first >= 0 and received[i] - received[first] >= jitter:
                extent[i] = position[i] - position[first]
                late[i] = received[i] - received[first]
                if recent[w, 0] > i and recent[w, 1] > i and recent[w, 2] > i:
                    thrice[i] = 1
        recent[w, 2] = recent[w, 1]
        recent[w, 1] = recent[w, 0]
        recent[w, 0] = i
