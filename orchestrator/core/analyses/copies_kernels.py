"""Which data was sent again, and what the point nearest to its sender knew then."""

from __future__ import annotations

from orchestrator.jit import kernel

MOST_STEPS = 4096
"""Packets in flight that are looked through for the earlier copy."""
AGAIN, PROBE, ACKED = 1, 2, 4
"""AGAIN its bytes were sent before; PROBE a keep-alive or window probe; ACKED they had been acknowledged here."""
ACKS, SENDS, SIGNALS = 1, 2, 4
"""What a token does: it acknowledges, it carries bytes and enters the measured path here, it opens or closes."""


@kernel
def find_copies(order, way, start, end, acked, role, frontier, last, before, acked_here, earlier, found):
    """Find packets whose bytes passed this point before, at the point where they enter the measured path.

    Args: order int64[:] tokens of this point by row; by token: way, start, end, acked int64[:], role uint8[:]
    of the flags above; work arrays by way: frontier, acked_here int64[:] of -1,
    last int64[:] of -1, by token before int64[:]; outputs by token: earlier int64[:] the copy before it, found uint8[:]
    of the flags above.
    """
    for k in range(order.size):
        token = order[k]
        does = role[token]
        if not does:
            continue
        w = way[token]
        if does & ACKS:
            acked_here[w ^ 1] = max(acked_here[w ^ 1], acked[token])
        if not does & SENDS:
            continue
        length = end[token] - start[token]
        if start[token] < frontier[w]:
            if length <= 1 and end[token] == frontier[w] and not does & SIGNALS:
                found[token] = PROBE
            else:
                r = last[w]
                steps = 0
                while r >= 0 and steps < MOST_STEPS:
                    if start[r] < end[token] and end[r] > start[token]:
                        earlier[token] = r
                        found[token] = AGAIN
                        if acked_here[w] >= end[token]:
                            found[token] = AGAIN | ACKED
                        break
                    r = before[r]
                    steps += 1
        before[token] = last[w]
        last[w] = token
        frontier[w] = max(frontier[w], end[token])


@kernel
def find_answered(order, way, end, acked, role, leaves, acked_here, answered):
    """Say of packets sent again whether an acknowledgement of their bytes had passed the last point before they did.

    Args: order int64[:] tokens of this point by row; by token: way, end, acked int64[:], role uint8[:] as
    above, leaves bool[:] whether it is asked about here; work array acked_here int64[:] by way of -1;
    output answered bool[:] by token.
    """
    for k in range(order.size):
        token = order[k]
        w = way[token]
        if role[token] & ACKS:
            acked_here[w ^ 1] = max(acked_here[w ^ 1], acked[token])
        if leaves[token]:
            answered[token] = acked_here[w] >= end[token]
