"""Put packets of several points in one order of time. Reads columns only, no capture bytes."""

from __future__ import annotations

import numpy as np

from orchestrator.jit import kernel


@kernel
def is_sorted(time_ns, start, stop):
    """Say whether the times of the rows from start to stop never fall."""
    for row in range(start + 1, stop):  # noqa: SIM110  # all() would make a generator of it
        if time_ns[row] < time_ns[row - 1]:
            return False
    return True


@kernel
def next_rows(time_ns, caplen, starts, counts, taken, chosen, chosen_at, rows, most_bytes):
    """Merge streams of rows by time until *rows* is full or its frames have *most_bytes*; return how many were put.

    Args: time_ns int64[:], caplen uint32[:] by row; by stream int64[:]: starts first row, counts rows, taken how many
    of them earlier calls put (updated), chosen_at where its rows begin in chosen int64[:], -1 where they follow each
    other from starts on; rows int64[:] output. Each stream's times rise; equal times are put in order of the streams.
    """
    # No helper takes these arrays: counting references around each call would take ten times as long as the merge.
    streams = counts.size
    heads = np.empty(streams, np.int64)
    line = np.empty(streams, np.int64)  # streams that have rows left, the one with the earliest first
    waiting = np.int64(0)
    for stream in range(streams):
        if taken[stream] >= counts[stream]:
            continue
        at = starts[stream] if chosen_at[stream] < 0 else chosen_at[stream]
        row = at + taken[stream] if chosen_at[stream] < 0 else chosen[at + taken[stream]]
        heads[stream] = time_ns[row]
        at = waiting
        while at > 0 and heads[line[at - 1]] > heads[stream]:
            line[at] = line[at - 1]
            at -= 1
        line[at] = stream
        waiting += 1
    put = np.int64(0)
    used = np.int64(0)
    while waiting > 0 and put < rows.size and used < most_bytes:
        stream = line[0]
        place = taken[stream]
        row = starts[stream] + place if chosen_at[stream] < 0 else chosen[chosen_at[stream] + place]
        rows[put] = row
        put += 1
        used += np.int64(caplen[row])
        place += 1
        taken[stream] = place
        if place == counts[stream]:
            waiting -= 1
            for k in range(waiting):
                line[k] = line[k + 1]
            continue
        head = time_ns[row + 1 if chosen_at[stream] < 0 else chosen[chosen_at[stream] + place]]
        heads[stream] = head
        at = np.int64(0)
        while at + 1 < waiting:
            other = line[at + 1]
            if heads[other] > head or (heads[other] == head and other > stream):
                break
            line[at] = other
            at += 1
        line[at] = stream
    return put


@kernel
def locate(rows, position, caplen, file_ends, gap, where, file, span, span_file, span_at, span_start, span_end):
    """Find what to read for frames: spans of files, of which a frame nearer than *gap* to the last one's end is part.

    Args: by row: position int64[:] in its file, caplen uint32[:]; file_ends int64[:] the row behind each file's last;
    outputs by place in rows, int64[:]: where offset in all spans one after the other, file, span number; by span
    int64[:], as long as rows: file, offset among all, start and end in the file. Returns (spans, bytes in all of them).
    """
    files = file_ends.size
    current = np.full(files, -1, np.int64)
    spans = np.int64(0)
    for i in range(rows.size):
        row = rows[i]
        low = np.int64(0)
        high = files - 1
        while low < high:
            middle = (low + high) // 2
            if file_ends[middle] > row:
                high = middle
            else:
                low = middle + 1
        start = position[row]
        end = start + np.int64(caplen[row])
        number = current[low]
        if number < 0 or start < span_start[number] or start > span_end[number] + gap:
            number = spans
            current[low] = number
            span_file[number] = low
            span_start[number] = start
            span_end[number] = end
            spans += 1
        elif end > span_end[number]:
            span_end[number] = end
        file[i] = low
        span[i] = number
        where[i] = start - span_start[number]
    size = np.int64(0)
    for number in range(spans):
        span_at[number] = size
        size += span_end[number] - span_start[number]
    for i in range(rows.size):
        where[i] += span_at[span[i]]
    return spans, size


@kernel
def find_repeats(token, start, stop, seen, repeats):
    """Mark the tokens of one point in *seen* (uint64[:], a bit a token); return how many rows repeat one.

    Args: token int64[:] by row, -1 none; repeats int64[:] receives the repeating rows, as many as fit.
    """
    found = np.int64(0)
    for row in range(start, stop):
        number = token[row]
        if number < 0:
            continue
        bit = np.uint64(1) << np.uint64(number & 63)
        word = number >> 6
        if seen[word] & bit:
            if found < repeats.size:
                repeats[found] = row
            found += 1
        seen[word] |= bit
    return found


@kernel
def find_rows(token, start, stop, wanted, rows):
    """Put the rows of one point whose token's bit is set in *wanted* into *rows*; return how many there are.

    Args: token int64[:] by row, -1 none; wanted uint64[:], a bit a token; rows int64[:] receives as many as fit.
    """
    found = np.int64(0)
    for row in range(start, stop):
        number = token[row]
        if number >= 0 and wanted[number >> 6] & (np.uint64(1) << np.uint64(number & 63)):
            if found < rows.size:
                rows[found] = row
            found += 1
    return found
