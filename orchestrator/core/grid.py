"""The packets of a connection by point: which row shows which packet where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.model.columns import FIN, RST, SYN, TCP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.model.columns import Packets

UNKNOWN = 2
"""Instead of an orientation, 0 or 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The packets of a connection in the order of their first sighting: arrays by packet."""

    token: NDArray[np.int64]
    row: NDArray[np.int64]
    """By packet and point: the first row that shows it, -1 where none does."""
    copies: NDArray[np.int64]
    """By packet and point: how many rows show it."""
    first: NDArray[np.int64]
    """The row of the first sighting."""
    along: NDArray[np.bool_]
    """Whether it goes the way of the first of them."""


def arrange(
    packets: Packets, token: NDArray[np.int64], time_ns: NDArray[np.int64], point: NDArray[np.integer], points: int,
    rows: NDArray[np.int64],
) -> Grid:  # fmt: skip
    """Arrange *rows* by packet and point.

    Args: token int64[:], time_ns int64[:] on one clock and point by row of the table; *rows* of one connection, at
    least one of them, all with a token.
    """
    order = rows[np.lexsort((time_ns[rows], token[rows]))]
    tokens, begin, number = np.unique(token[order], return_index=True, return_inverse=True)
    first, row = order[begin], np.full((len(tokens), points), -1, np.int64)
    place, earliest, several = np.unique(number * points + point[order], return_index=True, return_counts=True)
    row.ravel()[place] = order[earliest]
    copies = np.zeros(row.shape, np.int64)
    copies.ravel()[place] = several
    by_time = np.argsort(time_ns[first], kind="stable")
    row, first = row[by_time], first[by_time]
    return Grid(
        token=tokens[by_time], row=row, copies=copies[by_time], first=first,
        along=_along(packets.swapped, row, point[first]),
    )  # fmt: skip


def _along(swapped: NDArray[np.uint8], row: NDArray[np.int64], at: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Say which packets go the way of the first one, by the orientation of the address pair at each point.

    A translator may turn it around: then packets that both points saw tell how.  Args: *at* by packet, the point of
    its first sighting.
    """
    leading = np.full(row.shape[1], UNKNOWN, np.uint8)
    home = row[:, at[0]]
    for point in range(row.shape[1]):
        both = np.flatnonzero((row[:, point] >= 0) & (home >= 0))
        if len(both):
            k = both[0]
            leading[point] = swapped[row[k, point]] ^ swapped[home[k]] ^ swapped[home[0]]
    leading[leading == UNKNOWN] = swapped[home[0]]
    found: NDArray[np.bool_] = swapped[row[np.arange(len(row)), at]] == leading[at]
    return found


def stand_out(packets: Packets, grid: Grid, told: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the places of packets that somebody wants to see of a whole connection.

    The first and the last, what opens and ends it, the tokens *told* of, and what was not seen by just the points that
    saw most of its direction.
    """
    flags = packets.flags[grid.first]
    signal = (packets.protocol[grid.first] == TCP) & ((flags & (SYN | FIN | RST)) > 0)
    marked = signal | np.isin(grid.token, told) | _odd(grid)
    marked[[0, -1]] = True
    return np.flatnonzero(marked)


def _odd(grid: Grid) -> NDArray[np.bool_]:
    """Say which packets were not seen by just the points that saw most of their direction."""
    found = np.zeros(len(grid.token), np.bool_)
    for way in (True, False):
        mine = np.flatnonzero(grid.along == way)
        if len(mine):
            seen = grid.row[mine] >= 0
            usual = 2 * seen.sum(axis=0) > len(mine)
            found[mine] = (seen != usual).any(axis=1)
    return found


def with_context(events: NDArray[np.int64], count: int, context: int) -> NDArray[np.int64]:
    """Return *events*, places among *count*, and *context* places before and behind each, ascending."""
    steps = np.zeros(count + 1, np.int64)
    np.add.at(steps, np.maximum(events - context, 0), 1)
    np.add.at(steps, np.minimum(events + context + 1, count), -1)
    return np.flatnonzero(np.cumsum(steps[:-1]) > 0)


def sent_again(packets: Packets, grid: Grid) -> NDArray[np.bool_]:
    """Say which packets carry TCP data that one before them carried, to the byte."""
    first = grid.first
    data = np.flatnonzero((packets.protocol[first] == TCP) & (packets.payload[first] > 0))
    row = first[data]
    order = np.lexsort((data, packets.payload[row], packets.seq[row], grid.along[data]))
    same = np.ones(max(len(order) - 1, 0), np.bool_)
    for column in (packets.payload[row], packets.seq[row], grid.along[data]):
        same &= np.diff(column[order].astype(np.int64)) == 0
    found = np.zeros(len(first), np.bool_)
    found[data[order[1:][same]]] = True
    return found
