"""From columns to everything that can be said about them, one stage a line. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.align import Edge, align_clocks, exchange_bounds
from orchestrator.core.analyses.bursts import find_bursts
from orchestrator.core.analyses.connections import list_connections
from orchestrator.core.analyses.copies import count_resends, trace_copies
from orchestrator.core.analyses.coverage import measure_coverage
from orchestrator.core.analyses.idle import list_silences
from orchestrator.core.analyses.named import read_names
from orchestrator.core.analyses.outer import infer_outer
from orchestrator.core.analyses.parted import part
from orchestrator.core.analyses.reset_company import name_causes
from orchestrator.core.analyses.resets import flow_key, locate_resets
from orchestrator.core.analyses.scene import Scene
from orchestrator.core.analyses.segments import count_segments
from orchestrator.core.analyses.series_loss import infer_series
from orchestrator.core.analyses.stalls import find_stalls
from orchestrator.core.analyses.survival import add_survival
from orchestrator.core.analyses.unanswered import find_unanswered
from orchestrator.core.facts import gather_facts, lost_by_mirrors
from orchestrator.core.fragments import join_fragments
from orchestrator.core.frames import by_frame, frame_numbers, tokens_by_frame
from orchestrator.core.hidden import excuse_hidden, hide
from orchestrator.core.ladder import judge
from orchestrator.core.match import match_repeated
from orchestrator.core.members import find_members
from orchestrator.core.order import check_order
from orchestrator.core.pieces_doubts import excuse_pieces, mark_unsure
from orchestrator.core.precursors.gathering import NOTHING, find_precursors
from orchestrator.core.routes import find_routes
from orchestrator.core.shifts import find_shifts, undo_shifts
from orchestrator.core.steps import find_steps, shared_tokens, still_contradict, with_steps
from orchestrator.core.supers import split_supers
from orchestrator.core.tokens import build_tokens
from orchestrator.core.verdicts import CONFIRMED, KINDS, PointFacts, kinds
from orchestrator.model.columns import Packets
from orchestrator.model.finding import Vanished
from orchestrator.model.names import Names
from orchestrator.model.precursor import Precursors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from orchestrator.core.analyses.copies import Copies
    from orchestrator.core.analyses.resets import Located
    from orchestrator.core.analyses.unanswered import Attempt
    from orchestrator.core.flows import Flows
    from orchestrator.core.fragments import Joined
    from orchestrator.core.mirrors import MirrorLosses
    from orchestrator.core.precursors.judging import Cases
    from orchestrator.core.routes import Routes
    from orchestrator.core.steps import Bounds
    from orchestrator.core.tokens import Tokens
    from orchestrator.core.verdicts import Verdicts
    from orchestrator.model.clock import ClockModel
    from orchestrator.model.columns import Run
    from orchestrator.model.connection import Connection
    from orchestrator.model.finding import Burst, Reset, SegmentRow, Undecided
    from orchestrator.model.measures import Coverage
    from orchestrator.model.messages import Messages
    from orchestrator.model.plan import PlannedPath, SegmentLabel
    from orchestrator.model.run import ClockSample
    from orchestrator.model.series import Series, SeriesLoss


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One point as the analysis takes it."""

    name: str
    packets: Packets
    kernel_drops: int | None = None
    complete: bool = True
    clock_samples: tuple[ClockSample, ...] = ()
    captured_whole_window: bool = False
    """Armed before the window opened and stopped by us after it closed."""
    gaps_ns: tuple[tuple[int, int], ...] = ()
    """Times, on the point's own clock, in which its silence says nothing: its file is damaged there."""
    files: tuple[int, ...] = ()
    """Packets by file, in whose order they stand; none for one file."""


