"""Clock steps: a host's clock that was set while it captured (ALGORITHMS B.5).

Packets in both directions bound the difference of two clocks.  Bounds that no line satisfies, but two lines with a jump
between them do, are a step; the clock whose every pair shows it is the one that was set.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from orchestrator.core.bounds import PairBounds, bound_pair
from orchestrator.core.routes import FORWARD, REVERSE
from orchestrator.core.sort import spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from orchestrator.core.routes import Routes
    from orchestrator.core.tokens import Tokens
    from orchestrator.model.clock import ClockModel

MOST_STEPS = 6
LEAST_NS = 10_000.0
"""Contradictions below this are left to the uncertainty."""
CURES = 0.75
"""Share of the contradiction that may remain behind a step: another step may still be in it."""
FEWEST_TOKENS = 6
WINDOW = 5
"""Tokens of one direction whose median is compared with that of as many before them."""
MOST_PLACES, AROUND = 3, 6
"""Places a direction that are looked at, and tokens before and behind each."""


@dataclass(frozen=True, slots=True)
class Step:
    """One clock that jumped: rows from ``row`` on are later by ``size_ns`` than they would be."""

    point: int
    row: int
    size_ns: int


@dataclass(frozen=True, slots=True)
class _Pair:
    """Tokens that two points saw, in the order of their rows."""

    near_row: NDArray[np.int32]
    far_row: NDArray[np.int32]
    forward: NDArray[np.bool_]

    def bounds(self, time_ns: NDArray[np.int64], part: slice = slice(None)) -> PairBounds | None:
        """Return the bounds that the tokens of *part* give."""
        ahead = self.forward[part]
        near, far = time_ns[self.near_row[part]], time_ns[self.far_row[part]]
        return bound_pair(near[ahead], far[ahead], near[~ahead], far[~ahead])


Pairs = dict[tuple[int, int], _Pair]
Bounds = dict[tuple[int, int], PairBounds]


def shared_tokens(tokens: Tokens, routes: Routes) -> Pairs:
    """Return for every two points (near, far) the unambiguous tokens that both saw."""
    found: Pairs = {}
    points = tokens.row.shape[1]
    usable = ~tokens.ambiguous & (routes.direction != 0)
    for near in range(points):
        for far in range(near + 1, points):
            both = np.flatnonzero((tokens.row[:, near] >= 0) & (tokens.row[:, far] >= 0) & usable)
            chosen = np.sort(np.concatenate([spread(both[routes.direction[both] == d]) for d in (FORWARD, REVERSE)]))
            if len(chosen):
                chosen = chosen[np.argsort(tokens.row[chosen, far], kind="stable")]
                found[near, far] = _Pair(
                    tokens.row[chosen, near], tokens.row[chosen, far], routes.direction[chosen] == FORWARD
                )
    return found


def find_steps(
    pairs: Pairs, time_ns: NDArray[np.int64], last_row: list[int], reference: int
) -> tuple[list[Step], Bounds]:
    """Return the steps that explain contradictions between clocks, and the bounds of every pair without them.

    Args: time_ns by row, changed: steps are taken out; last_row by point, one past its rows; reference the point whose
    clock is believed when two points alone contradict each other.
    """
    steps: list[Step] = []
    bounds = _bounds(pairs, time_ns)
    for _ in range(MOST_STEPS):
        worst = _contradictions(bounds)
        if not worst:
            break
        key = max(worst, key=lambda k: worst[k])
        blamed = _blamed(key, worst, pairs, reference)
        found = _split(pairs[key], time_ns, worst[key], by_near=blamed == key[0])
        if found is None:
            break
        row, size = found
        size = -size if blamed == key[0] else size
        time_ns[row : last_row[blamed]] -= size
        steps.append(Step(blamed, row, size))
        bounds |= _bounds({k: pair for k, pair in pairs.items() if blamed in k}, time_ns)
    return steps, bounds


def _bounds(pairs: Pairs, time_ns: NDArray[np.int64]) -> Bounds:
    """Return what the tokens of every pair say of its clocks."""
    found = {key: pair.bounds(time_ns) for key, pair in pairs.items()}
    return {key: bounds for key, bounds in found.items() if bounds is not None}


def with_steps(clocks: Sequence[ClockModel], steps: Sequence[Step], raw_ns: NDArray[np.int64]) -> list[ClockModel]:
    """Return the clock models with their steps written down; the lines hold for times with the steps taken out.

    Args: raw_ns by row.
    """
    described = list(clocks)
    for step in steps:
        clock = described[step.point]
        note = f"clock stepped by {step.size_ns / 1e6:+.3f} ms"
        described[step.point] = replace(
            clock, steps=(*clock.steps, (int(raw_ns[step.row]), step.size_ns)), notes=(*clock.notes, note)
        )
    return described


def _contradictions(bounds: Bounds) -> dict[tuple[int, int], float]:
    """Return the pairs that no line satisfies, with the size of the contradiction."""
    return {k: b.violation_ns for k, b in bounds.items() if b.violation_ns > LEAST_NS}


def still_contradict(bounds: Bounds) -> bool:
    """Say whether some pair of clocks is not understood, so that times do not tell which packet is which."""
    return bool(_contradictions(bounds))


def _blamed(key: tuple[int, int], worst: dict[tuple[int, int], float], pairs: Pairs, reference: int) -> int:
    """Return the end of *key* whose pairs contradict most often; of equals, the one that is not the reference."""

    def share(point: int) -> tuple[float, bool]:
        mine = [k for k in pairs if point in k]
        return sum(k in worst for k in mine) / len(mine), point != reference

    return max(key, key=share)


def _split(pair: _Pair, time_ns: NDArray[np.int64], violation: float, *, by_near: bool) -> tuple[int, int] | None:
    """Return (row at which the blamed clock jumps, by how much the far one gains), None if no jump cures it."""
    if by_near:
        order = np.argsort(pair.near_row, kind="stable")
        pair = _Pair(pair.near_row[order], pair.far_row[order], pair.forward[order])
    count = len(pair.forward)
    if count < FEWEST_TOKENS:
        return None
    candidates = _candidates(pair, time_ns)
    if not candidates:
        return None
    left, _, best = min((_rest(pair, time_ns, at), _spread_of(pair, time_ns, at), at) for at in candidates)
    if left > CURES * violation:
        return None
    rows = pair.near_row if by_near else pair.far_row
    return int(rows[best]), round(_jump(pair, time_ns, best))


def _candidates(pair: _Pair, time_ns: NDArray[np.int64]) -> list[int]:
    """Return the places at which a step would be seen most clearly: where differences jump and stay.

    The contradiction vanishes at the very token at which the clock was set and nowhere else, so each must be tried.
    """
    difference = time_ns[pair.far_row] - time_ns[pair.near_row]
    near: set[int] = set()
    for ahead in (True, False):
        where = np.flatnonzero(pair.forward == ahead)
        width = min(WINDOW, len(where) // 2)
        if not width:
            continue
        level = np.median(sliding_window_view(difference[where], width), axis=1)
        jump = np.abs(level[width:] - level[:-width])
        for place in np.argsort(-jump, kind="stable")[:MOST_PLACES].tolist():
            middle = int(where[place + width])
            near.update(range(middle - AROUND, middle + AROUND + 1))
    return sorted(at for at in near if 2 <= at <= len(difference) - 2)  # noqa: PLR2004 two bounds a side at least


def _spread_of(pair: _Pair, time_ns: NDArray[np.int64], at: int) -> int:
    """Return how far differences vary within either part and direction: a token on the wrong side stands out."""
    difference = time_ns[pair.far_row] - time_ns[pair.near_row]
    parts = [(slice(None, at), a) for a in (True, False)] + [(slice(at, None), a) for a in (True, False)]
    chosen = [difference[part][pair.forward[part] == ahead] for part, ahead in parts]
    return sum(int(np.ptp(c)) for c in chosen if len(c))


def _rest(pair: _Pair, time_ns: NDArray[np.int64], at: int) -> float:
    """Return the contradiction that remains in both parts together."""
    parts = (pair.bounds(time_ns, slice(None, at)), pair.bounds(time_ns, slice(at, None)))
    return sum(b.violation_ns for b in parts if b is not None)


def _jump(pair: _Pair, time_ns: NDArray[np.int64], at: int) -> float:
    """Return by how much the far clock gains on the near one at place *at*."""
    before, after = pair.bounds(time_ns, slice(None, at)), pair.bounds(time_ns, slice(at, None))
    assert before is not None
    assert after is not None
    then = int(time_ns[pair.near_row[at]])
    return (after.offset_ns + after.drift * (then - after.at_ns)) - (
        before.offset_ns + before.drift * (then - before.at_ns)
    )
