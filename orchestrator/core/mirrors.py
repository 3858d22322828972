"""What a mirror lost on its way to the capture: a switch numbers the shells it sends (ERSPAN), so gaps show (A.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orchestrator.model.columns import MARK_MIRROR_SEQUENCE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.model.columns import Packets

FEWEST = 10
"""Numbered shells of a session below which its numbers mean nothing."""
MOST_REPEATED = 0.01
"""Share of numbers that may come twice before several mirrors are taken to share a session."""


def mirror_gaps(packets: Packets) -> tuple[NDArray[np.int64], int]:
    """Return when shells are missing in one point's *packets*, and how many.

    The first value has shape (gaps, 2): the raw times of the shells before and behind each gap.
    """
    rows = np.flatnonzero((packets.marks & MARK_MIRROR_SEQUENCE) > 0)
    found, lost = [np.empty((0, 2), np.int64)], 0
    for session in np.unique(packets.mirror_session[rows]):
        mine = rows[packets.mirror_session[rows] == session]
        if len(mine) >= FEWEST:
            gaps, missing = _gaps(packets.mirror_sequence[mine], packets.time_ns[mine])
            found.append(gaps)
            lost += missing
    return np.concatenate(found), lost


def _gaps(number: NDArray[np.uint32], time_ns: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """Return the gaps in one session's numbers, which wrap, and how many shells they hold."""
    place = (number - number[0]).view(np.int32).astype(np.int64)
    order = np.argsort(place, kind="stable")
    place, time = place[order], time_ns[order]
    step = np.diff(place)
    if (step == 0).sum() > MOST_REPEATED * len(place):
        return np.empty((0, 2), np.int64), 0
    at = np.flatnonzero(step > 1)
    before, behind = np.minimum(time[at], time[at + 1]), np.maximum(time[at], time[at + 1])
    return np.stack((before, behind), axis=1), int((step[at] - 1).sum())


def joined(gaps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return *gaps* in order of time, those that touch as one."""
    if not len(gaps):
        return gaps
    ordered = gaps[np.argsort(gaps[:, 0], kind="stable")]
    reach = np.maximum.accumulate(ordered[:, 1])
    fresh = np.concatenate(([True], ordered[1:, 0] > reach[:-1]))
    starts = np.flatnonzero(fresh)
    ends = np.append(starts[1:], len(ordered)) - 1
    return np.stack((ordered[starts, 0], reach[ends]), axis=1)


def touch(gaps: NDArray[np.int64], earliest: NDArray[np.int64], latest: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say for each span of time whether one of *gaps*, which are joined, touches it."""
    if not len(gaps):
        return np.zeros(len(earliest), np.bool_)
    last = np.searchsorted(gaps[:, 0], latest, "right") - 1
    result: NDArray[np.bool_] = (last >= 0) & (gaps[np.maximum(last, 0), 1] >= earliest)
    return result
