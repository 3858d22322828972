"""The rows of every point in order of time, merged batch by batch; sorted only where a capture is not in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orchestrator.pcap.merge_kernels import is_sorted, next_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

BATCH_ROWS = 1 << 15
BATCH_BYTES = 1 << 22


class Streams:
    """One stream of rows a point; taken from in order of time, equal times in order of the points."""

    def __init__(self, time_ns: NDArray[np.int64], caplen: NDArray[np.uint32], lines: Sequence[Line]) -> None:
        """Begin before the first row of each of *lines*: a range of rows, or rows one by one."""
        self._time_ns, self._caplen = time_ns, caplen
        listed = [line for line in lines if not isinstance(line, range)]
        self._chosen = np.concatenate(listed) if listed else np.empty(0, np.int64)
        self._starts = np.array([x.start if isinstance(x, range) else 0 for x in lines], np.int64)
        self._counts = np.array([len(x) for x in lines], np.int64)
        lengths = np.array([0 if isinstance(x, range) else len(x) for x in lines], np.int64)
        plain = np.array([isinstance(x, range) for x in lines], np.bool_)
        self._chosen_at = np.where(plain, -1, np.cumsum(lengths) - lengths)
        self._taken = np.zeros(len(lines), np.int64)
        self.total = int(self._counts.sum())
        self._spare = [np.empty(min(BATCH_ROWS, self.total), np.int64) for _ in range(2)]

    @property
    def done(self) -> int:
        """Rows taken so far."""
        return int(self._taken.sum())

    def take(self) -> NDArray[np.int64]:
        """Return the next rows, none at the end; they are there until the next but one call."""
        rows = self._spare.pop(0)
        self._spare.append(rows)
        count = next_rows(
            self._time_ns, self._caplen, self._starts, self._counts, self._taken, self._chosen, self._chosen_at, rows,
            BATCH_BYTES,
        )  # fmt: skip
        return rows[:count]


Line = range | np.ndarray
"""Rows of one point: consecutive, or one by one."""


def in_order(time_ns: NDArray[np.int64], rows: range) -> Line:
    """Return *rows* in order of time, as they are where they are so already."""
    if is_sorted(time_ns, rows.start, rows.stop):
        return rows
    return rows.start + np.argsort(time_ns[rows.start : rows.stop], kind="stable")


def chosen_in_order(time_ns: NDArray[np.int64], rows: NDArray[np.int64]) -> Line:
    """Return *rows* in order of time."""
    ordered: NDArray[np.int64] = rows[np.argsort(time_ns[rows], kind="stable")]
    return ordered
