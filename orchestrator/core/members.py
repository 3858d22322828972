"""Several interfaces of one point side by side: the two sides of a TAP, members of a bundle, a pair of firewalls.

They are one point: what any of them saw was seen there.  Its rows are put in order of time, whatever files they are in;
frame numbers stay those of the files.  What one of them did not see tells only of times at which it was capturing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.model.side_by_side import number_members

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from orchestrator.core.tokens import Tokens
    from orchestrator.core.verdicts import PointFacts
    from orchestrator.model.columns import Packets


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """Which interface saw each row, and where the rows of all points in order of time stand in the files."""

    of_row: NDArray[np.uint8]
    """By row in the order of the files: number of the interface within its point."""
    counts: tuple[int, ...]
    """By point: interfaces that captured side by side."""
    order: NDArray[np.int64] | None
    """By row in order of time: its row in the order of the files; None where these are in order already."""


def find_members(tables: Sequence[Packets], files: Sequence[Sequence[int]]) -> Members:
    """Return the interfaces of all points, whose *tables* stand in the order of *files*, numbers of packets by file."""
    found = [_members(t.time_ns, t.interface, counts or (len(t),)) for t, counts in zip(tables, files, strict=True)]
    counts = tuple(int(member.max(initial=0)) + 1 for member, _ in found)
    of_row = np.concatenate([np.zeros(0, np.uint8), *(member for member, _ in found)])
    if all(order is None for _, order in found):
        return Members(of_row=of_row, counts=counts, order=None)
    starts = np.cumsum([0, *(len(t) for t in tables[:-1])])
    local = [np.arange(len(t)) if o is None else o for t, (_, o) in zip(tables, found, strict=True)]
    order = np.concatenate([start + part for start, part in zip(starts, local, strict=True)])
    return Members(of_row=of_row, counts=counts, order=order)


def _members(
    time_ns: NDArray[np.int64], interface: NDArray[np.uint16], counts: Sequence[int]
) -> tuple[NDArray[np.uint8], NDArray[np.int64] | None]:
    """Return (member by row, order of time or None) of one point."""
    parts = np.split(np.arange(len(time_ns)), np.cumsum(counts)[:-1]) if len(counts) else []
    parts = [part for part in parts if len(part)]
    number = number_members([(int(time_ns[p].min()), int(time_ns[p].max())) for p in parts])
    mixed = [_in_time(time_ns[p], interface[p]) for p in parts]
    member = np.repeat(np.array(number, np.uint8), [len(p) for p in parts])
    if max(number, default=0) == 0 and all(m is None for m in mixed):
        return member, None
    order = np.concatenate([p if m is None else p[m] for p, m in zip(parts, mixed, strict=True)])
    reached = time_ns[order].copy()
    for one in set(number):
        mine = member == one
        reached[mine] = np.maximum.accumulate(reached[mine])  # a clock that was set back leaves each in its own order
    return member, order[np.argsort(reached, kind="stable")]


def _in_time(time_ns: NDArray[np.int64], interface: NDArray[np.uint16]) -> NDArray[np.int64] | None:
    """Return the order of time of one file whose interfaces are each in order, but not together; else None."""
    if (interface == interface[0]).all() or not (np.diff(time_ns) < 0).any():
        return None
    apart = np.argsort(interface, kind="stable")
    falls = (np.diff(time_ns[apart]) < 0) & (np.diff(interface[apart].astype(np.int64)) == 0)
    return None if falls.any() else np.argsort(time_ns, kind="stable")


def extent(times: NDArray[np.int64], member: NDArray[np.uint8], count: int) -> tuple[int, int]:
    """Return since when and until when all *count* members of a point are known to have captured; (0, -1): never."""
    spans = [times[member == k] for k in range(count)]
    if any(not len(s) for s in spans):
        return 0, -1
    return max(int(s.min()) for s in spans), min(int(s.max()) for s in spans)


def captured_between(
    tokens: Tokens, corrected_ns: NDArray[np.int64], facts: PointFacts, near: int, far: int,
    both: NDArray[np.int64], chosen: NDArray[np.int64],
) -> NDArray[np.bool_]:  # fmt: skip
    """Say for tokens that left *near* whether the members of *far* that carry their flow captured before and after.

    Args: *both* are tokens of the same way that both points saw.  A flow keeps to its members; one of which nothing was
    seen may take any.  Members that took turns, as a firewall pair does, each stand for their own time.
    """
    member = facts.member
    assert member is not None
    first, last = _seen_spans(corrected_ns[tokens.row[both, near]], member[tokens.row[both, far]], facts.members)
    sent = corrected_ns[tokens.row[chosen, near]]
    used = _used(tokens, member, far)[tokens.way[chosen]]
    known = first <= last
    bits = np.uint64(1) << np.arange(facts.members, dtype=np.uint64)
    takes = np.where(used[:, None] == 0, known, (used[:, None] & bits) > 0)
    within = takes & known & (sent[:, None] > first) & (sent[:, None] < last)
    overlap = (first[:, None] < last) & (first < last[:, None]) & known & known[:, None]
    stopped = takes & ~within
    found: NDArray[np.bool_] = (within & ~((stopped[:, None, :] & overlap).any(axis=2))).any(axis=1)
    return found


def _seen_spans(
    time: NDArray[np.int64], member: NDArray[np.uint8], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return by member its first and last time; the first is later where it has none."""
    first, last = np.full(count, np.iinfo(np.int64).max), np.full(count, np.iinfo(np.int64).min)
    np.minimum.at(first, member, time)
    np.maximum.at(last, member, time)
    return first, last


def _used(tokens: Tokens, member: NDArray[np.uint8], far: int) -> NDArray[np.uint64]:
    """Return by flow direction the members that saw any of it at *far*, as bits."""
    here = np.flatnonzero(tokens.row[:, far] >= 0)
    used = np.zeros(int(tokens.way.max(initial=0)) + 1, np.uint64)
    np.bitwise_or.at(used, tokens.way[here], np.uint64(1) << member[tokens.row[here, far]].astype(np.uint64))
    return used
