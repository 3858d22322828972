"""Play flows over a line with loss, delay and reordering: what each sender sends follows from what reached it.

A TCP sender resends what was lost when its timer runs out; a receiver acknowledges every second segment, at once where
something is missing, and after 40 ms at the latest. Handshakes, requests and farewells are spared by the loss.
"""

from __future__ import annotations

import numba
import numpy as np

ROW = np.dtype([
    ("flow", "u4"), ("seq", "u4"), ("ack", "u4"), ("tsval", "u4"), ("tsecr", "u4"), ("id", "u2"), ("size", "u2"),
    ("digest", "u2"), ("flags", "u1"), ("up", "u1"), ("last", "i1"),
])  # fmt: skip
"""A packet; `last` is the point that saw it last if it was lost, else -1; `digest` is the checksum of its payload."""
FLOW = np.dtype([
    ("start", "i8"), ("gap", "f8"), ("segments", "u4"), ("burst", "u2"), ("kind", "u1"), ("v6", "u1"),
])  # fmt: skip
UPLOAD, DOWNLOAD, DATAGRAMS = 0, 1, 2
FIN, SYN, PSH, ACK = 1, 2, 8, 16
SEGMENT = 1448
REQUEST = 320
BASE_NS, JITTER_NS = 180_000, 40_000.0
"""Of one segment of the path."""
LATE_NS = 2_000_000
RESEND_NS = 220_000_000
DELAYED_NS = 40_000_000
TURN_NS = 15_000
LINGER_NS = 100_000_000
LONGEST_GAP_NS = 60_000_000
BACK_TO_BACK_NS = 12_000
TRIES = 4


@numba.njit(cache=True)
def travel(times, row, up, sent, lost_at, reordered, front):
    """Carry a packet over the line; fill its row of *times* and return when it arrives, -1 if it does not.

    Args: times int64[:, :], a row a packet, a column a point; lost_at the segment that loses it, counted in its
    direction, or -1; front int64[2, points], when the packet before it passed, each direction.
    """
    points = times.shape[1]
    now = sent
    way = 0 if up else 1
    for hop in range(points):
        point = hop if up else points - 1 - hop
        if hop > 0:
            if hop - 1 == lost_at:
                return np.int64(-1)
            now += BASE_NS + np.int64(np.random.exponential(JITTER_NS))
            if reordered:
                now += np.int64(np.random.random() * LATE_NS / (points - 1))
        if not reordered:
            now = max(now, front[way, point] + 1)
            front[way, point] = now
        times[row, point] = now
    return now


@numba.njit(cache=True)
def draw_loss(loss, points):
    """Return the segment on which a packet is lost, -1 for none."""
    if np.random.random() < loss:
        return np.int64(np.random.random() * (points - 1))
    return np.int64(-1)


