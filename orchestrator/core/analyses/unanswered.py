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
    flags, way = _flags_and_ways(packets, tokens)
    answered = np.union1d(np.unique(way[(flags & (ACK | RST)) > 0] ^ 1), _went_on(flags, way))
    opening = np.flatnonzero(_opens(flags) & verdicts.counted & ~np.isin(way, answered))
    if not len(opening):
        return []
    latest = int(verdicts.time_ns.max())
    found = [
        _attempt(packets, tokens, routes, verdicts, group, names, frames)
        for group in _by_way(opening, verdicts, way)
        if int(verdicts.time_ns[group[0]]) + ANSWER_NS <= latest
    ]
    return sorted(found, key=lambda a: a.first_ns)


def find_refused(
    packets: Packets,
    tokens: Tokens,
    routes: Routes,
    verdicts: Verdicts,
    names: Sequence[str],
    frames: NDArray[np.int64],
) -> list[Attempt]:
    """Return attempts that a RST answered and nothing else did, in time order."""
    flags, way = _flags_and_ways(packets, tokens)
    refused = np.unique(way[(flags & RST) > 0] ^ 1)
    acknowledged = ((flags & (ACK | RST)) == ACK) & np.isin(way >> 1, refused >> 1)
    connected = np.unique(way[acknowledged] >> 1)
    opening = np.flatnonzero(_opens(flags) & verdicts.counted & np.isin(way, refused) & ~np.isin(way >> 1, connected))
    found = [
        _attempt(packets, tokens, routes, verdicts, group, names, frames) for group in _by_way(opening, verdicts, way)
    ]
    return sorted(found, key=lambda a: a.first_ns)


def _flags_and_ways(packets: Packets, tokens: Tokens) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return by token the flags of TCP, 0 of anything else, and its flow direction."""
    first = tokens.first_row
    return np.where(packets.protocol[first] == TCP, packets.flags[first], 0).astype(np.uint8), tokens.way


def _opens(flags: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.asarray((flags & (SYN | ACK)) == SYN)


def _went_on(flags: NDArray[np.uint8], way: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the flow directions of those who acknowledge: they were answered, whoever saw that."""
    return np.unique(way[(flags & (ACK | RST)) == ACK])


def _by_way(opening: NDArray[np.int64], verdicts: Verdicts, way: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the tokens of each flow direction, in time order."""
    if not len(opening):
        return []
    opening = opening[np.lexsort((verdicts.time_ns[opening], way[opening]))]
    return np.split(opening, np.flatnonzero(np.diff(way[opening]) != 0) + 1)


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
