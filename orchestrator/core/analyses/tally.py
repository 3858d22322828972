"""Sort tokens into sets by segment: sent, delivered, vanished, undecided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.core.hidden import is_hidden
from orchestrator.core.routes import FORWARD, REVERSE
from orchestrator.core.verdicts import BLIND, CONFIRMED, ENCRYPTED, PROBABLE, UNDECIDED
from orchestrator.model.columns import RST, TCP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from orchestrator.core.routes import Routes
    from orchestrator.core.tokens import Tokens
    from orchestrator.core.verdicts import Verdicts
    from orchestrator.model.columns import Packets

Key = tuple[int, int, int]
"""(near point, far point, direction), near and far in the direction of travel."""


@dataclass(slots=True, kw_only=True)
class Tally:
    """Token sets of one segment and direction."""

    sent: NDArray[np.int64]
    delivered: NDArray[np.int64]
    confirmed: NDArray[np.int64]
    probable: NDArray[np.int64]
    undecided: NDArray[np.int64]
    reasons: NDArray[np.uint8]


def tally_segments(
    tokens: Tokens, routes: Routes, verdicts: Verdicts, packets: Packets, neighbours: Sequence[tuple[int, int]]
) -> dict[Key, Tally]:
    """Return the token sets of every segment and direction; *neighbours* are the segments of the paths."""
    parts: dict[Key, list[tuple[NDArray[Any], ...]]] = {}
    first = tokens.first_row
    reset = (packets.protocol[first] == TCP) & ((packets.flags[first] & RST) > 0)
    for route, points in enumerate(routes.points):
        for direction in (FORWARD, REVERSE):
            members = np.flatnonzero((routes.route == route) & (routes.direction == direction) & verdicts.counted)
            line = points if direction == FORWARD else points[::-1]
            if len(members) and len(line) > 1:
                _tally_route(tokens, routes, verdicts, members, line, direction, reset, parts)
            if len(members) and not routes.planned[route]:
                _tally_blind(verdicts, routes, members, line, direction, neighbours, parts)
    return {key: Tally(**_joined(found)) for key, found in parts.items()}


def _joined(found: list[tuple[NDArray[Any], ...]]) -> dict[str, NDArray[Any]]:
    fields = ("sent", "delivered", "confirmed", "probable", "undecided", "reasons")
    return {name: np.concatenate([f[k] for f in found]) for k, name in enumerate(fields)}


def _tally_route(
    tokens: Tokens, routes: Routes, verdicts: Verdicts, members: NDArray[np.int64], line: Sequence[int], direction: int,
    reset: NDArray[np.bool_], parts: dict[Key, list[tuple[NDArray[Any], ...]]],
) -> None:  # fmt: skip
    """Sort the tokens of one route: one enters a segment when it was seen before its end and is known to have left."""
    seen = tokens.row[members][:, line] >= 0
    upto = np.logical_or.accumulate(seen, axis=1)
    beyond = np.logical_or.accumulate(seen[:, ::-1], axis=1)[:, ::-1]
    arrived_anyway = verdicts.certified[members] | verdicts.modified[members]
    verdict = verdicts.verdict[members]
    missing_at = verdicts.missing_at[members]
    last = verdicts.last_seen[members]
    for column in range(len(line) - 1):
        near, far = line[column], line[column + 1]
        # unseen so far and seen further on counts as sent, except a reset: it may be born on the way
        left = upto[:, column] | (beyond[:, column + 1] & ~reset[members])
        delivered = left & (beyond[:, column + 1] | arrived_anyway)
        here = left & ~delivered & (last == near)
        claim = here & np.isin(verdict, (CONFIRMED, PROBABLE))
        direct = claim & (missing_at == far)
        wide = claim & (missing_at != far)
        open_here = here & (verdict == UNDECIDED)
        stuck = wide | open_here
        behind = np.where(is_hidden(routes, members[wide], far), ENCRYPTED, BLIND)
        reasons = verdicts.reason[members].copy()
        reasons[wide] = behind
        reasons = reasons[stuck]
        sent = delivered | direct | stuck
        parts.setdefault((near, far, direction), []).append((
            members[sent], members[delivered], members[direct & (verdict == CONFIRMED)],
            members[direct & (verdict == PROBABLE)], members[stuck], reasons,
        ))  # fmt: skip
        for target in np.unique(missing_at[wide]).tolist():
            chosen = wide & (missing_at == target)
            end = list(line).index(target)
            through = upto[:, column] & beyond[:, end]
            parts.setdefault((near, target, direction), []).append((
                members[through | chosen], members[through], members[chosen & (verdict == CONFIRMED)],
                members[chosen & (verdict == PROBABLE)], members[:0], reasons[:0],
            ))  # fmt: skip


def _tally_blind(
    verdicts: Verdicts, routes: Routes, members: NDArray[np.int64], line: Sequence[int], direction: int,
    neighbours: Sequence[tuple[int, int]], parts: dict[Key, list[tuple[NDArray[Any], ...]]],
) -> None:  # fmt: skip
    """Without an inventory, nothing tells whether a flow goes on to a point that never saw it: no coverage."""
    end = line[-1]
    for near, far in neighbours:
        start, target = (near, far) if direction == FORWARD else (far, near)
        if start == end:
            gone = members[(verdicts.last_seen[members] == end)] if len(line) > 1 else members
            none = gone[:0]
            reasons = np.where(is_hidden(routes, gone, target), ENCRYPTED, BLIND).astype(np.uint8)
            parts.setdefault((start, target, direction), []).append((gone, none, none, none, gone, reasons))
