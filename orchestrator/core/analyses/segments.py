"""Count each segment and direction: sent, delivered, vanished, unseen, undecided, delay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.core.rates import loss_rate
from orchestrator.core.routes import FORWARD, REVERSE
from orchestrator.core.sort import stable_order
from orchestrator.core.verdicts import BLIND, CONFIRMED, KINDS, PROBABLE, REASONS, UNDECIDED
from orchestrator.model.columns import PIECE_FOLLOWS, PIECE_LEADS, RST, TCP
from orchestrator.model.finding import Delay, SegmentRow, Undecided

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from orchestrator.core.routes import Routes
    from orchestrator.core.tokens import Tokens
    from orchestrator.core.verdicts import PointFacts, Verdicts
    from orchestrator.model.columns import Packets
    from orchestrator.model.plan import SegmentLabel

Key = tuple[int, int, int]
"""(near point, far point, direction), near and far in the direction of travel."""


@dataclass(slots=True, kw_only=True)
class _Tally:
    """Token sets of one segment and direction."""

    sent: NDArray[np.int64]
    delivered: NDArray[np.int64]
    confirmed: NDArray[np.int64]
    probable: NDArray[np.int64]
    undecided: NDArray[np.int64]
    reasons: NDArray[np.uint8]


def count_segments(
    packets: Packets,
    tokens: Tokens,
    routes: Routes,
    verdicts: Verdicts,
    kind: NDArray[np.uint8],
    corrected_ns: NDArray[np.int64],
    facts: Sequence[PointFacts],
    names: Sequence[str],
    neighbours: Sequence[tuple[int, int]],
    labels: Mapping[tuple[str, str], SegmentLabel],
) -> tuple[list[SegmentRow], list[Undecided]]:
    """Return one row a segment and direction, and the undecided counts by reason.

    Args: neighbours are the segments of the paths, near to far in path order; claims between other points become rows
    with ``span``.
    """
    tallies = _tally(tokens, routes, verdicts, packets, neighbours)
    listed = set(neighbours)
    keys: list[Key] = [key for a, b in neighbours for key in ((a, b, FORWARD), (b, a, REVERSE))]
    spans = sorted(k for k in tallies if not _is_listed(k, listed) and _claims(tallies[k]))
    rows, undecided = [], []
    for key in keys + spans:
        row = SegmentRow(
            near=names[key[0]], far=names[key[1]], direction="forward" if key[2] == FORWARD else "reverse",
            span=key in spans,
        )  # fmt: skip
        _describe(row, labels)
        tally = tallies.get(key)
        if tally is not None:
            _fill(row, tally, key, packets, tokens, verdicts, kind, corrected_ns, facts)
            for reason, count in zip(*np.unique(tally.reasons, return_counts=True), strict=True):
                undecided.append(Undecided(reason=REASONS[int(reason)], count=int(count), near=row.near, far=row.far))
        rows.append(row)
    return rows, undecided


def _is_listed(key: Key, listed: set[tuple[int, int]]) -> bool:
    near, far, direction = key
    return ((near, far) if direction == FORWARD else (far, near)) in listed


def _claims(tally: _Tally) -> bool:
    return bool(len(tally.confirmed) or len(tally.probable))


def _describe(row: SegmentRow, labels: Mapping[tuple[str, str], SegmentLabel]) -> None:
    """Copy what the inventory says about the segment."""
    assert row.near is not None
    assert row.far is not None
    ends = (row.near, row.far) if row.direction == "forward" else (row.far, row.near)
    label = labels.get(ends)
    if label is not None:
        row.contains = label.contains if row.direction == "forward" else tuple(reversed(label.contains))
        row.name, row.circuit = label.name, label.circuit


def _tally(
    tokens: Tokens, routes: Routes, verdicts: Verdicts, packets: Packets, neighbours: Sequence[tuple[int, int]]
) -> dict[Key, _Tally]:
    """Sort tokens into sets by segment."""
    parts: dict[Key, list[tuple[NDArray[Any], ...]]] = {}
    first = tokens.first_row
    reset = (packets.protocol[first] == TCP) & ((packets.flags[first] & RST) > 0)
    for route, points in enumerate(routes.points):
        for direction in (FORWARD, REVERSE):
            members = np.flatnonzero((routes.route == route) & (routes.direction == direction) & verdicts.counted)
            line = points if direction == FORWARD else points[::-1]
            if len(members) and len(line) > 1:
                _tally_route(tokens, verdicts, members, line, direction, reset, parts)
            if len(members) and not routes.planned[route]:
                _tally_blind(verdicts, members, line, direction, neighbours, parts)
    return {key: _Tally(**_joined(found)) for key, found in parts.items()}


def _joined(found: list[tuple[NDArray[Any], ...]]) -> dict[str, NDArray[Any]]:
    fields = ("sent", "delivered", "confirmed", "probable", "undecided", "reasons")
    return {name: np.concatenate([f[k] for f in found]) for k, name in enumerate(fields)}


def _tally_route(
    tokens: Tokens, verdicts: Verdicts, members: NDArray[np.int64], line: Sequence[int], direction: int,
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
        reasons = np.where(wide, BLIND, verdicts.reason[members])[stuck].astype(np.uint8)
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
    verdicts: Verdicts, members: NDArray[np.int64], line: Sequence[int], direction: int,
    neighbours: Sequence[tuple[int, int]], parts: dict[Key, list[tuple[NDArray[Any], ...]]],
) -> None:  # fmt: skip
    """Without an inventory, nothing tells whether a flow goes on to a point that never saw it: no coverage."""
    end = line[-1]
    for near, far in neighbours:
        start, target = (near, far) if direction == FORWARD else (far, near)
        if start == end:
            gone = members[(verdicts.last_seen[members] == end)] if len(line) > 1 else members
            none = gone[:0]
            reasons = np.full(len(gone), BLIND, np.uint8)
            parts.setdefault((start, target, direction), []).append((gone, none, none, none, gone, reasons))


def _fill(
    row: SegmentRow, tally: _Tally, key: Key, packets: Packets, tokens: Tokens, verdicts: Verdicts,
    kind: NDArray[np.uint8], corrected_ns: NDArray[np.int64], facts: Sequence[PointFacts],
) -> None:  # fmt: skip
    """Count one row."""
    near, far, _ = key
    row.sent, row.delivered = len(tally.sent), len(tally.delivered)
    row.vanished, row.vanished_probable, row.undecided = len(tally.confirmed), len(tally.probable), len(tally.undecided)
    row.unseen = int((tokens.row[tally.delivered, far] < 0).sum())
    both = tally.delivered[(tokens.row[tally.delivered, near] >= 0) & (tokens.row[tally.delivered, far] >= 0)]
    left, right = tokens.row[both, near], tokens.row[both, far]
    row.duplicated = int((tokens.copies[both, far] > tokens.copies[both, near]).sum())
    row.modified = int((packets.tos[left] != packets.tos[right]).sum()) + int(verdicts.modified[tally.delivered].sum())
    row.reordered = _reordered(packets, left, right)
    exact = ((packets.piece[left] & PIECE_FOLLOWS) | (packets.piece[right] & PIECE_LEADS)) == 0
    row.delay = _delay((corrected_ns[right] - corrected_ns[left])[exact], facts[near], facts[far])
    lost = np.concatenate((tally.confirmed, tally.probable))
    lost = lost[~(verdicts.superseded[lost] & (kind[lost] == KINDS.index("ack")))]
    eligible = np.concatenate((tally.delivered, lost))
    rank = np.empty(len(eligible), np.int64)
    rank[stable_order(verdicts.time_ns[eligible])] = np.arange(len(eligible))
    row.loss = loss_rate(rank[len(tally.delivered) :], len(eligible))


def _reordered(packets: Packets, left: NDArray[np.int32], right: NDArray[np.int32]) -> int:
    """Return how many packets arrive after one that was sent later (RFC 4737), in order of the two files."""
    order = stable_order(packets.time_ns[left])
    arrival = stable_order(packets.time_ns[right][order])
    return int((arrival < np.maximum.accumulate(arrival)).sum()) if len(arrival) else 0


def _delay(delay_ns: NDArray[np.int64], near: PointFacts, far: PointFacts) -> Delay | None:
    """Return quantiles of the one-way delay."""
    if not len(delay_ns):
        return None
    p50, p95, p99 = (int(v) for v in np.quantile(delay_ns, (0.5, 0.95, 0.99)))
    known = near.uncertainty_ns is not None and far.uncertainty_ns is not None
    return Delay(
        min=int(delay_ns.min()), p50=p50, p95=p95, p99=p99, max=int(delay_ns.max()),
        uncertainty=(near.uncertainty_ns or 0) + (far.uncertainty_ns or 0) if known else None,
    )  # fmt: skip
