"""The packets of one connection around a reset, as the first point that saw it saw them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.model.columns import ACK, FIN, RST, SYN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.core.analyses.scene import Scene
    from orchestrator.model.columns import Packets

MOST_BEFORE, MOST_AFTER = 4_096, 512
"""Packets of one direction that are looked at; more say nothing that these do not."""
ANSWER_NS = 3_000_000_000
"""A reset later than this after a packet is no answer to it."""
IDLE_NS = 1_000_000_000
"""A shorter silence is a pause of the talk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """Rows of one point in the order of its file, without the reset: of its claimed sender (own), of the other end."""

    packets: Packets
    time_ns: NDArray[np.int64]
    """By row, reference clock."""
    row: int
    own: NDArray[np.int64]
    other: NDArray[np.int64]
    own_after: NDArray[np.int64]
    other_after: NDArray[np.int64]

    @property
    def at_ns(self) -> int:
        """Return when the reset passed."""
        return int(self.time_ns[self.row])

    def flagged(self, rows: NDArray[np.int64], mask: int, wanted: int) -> NDArray[np.int64]:
        """Return those of *rows* whose flags under *mask* are *wanted*."""
        return np.asarray(rows[(self.packets.flags[rows] & mask) == wanted])

    def carrying(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return those of *rows* that carry data."""
        return rows[self.packets.payload[rows] > 0]

    def ends(self, rows: NDArray[np.int64]) -> NDArray[np.uint32]:
        """Return the sequence numbers that follow *rows*."""
        flags = self.packets.flags[rows]
        extra = ((flags & SYN) > 0).astype(np.uint32) + ((flags & FIN) > 0)
        ends: NDArray[np.uint32] = self.packets.seq[rows] + self.packets.payload[rows] + extra.astype(np.uint32)
        return ends

    def trigger(self) -> int | None:
        """Return the last packet of the other end before the reset, None where it is too old to be answered."""
        if not len(self.other) or self.at_ns - int(self.time_ns[self.other[-1]]) > ANSWER_NS:
            return None
        return int(self.other[-1])

    def silence(self) -> tuple[int, int]:
        """Return (longest silence shortly before the reset in nanoseconds, packets since its end); 0 without any."""
        rows = np.sort(np.concatenate((self.own, self.other)))
        times = np.append(self.time_ns[rows], self.at_ns)
        gaps = np.diff(times)
        idle = np.flatnonzero(gaps >= IDLE_NS)
        if not len(idle) or self.at_ns - int(times[idle[-1] + 1]) > ANSWER_NS:
            return 0, 0
        last = int(idle[-1])
        return int(gaps[last]), len(times) - 2 - last


def ahead(numbers: NDArray[np.uint32], of: int) -> NDArray[np.int64]:
    """Return by how much sequence *numbers* lie ahead of another one; they wrap."""
    return (numbers - np.uint32(of)).view(np.int32).astype(np.int64)


def look_around(scene: Scene, row: int, point: int, own: NDArray[np.int64], other: NDArray[np.int64]) -> Around:
    """Return what *point* saw around the reset at *row*; *own* and *other* are the tokens of both directions."""
    packets = scene.packets
    mine, theirs = (_rows(scene, tokens, point, row) for tokens in (own, other))
    begin, end = _connection(packets, row, mine, theirs)
    mine, theirs = (rows[(rows >= begin) & (rows < end)] for rows in (mine, theirs))
    return Around(
        packets=packets, time_ns=scene.corrected_ns, row=row,
        own=mine[mine < row], other=theirs[theirs < row], own_after=mine[mine > row], other_after=theirs[theirs > row],
    )  # fmt: skip


def _rows(scene: Scene, tokens: NDArray[np.int64], point: int, row: int) -> NDArray[np.int64]:
    """Return the rows at *point* next to *row* in the order of the file, *row* left out."""
    rows = scene.tokens.row[tokens, point].astype(np.int64)
    rows = np.sort(rows[(rows >= 0) & (rows != row)])
    at = int(np.searchsorted(rows, row))
    return rows[max(at - MOST_BEFORE, 0) : at + MOST_AFTER]


def _connection(packets: Packets, row: int, own: NDArray[np.int64], other: NDArray[np.int64]) -> tuple[int, int]:
    """Return the first row of the connection that *row* belongs to and the first of the one that follows it."""
    rows = np.sort(np.concatenate((own, other)))
    opening = rows[(packets.flags[rows] & (SYN | ACK | RST)) == SYN]
    before, after = opening[opening < row], opening[opening > row]
    begin, end = 0, len(packets)
    seq = None
    if len(before):
        seq = int(packets.seq[before[-1]])
        begin = int(before[packets.seq[before] == seq][0])
    after = after[packets.seq[after] != seq] if seq is not None else after
    return begin, int(after[0]) if len(after) else end
