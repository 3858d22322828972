"""Tokens: one wire packet each, and the rows at which every point saw it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.identity import identities, payload_levels
from orchestrator.core.sort import stable_order
from orchestrator.model.columns import MARK_GROUP, TCP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.core.flows import Flows
    from orchestrator.model.columns import Packets

SAME_PACKET_NS = 100_000_000
"""Copies with one IP identification closer than this are one packet: a link-layer repeat or a mirror."""
FORWARDED_COPY_NS = 1_000_000_000
"""The same with another TTL: the point also hears the next hop forward it."""
UNNUMBERED_COPY_NS = 50_000
"""Without an IP identification only a mirror is that fast."""
FEWEST_SOLID = 10
MIRRORED_SHARE = 0.05
"""Share of a point's unmistakable packets that must come twice before those that may be alike are folded."""
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
SHIFT = np.uint64(32)


@dataclass(slots=True, kw_only=True)
class Tokens:
    """All tokens of a run. Arrays by token unless said otherwise."""

    row: NDArray[np.int32]
    """Shape (tokens, points): the packet row at each point, -1 where it was not seen."""
    copies: NDArray[np.uint8]
    """Shape (tokens, points): how often that point saw it."""
    flow: NDArray[np.int32]
    bit: NDArray[np.uint8]
    ambiguous: NDArray[np.bool_]
    """Identical packets that cannot be told apart: they may be counted, not named."""
    unnumbered: NDArray[np.bool_]
    """By flow direction: whether a device on the way changes the IP identification, so that it tells nothing apart."""
    _first: NDArray[np.int32] | None = field(default=None, init=False, repr=False)

    def __len__(self) -> int:
        """Return the number of tokens."""
        return len(self.flow)

    @property
    def first_row(self) -> NDArray[np.int32]:
        """Any row that shows the token: at the lowest-numbered point that saw it."""
        if self._first is None:  # asked for by every stage, and by some once a reset
            self._first = self.row[:, 0].copy()
            for column in range(1, self.row.shape[1]):
                np.copyto(self._first, self.row[:, column], where=self._first < 0)
        return self._first


@dataclass(slots=True, kw_only=True)
class Repeated:
    """Rows whose key occurs more than once at a point: to be matched by time once clocks are known."""

    rows: NDArray[np.int64]
    group: NDArray[np.int64]
    unsure: NDArray[np.bool_]
    """Whether some that may be alike were folded at some point, so that nobody knows how many there are."""


def build_tokens(packets: Packets, point: NDArray[np.uint8], points: int, flows: Flows) -> tuple[Tokens, Repeated]:
    """Return tokens that are unique at every point, and the rows left over."""
    rows = np.flatnonzero((flows.of_row >= 0) & ((packets.marks & MARK_GROUP) == 0))
    key, unnumbered = _keys(packets, flows, rows, point, points)
    order = stable_order(key)  # rows stay in point order, then file order, within a key
    rows, key = rows[order], key[order]
    same_key = _as_before(key)
    same_point = same_key & _as_before(point[rows])
    copy = same_point & _is_copy(packets, rows)
    solid = (packets.ip_id[rows] != 0) | ((packets.protocol[rows] == TCP) & (packets.payload[rows] > 0))
    copy &= solid | _is_mirrored(solid, copy, point[rows], points)
    group = np.cumsum(~same_key) - 1
    groups = int(group[-1]) + 1 if len(group) else 0
    repeated_group = np.zeros(groups, bool)
    repeated_group[group[same_point & ~copy]] = True
    keep = ~copy & ~repeated_group[group]
    number = np.cumsum(~repeated_group) - 1
    tokens = int(number[-1]) + 1 if groups else 0
    table = np.full((tokens, points), -1, np.int32)
    table[number[group[keep]], point[rows[keep]]] = rows[keep]
    copies = np.zeros((tokens, points), np.uint8)
    counted = ~repeated_group[group]
    flat = np.bincount(number[group[counted]] * points + point[rows[counted]], minlength=tokens * points)
    copies[:] = np.minimum(flat, 255).reshape(tokens, points)
    any_row = table.max(axis=1) if tokens else np.empty(0, np.int32)
    built = Tokens(
        row=table,
        copies=copies,
        flow=flows.of_row[any_row],
        bit=flows.bit[any_row],
        ambiguous=np.zeros(tokens, bool),
        unnumbered=unnumbered,
    )
    left = repeated_group[group] & ~copy
    folded = np.zeros(groups, bool)
    folded[group[copy & ~solid]] = True
    return built, Repeated(rows=rows[left], group=group[left], unsure=folded[group[left]])


