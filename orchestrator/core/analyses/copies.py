"""Why data was sent again: the copy before it died on a segment, behind the last point, its ACK died, or needlessly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.analyses.copies_kernels import ACKED, ACKS, AGAIN, SENDS, SIGNALS, find_answered, find_copies
from orchestrator.core.analyses.delays import quantiles
from orchestrator.core.analyses.passage import row_order
from orchestrator.core.routes import FORWARD, REVERSE
from orchestrator.core.verdicts import CONFIRMED, NONE, PROBABLE, UNDECIDED
from orchestrator.model.columns import FIN, RST, SYN, TCP
from orchestrator.model.measures import Resends

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from orchestrator.core.analyses.scene import Scene
    from orchestrator.model.finding import SegmentRow

TAIL_NS = 200_000_000
"""The last data sent again sooner than any time-out is a tail loss probe (RFC 8985)."""
MOST_COPIES = 32
NOBODY = np.int64(-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """Arrays by token."""

    earlier: NDArray[np.int64]
    """The copy before it; NOBODY of what was sent once."""
    found: NDArray[np.uint8]
    answered: NDArray[np.bool_]
    """An acknowledgement of it had passed the last point of its path when it came by there."""
    entry: NDArray[np.int16]
    """First and last point of its path, in its direction of travel."""
    exit: NDArray[np.int16]
    way: NDArray[np.int64]


def trace_copies(scene: Scene) -> Copies:
    """Return for all TCP tokens which of them repeat others, and what was acknowledged by then; write the stalls."""
    tokens, verdicts, packets, routes = scene.tokens, scene.verdicts, scene.packets, scene.routes
    count, first = len(tokens), scene.tokens.first_row
    way = verdicts.stream
    ways = (int(way.max()) | 1) + 1 if count else 0
    ends = np.array([(p[0], p[-1]) if p else (-1, -1) for p in routes.points] + [(-1, -1)], np.int16)
    back = (routes.direction == REVERSE).astype(np.int64)
    copies = Copies(
        earlier=np.full(count, NOBODY), found=np.zeros(count, np.uint8), answered=np.zeros(count, np.bool_),
        entry=ends[routes.route, back], exit=ends[routes.route, 1 - back], way=way,
    )  # fmt: skip
    tcp = packets.protocol[first] == TCP
    flags = packets.flags[first]
    tcp &= (flags & RST) == 0
    role = np.where(tcp & (verdicts.acked >= 0), ACKS, 0) | np.where((flags & (SYN | FIN)) > 0, SIGNALS, 0)
    role = np.where(tcp, role, 0).astype(np.uint8)
    sends = tcp & (verdicts.end > verdicts.start)
    orders = [row_order(tokens.row[:, point]) for point in range(tokens.row.shape[1])]
    for point, order in enumerate(orders):
        find_copies(
            order, way, verdicts.start, verdicts.end, verdicts.acked,
            role | np.where(sends & (copies.entry == point), SENDS, 0).astype(np.uint8),
            np.full(ways, NOBODY), np.full(ways, NOBODY), np.full(count, NOBODY), np.full(ways, NOBODY),
            copies.earlier, copies.found,
        )  # fmt: skip
    asked = (copies.found & (AGAIN | ACKED)) == AGAIN
    for point in np.unique(copies.exit[asked]).tolist():
        leaves = asked & (copies.exit == point)
        find_answered(
            orders[point], way, verdicts.end, verdicts.acked, role, leaves, np.full(ways, NOBODY), copies.answered
        )
    verdicts.stall_ns = _stalls(scene, copies)
    return copies


def _stalls(scene: Scene, copies: Copies) -> NDArray[np.int64]:
    """Return by token that vanished how long it took until a copy of it got through; NOBODY where none did."""
    verdicts = scene.verdicts
    stall = np.full(len(scene.tokens), NOBODY)
    again = np.flatnonzero((copies.found & AGAIN) > 0)[::-1]
    following = np.full(len(stall), NOBODY)
    by_time = again[np.argsort(-verdicts.time_ns[again], kind="stable")]
    following[copies.earlier[by_time]] = by_time  # the first copy is written last
    claims = verdicts.claims()
    lost = np.flatnonzero(claims)
    current = following[lost]
    for _ in range(MOST_COPIES):
        died = (current >= 0) & claims[current]
        if not died.any():
            break
        current = np.where(died, following[current], current)
    arrived = (current >= 0) & (verdicts.verdict[current] == NONE)
    stall[lost[arrived]] = verdicts.time_ns[current[arrived]] - verdicts.time_ns[lost[arrived]]
    return stall


def count_resends(scene: Scene, copies: Copies, rows: Sequence[SegmentRow]) -> None:
    """Write to *rows* why data was sent again, and what became of data that vanished."""
    verdicts, names = scene.verdicts, scene.names
    assert verdicts.stall_ns is not None
    stall = verdicts.stall_ns
    again = np.flatnonzero(((copies.found & AGAIN) > 0) & verdicts.counted)
    before = copies.earlier[again]
    fate = verdicts.verdict[before]
    arrived = fate == NONE
    acked = arrived & ((copies.found[again] & ACKED) > 0)
    answered = arrived & ~acked & copies.answered[again]
    ack_died = _dead_acknowledgement(scene, copies, again, before, answered)
    silent = arrived & ~acked & ~answered
    quick = verdicts.time_ns[again] - verdicts.time_ns[before] < TAIL_NS
    tail = silent & quick & _is_last(copies, verdicts.end, again)
    needless = acked | (answered & (ack_died < 0))
    for row in rows:
        here = scene.routes.direction[again] == (FORWARD if row.direction == "forward" else REVERSE)
        if row.inferred:
            ours = here & (copies.exit[again] == (names.index(row.near) if row.near is not None else NOBODY))
            row.resends = Resends(
                behind=int((ours & silent & ~tail).sum()), needless=int((ours & needless).sum()),
                undecided=int((ours & (fate == UNDECIDED)).sum()), probes=int((ours & tail).sum()),
            )  # fmt: skip
            continue
        near, far = _place(row.near, names), _place(row.far, names)
        on = (verdicts.last_seen[before] == near) & (verdicts.missing_at[before] == far) & here
        died = verdicts.claims()[before] & on
        acks = ack_died[ack_died >= 0]
        acks = acks[(verdicts.last_seen[acks] == near) & (verdicts.missing_at[acks] == far)]
        row.resends = _measured(scene, row, stall, died=died, fate=fate, acks=len(acks))


def _place(name: str | None, names: Sequence[str]) -> int:
    assert name is not None
    return names.index(name)


def _measured(
    scene: Scene, row: SegmentRow, stall: NDArray[np.int64], *, died: NDArray[np.bool_], fate: NDArray[np.uint8],
    acks: int,
) -> Resends:  # fmt: skip
    """Return the row of a measured segment."""
    verdicts, names = scene.verdicts, scene.names
    lost = np.flatnonzero(
        verdicts.claims() & verdicts.counted & (verdicts.end > verdicts.start)
        & (verdicts.last_seen == _place(row.near, names)) & (verdicts.missing_at == _place(row.far, names))
        & (scene.routes.direction == (FORWARD if row.direction == "forward" else REVERSE))
    )  # fmt: skip
    stalls = stall[lost][stall[lost] >= 0]
    recovered = int((verdicts.recovered[lost] | (stall[lost] >= 0)).sum())
    return Resends(
        died=int((died & (fate == CONFIRMED)).sum()), died_probable=int((died & (fate == PROBABLE)).sum()),
        ack_died=acks, recovered=recovered, not_recovered=len(lost) - recovered,
        stall_p50_ns=quantiles(stalls, (0.5,))[0] if len(stalls) else 0,
        stall_max_ns=int(stalls.max()) if len(stalls) else 0,
    )  # fmt: skip


def _is_last(copies: Copies, end: NDArray[np.int64], again: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say which of *again* repeat the end of all that their direction ever sent, as far as it was seen."""
    furthest = np.full(int(copies.way.max()) + 1 if len(copies.way) else 0, NOBODY)
    np.maximum.at(furthest, copies.way, end)
    result: NDArray[np.bool_] = end[again] == furthest[copies.way[again]]
    return result


def _dead_acknowledgement(
    scene: Scene, copies: Copies, again: NDArray[np.int64], before: NDArray[np.int64], asked: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return by token sent again an acknowledgement of its first copy that vanished meanwhile; NOBODY without one."""
    verdicts = scene.verdicts
    found = np.full(len(again), NOBODY)
    gone = np.flatnonzero(verdicts.claims() & (verdicts.acked >= 0))
    if not len(gone):
        return found
    gone = gone[np.lexsort((verdicts.time_ns[gone], copies.way[gone]))]
    low = np.searchsorted(copies.way[gone], copies.way[again] ^ 1)
    high = np.searchsorted(copies.way[gone], copies.way[again] ^ 1, "right")
    for k in np.flatnonzero(asked & (high > low)).tolist():
        mine = gone[low[k] : high[k]]
        fits = (verdicts.time_ns[mine] > verdicts.time_ns[before[k]]) & (
            verdicts.time_ns[mine] < verdicts.time_ns[again[k]]
        )
        fits &= verdicts.acked[mine] >= verdicts.end[again[k]]
        if fits.any():
            found[k] = mine[np.flatnonzero(fits)[0]]
    return found
