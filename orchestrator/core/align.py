"""Clocks of all points against one reference, from packets and from exchanges with the hosts.

Every pair of points that share packets, and every host whose clock was asked, gives a pair of bounds.  They are
difference constraints: the shortest paths over them are the hard bounds of every clock (Dechter, Meiri and Pearl,
1991), a least-squares fit of the middles, weighted by width, is the estimate (ALGORITHMS B.6).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.bounds import PairBounds, bound_pair
from orchestrator.model.clock import ClockModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from orchestrator.model.run import ClockSample

Edge = tuple[int, int, PairBounds]
SMALLEST_WIDTH_NS = 2_000.0
"""No software timestamp is better than this, so no pair may outweigh all others."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A clock against the reference: offset at ``at`` (reference time) and drift."""

    offset_ns: float
    drift: float


def exchange_bounds(samples: Sequence[ClockSample]) -> PairBounds | None:
    """Return the bounds of a host's clock against the collector's from exchanges with it."""
    if not samples:
        return None
    before = np.array([s.before_ns for s in samples], np.int64)
    host = np.array([s.host_ns for s in samples], np.int64)
    after = np.array([s.after_ns for s in samples], np.int64)
    return bound_pair(before, host, after, host)


def align_clocks(
    names: Sequence[str], edges: Sequence[Edge], reference: int, reference_name: str, at_ns: int
) -> list[ClockModel]:
    """Return one clock model a node of *edges*.

    Args: names by node, the collector last; edges (a, b, bounds of b's clock against a's); reference node; at_ns time
    on the reference clock for which offsets are stated.
    """
    lines = _spread(len(names), edges, reference, at_ns)
    hard = _hard_bounds(len(names), edges, lines, at_ns)
    collector = len(names) - 1
    inconsistent = bool((np.diag(hard) < -1.0).any())
    lines = _fit(lines, edges, reference, at_ns)
    models = []
    for node in range(len(names)):
        line = lines[node]
        if node == reference:
            models.append(ClockModel(reference=reference_name, at_ns=at_ns, method="reference"))
        elif line is None:
            models.append(ClockModel(reference=reference_name, at_ns=at_ns, uncertainty_ns=None, method="none"))
        else:
            models.append(
                _model(node, line, hard, reference, reference_name, at_ns, edges, collector, inconsistent=inconsistent)
            )
    return models


def _model(
    node: int, line: _Line, hard: NDArray[np.float64], reference: int, reference_name: str, at_ns: int,
    edges: Sequence[Edge], collector: int, *, inconsistent: bool,
) -> ClockModel:  # fmt: skip
    """Clip the estimate to what is possible and state how wide that is."""
    high, low = float(hard[reference, node]), -float(hard[node, reference])
    offset = line.offset_ns
    notes = []
    if inconsistent:
        violation = max((e[2].violation_ns for e in edges if node in e[:2]), default=0.0)
        notes.append("packets contradict a steady clock: it was stepped, or packets were matched wrongly")
        width: float | None = max(violation, abs(high - low) / 2) if np.isfinite(high - low) else None
    elif np.isfinite(high) and np.isfinite(low):
        offset = min(max(offset, low), high)
        width = max(high - offset, offset - low)
    else:
        notes.append("traffic in one direction only: one side of the offset is unbounded")
        width = None
    packets = any(node in e[:2] and collector not in e[:2] for e in edges)
    return ClockModel(
        reference=reference_name, at_ns=at_ns, offset_ns=round(offset), drift=line.drift,
        uncertainty_ns=None if width is None else max(1, round(width)), method="packets" if packets else "prior",
        notes=tuple(notes),
    )  # fmt: skip


def _spread(nodes: int, edges: Sequence[Edge], reference: int, at_ns: int) -> list[_Line | None]:
    """Carry the reference clock along the narrowest edges (Prim's tree)."""
    lines: list[_Line | None] = [None] * nodes
    lines[reference] = _Line(0.0, 0.0)
    while True:
        best: tuple[float, int, int, PairBounds] | None = None
        for a, b, bounds in edges:
            for near, far in ((a, b), (b, a)):
                if lines[near] is not None and lines[far] is None:
                    width = bounds.half_width_ns + bounds.violation_ns
                    if best is None or width < best[0]:
                        best = (width, near, far, bounds if near == a else _turned(bounds))
        if best is None:
            return lines
        _, near, far, bounds = best
        lines[far] = _step(lines[near], bounds, at_ns)


