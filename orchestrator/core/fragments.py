"""Fragments as the datagrams they are pieces of, where the points of a path see different pieces.

A router fragments what its line is too short for: behind it, nothing looks like what went in.  What all points see in
the same pieces is matched piece by piece; anything else as datagrams.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.fragments_kernels import COMPLETE, ODD, cover, hash_conversations, name_flows
from orchestrator.core.pieces import NONE, find_shapes, make_plain, shells_in_pieces
from orchestrator.core.sort import number_values, stable_order
from orchestrator.model.columns import MARK_CUT, MARK_FRAGMENT, MARK_GROUP, Packets

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.core.pieces import Shapes

EPISODE_NS = 1_000_000_000
"""Fragments of one identification farther apart than this are of several datagrams."""
ERA_NS = 60_000_000_000
"""Receivers wait no longer for what is missing (RFC 8200): what comes later cannot complete anything."""
OWN_COLUMNS = ("time_ns", "position", "interface", "mirror_session", "mirror_sequence", "caplen")
"""What a datagram has from its earliest fragment; all else is from its first one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """The rows of all points with the fragments of some conversations put together."""

    packets: Packets
    """As many as before: a datagram stands where its earliest fragment stood, the others have family 0."""
    conversation: NDArray[np.int32]
    """By row: number of its addresses, direction and protocol where fragments of these were seen, else -1."""
    shortest: NDArray[np.int64]
    """By conversation: transport bytes up to which nothing was cut; the largest number where pieces stay pieces."""
    partial: NDArray[np.uint32]
    """Protocol and identification of datagrams that some point saw in part."""
    unsure: NDArray[np.uint32]
    """The same of those of which nobody knows whether the point saw all."""
    least: NDArray[np.int64]
    """By protocol: transport bytes up to which none of those can have been cut."""
    shells: NDArray[np.int64]
    """By point: bytes of the shortest fragment of a tunnel there."""
    spread_ns: int
    """The longest time between two fragments of a datagram at one point."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pieces:
    """All fragments, by place: their order in *rows*."""

    rows: NDArray[np.int64]
    point: NDArray[np.int64]
    conversation: NDArray[np.int64]
    offset: NDArray[np.int64]
    end: NDArray[np.int64]
    last: NDArray[np.bool_]
    time: NDArray[np.int64]
    name: NDArray[np.uint32]
    """Protocol and identification."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Groups:
    """Fragments that may be one datagram, by group; places as of _Pieces."""

    state: NDArray[np.uint8]
    first: NDArray[np.int64]
    earliest: NDArray[np.int64]
    total: NDArray[np.int64]
    spread: NDArray[np.int64]


def join_fragments(packets: Packets, point: NDArray[np.uint8], points: int) -> Joined | None:
    """Return *packets* with fragments put together where the points see different ones; None where there are none."""
    told = (packets.marks & (MARK_FRAGMENT | MARK_GROUP | MARK_CUT)) == MARK_FRAGMENT
    rows = np.flatnonzero(told & (packets.family > 0) & (packets.fragment > 0))
    if not len(rows):
        return None
    key = np.empty(len(packets), np.uint64)
    hash_conversations(packets.src_hi, packets.src_lo, packets.dst_hi, packets.dst_lo, packets.protocol, key)
    example, number = number_values(key[rows])
    conversation = _numbered(key, key[rows[example]])
    conversation[(packets.family == 0) | ((packets.marks & MARK_CUT) > 0)] = -1
    pieces = _describe(packets, point, rows, number)
    length = pieces.end - pieces.offset
    shapes = find_shapes(packets, points, conversation, pieces.point, number, length, pieces.last)
    shells = shells_in_pieces(packets, rows, pieces.point, length, points)
    return _joined(packets, pieces, points, conversation, shapes, shells)


def _joined(
    packets: Packets, pieces: _Pieces, points: int, conversation: NDArray[np.int32], shapes: Shapes,
    shells: NDArray[np.int64],
) -> Joined:  # fmt: skip
    """Put together what is whole, and say what is not."""
    mixed = ~shapes.same[pieces.conversation]
    episode, era = _episodes(pieces)
    found = _grouped(pieces, episode)
    wanted, sound = mixed[found.earliest], _are_sound(packets, pieces, found)
    broken = _are_broken(pieces, found, _covered(pieces, era), era, points)
    partial = found.earliest[wanted & ~sound]
    unsure = found.earliest[wanted & ~broken & (~sound | ((found.state & ODD) > 0))]
    least = np.full(256, NONE)
    np.minimum.at(least, pieces.name[unsure] >> np.uint32(16), shapes.shortest[pieces.conversation[unsure]])
    return Joined(
        packets=_written(packets, pieces, found, sound & wanted, mixed), conversation=conversation,
        shortest=np.where(shapes.same, NONE, shapes.shortest), partial=np.unique(pieces.name[partial]),
        unsure=np.unique(pieces.name[unsure]), least=least, shells=shells,
        spread_ns=int(found.spread[wanted & sound].max(initial=0)),
    )  # fmt: skip


def _numbered(key: NDArray[np.uint64], known: NDArray[np.uint64]) -> NDArray[np.int32]:
    """Return by row the place of its key among the *known*, ascending ones; -1 where it is none of them."""
    at = np.minimum(np.searchsorted(known, key), len(known) - 1).astype(np.int32)
    at[known[at] != key] = -1
    return at


