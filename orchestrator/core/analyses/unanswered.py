"""Connection attempts that nobody answered, and where their SYN was last seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.analyses.resets import flow_key
from orchestrator.model.columns import ACK, RST, SYN, TCP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from orchestrator.core.routes import Routes
    from orchestrator.core.tokens import Tokens
    from orchestrator.core.verdicts import Verdicts
    from orchestrator.model.columns import Packets

ANSWER_NS = 1_000_000_000
"""An attempt so close to the end of the capture may still be answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One connection attempt without any answer at any point."""

    client: str
    target: str
    """address:port"""
    syns: int
    first_ns: int
    last_ns: int
    last_seen: str
    """The point farthest along its way that saw a copy."""
    frame: int
    """Of the first copy, at ``last_seen``."""


def find_unanswered(
    packets: Packets,
    tokens: Tokens,
    routes: Routes,
    verdicts: Verdicts,
    names: Sequence[str],
    frames: NDArray[np.int64],
) -> list[Attempt]:
    """Return attempts without SYN-ACK or RST, in time order."""
    first = tokens.first_row
    tcp = packets.protocol[first] == TCP
    flags = packets.flags[first]
    way = tokens.way
    answers = np.unique(way[tcp & ((flags & (ACK | RST)) > 0)] ^ 1)
    went_on = np.unique(way[tcp & ((flags & (ACK | RST)) == ACK)])  # who acknowledges was answered, whoever saw that
    answers = np.union1d(answers, went_on)
    opening = np.flatnonzero(tcp & ((flags & (SYN | ACK)) == SYN) & verdicts.counted & ~np.isin(way, answers))
    if not len(opening):
        return []
    latest = int(verdicts.time_ns.max())
    opening = opening[np.lexsort((verdicts.time_ns[opening], way[opening]))]
    starts = np.flatnonzero(np.concatenate(([True], np.diff(way[opening]) != 0)))
    found = [
        _attempt(packets, tokens, routes, verdicts, group, names, frames)
        for group in np.split(opening, starts[1:])
        if int(verdicts.time_ns[group[0]]) + ANSWER_NS <= latest
    ]
    return sorted(found, key=lambda a: a.first_ns)


def _attempt(
    packets: Packets, tokens: Tokens, routes: Routes, verdicts: Verdicts, group: NDArray[np.int64], names:
    Sequence[str],
    frames: NDArray[np.int64],
) -> Attempt:  # fmt: skip
    """Describe the copies of one SYN."""
    seen = tokens.row[group] >= 0
    points = np.flatnonzero(seen.any(axis=0))
    farthest = int(points[0] if routes.direction[group[0]] < 0 else points[-1])
    nearest = int(points[-1] if routes.direction[group[0]] < 0 else points[0])
    row = int(tokens.row[group, nearest].max())
    key = flow_key(packets, row)
    first = tokens.row[group[seen[:, farthest]][0], farthest]
    return Attempt(
        client=key.src, target=f"{key.dst}:{key.dport}", syns=len(group), first_ns=int(verdicts.time_ns[group[0]]),
        last_ns=int(verdicts.time_ns[group[-1]]), last_seen=names[farthest], frame=int(frames[first]),
    )  # fmt: skip
