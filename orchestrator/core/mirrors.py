"""What a mirror lost on its way to the capture: gaps in the numbers that it gives its copies (ERSPAN).

A copy that never came tells nothing of the network.  Its number says between which two others it was made: the point is
blind for that time, and before the first copy and behind the last, but for no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.sort import stable_order
from orchestrator.model.columns import MARK_MIRROR_SEQUENCE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.model.columns import Packets

FOREVER_NS = 10 * 365 * 86_400 * 1_000_000_000
"""Longer than any capture: nobody knows how many copies came to nothing before the first and behind the last."""
EDGE_COPIES = 5
"""A clock set behind fewer copies than this, or before so few, is not seen to have been: times then do not tell
which packets passed before the first copy and behind the last."""
MOST_REPEATED = 0.01
"""Share of numbers that may come twice before several mirrors are taken to share a session."""
RESTARTS = 1 << 24
"""A jump by so many numbers is no loss: the mirror began anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorLosses:
    """What the numbered copies of one point tell."""

    received: int
    lost: int
    gaps_ns: NDArray[np.int64]
    """Beginning and end of the times, on the point's own clock, in which a lost copy was made."""


def find_mirror_losses(packets: Packets, time_ns: NDArray[np.int64]) -> MirrorLosses:
    """Return which copies are missing among those that *packets*, one point's in file order, hold.

    Args: *time_ns* of each packet on the point's own clock, its steps taken out.
    """
    rows = np.flatnonzero((packets.marks & MARK_MIRROR_SEQUENCE) > 0)
    rows = rows[stable_order(packets.mirror_session[rows].astype(np.int64))]
    gaps, lost = [np.empty((0, 2), np.int64)], 0
    bounds = np.flatnonzero(np.diff(packets.mirror_session[rows])) + 1
    for session in np.split(rows, bounds) if len(rows) else ():
        edge = min(EDGE_COPIES, len(session)) - 1
        ordered = np.partition(time_ns[session], (edge, len(session) - 1 - edge))
        first, last = int(ordered[edge]), int(ordered[len(session) - 1 - edge])
        gaps.append(np.array([(first - FOREVER_NS, first - 1), (last + 1, last + FOREVER_NS)], np.int64))
        for number, time in _series(packets, session, time_ns):
            steps = np.diff(number)
            holes = np.flatnonzero(steps > 1)
            lost += int((steps[holes] - 1).sum())
            # copies may overtake each other on the way: the hole lies between all before it and all behind it
            earliest = np.minimum.accumulate(time[::-1])[::-1]
            latest = np.maximum.accumulate(time)
            begin = np.minimum(latest[holes], earliest[holes + 1])
            gaps.append(np.stack((begin, np.maximum(latest[holes], earliest[holes + 1])), axis=1))
    return MirrorLosses(received=len(rows), lost=lost, gaps_ns=np.concatenate(gaps))


def _series(
    packets: Packets, rows: NDArray[np.int64], time_ns: NDArray[np.int64]
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return (number, time) of one session's copies in order of number, 32 bits unwrapped, anew where it restarts."""
    raw = packets.mirror_sequence[rows]
    step = (raw[1:] - raw[:-1]).astype(np.int32).astype(np.int64)  # modulo 2**32, so that a wrap is a step of one
    begins = np.flatnonzero(np.abs(step) > RESTARTS) + 1
    found = []
    for part in np.split(np.arange(len(rows)), begins):
        number = np.concatenate(([0], np.cumsum(step[part[:-1]])))
        number, first = np.unique(number, return_index=True)
        if len(part) - len(number) > MOST_REPEATED * len(part):
            continue  # several mirrors share the session
        found.append((number, time_ns[rows[part[first]]]))
    return found


def joined(gaps_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return *gaps_ns* in order, those that overlap as one."""
    if len(gaps_ns) < 2:  # noqa: PLR2004  # nothing to merge
        return gaps_ns
    ordered = gaps_ns[np.argsort(gaps_ns[:, 0], kind="stable")]
    reach = np.maximum.accumulate(ordered[:, 1])
    fresh = np.concatenate(([True], ordered[1:, 0] > reach[:-1]))
    starts = np.flatnonzero(fresh)
    return np.stack((ordered[starts, 0], np.maximum.reduceat(ordered[:, 1], starts)), axis=1)


def touch(gaps_ns: NDArray[np.int64], earliest: NDArray[np.int64], latest: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say for each span of time whether one of *gaps_ns*, which are joined, touches it."""
    if not len(gaps_ns):
        return np.zeros(len(earliest), np.bool_)
    last = np.searchsorted(gaps_ns[:, 0], latest, "right") - 1
    result: NDArray[np.bool_] = (last >= 0) & (gaps_ns[np.maximum(last, 0), 1] >= earliest)
    return result
