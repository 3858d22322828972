"""Rows of the analysis and frames of the files: which is which, where files were captured side by side or frames cut.

A point is one capture, though two halves of a tap, members of a bond or rings of several interfaces write files of
their own; the analysis takes its packets in order of time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.core.tokens import Tokens


def frame_numbers(point: NDArray[np.uint8], count: int) -> NDArray[np.int64]:
    """Return by frame its 1-based number within its point, files one after the other."""
    starts = np.searchsorted(point, np.arange(count))
    numbers: NDArray[np.int64] = np.arange(len(point)) - starts[point] + 1
    return numbers


def tokens_by_frame(tokens: Tokens, origin: NDArray[np.int64], frames: int) -> NDArray[np.int64]:
    """Return by frame the token it shows, the first of several; -1 for none.

    Args: *origin* by row, the frame that it comes from.
    """
    found = np.full(frames, -1, np.int64)
    for column in range(tokens.row.shape[1]):
        row = tokens.row[:, column]
        present = np.flatnonzero(row >= 0)
        if len(origin) > frames:
            present = present[np.argsort(-row[present], kind="stable")]  # the first piece is written last
        found[origin[row[present]]] = present
    again, shown = origin[tokens.repeats].T
    again, shown = again[found[again] < 0], shown[found[again] < 0]
    found[again] = found[shown]
    return found


def by_frame(values: NDArray[np.int64], origin: NDArray[np.int64], frames: int) -> NDArray[np.int64]:
    """Return by frame the value of its first row; *origin* as above."""
    found = np.empty(frames, np.int64)
    found[origin[::-1]] = values[::-1]
    return found
