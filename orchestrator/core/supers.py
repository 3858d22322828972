"""Super-segments: what a host's card will split or has joined, as the wire segments they stand for (ALGORITHMS A.6).

A capture on a host sees TCP data before segmentation (TSO, GSO) or after coalescing (GRO, LRO).  Comparing such frames
with those on the wire would call most data lost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.flows import find_flows
from orchestrator.core.sort import number_values
from orchestrator.core.supers_kernels import survey_segments
from orchestrator.model.columns import (
    CWR,
    FIN,
    MARK_TIMESTAMPS,
    PIECE_FOLLOWS,
    PIECE_LEADS,
    PSH,
    RST,
    SYN,
    TCP,
    Packets,
)  # fmt: skip
from orchestrator.model.hash_kernels import GOLDEN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.core.flows import Flows

LONGEST_USUAL = 1460
"""TCP payload of a full Ethernet frame: more than this is suspicious where no SYN tells the segment size."""
TIMESTAMP_BYTES = 12
MOST_OPTIONS = 40
"""Bytes of options that a TCP header has room for."""
UNKNOWN = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True, kw_only=True)
class Expanded:
    """The rows of all points with super-segments taken apart."""

    packets: Packets
    point: NDArray[np.uint8]
    flows: Flows
    origin: NDArray[np.int64]
    """By row: the row it comes from; pieces of one frame share it."""
    supers: NDArray[np.int64]
    """By point: frames that were taken apart."""


def split_supers(packets: Packets, point: NDArray[np.uint8], points: int) -> Expanded:
    """Return *packets* with every super-segment as its wire segments, and their flows.

    Five-tuples alone give the first cut, so that translated flows find each other; then the flow's own wire segments,
    seen at whatever point, decide.
    """
    first, tuple_of = number_values(packets.flow)
    alone = _Grouping(of_row=tuple_of.astype(np.int32), bit=packets.swapped, count=len(first))
    cut = _take_apart(packets, point, points, alone)
    flows = find_flows(cut.packets, cut.point, points)
    if not cut.supers.any():
        return Expanded(packets=packets, point=point, flows=flows, origin=np.arange(len(packets)), supers=cut.supers)
    start = np.searchsorted(cut.origin, np.arange(len(packets)))
    joined = _Grouping(of_row=flows.of_row[start], bit=flows.bit[start], count=flows.count)
    final = _take_apart(packets, point, points, joined)
    examples = np.searchsorted(final.origin, cut.origin[flows.tuples])
    flows = replace(flows, of_row=joined.of_row[final.origin], bit=joined.bit[final.origin], tuples=examples)
    return Expanded(packets=final.packets, point=final.point, flows=flows, origin=final.origin, supers=final.supers)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grouping:
    """Which rows are one conversation, and in which of its directions."""

    of_row: NDArray[np.int32]
    bit: NDArray[np.uint8]
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cut:
    """Rows taken apart by one grouping."""

    packets: Packets
    point: NDArray[np.uint8]
    origin: NDArray[np.int64]
    supers: NDArray[np.int64]


def _take_apart(packets: Packets, point: NDArray[np.uint8], points: int, group: _Grouping) -> _Cut:
    """Return every super-segment as the segments that its conversation shows."""
    uncut = _Cut(packets=packets, point=point, origin=np.arange(len(packets)), supers=np.zeros(points, np.int64))
    shortest, fullest = _survey(packets, point, points, group)
    size = _segment_sizes(packets, group, fullest)
    if not (fullest.max(axis=1, initial=0) > size.piece).any():
        return uncut
    rows = np.flatnonzero((packets.protocol == TCP) & (packets.payload > 0) & (group.of_row >= 0))
    way = group.of_row[rows].astype(np.int64) * 2 + group.bit[rows]
    payload = packets.payload[rows].astype(np.int64)
    further = np.clip(packets.wirelen[rows] - payload - shortest[way, point[rows]], 0, MOST_OPTIONS)
    piece_of = np.ones(len(packets), np.int64)
    piece_of[rows] = np.maximum(size.piece[way] - further, 1)
    count = np.ones(len(packets), np.int64)
    large = payload > size.limit[way] - further
    tight = ~large & (payload > piece_of[rows])
    large[tight] = _is_seen_cut(packets, rows, way, rows[tight], way[tight], piece_of[rows[tight]])
    if not large.any():
        return uncut
    count[rows[large]] = -(-payload[large] // piece_of[rows[large]])
    supers = np.bincount(point[rows[large]], minlength=points)
    origin = np.repeat(np.arange(len(packets)), count)
    number = np.arange(len(origin)) - (np.cumsum(count) - count)[origin]
    table = packets.take(origin)
    pieces = np.flatnonzero(count[origin] > 1)
    from_row = origin[pieces]
    counting = np.zeros(len(packets), np.bool_)
    counting[rows] = _is_counting(packets.ip_id[rows], way)
    _cut(table, pieces, number[pieces], count[from_row], piece_of[from_row], counting[from_row])
    return _Cut(packets=table, point=point[origin], origin=origin, supers=supers)


def _cut(
    table: Packets, pieces: NDArray[np.int64], number: NDArray[np.int64], count: NDArray[np.int64],
    size: NDArray[np.int64], counting: NDArray[np.bool_],
) -> None:  # fmt: skip
    """Give the rows *pieces* of *table* the fields that each wire segment of *size* has; changes *table*.

    Args: *counting* says of which the sender counts identifications, so that a zero is one of them.
    """
    whole = table.payload[pieces].astype(np.int64)
    offset = number * size
    is_last, is_first = number == count - 1, number == 0
    table.seq[pieces] += offset.astype(np.uint32)
    table.payload[pieces] = np.minimum(size, whole - offset).astype(np.uint32)
    table.kept[pieces] = np.clip(table.kept[pieces] - offset, 0, table.payload[pieces]).astype(np.uint32)
    numbered = counting | (table.ip_id[pieces] != 0)
    table.ip_id[pieces] += np.where(numbered, number, 0).astype(np.uint16)
    flags = table.flags[pieces]
    flags &= np.where(is_last, 0xFF, 0xFF ^ (PSH | FIN)).astype(np.uint8)
    flags &= np.where(is_first, 0xFF, 0xFF ^ CWR).astype(np.uint8)
    table.flags[pieces] = flags
    place = np.where(is_first, 0, PIECE_FOLLOWS) | np.where(is_last, 0, PIECE_LEADS)
    table.piece[pieces] = place.astype(np.uint8)
    table.residue[pieces] = 0  # of the whole frame, hence of none of its pieces
    for column in (table.digest, table.brief):
        column[pieces[~is_first]] = 0  # of the start of the frame, hence of its first piece alone


def _is_counting(ip_id: NDArray[np.uint16], way: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say of data segments whether most of their direction have an identification other than zero."""
    total, numbered = np.bincount(way), np.bincount(way, weights=ip_id != 0)
    counting: NDArray[np.bool_] = (2 * numbered > total)[way]
    return counting


