"""Walk the packets of every connection once, in the order of time."""

from __future__ import annotations

from orchestrator.jit import kernel

OPENS, ANSWERS, FINISHES, RESETS, CARRIES, AGAIN, GONE = 1, 2, 4, 8, 16, 32, 64
"""What a packet does: SYN, SYN with ACK, FIN, RST, data, data sent before, vanishes."""


@kernel
def part_connections(order, pair, deed, seq, number):
    """Number the connections; return how many there are.

    Another SYN of the same address pair with another sequence number begins a new one, unless nothing but such came
    before it.  Args: order int64[:] places by pair, then time; by place: pair int64[:], deed uint8[:], seq uint32[:];
    output by place: number int64[:].
    """
    count = -1
    opened = False
    begun = False
    syn = seq[0] if seq.size else 0
    last = -1
    for k in order:
        if pair[k] != last:
            count += 1
            last, opened, begun = pair[k], False, False
        elif deed[k] & OPENS and begun and (not opened or seq[k] != syn):
            count += 1
            opened, begun = False, False
        if deed[k] & OPENS:
            opened, syn = True, seq[k]
        else:
            begun = True
        number[k] = count
    return count + 1


@kernel
def walk_connections(
    order, number, side, deed, time, start, end, first, last, idle, idle_at, opener, answer, reset, packets,
    resent, lost, low, high, done,
):  # fmt: skip
    """Sum up every connection.

    Args: order int64[:] places by connection, then time; by place: number int64[:], side uint8[:] 0 or 1, deed
    uint8[:], time, start and end int64[:] (places in its direction's byte stream); outputs by connection, int64[:]:
    first and last time; idle of 0 the longest silence, idle_at when it began; of -1 the places of the first opener,
    answer and reset; by connection and side, int64[:, 2]: packets, resent, lost and done of 0 (FIN
    seen), low of the largest and high of the smallest int64 (reach of its data).
    """
    for k in order:
        n, s = number[k], side[k]
        if packets[n, 0] + packets[n, 1] == 0:
            first[n] = time[k]
        elif time[k] - last[n] > idle[n]:
            idle[n], idle_at[n] = time[k] - last[n], last[n]
        last[n] = time[k]
        packets[n, s] += 1
        what = deed[k]
        if what & OPENS and opener[n] < 0:
            opener[n] = k
        if what & ANSWERS and answer[n] < 0:
            answer[n] = k
            reset[n] = -1  # what ended an attempt before it did not end this
        if what & RESETS and reset[n] < 0:
            reset[n] = k
        if what & FINISHES:
            done[n, s] = 1
        if what & CARRIES:
            low[n, s] = min(low[n, s], start[k])
            high[n, s] = max(high[n, s], end[k])
        if what & AGAIN:
            resent[n, s] += 1
        if what & GONE:
            lost[n, s] += 1
