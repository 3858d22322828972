"""Bounds of one clock against another from packets that both saw, in both directions.

A packet from A to B gives an upper bound of B's offset (its delay cannot be negative), a packet from B to A a
lower one.  The offset is a line that runs between the lower hull of the one and the upper hull of the other;
the line with the widest margin is the estimate (Moon, Skelly and Towsley, INFOCOM 1999; ALGORITHMS B.4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.bounds_kernels import lowest_in_buckets

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST_DRIFT = 1e-3
"""Twice what a disciplined clock may slew; free-running crystals stay below 2e-4."""
ENOUGH_FOR_DRIFT = 8
"""Bounds a side below which a slope would be noise."""
DRIFT_AGREEMENT = 0.2
"""Share by which the slopes of the two directions may differ and still be one drift."""
DRIFT_NOISE = 3e-6
BUCKETS = 2000
UNBOUNDED = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class PairBounds:
    """Offset of clock B against clock A around ``at_ns`` (on A's clock)."""

    at_ns: int
    offset_ns: float
    drift: float
    low_ns: float
    """Hard lower bound at ``at_ns``; minus infinity where no packet goes from B to A."""
    high_ns: float
    forward: int
    """Bounds from packets A to B."""
    reverse: int
    violation_ns: float = 0.0
    """How far the bounds contradict every line: a clock step, or wrong matches."""

    @property
    def half_width_ns(self) -> float:
        """Half the width of what is possible."""
        return (self.high_ns - self.low_ns) / 2


def bound_pair(
    forward_a: NDArray[np.int64],
    forward_b: NDArray[np.int64],
    reverse_a: NDArray[np.int64],
    reverse_b: NDArray[np.int64],
) -> PairBounds | None:
    """Return the bounds of B's clock from times of the same packets on both clocks, None where there are none.

    Args: times in ns; forward packets go from A to B, reverse packets from B to A.
    """
    if not len(forward_a) and not len(reverse_a):
        return None
    times = np.concatenate((forward_a, reverse_a))
    at = int(times.min() + (times.max() - times.min()) // 2)
    differences = np.concatenate((forward_b - forward_a, reverse_b - reverse_a))
    coarse = int(np.median(differences))
    upper = _hull((forward_a - at).astype(float), (forward_b - forward_a - coarse).astype(float))
    lower = _hull((reverse_a - at).astype(float), -(reverse_b - reverse_a - coarse).astype(float))
    enough = min(len(forward_a), len(reverse_a)) >= ENOUGH_FOR_DRIFT
    one_sided = not len(forward_a) or not len(reverse_a)
    if one_sided:
        drift = 0.0  # a slope of delays in one direction may be a queue that fills as well as a clock that drifts
    else:
        drift = _widest(upper, lower) if enough and _agree(upper, lower) else 0.0
        if _margin(drift, upper, lower) < 0:
            drift = _widest(upper, lower)
    margin = _margin(drift, upper, lower)
    low, high = _hard(drift, upper, lower, margin)
    middle = (_above(drift, upper) + _below(drift, lower)) / 2
    offset = middle if not one_sided else high if len(forward_a) else low
    return PairBounds(
        at_ns=at, offset_ns=offset + coarse, drift=drift, low_ns=low + coarse, high_ns=high + coarse,
        forward=len(forward_a), reverse=len(reverse_a), violation_ns=max(0.0, -margin),
    )  # fmt: skip


Hull = tuple["NDArray[np.float64]", "NDArray[np.float64]"]


def _hull(time: NDArray[np.float64], value: NDArray[np.float64]) -> Hull:
    """Return the lower convex hull of the points, thinned to bucket minima first."""
    if not len(time):
        return time, value
    chosen = np.full(BUCKETS + 1, -1, np.int64)
    lowest_in_buckets(time, value, chosen)
    chosen = chosen[chosen >= 0]
    chosen = chosen[np.argsort(time[chosen], kind="stable")]
    keep: list[int] = []
    for index in chosen.tolist():
        while len(keep) > 1 and _turns_up(time, value, keep[-2], keep[-1], index):
            keep.pop()
        keep.append(index)
    return time[keep], value[keep]


def _turns_up(time: NDArray[np.float64], value: NDArray[np.float64], a: int, b: int, c: int) -> bool:
    """Say whether *b* lies on or above the line from *a* to *c*."""
    return bool((value[b] - value[a]) * (time[c] - time[a]) >= (value[c] - value[a]) * (time[b] - time[a]))


def _above(drift: float, upper: Hull) -> float:
    """Return the highest offset at time 0 that a line of slope *drift* may have."""
    return float((upper[1] - drift * upper[0]).min()) if len(upper[0]) else UNBOUNDED


def _below(drift: float, lower: Hull) -> float:
    """Return the lowest offset at time 0 that a line of slope *drift* may have (*lower* holds negated values)."""
    return float(-(lower[1] + drift * lower[0]).min()) if len(lower[0]) else -UNBOUNDED


def _margin(drift: float, upper: Hull, lower: Hull) -> float:
    return (_above(drift, upper) - _below(drift, lower)) / 2


def _widest(upper: Hull, lower: Hull) -> float:
    """Return the slope with the widest margin; the margin is concave in the slope."""
    low, high = -LARGEST_DRIFT, LARGEST_DRIFT
    for _ in range(80):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        if _margin(left, upper, lower) < _margin(right, upper, lower):
            low = left
        else:
            high = right
    return (low + high) / 2


def _agree(upper: Hull, lower: Hull) -> bool:
    """Say whether both directions show the same drift: a queue that fills tilts one hull alone."""
    above, below = _slope_at_centre(upper), -_slope_at_centre(lower)
    return abs(above - below) <= DRIFT_NOISE + DRIFT_AGREEMENT * max(abs(above), abs(below))


def _slope_at_centre(hull: Hull) -> float:
    """Return the slope of the hull's edge below the middle of its span."""
    time, value = hull
    if len(time) < 2 or len(time) < ENOUGH_FOR_DRIFT // 2:  # noqa: PLR2004
        return 0.0
    edge = int(np.clip(np.searchsorted(time, (time[0] + time[-1]) / 2) - 1, 0, len(time) - 2))
    slope = float((value[edge + 1] - value[edge]) / (time[edge + 1] - time[edge]))
    return float(np.clip(slope, -LARGEST_DRIFT, LARGEST_DRIFT))


def _hard(drift: float, upper: Hull, lower: Hull, margin: float) -> tuple[float, float]:
    """Return the lowest and highest offset at time 0 over every slope that contradicts no packet."""
    if margin < 0:
        middle = (_above(drift, upper) + _below(drift, lower)) / 2
        return middle + margin, middle - margin
    steepest = _edge_of_feasible(drift, LARGEST_DRIFT, upper, lower)
    flattest = _edge_of_feasible(drift, -LARGEST_DRIFT, upper, lower)
    slopes = np.linspace(flattest, steepest, 65)
    if not len(upper[0]) or not len(lower[0]):
        slopes = np.array([drift])
    return min(_below(s, lower) for s in slopes), max(_above(s, upper) for s in slopes)


def _edge_of_feasible(inside: float, outside: float, upper: Hull, lower: Hull) -> float:
    """Return the slope nearest to *outside* that still fits between the hulls."""
    if _margin(outside, upper, lower) >= 0:
        return outside
    for _ in range(60):
        middle = (inside + outside) / 2
        if _margin(middle, upper, lower) >= 0:
            inside = middle
        else:
            outside = middle
    return inside
