"""Sequence numbers and timestamps that a device on the way replaces by others, a constant apart in each flow.

Firewalls choose other initial sequence numbers, SYN proxies other timestamps (ALGORITHMS A.7).  Where hardly a token of
a TCP flow is seen at two points although both see its data, packets are told by what such devices leave alone: the
IP identification with the timestamp or the payload.  Payload and timestamp alone would not do: a relay passes payload
on in packets of its own, and one that shares a kernel with its clients has their clock.  The numbers are brought back
to those of the flow's first point before tokens are built.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.core.sort import stable_order
from orchestrator.model.columns import ACK, BRIEF_BYTES, MARK_FRAGMENT, MARK_TIMESTAMPS, RST, SYN, TCP, Packets
from orchestrator.model.hash_kernels import GOLDEN

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from orchestrator.core.flows import Flows
    from orchestrator.core.tokens import Tokens

MOSTLY = 0.9
"""Share of the pairs that must show one shift."""
FEWEST_SHARE = 0.3
"""Share of the packets of the point with fewer that must pair: counters of a relay's two sides meet here and there."""
FEWEST_PAYLOAD_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """What point ``far`` shows of one flow against the first point that sees it."""

    flow: int
    far: int
    seq: tuple[int, ...] = (0, 0)
    """Added on the way, by direction (bit), modulo 2**32."""
    tsval: tuple[int, ...] = (0, 0)


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
    ordinary = (packets.protocol[first] == TCP) & ((packets.flags[first] & RST) == 0)
    opening = ordinary & ((packets.flags[first] & SYN) > 0)
    seen = tokens.row >= 0
    found = np.zeros(flows.count, np.bool_)
    # a device that answers in the server's name passes SYNs on as they are: data speaks for itself
    for telling in (ordinary & (packets.payload[first] > 0), opening):
        for far in range(1, seen.shape[1]):
            near, here, both = (
                np.bincount(tokens.flow[telling & chosen], minlength=flows.count)
                for chosen in (seen[:, far - 1], seen[:, far], seen[:, far - 1] & seen[:, far])
            )
            found |= 4 * both < np.minimum(near, here)
    return np.flatnonzero(found)


def _of_flow(packets: Packets, point: NDArray[np.uint8], flows: Flows, rows: NDArray[np.int64]) -> list[Shift]:
    """Return the shifts of one flow, whose *rows* are in order of points, each told from the nearest point that can."""
    points = np.unique(point[rows]).tolist()
    sides = [[rows[(flows.bit[rows] == bit) & (point[rows] == p)] for bit in (0, 1)] for p in points]
    found: list[Shift] = [Shift(flow=int(flows.of_row[rows[0]]), far=points[0])]
    for number in range(1, len(points)):
        shift = replace(found[0], far=points[number])
        for nearer in range(number - 1, -1, -1):
            told = [_told(packets, sides[nearer][bit], sides[number][bit]) for bit in (0, 1)]
            if any(told):
                shift = _beyond(found[nearer], points[number], told)
                break
        found.append(shift)
    return [s for s in found if any(s.seq) or any(s.tsval)]


def _beyond(nearer: Shift, far: int, told: Sequence[_Told | None]) -> Shift:
    """Return the shift at *far* from that at a nearer point and what the pairs of both directions told between them."""
    own, other = [t or _Told() for t in told], [t or _Told() for t in told[::-1]]
    return Shift(
        flow=nearer.flow, far=far,
        seq=tuple((nearer.seq[b] + (own[b].seq or other[b].ack)) % 2**32 for b in (0, 1)),
        tsval=tuple((nearer.tsval[b] + (own[b].tsval or other[b].tsecr)) % 2**32 for b in (0, 1)),
    )  # fmt: skip


def _told(packets: Packets, near: NDArray[np.int64], far: NDArray[np.int64]) -> _Told | None:
    """Return what rows of one direction at two points tell of shifts between them; None where nothing pairs them."""
    if len(_unique_pairs(packets, near, far, _by_numbers)[0]):
        return _Told()
    for sign in (_by_timestamp, _by_identification, _by_checksum):
        left, right, could = _unique_pairs(packets, near, far, sign)
        if len(left) >= max(1, FEWEST_SHARE * could):
            return _agreed(packets, left, right)
    return None


def _by_numbers(packets: Packets, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return a key of both numbers and the length: nothing was replaced between such points; 0 without one of them."""
    key = packets.seq[rows].astype(np.uint64) << np.uint64(32) | packets.ack[rows].astype(np.uint64)
    mixed = key * GOLDEN ^ packets.payload[rows].astype(np.uint64)
    return np.where((packets.seq[rows] > 0) & (packets.ack[rows] > 0), mixed, np.uint64(0))


def _by_timestamp(packets: Packets, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return a key of timestamp, identification, payload and flags; 0 where timestamp or identification are missing."""
    key = packets.tsval[rows].astype(np.uint64) << np.uint64(32) ^ _contents(packets, rows, packets.brief)
    told = (packets.ip_id[rows] > 0) | ((packets.flags[rows] & SYN) > 0)
    return np.where((packets.tsval[rows] > 0) & told, key, np.uint64(0))


def _by_identification(packets: Packets, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return a key of identification, payload and flags; 0 where too little payload was kept, or none is numbered."""
    enough = (packets.ip_id[rows] > 0) & _kept_enough(packets, rows)
    return np.where(enough, _contents(packets, rows, packets.brief), np.uint64(0))


def _by_checksum(packets: Packets, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return a key of identification, flags and what the checksum says of the payload, however little was kept."""
    enough = (packets.ip_id[rows] > 0) & (packets.payload[rows] >= FEWEST_PAYLOAD_BYTES) & (packets.residue[rows] > 0)
    return np.where(enough, _contents(packets, rows, packets.residue), np.uint64(0))


def _contents(packets: Packets, rows: NDArray[np.int64], payload_sign: NDArray[Any]) -> NDArray[np.uint64]:
    """Return a key of identification, flags, length and a sign of the payload."""
    key: NDArray[np.uint64] = _payload(packets, rows, payload_sign) ^ packets.ip_id[rows].astype(np.uint64)
    return key


def _payload(packets: Packets, rows: NDArray[np.int64], payload_sign: NDArray[Any]) -> NDArray[np.uint64]:
    """Return a key of flags, length and a sign of the payload."""
    key = payload_sign[rows].astype(np.uint64) * GOLDEN ^ packets.payload[rows].astype(np.uint64) << np.uint64(16)
    mixed: NDArray[np.uint64] = key ^ packets.flags[rows].astype(np.uint64) << np.uint64(56)
    return mixed


def _kept_enough(packets: Packets, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say whether so much payload was kept that it tells packets apart."""
    kept = packets.kept[rows] >= np.minimum(packets.payload[rows], BRIEF_BYTES)
    return np.asarray((packets.payload[rows] >= FEWEST_PAYLOAD_BYTES) & kept)


def _unique_pairs(
    packets: Packets, near: NDArray[np.int64], far: NDArray[np.int64],
    sign: Callable[[Packets, NDArray[np.int64]], NDArray[np.uint64]],
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:  # fmt: skip
    """Return the rows whose sign stands for one sequence number at either point, and how many could have paired."""
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
    return sides[0][1][left], sides[1][1][right], min(len(sides[0][0]), len(sides[1][0]))


def _agreed(packets: Packets, near: NDArray[np.int64], far: NDArray[np.int64]) -> _Told:
    """Return the shifts on which the pairs agree, zeros where they do not."""
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
