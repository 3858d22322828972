"""Which five-tuples are one flow, once addresses were translated on the way.

A flow keeps its five-tuple through routers.  Behind an address translator it has another one, but its packets
keep sequence numbers, timestamps and payload: tuples that share such packets at different points are one flow.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.identity import identities, payload_levels
from orchestrator.core.sort import number_values, stable_order
from orchestrator.model.columns import DIGEST_BYTES, MARK_CUT, MARK_FRAGMENT, MARK_GROUP, MARK_ICMP_ERROR, TCP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.model.columns import Packets

FEWEST_PAYLOAD_BYTES = 12
"""Without TCP's sequence numbers, shorter payloads repeat too often to tie two flows together."""
MOST_SHARERS = 8
"""Tuples that may carry one identity before it is taken for a common payload."""
ENOUGH_UNRELATED = 3
"""Different payloads that two tuples must share to be one flow although both addresses differ."""
ENOUGH_SHIFTED = 2
"""Payloads that two TCP tuples must share, all equally far apart in their sequence numbers."""
STEADY_NS = 1_000_000_000
"""How much the time between their two sightings may vary."""
MOST_TRANSLATED_ROWS = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Flows:
    """Flows over all points. Arrays by packet row unless said otherwise."""

    of_row: NDArray[np.int32]
    """Flow number; -1 where no IP was found, or too little was kept of its headers."""
    bit: NDArray[np.uint8]
    """Which of the flow's two directions; its meaning is the same at every point."""
    count: int
    tuples: NDArray[np.int64]
    """By five-tuple: one row that shows it."""
    of_tuple: NDArray[np.int32]
    """By five-tuple: its flow."""


def find_flows(packets: Packets, point: NDArray[np.uint8], points: int) -> Flows:
    """Return the flows of *packets* (all points in one table; *point* says where each was seen)."""
    rows = np.flatnonzero((packets.family > 0) & ((packets.marks & MARK_CUT) == 0))
    first, tuple_of = number_values(packets.flow[rows])
    example = rows[first]
    count = len(example)
    parent = np.arange(count, dtype=np.int32)
    flip = np.zeros(count, np.uint8)
    if points > 1 and count > 1:
        seen = np.bincount(tuple_of * points + point[rows], minlength=count * points).reshape(count, points)
        _join_translated(packets, rows, tuple_of, seen, example, parent, flip)
    roots, flow_of_tuple = np.unique(parent, return_inverse=True)
    of_row = np.full(len(packets), -1, np.int32)
    of_row[rows] = flow_of_tuple[tuple_of]
    bit = packets.swapped.copy()
    bit[rows] ^= flip[tuple_of]
    return Flows(of_row=of_row, bit=bit, count=len(roots), tuples=example, of_tuple=flow_of_tuple.astype(np.int32))


def _join_translated(
    packets: Packets,
    rows: NDArray[np.int64],
    tuple_of: NDArray[np.int64],
    seen: NDArray[np.int64],
    example: NDArray[np.int64],
    parent: NDArray[np.int32],
    flip: NDArray[np.uint8],
) -> None:
    """Unite tuples that carry the same packets at different points; changes *parent* and *flip*."""
    partial = (2 * seen < seen.max(axis=1, keepdims=True)).any(
        axis=1
    )  # hardly seen at some point that others replace it at
    use = partial[tuple_of]
    marks = packets.marks[rows]
    use &= (marks & (MARK_GROUP | MARK_ICMP_ERROR)) == 0
    use &= ((marks & MARK_FRAGMENT) == 0) | _put_together(packets, rows)
    use &= (packets.protocol[rows] == TCP) | (packets.payload[rows] >= FEWEST_PAYLOAD_BYTES)
    chosen = np.flatnonzero(use)[:MOST_TRANSLATED_ROWS]
    if not len(chosen):
        return
    table = packets.take(rows[chosen])
    identity = identities(table, payload_levels(table, np.zeros(len(table), np.int32), 1))
    numbered = identity ^ (table.ip_id.astype(np.uint64) << np.uint64(40))
    shown = (tuple_of[chosen], table.swapped, table.time_ns)
    # what agrees in the IP identification too comes first; without it, payloads alone must speak, and for TCP whose
    # numbers a device replaced, payloads that are all the same distance apart
    votes = [(v, False) for v in _votes(numbered, *shown)] + [(v, True) for v in _votes(identity, *shown)]
    told = np.flatnonzero((table.protocol == TCP) & (table.payload >= FEWEST_PAYLOAD_BYTES))
    for sign in (table.brief, table.residue):  # a cut frame still has its checksum
        key = _with_length(sign[told], table.payload[told])
        found = _votes(key, tuple_of[chosen][told], table.swapped[told], table.time_ns[told], shift=table.seq[told])
        votes += [(v, False) for v in found if v[3] >= ENOUGH_SHIFTED]
    members = {int(t): [int(t)] for t in np.unique(tuple_of[chosen])}
    for (left, right, crossed, number, spread), bare in votes:
        a, b = int(parent[left]), int(parent[right])
        alone = bare and number >= ENOUGH_UNRELATED and spread < STEADY_NS
        examples = (example[left], example[right])
        if a == b or not _may_join(packets, seen, members[a], members[b], examples, number, alone=alone):
            continue
        turn = np.uint8(crossed) ^ flip[left] ^ flip[right]
        for member in members[b]:
            parent[member] = a
            flip[member] ^= turn
        members[a] += members.pop(b)