@dataclass(slots=True, kw_only=True)
class Analysis:
    """What the stages found."""

    clocks: list[ClockModel]
    vanished: list[Vanished]
    resets: list[Reset]
    miss_rate: list[float]
    tokens: int
    token_of_row: NDArray[np.int64] = field(repr=False)
    """By packet row, points one after the other: its token, -1 for none."""
    reference_ns: NDArray[np.int64] = field(repr=False)
    """By packet row: corrected time."""
    packets: Packets = field(repr=False)
    point: NDArray[np.uint8] = field(repr=False)
    supers: list[int] = field(default_factory=list)
    """By point: frames that stand for several wire segments."""
    relays: list[tuple[str, str, int]] = field(default_factory=list)
    """(near, far, TCP flows that end between them and begin anew)."""
    mirrors: list[MirrorLosses] = field(default_factory=list)
    """By point: what a mirror lost of the copies that it numbered."""
    coverage: list[tuple[Coverage, ...]] = field(default_factory=list)
    """By point: what it saw of what passed it."""
    segments: list[SegmentRow] = field(default_factory=list)
    undecided: list[Undecided] = field(default_factory=list)
    bursts: list[Burst] = field(default_factory=list)
    translations: list[tuple[str, str, str, str]] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    series: list[Series] = field(default_factory=list)
    series_losses: list[SeriesLoss] = field(default_factory=list)
    connections: list[Connection] = field(default_factory=list)
    connections_in_all: int = 0
    survived_ns: dict[str, list[int]] = field(default_factory=dict)
    """By point the silences that connections seen there survived."""
    names: Names = field(default_factory=Names)
    precursors: Precursors = field(default_factory=Precursors)
    cases: Cases = NOTHING
    """Failures with their controls, for comparing several runs (core.precursors.judging.judge)."""
    suggested_order: tuple[str, ...] | None = None
    order_warning: str | None = None


def analyse(
    observed: Sequence[Observed],
    *,
    paths: Sequence[PlannedPath] = (),
    labels: Mapping[tuple[str, str], SegmentLabel] | None = None,
    reference: str | None = None,
    window: tuple[int, int] | None = None,
    post_roll_ns: int = 0,
    check_path_order: bool = True,
    only_fates: bool = False,
    messages: Messages | None = None,
    run: Run = map,
) -> Analysis:
    """Return what *observed*, in path order, says.

    Args: reference names the point whose clock counts, None for the collector's (which needs clock samples);
    window is (opened, closed) on the collector's clock; with only_fates, clocks, tokens, what vanished and resets are
    worked out and nothing is counted: all that a merged capture shows; messages are what was read of the frames, None
    where that was not done; run calls a function on every member of lists, like map, perhaps several at a time.
    """
    names = [o.name for o in observed]
    packets = Packets.concatenate([o.packets for o in observed])
    members = find_members([o.packets for o in observed], [o.files for o in observed])
    point = np.repeat(np.arange(len(observed), dtype=np.uint8), [len(o.packets) for o in observed])
    numbers = {name: index for index, name in enumerate(names)}
    whole, whole_point = packets, point
    order, joined_up = members.order, join_fragments(packets, point, len(observed))
    met = whole if joined_up is None else joined_up.packets
    split = split_supers(met if order is None else met.take(order), point, len(observed))
    packets, point, flows = split.packets, split.point, split.flows
    origin = split.origin if order is None else order[split.origin]
    tokens, repeated = build_tokens(packets, point, len(observed), flows)
    shifts = find_shifts(packets, point, flows, tokens)
    if shifts:
        packets = undo_shifts(packets, point, flows, shifts)
        tokens, repeated = build_tokens(packets, point, len(observed), flows)
    routes = find_routes(packets, flows, tokens, paths, numbers, len(observed))
    pairs = shared_tokens(tokens, routes)
    smooth = packets.time_ns.copy()
    ends = np.searchsorted(point, np.arange(len(observed)), "right").tolist()
    believed = names.index(reference) if reference is not None else len(observed)
    steps, bounds = find_steps(pairs, smooth, ends, believed)
    edges = _edges(observed, bounds)
    suggested, warning = None, None
    if check_path_order and not paths:
        suggested, warning = check_order(packets, tokens, names, _distances(edges, len(observed)))
    clocks = with_steps(_clocks(observed, edges, reference), steps, packets.time_ns)
    corrected = np.concatenate([c.to_reference(smooth[point == k]) for k, c in enumerate(clocks)])
    agree = not still_contradict(bounds)
    consistent = agree and all(c.uncertainty_ns is not None for c in clocks)
    uncertainty = max(c.uncertainty_ns or 0 for c in clocks)
    if len(repeated.rows):
        tokens = match_repeated(
            tokens, repeated, corrected, point, flows, routes.flow_direction, uncertainty if consistent else None
        )
        routes = find_routes(packets, flows, tokens, paths, numbers, len(observed))
    mirrors = lost_by_mirrors(observed, by_frame(smooth, origin, len(whole)), whole_point)
    facts = gather_facts(observed, mirrors, clocks, corrected, point, window, post_roll_ns, members, origin)
    pieces = None if joined_up is None else (joined_up, origin)
    routes, verdicts = _judged(packets, flows, tokens, routes, corrected, facts, window, pieces)
    kind = kinds(packets, tokens)
    frames = frame_numbers(whole_point, len(observed))[origin]
    scene = Scene(
        packets=packets, raw=split.packets, frames=frames, tokens=tokens, routes=routes, verdicts=verdicts, kind=kind,
        corrected_ns=corrected, facts=facts, names=names, clocks_agree=agree,
    )  # fmt: skip
    located = locate_resets(scene)
    copies = None if only_fates else trace_copies(scene)
    found = Analysis(
        clocks=clocks, vanished=_vanished(packets, tokens, verdicts, kind, names, frames),
        resets=[r.reset for r in located],
        miss_rate=verdicts.miss_rate, tokens=len(tokens), token_of_row=tokens_by_frame(tokens, origin, len(whole)),
        reference_ns=by_frame(corrected, origin, len(whole)), packets=whole, point=whole_point,
        supers=split.supers.tolist(), mirrors=mirrors,
        suggested_order=suggested, order_warning=warning, relays=verdicts.proxied.segments(names),
    )  # fmt: skip
    if copies is not None:
        lines = _neighbours(paths, numbers, len(observed)), _ends(paths, numbers, len(observed))
        found.attempts = find_unanswered(packets, tokens, routes, verdicts, names, frames)
        _measure(found, scene, copies, located, *lines, labels or {}, messages, run)
        found.translations = _translations(packets, flows, point, names)
    return found


