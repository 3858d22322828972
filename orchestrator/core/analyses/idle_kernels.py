"""Find the silences of every connection and how each ended."""

from __future__ import annotations

from orchestrator.jit import kernel

OPEN, SURVIVED, CUT = 0, 1, 2
"""What followed: nothing from both ends before the next silence, packets of both ends, a reset."""


@kernel
def find_silences(order, number, side, resets, time, shortest, connection, length, until, fate):
    """Write every silence of at least *shortest* nanoseconds; return how many.

    Args: order int64[:] places by connection, then time; by place: number int64[:], side uint8[:], resets bool[:],
    time int64[:]; outputs int64[:], long enough for all: connection, length, until (its end); fate uint8[:].
    """
    count, last, before, heard, pending = 0, -1, 0, 0, False
    for k in order:
        n = number[k]
        if n != last:
            last, pending = n, False
        elif time[k] - before >= shortest:
            connection[count], length[count], until[count], fate[count] = n, time[k] - before, time[k], OPEN
            count += 1
            heard, pending = 0, True
        before = time[k]
        if not pending:
            continue
        heard |= 1 << side[k]
        if resets[k]:
            fate[count - 1], pending = CUT, False
        elif heard == 3:
            fate[count - 1], pending = SURVIVED, False
    return count
