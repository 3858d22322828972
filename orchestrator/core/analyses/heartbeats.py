"""Recognise heartbeats: small exchanges of one connection at equal distances in time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orchestrator.model.connection import Heartbeat

if TYPE_CHECKING:
    from numpy.typing import NDArray

PAUSE_NS = 100_000_000
"""Packets with data closer than this are one exchange."""
MOST_BYTES = 1_024
"""Of one exchange, both ways."""
FEWEST = 8
"""Exchanges in a row; pauses of chance are so many times in step in fewer than one of ten thousand connections."""
STEADY = 0.1
"""Deviation from the period, as a share of it, that is still in step."""
MOSTLY = 0.9
MOST_TIMES = 100
"""Of missed beats that are told one by one."""


def find_heartbeat(time_ns: NDArray[np.int64], size: NDArray[np.int64]) -> Heartbeat | None:
    """Return the heartbeat of a connection, None where nothing beats.

    Args: times of the packets that carry data, ascending, and their bytes, both ways together.
    """
    if len(time_ns) < FEWEST:
        return None
    begins = np.flatnonzero(np.concatenate(([True], np.diff(time_ns) > PAUSE_NS)))
    small = np.add.reduceat(size, begins) <= MOST_BYTES
    low, high = _longest_run(small)
    gaps = np.diff(time_ns[begins[low:high]])
    if len(gaps) < FEWEST - 1:
        return None
    period = int(np.median(gaps))
    beats = np.rint(gaps / period)
    steady = (beats >= 1) & (np.abs(gaps - beats * period) <= STEADY * period)
    single = steady & (beats == 1)
    if single.mean() < MOSTLY - STEADY or steady.mean() < MOSTLY:
        return None
    skipped = np.flatnonzero(steady & (beats > 1))[:MOST_TIMES]
    return Heartbeat(
        period_ns=int(np.median(gaps[single])), beats=len(gaps) + 1, missed=int((beats[steady] - 1).sum()),
        missed_at_ns=tuple((time_ns[begins[low:high]][skipped] + period).tolist()),
    )  # fmt: skip


def _longest_run(small: NDArray[np.bool_]) -> tuple[int, int]:
    """Return where the longest run of true begins and ends."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], small, [False])).astype(np.int8)))
    begins, ends = edges[::2], edges[1::2]
    if not len(begins):
        return 0, 0
    longest = int(np.argmax(ends - begins))
    return int(begins[longest]), int(ends[longest])
