"""Sequence numbers and timestamps that a device on the way replaces by others, a constant apart in each flow.

Firewalls choose other initial sequence numbers, SYN proxies other timestamps.  Where no token of a TCP flow is seen at
two points although both see its data, packets are told by payload instead; the shift must then be the same for all
of them (ALGORITHMS A.7).  Numbers are brought back to those of the flow's first point before tokens are built.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.sort import stable_order
from orchestrator.model.columns import ACK, BRIEF_BYTES, MARK_FRAGMENT, MARK_TIMESTAMPS, RST, SYN, TCP, Packets

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from orchestrator.core.flows import Flows
    from orchestrator.core.tokens import Tokens

FEWEST_AGREEING = 3
"""Packets that must show the same shift, unless a SYN with its own timestamp shows it."""
MOSTLY = 0.9
FEWEST_PAYLOAD_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """What point ``far`` shows of one flow against the first point that sees it."""

    flow: int
    near: int
    far: int
    seq: tuple[int, int]
    """Added on the way, by direction (bit), modulo 2**32."""
    tsval: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What the pairs of one direction tell: shifts of its own numbers and of those it acknowledges and echoes."""

    seq: int = 0
    ack: int = 0
    tsval: int = 0
    tsecr: int = 0


def find_shifts(packets: Packets, point: NDArray[np.uint8], flows: Flows, tokens: Tokens) -> list[Shift]:
    """Return the shifts of all flows whose tokens do not meet although their data does."""
    suspects = _suspects(packets, flows, tokens)
    if not len(suspects):
        return []
    usable = (packets.protocol == TCP) & ((packets.marks & MARK_FRAGMENT) == 0) & ((packets.flags & RST) == 0)
    rows = np.flatnonzero(usable & np.isin(flows.of_row, suspects))
    rows = rows[stable_order(point[rows], flows.of_row[rows])]
    bounds = np.flatnonzero(np.concatenate(([True], np.diff(flows.of_row[rows]) != 0)))
    found = []
    for group in np.split(rows, bounds[1:]):
        found += _of_flow(packets, point, flows, group)
    return found


def _suspects(packets: Packets, flows: Flows, tokens: Tokens) -> NDArray[np.int64]:
    """Return flows of which two neighbouring points see payload or openings, and hardly a token twice."""
    first = tokens.first_row
    telling = (packets.protocol[first] == TCP) & ((packets.flags[first] & RST) == 0)
    telling &= (packets.payload[first] > 0) | ((packets.flags[first] & SYN) > 0)
    seen = tokens.row >= 0
    found = np.zeros(flows.count, np.bool_)
    for far in range(1, seen.shape[1]):
        counts = [
            np.bincount(tokens.flow[telling & chosen], minlength=flows.count)
            for chosen in (seen[:, far - 1], seen[:, far], seen[:, far - 1] & seen[:, far])
        ]
        found |= 4 * counts[2] < np.minimum(counts[0], counts[1])
    return np.flatnonzero(found)


def _of_flow(packets: Packets, point: NDArray[np.uint8], flows: Flows, rows: NDArray[np.int64]) -> list[Shift]:
    """Return the shifts of one flow, whose *rows* are in order of points."""
    near = int(point[rows[0]])
    found = []
    for far in np.unique(point[rows]).tolist()[1:]:
        told = []
        for bit in (0, 1):
            mine = rows[flows.bit[rows] == bit]
            pairs = _pairs(packets, mine[point[mine] == near], mine[point[mine] == far])
            told.append(_agreed(packets, *pairs))
        seq = [told[b].seq or told[1 - b].ack for b in (0, 1)]
        tsval = [told[b].tsval or told[1 - b].tsecr for b in (0, 1)]
        if any(seq) or any(tsval):
            found.append(
                Shift(flow=int(flows.of_row[rows[0]]), near=near, far=far, seq=(seq[0], seq[1]),
                      tsval=(tsval[0], tsval[1]))
            )  # fmt: skip
    return found


def _pairs(
    packets: Packets, near: NDArray[np.int64], far: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], bool]:
    """Return rows at both points that carry the same thing, by the first sign that pairs any, and whether it is sure.

    Everything but the numbers themselves is the surest sign; the payload alone, or its checksum where it was cut, must
    show the same shift several times.
    """
    best = (near[:0], far[:0])
    for sign in (_by_all_else, _by_digest, _by_residue):
        pairs = _unique_pairs(packets, near, far, sign)
        if len(pairs[0]) and sign is _by_all_else:
            return *pairs, True
        if len(pairs[0]) > len(best[0]):
            best = pairs
    return *best, False