def _put_together(packets: Packets, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say which rows, if their datagrams came in fragments, are such datagrams that can be compared with whole ones."""
    told = packets.kept[rows] >= np.minimum(packets.payload[rows], DIGEST_BYTES)
    return np.asarray((packets.fragment[rows] == 0) & (told | (packets.protocol[rows] == TCP)))


def _with_length(sign: NDArray[np.generic], length: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """Return a key of a payload's sign and its length."""
    key: NDArray[np.uint64] = sign.astype(np.uint64) << np.uint64(32) | length.astype(np.uint64)
    return key


def _may_join(
    packets: Packets,
    seen: NDArray[np.int64],
    left: list[int],
    right: list[int],
    examples: tuple[np.int64, np.int64],
    votes: int,
    *,
    alone: bool,
) -> bool:
    """Say whether two groups of tuples that share *votes* packets may be one flow.

    One flow has one tuple at a point; a few packets of the other tuple there are a device answering in its name.
    *alone* says that their payloads need no common address to be believed.
    """
    overlap = int(np.minimum(seen[left].sum(axis=0), seen[right].sum(axis=0)).sum())
    related = _related(packets, *examples)
    if overlap and not (related and overlap <= votes):
        return False
    return packets.protocol[examples[0]] == TCP or (votes > 1 and related) or alone


def _votes(
    identity: NDArray[np.uint64],
    tuple_of: NDArray[np.int64],
    swapped: NDArray[np.uint8],
    time_ns: NDArray[np.int64],
    *,
    shift: NDArray[np.uint32] | None = None,
) -> list[tuple[int, int, int, int, int]]:
    """Return (tuple, other tuple, orientation differs, shared packets, spread of their delays), the likeliest first.

    Most shared packets come first; of equals, the pair whose time differences vary least: a flow crosses the translator
    in milliseconds, a look-alike does not keep step.  With *shift*, only packets as far apart in it count together.
    """
    order = stable_order(time_ns, tuple_of, identity)
    key, which, turned, time = identity[order], tuple_of[order], swapped[order], time_ns[order]
    fresh = np.ones(len(key), bool)
    fresh[1:] = (key[1:] != key[:-1]) | (which[1:] != which[:-1])
    key, which, turned, time = key[fresh], which[fresh], turned[fresh], time[fresh]
    start = np.flatnonzero(np.concatenate(([True], key[1:] != key[:-1])))
    size = np.diff(np.append(start, len(key)))
    shared = (size > 1) & (size <= MOST_SHARERS)
    left, right = _pairs_within(start[shared], size[shared])
    number = np.zeros(len(key), np.uint32) if shift is None else shift[order][fresh]
    apart = (number[right] - number[left]).astype(np.int64)
    return _ranked(which[left], which[right], turned[left] ^ turned[right], apart, time[right] - time[left])


def _pairs_within(start: NDArray[np.int64], size: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return every two places of each group, the groups in order, then by first and second place."""
    left, right = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for a, b in combinations(range(MOST_SHARERS), 2):
        groups = start[size > b]
        left.append(groups + a)
        right.append(groups + b)
    lefts, rights = np.concatenate(left), np.concatenate(right)
    order = stable_order(rights, lefts)
    return lefts[order], rights[order]


def _ranked(
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    crossed: NDArray[np.uint8],
    apart: NDArray[np.int64],
    difference: NDArray[np.int64],
) -> list[tuple[int, int, int, int, int]]:
    """Return (left, right, crossed, how often, spread) of the distinct quadruples; see _votes for their order."""
    if not len(left):
        return []
    order = stable_order(difference, apart, crossed, right, left)
    keys = np.stack((left, right, crossed, apart), axis=1)[order]
    begin = np.flatnonzero(np.concatenate(([True], (keys[1:] != keys[:-1]).any(axis=1))))
    count = np.diff(np.append(begin, len(order)))
    ordered = difference[order]
    quarter = count // 4  # left out on either side: a lost packet is first seen at another of the tuple's points
    spread = ordered[begin + count - 1 - quarter] - ordered[begin + quarter]
    rank = np.lexsort((np.minimum.reduceat(order, begin), spread, -count))  # of equals, the one that was met first
    rows = zip(keys[begin][rank].tolist(), count[rank].tolist(), spread[rank].tolist(), strict=True)
    return [(a, b, c, n, s) for (a, b, c, _), n, s in rows]


def _related(packets: Packets, left: np.int64, right: np.int64) -> bool:
    """Say whether two tuples share an address or a port, as translation leaves one end alone."""
    ends = [
        {(int(packets.src_lo[r]), int(packets.sport[r])), (int(packets.dst_lo[r]), int(packets.dport[r]))}
        for r in (left, right)
    ]
    addresses = [{address for address, _ in e} for e in ends]
    return bool(addresses[0] & addresses[1])
