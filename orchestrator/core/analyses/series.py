"""Gaps in numbers that encrypted and media packets carry in the clear: loss before a point, by inference.

A number that no point ever saw, between others that a sound capture saw, was lost before that point or went another
way.  It accuses no segment between points: a packet that one point saw and the next did not is a token like others.
Late packets fill their gap, repeated ones fill nothing, and whatever may be the capture's fault stays undecided.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.core.analyses.series_doubts import EDGE_NS, doubts
from orchestrator.core.analyses.series_kernels import count_overtaken, place_holes, unwrap_series, walk_numbers
from orchestrator.core.mirrors import touch
from orchestrator.core.sort import stable_order
from orchestrator.model.columns import SERIES_DTLS, SERIES_ESP, SERIES_KIND, SERIES_RTP, SERIES_WIREGUARD

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.core.analyses.scene import Scene

BITS = {SERIES_ESP: 32, SERIES_WIREGUARD: 64, SERIES_DTLS: 48, SERIES_RTP: 16}
FEWEST = 20
"""Packets that a run of numbers must have before it is believed."""
CLOSE = 1000
"""Steps up to this size, either way, are those of a running counter."""
MOSTLY, HALF = 0.9, 0.5
"""Share of close steps; share of numbers that follow each other."""
MOST_AT_ONCE, BURST = 1000, 8.0
"""Numbers that may be missing at one stroke; beyond, no more than so many times the usual rate would have sent."""
UNSEEN = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """Packets of all series whose numbers run, in order of part and number. Arrays by packet unless said otherwise."""

    token: NDArray[np.int64]
    part: NDArray[np.int64]
    number: NDArray[np.int64]
    way: NDArray[np.int64]
    """By part: flow direction."""
    series: NDArray[np.uint32]
    """By part: name and kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holes:
    """Ranges of numbers that no point saw. Arrays by hole, in order of part."""

    part: NDArray[np.int64]
    before: NDArray[np.int64]
    behind: NDArray[np.int64]
    counted: NDArray[np.bool_]
    """Whether it lies in the window of the run."""

    @property
    def size(self) -> NDArray[np.int64]:
        """Return how many numbers each holds."""
        return self.behind - self.before - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Runs as one point saw them. Arrays by part unless said otherwise."""

    received: NDArray[np.int64]
    duplicated: NDArray[np.int64]
    reordered: NDArray[np.int64]
    span: NDArray[np.int64]
    """From its first number here to its last."""
    spanned: NDArray[np.bool_]
    """By hole: numbers on both sides of it were seen here."""
    covers: NDArray[np.bool_]
    """The same, in the window of the run."""
    lost: NDArray[np.bool_]
    """By hole: nothing but a loss before this point, or another way, explains it."""
    reason: NDArray[np.uint8]
    """What speaks against it where it decides nothing (series_doubts.REASONS)."""


def find_runs(scene: Scene) -> Runs:
    """Return the packets of all series whose numbers are seen to run: whatever else the bytes may be is a guess."""
    packets, tokens = scene.packets, scene.tokens
    first = tokens.first_row
    member = np.flatnonzero(packets.series[first] > 0)
    series = packets.series[first[member]]
    way = tokens.way[member]
    time = scene.verdicts.time_ns[member]
    order = stable_order(time, series, way)
    fresh = _changes(way[order]) | _changes(series[order])
    group = np.empty(len(member), np.int64)
    group[order] = np.cumsum(fresh) - 1
    bits = np.array([BITS.get(kind, 64) for kind in range(SERIES_KIND + 1)], np.int64)[series & SERIES_KIND]
    number, part = np.zeros(len(member), np.int64), np.full(len(member), -1, np.int64)
    parts = unwrap_series(order, group, packets.counter[first[member]], bits, number, part) if len(member) else 0
    runs = _is_running(part[order], number[order], parts)
    kept = np.flatnonzero((part >= 0) & runs[part])
    kept = kept[stable_order(time[kept], number[kept], part[kept])]
    ways, names = np.zeros(parts, np.int64), np.zeros(parts, np.uint32)
    ways[part[kept]], names[part[kept]] = way[kept], series[kept]
    return Runs(token=member[kept], part=part[kept], number=number[kept], way=ways, series=names)


def _changes(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Say for each value whether it differs from the one before it."""
    found = np.ones(len(values), np.bool_)
    found[1:] = values[1:] != values[:-1]
    return found