def _as_before(values: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Say for each value whether it equals the one before it."""
    result = np.zeros(len(values), np.bool_)
    result[1:] = values[1:] == values[:-1]
    return result


def _mix(state: NDArray[np.uint64], value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    mixed: NDArray[np.uint64] = (state ^ value) * GOLDEN
    return mixed ^ (mixed >> SHIFT)


def _keys(
    packets: Packets, flows: Flows, rows: NDArray[np.int64], point: NDArray[np.uint8], points: int
) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Return one key a row (flow, direction, invariant fields, the IP identification where the path keeps it).

    The second value says for each flow direction where it does not.
    """
    direction = flows.of_row[rows].astype(np.uint64) * np.uint64(2) + flows.bit[rows].astype(np.uint64)
    identity = identities(packets, payload_levels(packets, flows.of_row, flows.count))
    bare = _mix(identity[rows], direction)
    numbered = _mix(bare, packets.ip_id[rows].astype(np.uint64))
    if points == 1:
        return numbered, np.zeros(2 * flows.count, np.bool_)
    rewritten = _rewritten(packets, flows, rows, point, bare, points)
    if not rewritten.any():
        return numbered, rewritten
    return np.where(rewritten[direction.astype(np.int64)], bare, numbered), rewritten


def _rewritten(
    packets: Packets, flows: Flows, rows: NDArray[np.int64], point: NDArray[np.uint8], bare: NDArray[np.uint64],
    points: int,
) -> NDArray[np.bool_]:  # fmt: skip
    """Say for each flow direction whether some device on the way changes the IP identification.

    Only packets that are told apart without it speak.  Directions without such packets follow the others.
    """
    order = stable_order(bare)
    key, at = bare[order], point[rows[order]]
    fresh = ~_as_before(key)
    group = np.cumsum(fresh) - 1
    twice = np.zeros(int(group[-1]) + 1 if len(group) else 0, np.bool_)
    number = packets.ip_id[rows[order]]
    twice[group[_as_before(key) & _as_before(at) & ~_as_before(number)]] = True
    pair = np.flatnonzero(_as_before(key) & ~_as_before(at) & ~twice[group])
    before, here = rows[order[pair - 1]], rows[order[pair]]
    direction = flows.of_row[here].astype(np.int64) * 2 + flows.bit[here]
    place = direction * points + point[here]
    changed = packets.ip_id[before] != packets.ip_id[here]
    total = np.bincount(place, minlength=2 * flows.count * points).reshape(-1, points)
    different = np.bincount(place[changed], minlength=2 * flows.count * points).reshape(-1, points)
    mostly = 10 * different > 9 * total
    everywhere = bool((10 * different.sum(axis=0) > 9 * total.sum(axis=0)).any())
    silent = total.sum(axis=1) == 0
    result: NDArray[np.bool_] = mostly.any(axis=1) | (silent & everywhere)
    return result


def _is_mirrored(
    solid: NDArray[np.bool_], copy: NDArray[np.bool_], at: NDArray[np.uint8], points: int
) -> NDArray[np.bool_]:
    """Say for each row whether its point shows its unmistakable packets twice, as a mirror does (ALGORITHMS A.9).

    Acknowledgements in a burst may be alike to the last bit: elsewhere two of them are two.
    """
    total = np.bincount(at[solid], minlength=points)
    twice = np.bincount(at[solid & copy], minlength=points)
    mirrored = (total >= FEWEST_SOLID) & (twice > MIRRORED_SHARE * total)
    result: NDArray[np.bool_] = mirrored[at]
    return result


def _is_copy(packets: Packets, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say for each row whether it repeats the row before it (same key and point are the caller's business)."""
    before, here = rows[:-1], rows[1:]
    gap = np.abs(packets.time_ns[here] - packets.time_ns[before])
    numbered = packets.ip_id[here] != 0
    other_ttl = packets.ttl[here] != packets.ttl[before]
    limit = np.where(numbered, np.where(other_ttl, FORWARDED_COPY_NS, SAME_PACKET_NS), UNNUMBERED_COPY_NS)
    limit = np.where(~numbered & other_ttl, SAME_PACKET_NS // 10, limit)
    result = np.zeros(len(rows), np.bool_)
    # a later copy is farther on its way: one that has its TTL back was sent again
    on_its_way = packets.ttl[here] <= packets.ttl[before]
    result[1:] = (gap < limit) & on_its_way & (packets.ip_id[here] == packets.ip_id[before])
    return result
