"""Into which pieces the points of a path see the datagrams of a conversation cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.model.columns import MARK_FRAGMENT, MARK_ICMP_ERROR, MARK_OPTIONS, MARK_TIMESTAMPS, TCP, UDP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.model.columns import Packets

UNIT = 8
"""Bytes in which offsets count: so much less than it could may a line carry in a fragment."""
NONE = np.iinfo(np.int64).max
SHELLS = (4, 41, 47, 115, 137)
"""Protocols that carry other packets; those of UDP have ports."""
SHELL_PORTS = (1701, 2152, 3544, 4789, 4790, 5247, 6081, 6635, 8472, 37_008)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shapes:
    """What is known of the pieces, by conversation."""

    same: NDArray[np.bool_]
    """Whether all points see the same pieces."""
    shortest: NDArray[np.int64]
    """Transport bytes of the shortest fragment with more behind it, at any point."""


def find_shapes(
    packets: Packets, points: int, conversation: NDArray[np.int32], at: NDArray[np.int64],
    of: NDArray[np.int64], length: NDArray[np.int64], last: NDArray[np.bool_],
) -> Shapes:  # fmt: skip
    """Return the shapes of the pieces of every conversation.

    Args: conversation by row, -1 for none; by fragment: at its point, of its conversation, its length, whether it is
    the last of its datagram.
    """
    count = int(of.max()) + 1
    low, high, longest = np.full((count, points), NONE), np.zeros((count, points), np.int64), np.zeros(count, np.int64)
    ended, only = np.zeros((count, points), np.bool_), np.zeros(count, np.bool_)
    cut = ~last
    np.minimum.at(low, (of[cut], at[cut]), length[cut])
    np.maximum.at(high, (of[cut], at[cut]), length[cut])
    ended[of[last], at[last]] = True
    rows = np.flatnonzero((conversation >= 0) & ((packets.marks & MARK_FRAGMENT) == 0))
    np.maximum.at(longest, conversation[rows], transport_bytes(packets, rows))
    only[conversation[np.flatnonzero((conversation >= 0) & (packets.protocol == TCP))]] = True
    equal = (low == high).all(axis=1) & (low == low[:, :1]).all(axis=1) & ended.all(axis=1)
    shortest = low.min(axis=1)
    # TCP is told by its numbers, which only its datagrams have
    same = equal & (longest < shortest + UNIT) & ~only
    return Shapes(same=same, shortest=np.where(shortest < NONE, shortest, 0))


def shells_in_pieces(
    packets: Packets, rows: NDArray[np.int64], at: NDArray[np.int64], length: NDArray[np.int64], points: int
) -> NDArray[np.int64]:
    """Return by point the bytes of the shortest fragment of a tunnel, the largest number where it shows none.

    Nobody sees what such a tunnel carries. Args: by fragment: its row, at its point, its length.
    """
    protocol = packets.protocol[rows]
    ports = np.isin(packets.dport[rows], SHELL_PORTS) | np.isin(packets.sport[rows], SHELL_PORTS)
    chosen = np.isin(protocol, SHELLS) | ((protocol == UDP) & ports)
    found = np.full(points, NONE)
    np.minimum.at(found, at[chosen], length[chosen])
    return found


def transport_bytes(packets: Packets, rows: NDArray[np.int64] | NDArray[np.int32]) -> NDArray[np.int64]:
    """Return how long the transport header and payload of *rows* are at most."""
    header = np.where(packets.protocol[rows] == TCP, 60, 8)
    found: NDArray[np.int64] = packets.payload[rows].astype(np.int64) + header
    return found


def make_plain(table: Packets, rows: NDArray[np.int64]) -> None:
    """Take from fragments that stay what only the first one has: to the network, all are bytes without ports."""
    header = np.maximum(table.residue[rows].astype(np.int64) - 1, 0)
    table.payload[rows] += header.astype(np.uint32)
    for column in (table.sport, table.dport, table.seq, table.ack, table.window, table.tsval, table.tsecr, table.mss,
                   table.residue):  # fmt: skip
        column[rows] = 0
    table.flags[rows] = 0
    table.marks[rows] &= np.uint8(0xFF ^ (MARK_TIMESTAMPS | MARK_OPTIONS | MARK_ICMP_ERROR))
