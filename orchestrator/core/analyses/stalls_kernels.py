"""Walk every connection for what went on without an answer, and for windows that stayed closed."""

from __future__ import annotations

from orchestrator.jit import kernel

NOTHING, DATA, FINISH = 0, 1, 2
"""What a packet asks to be acknowledged."""


@kernel
def walk_stalls(
    order, number, side, asks, again, resets, shut, tells, time, sent, resent, since, last, heard, closed, closed_at,
):  # fmt: skip
    """Sum up by connection and side what it sent since it last heard the other end, and its longest closed window.

    Args: order int64[:] places by connection, then time; by place: number int64[:], side and asks uint8[:], again,
    resets, shut (announces a window of 0) and tells (announces a window) bool[:], time int64[:]; outputs int64[:, 2]
    of 0: sent and resent (since the other was heard), since (time of the first of these), last (place of the latest),
    heard (packets in all), closed (longest time without a window), closed_at (its beginning).
    """
    current = -1
    open_since = (-1, -1)
    latest = 0
    for k in order:
        n, s = number[k], side[k]
        if n != current:
            if current >= 0:
                _close(current, open_since, latest, closed, closed_at)
            current, open_since = n, (-1, -1)
        latest = time[k]
        if resets[k]:
            continue
        heard[n, s] += 1
        sent[n, 1 - s] = 0
        resent[n, 1 - s] = 0
        if asks[k]:
            if sent[n, s] == 0:
                since[n, s] = time[k]
            sent[n, s] += 1
            resent[n, s] += again[k]
            last[n, s] = k
        if tells[k]:
            open_since = _window(n, s, open_since, shut[k], time[k], closed, closed_at)
    if current >= 0:
        _close(current, open_since, latest, closed, closed_at)


@kernel
def _window(n, s, since, shut, now, closed, closed_at):
    """Return since when the windows of both sides are closed, after one of *s* at *now*; note the end of a closure."""
    own = since[s]
    if shut:
        own = now if own < 0 else own
    elif own >= 0:
        if now - own > closed[n, s]:
            closed[n, s], closed_at[n, s] = now - own, own
        own = -1
    return (own, since[1]) if s == 0 else (since[0], own)


@kernel
def _close(n, since, now, closed, closed_at):
    """Note windows that were still closed when a connection ended."""
    for s in range(2):
        if since[s] >= 0 and now - since[s] > closed[n, s]:
            closed[n, s], closed_at[n, s] = now - since[s], since[s]