def _measure(
    found: Analysis, scene: Scene, copies: Copies, located: Sequence[Located],
    neighbours: Sequence[tuple[int, int]], ends: Sequence[tuple[int, int]],
    labels: Mapping[tuple[str, str], SegmentLabel], messages: Messages | None, run: Run,
) -> None:  # fmt: skip
    """Count and measure every segment; changes *found*.

    Args: neighbours and ends are the segments and the outermost points of the paths; messages and run as of analyse.
    """
    packets, tokens, verdicts = scene.packets, scene.tokens, scene.verdicts
    found.segments, found.undecided = count_segments(scene, neighbours, labels, run)
    found.segments += infer_outer(packets, tokens, scene.routes, verdicts, scene.corrected_ns, scene.names, ends)
    found.coverage = measure_coverage(scene)
    found.series, found.series_losses = infer_series(scene, found.segments)
    count_resends(scene, copies, found.segments)
    add_survival(scene, copies, found.segments)
    parted = part(scene, copies)
    silences, stalls = list_silences(scene, parted), find_stalls(scene, parted)
    found.connections, found.connections_in_all = list_connections(scene, parted, stalls, silences, found.resets)
    found.survived_ns = {name: silences.survived_at(k).tolist() for k, name in enumerate(scene.names)}
    found.resets = name_causes(scene, located, silences, found.connections)
    _count_births(found.segments, found.resets)
    found.bursts = find_bursts(found.resets, tokens, packets, verdicts)
    found.names = read_names(found, scene, messages)
    found.cases, found.precursors = find_precursors(found, scene, parted, stalls)


def _judged(
    packets: Packets, flows: Flows, tokens: Tokens, routes: Routes, corrected: NDArray[np.int64],
    facts: Sequence[PointFacts], window: tuple[int, int] | None, pieces: tuple[Joined, NDArray[np.int64]] | None,
) -> tuple[Routes, Verdicts]:  # fmt: skip
    """Return the verdicts, and routes that know where tunnels hide packets."""
    if pieces is not None:
        mark_unsure(packets, tokens, *pieces)
    known = hide(packets, tokens, routes, corrected, facts)
    verdicts = judge(packets, flows, tokens, known, corrected, facts, window)
    excuse_hidden(packets, tokens, known, verdicts)
    if pieces is not None:
        excuse_pieces(packets, tokens, verdicts, facts, corrected, *pieces)
    return known, verdicts


def _edges(observed: Sequence[Observed], bounds: Bounds) -> list[Edge]:
    """Return what is known of every pair of clocks; the collector is the node behind the last point."""
    edges: list[Edge] = [(near, far, known) for (near, far), known in bounds.items()]
    for number, one in enumerate(observed):
        asked = exchange_bounds(one.clock_samples)
        if asked is not None:
            edges.append((len(observed), number, asked))
    return edges