@numba.njit(cache=True)
def put(rows, times, at, line, flow, up, sent, seq, ack, size, flags, echo, ids, front, spared):
    """Send one packet; return when it arrives, -1 if it does not.

    Args: line (loss, reordered); echo the time that the sender heard last; ids int64[2], the next IP identifications.
    """
    points = times.shape[1]
    way = 0 if up else 1
    lost_at = np.int64(-1) if spared else draw_loss(line[0], points)
    late = (not spared) and np.random.random() < line[1]
    arrival = travel(times, at, up, sent, lost_at, late, front)
    row = rows[at]
    row.flow = flow
    row.up = up
    row.seq = seq
    row.ack = ack
    row.size = size
    row.flags = flags
    row.tsval = np.uint32((sent // 1_000_000 + 1_000_003 * (way + 1) + flow) & 0xFFFFFFFF)
    row.tsecr = np.uint32((echo // 1_000_000 + 1_000_003 * (2 - way) + flow) & 0xFFFFFFFF) if echo >= 0 else 0
    row.id = ids[way] & 0xFFFF
    ids[way] += 1
    row.last = -1 if lost_at < 0 else (lost_at if up else points - 1 - lost_at)
    return arrival


@numba.njit(cache=True)
def schedule(flow, begin, loss, when, which, doomed):
    """Write every sending of every segment to *when*, *which* and *doomed* (1: it will be lost); return how many."""
    count = 0
    now = np.float64(begin)
    for number in range(flow.segments):
        if number:
            pause = min(np.random.exponential(flow.gap), LONGEST_GAP_NS)
            now += BACK_TO_BACK_NS if number % flow.burst else pause
        sent, patience = np.int64(now), np.int64(RESEND_NS)
        for attempt in range(TRIES):
            gone = attempt < TRIES - 1 and np.random.random() < loss
            when[count], which[count], doomed[count] = sent, number, gone
            count += 1
            if not gone:
                break
            sent += patience
            patience *= 2
    return count


@numba.njit(cache=True)
def answer(rows, times, at, line, flow, up, heard, which, sent, count, seq, isn, tail, ids, front):
    """Acknowledge *count* arrivals in the order they came; return the next free row and when the last one was sent.

    Args: heard, which, sent int64[:], when a segment arrived, its number, when it was sent; isn the number of the first
    byte; tail the bytes of the last segment.
    """
    order = np.argsort(heard[:count], kind="mergesort")
    whole = np.zeros(count + 1, np.uint8)
    following, pending, now = 0, 0, np.int64(0)
    for place in range(count):
        k = order[place]
        now = heard[k]
        in_order = which[k] == following
        whole[which[k]] = 1
        before = following
        while whole[following]:
            following += 1
        pending += 1
        waits = DELAYED_NS if place == count - 1 else heard[order[place + 1]] - now
        if in_order and following == before + 1 and pending < 2:
            if waits < DELAYED_NS:
                continue
            now += DELAYED_NS
        pending = 0
        ack = isn + following * SEGMENT - (SEGMENT - tail if following == count else 0)
        put(rows, times, at, line, flow, up, now + TURN_NS, seq, ack, 0, ACK, sent[k], ids, front, False)
        at += 1
    return at, now


@numba.njit(cache=True)
def stream(rows, times, at, line, number, flow, when, which, doomed):
    """Play one TCP flow from row *at* on; return the next free row."""
    points = times.shape[1]
    front, ids = np.zeros((2, points), np.int64), np.random.randint(0, 1 << 16, 2)
    client, server = np.random.randint(0, 1 << 32), np.random.randint(0, 1 << 32)
    now = put(rows, times, at, line, number, True, flow.start, client, 0, 0, SYN, -1, ids, front, True)
    now = put(rows, times, at + 1, line, number, False, now + TURN_NS, server, client + 1, 0, SYN | ACK, flow.start,
              ids, front, True)  # fmt: skip
    client, server = client + 1, server + 1
    put(rows, times, at + 2, line, number, True, now + TURN_NS, client, server, 0, ACK, now, ids, front, True)
    at, now = at + 3, now + 2 * TURN_NS
    up = flow.kind == UPLOAD
    if not up:
        now = put(rows, times, at, line, number, True, now, client, server, REQUEST, PSH | ACK, now, ids, front, True)
        at, client, now = at + 1, client + REQUEST, now + 1_000_000
    mine, theirs = (client, server) if up else (server, client)
    sends = schedule(flow, now, line[0], when, which, doomed)
    order = np.argsort(when[:sends], kind="mergesort")
    tail = 1 + np.random.randint(0, SEGMENT)
    heard, got, sent = np.empty(sends, np.int64), np.empty(sends, np.int64), np.empty(sends, np.int64)
    arrived = 0
    for k in order:
        last = which[k] == flow.segments - 1
        lost = (1.0 if doomed[k] else 0.0, line[1])
        now = put(rows, times, at, lost, number, up, when[k], mine + which[k] * SEGMENT, theirs,
                  tail if last else SEGMENT, PSH | ACK if last else ACK, when[k] - BASE_NS * points, ids, front,
                  False)  # fmt: skip
        at += 1
        if now >= 0:
            heard[arrived], got[arrived], sent[arrived] = now, which[k], when[k]
            arrived += 1
    at, now = answer(rows, times, at, line, number, not up, heard, got, sent, arrived, theirs, mine, tail, ids, front)
    mine += (flow.segments - 1) * SEGMENT + tail
    client, server = (mine, theirs) if up else (theirs, mine)
    now = put(rows, times, at, line, number, True, now + LINGER_NS, client, server, 0, FIN | ACK, now, ids, front,
              True)  # fmt: skip
    back = put(rows, times, at + 1, line, number, False, now + TURN_NS, server, client + 1, 0, FIN | ACK, now, ids,
               front, True)  # fmt: skip
    put(rows, times, at + 2, line, number, True, back + TURN_NS, client + 1, server + 1, 0, ACK, now, ids, front,
        True)  # fmt: skip
    return at + 3


@numba.njit(cache=True)
def datagrams(rows, times, at, line, number, flow):
    """Play one flow of datagrams, most of them towards the client; return the next free row."""
    front, ids = np.zeros((2, times.shape[1]), np.int64), np.random.randint(0, 1 << 16, 2)
    now = flow.start
    for k in range(flow.segments):
        now += 1000 + np.int64(min(np.random.exponential(flow.gap), LONGEST_GAP_NS))
        up = np.random.random() < 0.3
        put(rows, times, at, line, number, up, now, k, 0, np.random.randint(60, 1200), 0, -1, ids, front, False)
        at += 1
    return at


@numba.njit(cache=True)
def play(flows, rows, times, wanted, loss, reordered, seed):
    """Play *flows* one after the other until *wanted* packets were sent; return (packets, flows) that were.

    Args: flows FLOW[:]; rows ROW[:] and times int64[:, :] to fill, times with -1 in it; both must have room for one
    flow more than *wanted*.
    """
    np.random.seed(seed)
    longest = TRIES * np.int64(flows["segments"].max())
    when, which = np.empty(longest, np.int64), np.empty(longest, np.int64)
    doomed = np.empty(longest, np.uint8)
    at = played = 0
    while played < flows.size and at < wanted:
        if flows[played].kind == DATAGRAMS:
            at = datagrams(rows, times, at, (loss, reordered), played, flows[played])
        else:
            at = stream(rows, times, at, (loss, reordered), played, flows[played], when, which, doomed)
        played += 1
    return at, played
