"""Walks over numbered packets: place in a series that never wraps, lateness, holes."""

from __future__ import annotations

import numpy as np

from orchestrator.jit import kernel

FARTHEST = 1 << 24
"""A number farther from its neighbours belongs to something else, unless the next one goes on from it."""
FARTHEST_MEDIA = 3000
"""The same for RTP (RFC 3550, A.1)."""
FOLLOWS = 64
MEDIA_BITS = 16


@kernel
def unwrap_series(order, group, counter, bits, number, part):
    """Give every numbered packet its place in a run of numbers that never wraps.

    Args: order int64[:] members by group and time; group int64[:], counter uint64[:], bits int64[:] by member; outputs
    number int64[:], part int64[:] by member, -1 for what fits nowhere. Returns the number of parts.

    A number far off is put aside; if the next one goes on from it, the sender began anew: a new part.
    """
    parts = np.int64(0)
    current = np.int64(-1)
    frontier = np.uint64(0)
    place = np.int64(0)
    aside = np.int64(-1)
    for k in range(order.size):
        i = order[k]
        if group[i] != current:
            current = group[i]
            frontier = counter[i]
            place = np.int64(0)
            aside = np.int64(-1)
            number[i] = 0
            part[i] = parts
            parts += 1
            continue
        shift = np.uint64(64 - bits[i])
        # modulo two to the number of bits, as a signed step
        step = np.int64((counter[i] - frontier) << shift) >> np.int64(shift)
        farthest = FARTHEST_MEDIA if bits[i] == MEDIA_BITS else FARTHEST
        if -farthest <= step <= farthest:
            number[i] = place + step
            part[i] = parts - 1
            if step > 0:
                place += step
                frontier = counter[i]
            aside = np.int64(-1)
            continue
        number[i] = 0
        part[i] = -1
        if aside >= 0:
            step = np.int64((counter[i] - counter[aside]) << shift) >> np.int64(shift)
            if 0 < step <= FOLLOWS:
                part[aside] = parts
                part[i] = parts
                parts += 1
                number[i] = step
                place = step
                frontier = counter[i]
                aside = np.int64(-1)
                continue
        aside = i
    return parts


@kernel
def walk_numbers(part, number, time, latest, earliest, repeated, lateness):
    """Say when each number had come and which come again, of packets of one point in order of part and number.

    Args: part, number, time int64[:] by packet; outputs by packet: latest int64[:] time of all up to it, earliest
    int64[:] of all from it on, repeated bool[:] whether its number came before; lateness int64[:] by part, the longest
    time by which a packet came behind a later number.
    """
    for k in range(part.size):
        same = k > 0 and part[k - 1] == part[k]
        repeated[k] = same and number[k - 1] == number[k]
        if repeated[k]:  # a copy, however late it comes, says nothing of when the number passed
            latest[k] = latest[k - 1]
        else:
            latest[k] = max(latest[k - 1], time[k]) if same else time[k]
    for k in range(part.size - 1, -1, -1):
        same = k + 1 < part.size and part[k + 1] == part[k]
        if same and not repeated[k + 1]:
            lateness[part[k]] = max(lateness[part[k]], latest[k] - earliest[k + 1])
        earliest[k] = min(earliest[k + 1], time[k]) if same else time[k]


@kernel
def count_overtaken(order, part, number, repeated, overtaken):
    """Count by part the packets that came behind a later number.

    Args: order int64[:] packets of one point by part and arrival; part, number int64[:], repeated bool[:] by packet;
    output overtaken int64[:] by part.
    """
    current = np.int64(-1)
    highest = np.int64(0)
    for k in range(order.size):
        i = order[k]
        if part[i] != current:
            current = part[i]
            highest = number[i]
        elif number[i] >= highest:
            highest = number[i]
        elif not repeated[i]:
            overtaken[part[i]] += 1


@kernel
def place_holes(hole_part, before, behind, part, number, latest, earliest, begin, end):
    """Find when each hole passed a point that saw numbers on both sides of it.

    Args: hole_part, before, behind int64[:] holes in order of part: the numbers beside them; part, number, latest,
    earliest int64[:] packets of the point in order of part and number; outputs begin, end int64[:], untouched where the
    point did not see both sides.
    """
    k = 0
    for h in range(hole_part.size):
        while k + 1 < part.size and (
            part[k + 1] < hole_part[h] or (part[k + 1] == hole_part[h] and number[k + 1] <= before[h])
        ):
            k += 1
        if k + 1 >= part.size or part[k] != hole_part[h] or part[k + 1] != hole_part[h]:
            continue
        if number[k] <= before[h] and number[k + 1] >= behind[h]:
            begin[h] = min(latest[k], earliest[k + 1])
            end[h] = max(latest[k], earliest[k + 1])
