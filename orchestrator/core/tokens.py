"""Tokens: one wire packet each, and the rows at which every point saw it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.identity import identities, payload_levels
from orchestrator.core.sort import together
from orchestrator.core.tokens_kernels import (
    FOLDED,
    LEFT,
    compare_numbers,
    describe_rows,
    fill_tokens,
    mark_copies,
    settle,
)
from orchestrator.model.columns import MARK_GROUP

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
COPIES_WITHIN_NS = np.array([
    SAME_PACKET_NS, FORWARDED_COPY_NS, UNNUMBERED_COPY_NS, SAME_PACKET_NS // 10,
])  # fmt: skip
FEWEST_SOLID = 10
MIRRORED_SHARE = 0.05
"""Share of a point's unmistakable packets that must come twice before those that may be alike are folded: a mirror
shows itself so (ALGORITHMS A.9)."""


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
    repeats: NDArray[np.int64]
    """Shape (repeats, 2): a row that shows a token once more at its point, and one of those in ``row`` that show it."""
    _first: NDArray[np.int32] | None = field(default=None, init=False, repr=False)
    _way: NDArray[np.int64] | None = field(default=None, init=False, repr=False)

    def __len__(self) -> int:
        """Return the number of tokens."""
        return len(self.flow)

    @property
    def way(self) -> NDArray[np.int64]:
        """Flow direction of each token: twice its flow, plus its bit; that of its answers is ``way ^ 1``."""
        if self._way is None:
            self._way = self.flow.astype(np.int64) * 2 + self.bit
        return self._way

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
    """Return tokens that are unique at every point, in order of their first rows, and the rows left over."""
    rows = np.flatnonzero((flows.of_row >= 0) & ((packets.marks & MARK_GROUP) == 0))
    key, what = np.empty((2, len(rows)), np.uint64)
    identity = identities(packets, payload_levels(packets, flows.of_row, flows.count))
    describe_rows(
        rows, identity, flows.of_row, flows.bit, point, packets.ip_id, packets.protocol, packets.payload, key, what
    )
    order, key = together(key)  # rows stay in point order, then file order, within a key
    rows, what = rows[order], what[order]
    unnumbered = _renumbered(packets, flows, key, what, points)
    marks = np.empty(len(rows), np.uint8)
    total, twice = np.zeros((2, points), np.int64)
    mark_copies(rows, key, what, unnumbered, COPIES_WITHIN_NS, packets.ttl, packets.time_ns, marks, total, twice)
    # acknowledgements in a burst may be alike to the last bit: only where a mirror shows itself are two of them one
    mirrored = (total >= FEWEST_SOLID) & (twice > MIRRORED_SHARE * total)
    leader, state = np.full(len(packets), -1, np.int32), np.zeros(len(packets), np.uint8)
    left, group, unsure = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64), np.empty(len(rows), np.bool_)
    several = settle(rows, marks, mirrored, point, leader, state, left, group, unsure)
    repeated = Repeated(rows=left[:several], group=group[:several], unsure=unsure[:several])
    return _numbered(leader, state, point, points, flows, unnumbered), repeated


def _numbered(
    leader: NDArray[np.int32], state: NDArray[np.uint8], point: NDArray[np.uint8], points: int, flows: Flows,
    unnumbered: NDArray[np.bool_],
) -> Tokens:  # fmt: skip
    """Return the tokens that *leader* and *state* tell of."""
    count = int(np.count_nonzero((leader == np.arange(len(leader), dtype=np.int32)) & ((state & LEFT) == 0)))
    table, copies = np.full((count, points), -1, np.int32), np.zeros((count, points), np.uint8)
    flow, bit = np.empty(count, np.int32), np.empty(count, np.uint8)
    fill_tokens(leader, state, point, flows.of_row, flows.bit, np.empty_like(leader), table, copies, flow, bit)
    again = np.flatnonzero(state == FOLDED)
    return Tokens(
        row=table, copies=copies, flow=flow, bit=bit, ambiguous=np.zeros(count, np.bool_), unnumbered=unnumbered,
        repeats=np.stack((again, leader[again].astype(np.int64)), axis=1),
    )  # fmt: skip


def _renumbered(
    packets: Packets, flows: Flows, key: NDArray[np.uint64], what: NDArray[np.uint64], points: int
) -> NDArray[np.bool_]:
    """Say for each flow direction whether some device on the way changes the IP identification.

    Only packets that are told apart without it speak.  Directions that show none at some point follow there the
    others from the same host, those that show none at all every other one.
    """
    total, different, present = np.zeros((3, 2 * flows.count, points), np.int64)
    if points > 1:
        compare_numbers(key, what, total, different, present)
    told = _mostly(different, total)
    silent = (total == 0) & (present > 0)
    told[total.sum(axis=1) == 0] |= _mostly(different.sum(axis=0), total.sum(axis=0))
    if silent.any() and told.any():
        sender = _senders(packets, flows)
        from_host = np.zeros((int(sender.max()) + 1, 2, points), np.int64)
        np.add.at(from_host, sender, np.stack((different, total), axis=1))
        told |= silent & _mostly(from_host[:, 0], from_host[:, 1])[sender]
    return np.asarray(told.any(axis=1))


def _mostly(different: NDArray[np.int64], total: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say where more than half differ.

    A new number may be the old one by chance; packets that are alike but for their numbers differ where each was seen
    at one point alone, and are few.  To take a number for kept that is not would call packets lost.
    """
    return np.asarray(2 * different > total)


def _senders(packets: Packets, flows: Flows) -> NDArray[np.int64]:
    """Return by flow direction a number of the address that it comes from."""
    rows = flows.tuples
    sides = [(packets.src_hi[rows], packets.src_lo[rows]), (packets.dst_hi[rows], packets.dst_lo[rows])]
    ends = np.concatenate([np.stack(side, axis=1) for side in sides])
    _, number = np.unique(ends, axis=0, return_inverse=True)
    way = flows.of_tuple.astype(np.int64) * 2 + flows.bit[rows]
    found = np.zeros(2 * flows.count, np.int64)
    found[np.concatenate((way, way ^ 1))] = number.reshape(-1)
    return found