def _by_all_else(packets: Packets, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return a key of all fields but sequence numbers and echoed timestamps; 0 where hardly anything is left."""
    key = packets.tsval[rows].astype(np.uint64) << np.uint64(32)
    key ^= packets.brief[rows].astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    key ^= packets.payload[rows].astype(np.uint64) << np.uint64(16) ^ packets.ip_id[rows].astype(np.uint64)
    key ^= packets.flags[rows].astype(np.uint64) << np.uint64(56)
    numbered = packets.ip_id[rows] > 0
    enough = (packets.tsval[rows] > 0) & (numbered | ((packets.flags[rows] & SYN) > 0))
    enough |= numbered & (packets.payload[rows] >= FEWEST_PAYLOAD_BYTES) & _kept(packets, rows)
    return np.where(enough, key, np.uint64(0))


def _kept(packets: Packets, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say whether as much payload was kept as the brief digest takes."""
    kept: NDArray[np.bool_] = packets.kept[rows] >= np.minimum(packets.payload[rows], BRIEF_BYTES)
    return kept


def _by_digest(packets: Packets, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return a key of the payload's start; 0 where too little was kept."""
    enough = (packets.payload[rows] >= FEWEST_PAYLOAD_BYTES) & _kept(packets, rows)
    key = packets.brief[rows].astype(np.uint64) << np.uint64(32) | packets.payload[rows].astype(np.uint64)
    return np.where(enough, key, np.uint64(0))


def _by_residue(packets: Packets, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return a key of the payload's checksum, its length and the IP identification; 0 without payload."""
    key = packets.residue[rows].astype(np.uint64) << np.uint64(48)
    key |= packets.ip_id[rows].astype(np.uint64) << np.uint64(32) | packets.payload[rows].astype(np.uint64)
    return np.where((packets.payload[rows] > 0) & (packets.residue[rows] > 0), key, np.uint64(0))


def _unique_pairs(
    packets: Packets, near: NDArray[np.int64], far: NDArray[np.int64],
    sign: Callable[[Packets, NDArray[np.int64]], NDArray[np.uint64]],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:  # fmt: skip
    """Return the rows whose sign stands for one sequence number at either point, however often it was seen."""
    sides = []
    for rows in (near, far):
        key, seq = sign(packets, rows), packets.seq[rows]
        order = np.argsort(key, kind="stable")
        values, first = np.unique(key[order], return_index=True)
        single = np.ones(len(values), np.bool_)
        if len(values):
            low, high = (f.reduceat(seq[order], first) for f in (np.minimum, np.maximum))
            single = (low == high) & (values > 0)
        sides.append((values[single], rows[order[first[single]]]))
    _, left, right = np.intersect1d(sides[0][0], sides[1][0], assume_unique=True, return_indices=True)
    return sides[0][1][left], sides[1][1][right]


def _agreed(packets: Packets, near: NDArray[np.int64], far: NDArray[np.int64], sure: bool) -> _Told:  # noqa: FBT001
    """Return the shifts on which the pairs agree; zeros where they do not."""
    if not len(near) or (len(near) < FEWEST_AGREEING and not sure):
        return _Told()
    acks = (packets.flags[near] & ACK) > 0
    stamped = (packets.marks[near] & packets.marks[far] & MARK_TIMESTAMPS) > 0
    echoes = stamped & (packets.tsecr[near] > 0) & (packets.tsecr[far] > 0)
    return _Told(
        seq=_mode(packets.seq[far] - packets.seq[near]),
        ack=_mode((packets.ack[far] - packets.ack[near])[acks]),
        tsval=_mode((packets.tsval[far] - packets.tsval[near])[stamped]),
        tsecr=_mode((packets.tsecr[far] - packets.tsecr[near])[echoes]),
    )


def _mode(differences: NDArray[np.uint32]) -> int:
    """Return the commonest value if nearly all have it, else 0."""
    if not len(differences):
        return 0
    values, counts = np.unique(differences, return_counts=True)
    best = int(np.argmax(counts))
    return int(values[best]) if counts[best] >= MOSTLY * len(differences) else 0


def undo_shifts(packets: Packets, point: NDArray[np.uint8], flows: Flows, shifts: list[Shift]) -> Packets:
    """Return *packets* with the numbers that each flow has at its first point."""
    whole = Packets([block.copy() for block in packets.blocks])
    order = stable_order(point, flows.of_row)
    sorted_flow = flows.of_row[order]
    for shift in shifts:
        low, high = np.searchsorted(sorted_flow, (shift.flow, shift.flow + 1))
        rows = order[low:high]
        rows = rows[(point[rows] == shift.far) & (packets.protocol[rows] == TCP)]
        bit = flows.bit[rows].astype(np.int64)
        own, other = np.array(shift.seq, np.uint32), np.array(shift.seq[::-1], np.uint32)
        acks = (packets.flags[rows] & ACK) > 0
        whole.seq[rows] -= own[bit]
        whole.ack[rows] -= np.where(acks, other[bit], 0).astype(np.uint32)
        stamped = (packets.marks[rows] & MARK_TIMESTAMPS) > 0
        own, other = np.array(shift.tsval, np.uint32), np.array(shift.tsval[::-1], np.uint32)
        whole.tsval[rows] -= np.where(stamped, own[bit], 0).astype(np.uint32)
        whole.tsecr[rows] -= np.where(stamped & (packets.tsecr[rows] > 0), other[bit], 0).astype(np.uint32)
    return whole