def _describe(
    packets: Packets, point: NDArray[np.uint8], rows: NDArray[np.int64], conversation: NDArray[np.int64]
) -> _Pieces:
    """Return which bytes of its datagram every fragment is."""
    field = packets.fragment[rows].astype(np.int64)
    old = packets.family[rows] == 4  # noqa: PLR2004
    offset = np.where(old, (field & 0x1FFF) * 8, field & 0xFFF8)
    last = np.where(old, field & 0x2000, field & 1) == 0
    header = np.maximum(packets.residue[rows].astype(np.int64) - 1, 0)
    return _Pieces(
        rows=rows, point=point[rows].astype(np.int64), conversation=conversation, offset=offset,
        end=offset + packets.payload[rows].astype(np.int64) + header, last=last, time=packets.time_ns[rows],
        name=packets.protocol[rows].astype(np.uint32) << np.uint32(16) | packets.ip_id[rows].astype(np.uint32),
    )  # fmt: skip


def _episodes(pieces: _Pieces) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number by place fragments with one identification that came closely enough: as one datagram, as any at all."""
    same = (pieces.conversation, pieces.name, pieces.point)
    order = stable_order(pieces.time, *same)
    fresh = np.zeros(len(order), np.bool_)
    for column in same:
        fresh[1:] |= np.diff(column[order].astype(np.int64)) != 0
    pause = np.diff(pieces.time[order], prepend=pieces.time[order[:1]])
    found = []
    for longest in (EPISODE_NS, ERA_NS):
        number = np.empty(len(order), np.int64)
        number[order] = np.cumsum(fresh | (pause > longest))
        found.append(number)
    return found[0], found[1]


def _grouped(pieces: _Pieces, episode: NDArray[np.int64]) -> _Groups:
    """Put fragments together: of those alike in one episode the first is of one datagram, the second of another."""
    length = pieces.end - pieces.offset
    order = stable_order(pieces.time, length, pieces.last, pieces.offset, episode)
    fresh = np.ones(len(order), np.bool_)
    fresh[1:] = False
    for column in (length, pieces.last, pieces.offset, episode):
        fresh[1:] |= np.diff(column[order].astype(np.int64)) != 0
    begin = np.flatnonzero(fresh)
    copy = np.empty(len(order), np.int64)
    copy[order] = np.arange(len(order)) - begin[np.cumsum(fresh) - 1]
    by_group = stable_order(copy, episode)
    other = np.zeros(len(order), np.int64)
    other[1:] = (np.diff(copy[by_group]) != 0) | (np.diff(episode[by_group]) != 0)
    group = np.empty(len(order), np.int64)
    group[by_group] = np.cumsum(other)
    return _covered(pieces, group)


def _covered(pieces: _Pieces, group: NDArray[np.int64]) -> _Groups:
    """Return what the fragments of each *group* cover."""
    count = int(group.max()) + 1
    found = _Groups(
        state=np.zeros(count, np.uint8), first=np.full(count, -1), earliest=np.full(count, -1),
        total=np.zeros(count, np.int64), spread=np.zeros(count, np.int64),
    )  # fmt: skip
    cover(
        stable_order(pieces.offset, group), group, pieces.offset, pieces.end, pieces.last, pieces.time, found.state,
        found.first, found.earliest, found.total, found.spread,
    )  # fmt: skip
    return found


def _are_sound(packets: Packets, pieces: _Pieces, found: _Groups) -> NDArray[np.bool_]:
    """Say which groups are whole datagrams whose transport header is known."""
    header = packets.residue[pieces.rows[found.first]] > 0
    return ((found.state & COMPLETE) > 0) & header & (found.first >= 0) & (found.spread <= EPISODE_NS)


def _are_broken(
    pieces: _Pieces, found: _Groups, in_era: _Groups, era: NDArray[np.int64], points: int
) -> NDArray[np.bool_]:
    """Say for each group whether something of its datagram never came.

    All that came with its identification must not be whole, and its point must show whole datagrams of that
    conversation: a filter on ports takes first fragments alone, and has not seen anything get lost.
    """
    complete = (found.state & COMPLETE) > 0
    where = pieces.conversation[found.earliest] * points + pieces.point[found.earliest]
    tells = np.isin(where, np.unique(where[complete]))
    came = (in_era.state[era[found.earliest]] & COMPLETE) > 0
    return np.asarray(~complete & ~came & tells)


def _written(
    packets: Packets, pieces: _Pieces, found: _Groups, sound: NDArray[np.bool_], mixed: NDArray[np.bool_]
) -> Packets:
    """Return a copy in which *sound* groups are datagrams and other fragments that are *mixed* are nothing."""
    table = Packets([block.copy() for block in packets.blocks])
    make_plain(table, pieces.rows[~mixed])
    gone = pieces.rows[mixed]
    table.family[gone], table.protocol[gone], table.payload[gone] = 0, 0, 0
    lead, first = pieces.rows[found.earliest[sound]], pieces.rows[found.first[sound]]
    for block, source in zip(table.blocks, packets.blocks, strict=True):
        block[:, lead] = source[:, first]
    for name in OWN_COLUMNS:
        getattr(table, name)[lead] = getattr(packets, name)[lead]
    payload = found.total[sound] - (packets.residue[first].astype(np.int64) - 1)
    table.wirelen[lead] = packets.wirelen[first] + payload - packets.payload[first]
    table.payload[lead] = payload
    table.fragment[lead], table.residue[lead] = 0, 0
    table.ip_id[lead] = np.where(table.family[lead] == 6, 0, table.ip_id[lead])  # noqa: PLR2004 - whole ones have none
    name_flows(
        lead, table.src_hi, table.src_lo, table.dst_hi, table.dst_lo, table.sport, table.dport, table.protocol,
        table.flow, table.swapped,
    )  # fmt: skip
    return table