def _is_running(part: NDArray[np.int64], number: NDArray[np.int64], parts: int) -> NDArray[np.bool_]:
    """Say for each part whether its numbers, in order of time, are those of a counter; the last stands for none."""
    inside = np.flatnonzero(part >= 0)
    order = inside[stable_order(number[inside], part[inside])]
    single = order[_changes(part[order]) | _changes(number[order])]
    follows = _steps(part[single], number[single], parts, 1)
    in_time = np.sort(single)
    close = _steps(part[in_time], number[in_time], parts, CLOSE)
    size = np.bincount(part[single], minlength=parts)
    found = (size >= FEWEST) & (close >= MOSTLY * (size - 1)) & (follows >= HALF * (size - 1))
    return np.append(found, False)  # for part -1


def _steps(part: NDArray[np.int64], number: NDArray[np.int64], parts: int, most: int) -> NDArray[np.int64]:
    """Count by part the steps from one number to the next, either way, that are no longer than *most*."""
    short = ~_changes(part)[1:] & (np.abs(np.diff(number)) <= most)
    return np.bincount(part[1:][short], minlength=parts)


def find_holes(runs: Runs, counted: NDArray[np.bool_]) -> Holes:
    """Return the ranges of numbers that no point saw; *counted* says by token whether it lies in the window."""
    at = np.flatnonzero(~_changes(runs.part)[1:] & (np.diff(runs.number) > 1))
    inside = counted[runs.token[at]] & counted[runs.token[at + 1]]
    return Holes(part=runs.part[at], before=runs.number[at], behind=runs.number[at + 1], counted=inside)


def look_from(scene: Scene, runs: Runs, holes: Holes, point: int) -> Seen:
    """Return what one point saw of the runs, and which holes it can decide."""
    parts = len(runs.way)
    row = scene.tokens.row[runs.token, point]
    here = np.flatnonzero(row >= 0)
    part, number, row = runs.part[here], runs.number[here], row[here]
    time = scene.corrected_ns[row]
    latest, earliest, repeated = np.empty_like(time), np.empty_like(time), np.zeros(len(here), np.bool_)
    lateness, overtaken = np.zeros(parts, np.int64), np.zeros(parts, np.int64)
    walk_numbers(part, number, time, latest, earliest, repeated, lateness)
    count_overtaken(stable_order(row, part), part, number, repeated, overtaken)
    received = np.bincount(part[~repeated], minlength=parts)
    shown = np.bincount(part, weights=scene.tokens.copies[runs.token[here], point], minlength=parts)
    begin, end = np.full((2, len(holes.part)), UNSEEN)
    place_holes(holes.part, holes.before, holes.behind, part, number, latest, earliest, begin, end)
    spanned = begin != UNSEEN
    covers = spanned & holes.counted
    reason = doubts(scene, runs.token[here], part, runs.series, runs.way, point)
    margin = np.maximum(EDGE_NS, 4 * lateness)[holes.part]
    facts = scene.facts[point]
    lost = covers & (reason[holes.part] == 0) & ~touch(facts.gaps_ns, begin - margin, end + margin)
    lost &= _is_plausible(holes, part, latest, earliest, end - begin)
    lost &= (begin - margin >= facts.start_ns) & (end + margin <= facts.end_ns)
    return Seen(
        received=received, duplicated=shown.astype(np.int64) - received, reordered=overtaken,
        span=_span(part, number, parts), spanned=spanned, covers=covers, lost=lost, reason=reason,
    )  # fmt: skip


def _is_plausible(
    holes: Holes, part: NDArray[np.int64], latest: NDArray[np.int64], earliest: NDArray[np.int64],
    lasted: NDArray[np.int64],
) -> NDArray[np.bool_]:  # fmt: skip
    """Say for each hole, which *lasted* so long, whether the sender's usual rate fills it: else it skipped numbers."""
    rate = np.zeros(int(max(part.max(initial=0), holes.part.max(initial=0))) + 1)
    starts = np.flatnonzero(_changes(part))
    if len(starts):
        ends = np.append(starts[1:], len(part)) - 1
        rate[part[starts]] = (ends - starts + 1) / np.maximum(latest[ends] - earliest[starts], 1)
    found: NDArray[np.bool_] = holes.size <= np.maximum(MOST_AT_ONCE, BURST * rate[holes.part] * lasted)
    return found


def _span(part: NDArray[np.int64], number: NDArray[np.int64], parts: int) -> NDArray[np.int64]:
    """Return by part how many numbers lie from its first to its last."""
    found = np.zeros(parts, np.int64)
    starts = np.flatnonzero(_changes(part))
    ends = np.append(starts[1:], len(part)) - 1
    if len(part):
        found[part[starts]] = number[ends] - number[starts] + 1
    return found
