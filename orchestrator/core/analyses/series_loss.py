"""What gaps in numbers say by point and direction, and what of it stands in the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from orchestrator.core.analyses.resets import flow_key
from orchestrator.core.analyses.series import Holes, Runs, Seen, find_holes, find_runs, look_from
from orchestrator.core.analyses.series_doubts import REASONS
from orchestrator.core.routes import FORWARD, REVERSE
from orchestrator.model.columns import SERIES_DTLS, SERIES_ESP, SERIES_KIND, SERIES_RTP, SERIES_WIREGUARD
from orchestrator.model.series import Kind, Series, SeriesAtPoint, SeriesLoss

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from orchestrator.core.analyses.scene import Scene
    from orchestrator.model.finding import Direction, SegmentRow

KINDS: dict[int, Kind] = {SERIES_ESP: "esp", SERIES_WIREGUARD: "wireguard", SERIES_DTLS: "dtls", SERIES_RTP: "rtp"}
MOST_SERIES = 500
"""Listed, those with losses first; totals count all."""
DIRECTIONS: dict[int, Direction] = {FORWARD: "forward", REVERSE: "reverse"}


@dataclass(frozen=True, slots=True)
class _View:
    """Everything about the runs of one analysis."""

    scene: Scene
    runs: Runs
    holes: Holes
    seen: list[Seen]
    direction: NDArray[np.int8]
    """By part."""


def infer_series(scene: Scene, rows: Sequence[SegmentRow]) -> tuple[list[Series], list[SeriesLoss]]:
    """Return what series there are and what they tell of the parts before points; adds that to the outer *rows*."""
    runs = find_runs(scene)
    if not len(runs.token):
        return [], []
    holes = find_holes(runs, scene.verdicts.counted)
    seen = [look_from(scene, runs, holes, point) for point in range(len(scene.names))]
    turned = np.where(runs.way % 2 == 0, 1, -1).astype(np.int8)
    view = _View(scene, runs, holes, seen, scene.routes.flow_direction[runs.way >> 1] * turned)
    losses = [found for direction in (FORWARD, REVERSE) for found in _losses(view, direction)]
    for row in rows:
        if row.inferred and row.near is None:
            row.series = next((s for s in losses if (s.point, s.direction) == (row.far, row.direction)), None)
    return _listed(view), losses


def _travel(points: int, direction: int) -> list[int]:
    """Return the points in the direction of travel."""
    return list(range(points)) if direction != REVERSE else list(range(points))[::-1]


def _losses(view: _View, direction: int) -> list[SeriesLoss]:
    """Lay each hole to the part before the first point that can decide it; return one entry a point."""
    open_holes = view.direction[view.holes.part] == direction
    open_parts = view.direction == direction
    found = []
    for point in _travel(len(view.seen), direction):
        seen = view.seen[point]
        mine = open_holes & seen.covers
        lost = mine & seen.lost
        first = open_parts & (seen.received > 0)
        if first.any() or lost.any():
            found.append(_loss(view, point, direction, lost, mine & ~seen.lost, first))
        open_holes &= ~lost
        open_parts &= ~(first & (seen.reason == 0))
    return found


def _loss(
    view: _View, point: int, direction: int, lost: NDArray[np.bool_], doubtful: NDArray[np.bool_],
    first: NDArray[np.bool_],
) -> SeriesLoss:  # fmt: skip
    """Sum up what one point is the first to tell."""
    holes, scene = view.holes, view.scene
    shown = np.unique(holes.part[lost])
    kinds = view.runs.series[shown if len(shown) else np.flatnonzero(first)] & SERIES_KIND
    return SeriesLoss(
        point=scene.names[point], direction=DIRECTIONS[direction], lost=int(holes.size[lost].sum()),
        undecided=int(holes.size[doubtful].sum()),
        received=int(view.seen[point].received[np.union1d(np.flatnonzero(first), shown)].sum()),
        series=len({(w, s) for w, s in zip(view.runs.way[shown].tolist(), view.runs.series[shown].tolist(),
                                           strict=True)}),
        kinds=tuple(KINDS[k] for k in np.unique(kinds).tolist()),
        counted=scene.facts[point].kernel_drops is not None,
    )  # fmt: skip


def _listed(view: _View) -> list[Series]:
    """Return the series, those with losses and then the longest first."""
    runs, holes = view.runs, view.holes
    used = np.flatnonzero(np.bincount(runs.part, minlength=len(runs.way)) > 0)
    missing = np.bincount(holes.part, weights=holes.size, minlength=len(runs.way))
    size = np.bincount(runs.part, minlength=len(runs.way))
    order = used[np.lexsort((-size[used], -missing[used]))]
    parts: dict[tuple[int, int], list[int]] = {}
    for part in order.tolist():
        parts.setdefault((int(runs.way[part]), int(runs.series[part])), []).append(part)
    begins = np.searchsorted(runs.part, np.arange(len(runs.way) + 1))
    return [_series(view, np.array(chosen), begins) for chosen in list(parts.values())[:MOST_SERIES]]


def _series(view: _View, parts: NDArray[np.int64], begins: NDArray[np.int64]) -> Series:
    """Describe one series, which a restart may have cut into several parts."""
    scene, runs = view.scene, view.runs
    token = np.concatenate([runs.token[begins[p] : begins[p + 1]] for p in parts.tolist()])
    direction = int(view.direction[parts[0]])
    places = [p for p in _travel(len(view.seen), direction) if view.seen[p].received[parts].any()]
    row = int(scene.tokens.row[token, places[0]].max())
    return Series(
        kind=KINDS[int(runs.series[parts[0]] & SERIES_KIND)], flow=flow_key(scene.raw, row),
        direction=DIRECTIONS.get(direction), points=tuple(_at_point(view, parts, p) for p in places),
        vanished=_vanished(scene, token),
    )  # fmt: skip


def _at_point(view: _View, parts: NDArray[np.int64], point: int) -> SeriesAtPoint:
    """Describe one series at one point."""
    seen, size = view.seen[point], view.holes.size
    mine = np.isin(view.holes.part, parts) & seen.covers
    lost, open_ones = int(size[mine & seen.lost].sum()), int(size[mine & ~seen.lost].sum())
    received = int(seen.received[parts].sum())
    outside = int(size[np.isin(view.holes.part, parts) & seen.spanned].sum())
    return SeriesAtPoint(
        point=view.scene.names[point], received=received, lost=lost, undecided=open_ones,
        elsewhere=int(seen.span[parts].sum()) - received - outside,
        duplicated=int(seen.duplicated[parts].sum()), reordered=int(seen.reordered[parts].sum()),
        reason=REASONS[int(seen.reason[parts].max())],
    )  # fmt: skip


def _vanished(scene: Scene, token: NDArray[np.int64]) -> tuple[tuple[str, str, int], ...]:
    """Return where the packets of a series vanished, as their verdicts say."""
    verdicts = scene.verdicts
    gone = token[verdicts.claims()[token]]
    pairs = np.stack((verdicts.last_seen[gone], verdicts.missing_at[gone]), axis=1)
    places, count = np.unique(pairs, axis=0, return_counts=True)
    names = scene.names
    return tuple(
        (names[near], names[far], n)
        for (near, far), n in zip(cast("list[tuple[int, int]]", places.tolist()), count.tolist(), strict=True)
    )
