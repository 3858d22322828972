"""The outer segments: what lies before the first and behind the last point, inferred from TCP (DESIGN §4).

Never counted as vanished: no second point saw the packet before it was lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.analyses.outer_kernels import scan_outer, watch_senders
from orchestrator.core.analyses.passage import row_order
from orchestrator.core.routes import FORWARD, REVERSE
from orchestrator.core.sort import by_group
from orchestrator.model.columns import RST, TCP
from orchestrator.model.finding import SegmentRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from orchestrator.core.routes import Routes
    from orchestrator.core.tokens import Tokens
    from orchestrator.core.verdicts import Verdicts
    from orchestrator.model.columns import Packets

COUNTS_UP = 0.8
"""Share of steps of one to five between IP identifications that shows a per-connection counter."""


def infer_outer(
    packets: Packets, tokens: Tokens, routes: Routes, verdicts: Verdicts, corrected_ns: NDArray[np.int64],
    names: Sequence[str], paths: Sequence[tuple[int, int]],
) -> list[SegmentRow]:  # fmt: skip
    """Return the outer rows of every end of *paths* (first point, last point), both directions."""
    rows: list[SegmentRow] = []
    ends = _outermost(paths)
    for point in sorted({p for p, _, _ in ends}):
        lost, again = _scan(packets, tokens, verdicts, corrected_ns, point)
        for direction in (FORWARD, REVERSE):
            chosen = (routes.direction == direction) & verdicts.counted & (tokens.row[:, point] >= 0)
            label = "forward" if direction == FORWARD else "reverse"
            for is_entry in (True, False):
                if (point, direction, is_entry) not in ends:
                    continue
                ours = chosen & _at_end(routes, point, direction, is_entry=is_entry)
                row = SegmentRow(
                    near=None if is_entry else names[point], far=names[point] if is_entry else None,
                    direction=label, inferred=True,  # type: ignore[arg-type]
                )  # fmt: skip
                row.holes = int(lost[ours].sum()) if is_entry else 0
                row.resent = 0 if is_entry else int((again & ours).sum())
                rows.append(row)
    return rows


def _outermost(paths: Sequence[tuple[int, int]]) -> set[tuple[int, int, bool]]:
    """Return (point, direction, travel enters there) for the ends of all paths."""
    found = set()
    for first, last in paths:
        found |= {(first, FORWARD, True), (last, REVERSE, True), (last, FORWARD, False), (first, REVERSE, False)}
    return found


def _at_end(routes: Routes, point: int, direction: int, *, is_entry: bool) -> NDArray[np.bool_]:
    """Say which tokens enter (or leave) the measured part of their route at *point*."""
    first = (direction == FORWARD) == is_entry
    flags = np.array([bool(p) and (p[0] if first else p[-1]) == point for p in routes.points] + [False], np.bool_)
    return flags[routes.route]


def _scan(
    packets: Packets, tokens: Tokens, verdicts: Verdicts, corrected_ns: NDArray[np.int64], point: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return by token: segments lost before *point* that it makes good, sent again after it passed *point*."""
    count = len(tokens)
    lost, again = np.zeros(count, np.int64), np.zeros(count, np.bool_)
    row = tokens.row[:, point]
    here = row_order(row)
    here = here[packets.protocol[row[here]] == TCP]
    here = here[(packets.flags[row[here]] & RST) == 0]
    if not len(here):
        return lost, again
    way = verdicts.stream
    ways = (int(way.max()) | 1) + 1
    numbered, against = np.zeros(ways, np.bool_), np.zeros(count, np.int64)
    watch_senders(
        here, row, way, packets.ip_id, packets.payload, np.full(ways, -1, np.int64), np.zeros((3, ways), np.int64),
        COUNTS_UP, numbered, against,
    )  # fmt: skip
    scan_outer(
        by_group(here, way), row, way, verdicts.start, verdicts.end, corrected_ns, packets.ip_id, packets.flags,
        numbered, against, lost, again,
    )  # fmt: skip
    lost[here[packets.payload[row[here]] == 0]] = 0  # a FIN takes a number, but is no data
    return lost, again