def _distances(edges: Sequence[Edge], count: int) -> NDArray[np.float64]:
    """Return the smallest round trip between any two points; 0 where it is not known."""
    found = np.zeros((count, count))
    for near, far, bounds in edges:
        if far < count and near < count and np.isfinite(bounds.half_width_ns):
            found[near, far] = found[far, near] = 2 * bounds.half_width_ns
    return found


def _clocks(observed: Sequence[Observed], edges: Sequence[Edge], reference: str | None) -> list[ClockModel]:
    """Align every point's clock."""
    count = len(observed)
    node = [o.name for o in observed].index(reference) if reference is not None else count
    names = [*(o.name for o in observed), "collector"]
    return align_clocks(names, edges, node, names[node], _middle(observed, node))[:count]


def _middle(observed: Sequence[Observed], node: int) -> int:
    """Return the middle of the capture on the reference clock, roughly."""
    if node < len(observed):
        times = observed[node].packets.time_ns
    else:
        times = np.array([s.before_ns for o in observed for s in o.clock_samples], np.int64)
    return int(times.min() + (times.max() - times.min()) // 2) if len(times) else 0


def _neighbours(paths: Sequence[PlannedPath], numbers: Mapping[str, int], count: int) -> list[tuple[int, int]]:
    """Return the segments to list, in path order."""
    if not paths:
        return list(pairwise(range(count)))
    found: dict[tuple[int, int], None] = {}
    for path in paths:
        present = [numbers[name] for name in path.points if name in numbers]
        found.update(dict.fromkeys(pairwise(present)))
    return sorted(found)


def _ends(paths: Sequence[PlannedPath], numbers: Mapping[str, int], count: int) -> list[tuple[int, int]]:
    """Return the first and last point of every path."""
    present = [[numbers[name] for name in path.points if name in numbers] for path in paths] or [list(range(count))]
    return sorted({(line[0], line[-1]) for line in present if line})


def _vanished(
    packets: Packets, tokens: Tokens, verdicts: Verdicts, kind: NDArray[np.uint8], names: Sequence[str],
    frames: NDArray[np.int64],
) -> list[Vanished]:  # fmt: skip
    """Return one entry a vanished token, in time order."""
    chosen = np.flatnonzero(verdicts.claims())
    chosen = chosen[np.argsort(verdicts.time_ns[chosen], kind="stable")]
    entries, stall = [], verdicts.stall_ns
    for token in chosen.tolist():
        last = int(verdicts.last_seen[token])
        row = int(tokens.row[token, last])
        entries.append(
            Vanished(
                flow=flow_key(packets, row),
                kind=KINDS[int(kind[token])],
                bytes=int(packets.payload[row]),
                last_seen=names[last],
                first_missing=names[int(verdicts.missing_at[token])],
                verdict="confirmed" if verdicts.verdict[token] == CONFIRMED else "probable",
                time_ns=int(verdicts.time_ns[token]),
                frame=int(frames[row]),
                recovered=bool(verdicts.recovered[token]),
                superseded=bool(verdicts.superseded[token]),
                stall_ns=int(stall[token]) if stall is not None and stall[token] >= 0 else None,
            )
        )
    return entries


def _count_births(segments: list[SegmentRow], resets: Sequence[Reset]) -> None:
    """Count resets on the segment on which each was born."""
    for reset in resets:
        for row in segments:
            if row.far == reset.born_before and row.near == reset.born_after and _same_way(row, reset):
                row.resets += 1
                break


def _same_way(row: SegmentRow, reset: Reset) -> bool:
    return row.direction == ("forward" if reset.side == "client" else "reverse")


def _translations(
    packets: Packets, flows: Flows, point: NDArray[np.uint8], names: Sequence[str]
) -> list[tuple[str, str, str, str]]:
    """Return the address changes between neighbouring sightings of one flow: (near, far, inside, outside)."""
    by_flow: dict[int, list[int]] = {}
    for row, flow in zip(flows.tuples.tolist(), flows.of_tuple.tolist(), strict=True):
        by_flow.setdefault(flow, []).append(row)
    found: dict[tuple[str, str, str, str], None] = {}
    for rows in by_flow.values():
        rows.sort(key=lambda r: int(point[r]))
        for near, far in pairwise(rows):
            a, b = flow_key(packets, near), flow_key(packets, far)
            if flows.bit[near] != flows.bit[far]:
                b = b.turned()
            for inside, outside in ((a.src, b.src), (a.dst, b.dst)):
                if inside != outside:
                    found[names[int(point[near])], names[int(point[far])], inside, outside] = None
    return list(found)
