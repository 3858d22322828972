"""Loss and capture misses told apart by capture and recapture (Cormack, Jolly, Seber; ALGORITHMS A.11).

Points are the occasions, packets the animals; the acknowledgement of TCP data is a last occasion that misses nothing.
Shown beside the counts of the ladder where captures missed packets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.analyses.copies_kernels import AGAIN
from orchestrator.core.routes import FORWARD, REVERSE
from orchestrator.model.columns import RST, SYN, TCP
from orchestrator.model.measures import Survival

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from orchestrator.core.analyses.copies import Copies
    from orchestrator.core.analyses.scene import Scene
    from orchestrator.model.finding import Direction, SegmentRow

FEWEST_TOKENS = 500
MOST_OCCASIONS = 12
"""There are two to the power of this histories."""
BLOCKS, RESAMPLES, SEED = 50, 400, 1965
EDGE_NS = 50_000_000
POOR_CAPTURE, SMALL_LOSS = 0.98, 0.005
"""A capture that misses more in bursts bends so small a loss: they cannot be told apart (ALGORITHMS A.11)."""


def add_survival(scene: Scene, copies: Copies, rows: Sequence[SegmentRow]) -> None:
    """Add survival to the *rows* of measured segments; nothing where no capture missed a packet."""
    if not scene.verdicts.some_missed:
        return
    usable, acknowledged = _animals(scene, copies)
    for route, points in enumerate(scene.routes.points):
        for direction in (FORWARD, REVERSE):
            mine = usable & (scene.routes.route == route) & (scene.routes.direction == direction)
            line = points if direction == FORWARD else points[::-1]
            members = _inside(scene, np.flatnonzero(mine), line)
            if len(members) < FEWEST_TOKENS or not 1 < len(line) < MOST_OCCASIONS:
                continue
            counts = _histories(scene, members, line, acknowledged[members])
            _write(scene, rows, line, direction, counts)


def _animals(scene: Scene, copies: Copies) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return by token whether it can be followed to its acknowledgement, and whether that came.

    Bytes that were sent again prove nothing of the copy before, unless the last point saw it.
    """
    tokens, verdicts, packets = scene.tokens, scene.verdicts, scene.packets
    first = tokens.first_row
    data = (packets.protocol[first] == TCP) & (packets.payload[first] > 0) & ((packets.flags[first] & (SYN | RST)) == 0)
    highest = np.full((int(copies.way.max()) | 1) + 1 if len(copies.way) else 0, -1, np.int64)
    np.maximum.at(highest, copies.way ^ 1, verdicts.acked)
    covered = highest[copies.way] >= verdicts.end
    again = np.zeros(len(tokens), np.bool_)
    again[copies.earlier[(copies.found & AGAIN) > 0]] = True
    at_exit = tokens.row[np.arange(len(tokens)), np.maximum(copies.exit, 0)] >= 0
    usable = data & verdicts.counted & ~tokens.ambiguous & (covered | again) & ~verdicts.modified
    return usable, covered & (~again | at_exit)


def _inside(scene: Scene, members: NDArray[np.int64], line: Sequence[int]) -> NDArray[np.int64]:
    """Return those of *members* that were under way while all points of *line* captured."""
    begin = max(scene.facts[p].start_ns + (scene.facts[p].uncertainty_ns or 0) for p in line) + EDGE_NS
    end = min(scene.facts[p].end_ns - (scene.facts[p].uncertainty_ns or 0) for p in line) - EDGE_NS
    time = scene.verdicts.time_ns[members]
    return members[(time > begin) & (time < end)]


def _histories(
    scene: Scene, members: NDArray[np.int64], line: Sequence[int], acknowledged: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return how many tokens of each time block have each history; bit k says that occasion k saw it."""
    history = acknowledged.astype(np.int64) << len(line)
    for place, point in enumerate(line):
        history |= (scene.tokens.row[members, point] >= 0).astype(np.int64) << place
    time = scene.verdicts.time_ns[members]
    span = int(time.max() - time.min()) + 1
    block = (time - time.min()) * BLOCKS // span
    width = 2 << len(line)
    return np.bincount(block * width + history, minlength=BLOCKS * width).reshape(BLOCKS, width)


def jolly_seber(counts: NDArray[np.generic], occasions: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (survival from each occasion to the next, chance of capture at each) where the last one misses nothing.

    Args: counts of shape (…, 2**occasions), by history: bit k says that occasion k saw it.  The chance of capture at
    the first occasion is not a number: nothing before it tells.
    """
    histories = np.arange(1 << occasions)
    seen = (histories[:, None] >> np.arange(occasions)) & 1 > 0
    before = (histories[:, None] & ((1 << np.arange(occasions)) - 1)) > 0
    after = (histories[:, None] >> (np.arange(occasions) + 1)) > 0

    def total(which: NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.asarray(counts @ which.astype(np.float64), np.float64)

    caught, again, known = total(seen), total(seen & after), total(seen & before)
    missed = total(~seen & before & after)
    with np.errstate(divide="ignore", invalid="ignore"):
        marked = known + np.where(missed > 0, missed * caught / again, 0.0)
        marked[..., 0] = 0.0
        survival = marked[..., 1:] / (marked - known + caught)[..., :-1]
        capture = known / marked
    return survival, capture


def _write(
    scene: Scene, rows: Sequence[SegmentRow], line: Sequence[int], direction: int, counts: NDArray[np.int64]
) -> None:
    """Write what *counts* say to the rows of neighbours on *line*; of several routes the one with most tokens stays."""
    occasions, tokens = len(line) + 1, int(counts[:, 1:].sum())
    survival, capture = jolly_seber(counts.sum(axis=0), occasions)
    weights = np.random.default_rng(SEED).multinomial(BLOCKS, [1 / BLOCKS] * BLOCKS, size=RESAMPLES)
    spread, _ = jolly_seber(weights @ counts, occasions)
    by_ends = {(r.near, r.far, r.direction): r for r in rows if not r.inferred}
    word: Direction = "forward" if direction == FORWARD else "reverse"
    for place in range(len(line) - 1):
        row = by_ends.get((scene.names[line[place]], scene.names[line[place + 1]], word))
        drawn = spread[:, place][np.isfinite(spread[:, place])]
        if row is None or not np.isfinite(survival[place]) or not len(drawn):
            continue
        if row.survival is not None and row.survival.tokens >= tokens:
            continue
        loss = 1.0 - float(survival[place])
        low, high = (1.0 - float(q) for q in np.quantile(drawn, (0.975, 0.025)))
        ends = [float(c) if np.isfinite(c) else None for c in capture[place : place + 2]]
        poor = any(c is not None and c < POOR_CAPTURE for c in ends)
        row.survival = Survival(
            loss=max(0.0, loss), low=max(0.0, low), high=min(1.0, max(0.0, high)), tokens=tokens, near_capture=ends[0],
            far_capture=ends[1], distinguishable=not (poor and loss < SMALL_LOSS),
        )  # fmt: skip