def _turned(bounds: PairBounds) -> PairBounds:
    """Return the bounds of A's clock against B's."""
    drift = -bounds.drift / (1 + bounds.drift)
    return PairBounds(
        at_ns=bounds.at_ns + round(bounds.offset_ns), offset_ns=-bounds.offset_ns, drift=drift, low_ns=-bounds.high_ns,
        high_ns=-bounds.low_ns, forward=bounds.reverse, reverse=bounds.forward, violation_ns=bounds.violation_ns,
    )  # fmt: skip


def _step(near: _Line | None, bounds: PairBounds, at_ns: int) -> _Line:
    """Return the far clock's line from the near clock's and the bounds between them."""
    assert near is not None
    near_time = at_ns + near.offset_ns
    offset = near.offset_ns + bounds.offset_ns + bounds.drift * (near_time - bounds.at_ns)
    return _Line(offset, near.drift + bounds.drift * (1 + near.drift))


def _at(bounds: PairBounds, near: _Line, at_ns: int) -> tuple[float, float, float]:
    """Return (low, middle, high) of an edge at *at_ns* on the reference clock."""
    slip = bounds.drift * (at_ns + near.offset_ns - bounds.at_ns)
    return bounds.low_ns + slip, bounds.offset_ns + slip, bounds.high_ns + slip


def _hard_bounds(nodes: int, edges: Sequence[Edge], lines: Sequence[_Line | None], at_ns: int) -> NDArray[np.float64]:
    """Return shortest paths: entry [a, b] is the highest possible offset of b against a."""
    distance = np.full((nodes, nodes), np.inf)
    np.fill_diagonal(distance, 0.0)
    for a, b, bounds in edges:
        near = lines[a]
        if near is None:
            continue
        low, _, high = _at(bounds, near, at_ns)
        distance[a, b] = min(distance[a, b], high)
        distance[b, a] = min(distance[b, a], -low)
    for k in range(nodes):
        distance = np.minimum(distance, distance[:, k, None] + distance[None, k, :])
    return distance


def _fit(lines: list[_Line | None], edges: Sequence[Edge], reference: int, at_ns: int) -> list[_Line | None]:
    """Return the lines refined by weighted least squares over what the two-sided edges say beyond them."""
    rows, offsets, drifts, weights = [], [], [], []
    for a, b, bounds in edges:
        near, far = lines[a], lines[b]
        if near is None or far is None or not np.isfinite(bounds.half_width_ns):
            continue
        row = np.zeros(len(lines))
        row[a], row[b] = -1.0, 1.0
        rows.append(row)
        offsets.append(_at(bounds, near, at_ns)[1] - (far.offset_ns - near.offset_ns))
        drifts.append(bounds.drift * (1 + near.drift) - (far.drift - near.drift))
        weights.append(1.0 / max(bounds.half_width_ns + bounds.violation_ns, SMALLEST_WIDTH_NS))
    if not rows:
        return lines
    design = np.array(rows)
    touched = [n for n in range(len(lines)) if n != reference and design[:, n].any() and _tied(n, reference, edges)]
    if not touched:
        return lines
    weight = np.array(weights)[:, None]
    usable = design[:, touched] * weight
    fitted_offset = np.linalg.lstsq(usable, np.array(offsets) * weight[:, 0], rcond=None)[0]
    fitted_drift = np.linalg.lstsq(usable, np.array(drifts) * weight[:, 0], rcond=None)[0]
    refined = list(lines)
    for n, offset, drift in zip(touched, fitted_offset, fitted_drift, strict=True):
        line = lines[n]
        assert line is not None
        refined[n] = _Line(line.offset_ns + float(offset), line.drift + float(drift))
    return refined


def _tied(node: int, reference: int, edges: Sequence[Edge]) -> bool:
    """Say whether two-sided edges lead from *node* to the reference."""
    reached = {reference}
    grown = True
    while grown:
        grown = False
        for a, b, bounds in edges:
            if np.isfinite(bounds.half_width_ns) and (a in reached) != (b in reached):
                reached |= {a, b}
                grown = True
    return node in reached