def _survey(
    packets: Packets, point: NDArray[np.uint8], points: int, group: _Grouping
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return by conversation's direction and point the shortest headers of its data, and the most that a frame fills.

    Every segment of a frame repeats its headers: selective acknowledgements beside data leave less room for data, so
    that what a frame fills is its payload and the options that not every header has.
    """
    shortest, fullest = np.full((2 * group.count, points), UNKNOWN), np.zeros((2 * group.count, points), np.int64)
    survey_segments(
        packets.protocol, packets.payload, packets.wirelen, point, group.of_row, group.bit, MOST_OPTIONS, shortest,
        fullest,
    )  # fmt: skip
    return shortest, fullest


def _is_seen_cut(
    packets: Packets, rows: NDArray[np.int64], way: NDArray[np.int64], chosen: NDArray[np.int64],
    way_of_chosen: NDArray[np.int64], size: NDArray[np.int64],
) -> NDArray[np.bool_]:  # fmt: skip
    """Say for each of *chosen*, which one segment could hold, whether its beginning was seen as a segment of *size*.

    A point whose longest frame is shorter may just have missed the longer ones, or the network lost them.
    """
    if not len(chosen):
        return np.zeros(0, np.bool_)

    def key(at: NDArray[np.int64], of: NDArray[np.int64], length: NDArray[np.int64]) -> NDArray[np.uint64]:
        state = of.astype(np.uint64) << np.uint64(32) ^ packets.seq[at].astype(np.uint64)
        state = (state ^ packets.ip_id[at].astype(np.uint64) << np.uint64(40)) * GOLDEN
        state ^= packets.tsval[at].astype(np.uint64) << np.uint64(16) ^ length.astype(np.uint64)
        mixed: NDArray[np.uint64] = (state ^ state >> np.uint64(29)) * np.uint64(0xBF58476D1CE4E5B9)
        return mixed

    seen: NDArray[np.bool_] = np.isin(
        key(chosen, way_of_chosen, size), key(rows, way, packets.payload[rows].astype(np.int64))
    )
    return seen


@dataclass(frozen=True, slots=True)
class _Sizes:
    """By flow direction: payload above which a frame is a super-segment for sure, and that of the segments in it."""

    limit: NDArray[np.int64]
    piece: NDArray[np.int64]


def _segment_sizes(packets: Packets, group: _Grouping, fullest: NDArray[np.int64]) -> _Sizes:
    """Work out segment sizes from the SYNs, else from the point that sees the smallest full segments.

    Args: *fullest* by direction and point as of _survey, 0 where the point saw no data.
    """
    smallest = np.where(fullest > 0, fullest, UNKNOWN).min(axis=1, initial=UNKNOWN)
    longest = fullest.max(axis=1, initial=0)
    agreed = _agreed_sizes(packets, group)
    # without a SYN, what no point shows smaller is let alone: it may be a jumbo frame
    told = agreed < UNKNOWN
    usual = np.where(told, agreed, np.maximum(np.where(smallest < UNKNOWN, smallest, 0), LONGEST_USUAL))
    # some point shows single segments, smaller than the SYNs allow; but nothing longer than that, and all are single:
    # a point behind a black hole saw but short ones
    on_wire = (smallest <= usual) & (2 * smallest > usual) & (longest > usual)
    return _Sizes(limit=usual, piece=np.where(on_wire, smallest, usual))


def _agreed_sizes(packets: Packets, group: _Grouping) -> NDArray[np.int64]:
    """Return by flow direction the segment size that the smallest MSS option of its SYNs allows, UNKNOWN without."""
    opening = (packets.protocol == TCP) & ((packets.flags & SYN) > 0) & ((packets.flags & RST) == 0)
    rows = np.flatnonzero(opening & (packets.mss > 0) & (group.of_row >= 0))
    smallest = np.full(group.count, UNKNOWN)
    stamped = (packets.marks[rows] & MARK_TIMESTAMPS) > 0
    allowed = packets.mss[rows].astype(np.int64) - np.where(stamped, TIMESTAMP_BYTES, 0)
    np.minimum.at(smallest, group.of_row[rows], np.maximum(allowed, 1))
    return np.repeat(smallest, 2)
