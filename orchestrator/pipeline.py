"""From capture files to the answer: the picture of DESIGN §2, one line a stage.

Everything from *index* on runs offline, on the files of a run directory, whoever captured them.
"""

from __future__ import annotations

import graphlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator import __version__
from orchestrator.core.analysis import Analysis, Observed, analyse as analyse_points
from orchestrator.core.conclude import conclude
from orchestrator.core.expect import hold_against
from orchestrator.core.grounds import Grounds
from orchestrator.errors import EvidenceError, InputError
from orchestrator.explained import explain as tell
from orchestrator.memory import freed_memory_kept
from orchestrator.model.result import PathResult, PointResult, Result
from orchestrator.pcap.cut import select
from orchestrator.pcap.index import THREADS, PointIndex, index_points
from orchestrator.pcap.messages import read_messages
from orchestrator.pcap.recut import read_merged, write_recut
from orchestrator.report.decode import decode
from orchestrator.report.jsonl import result_document, vanished_lines
from orchestrator.report.text import render
from orchestrator.written import Written

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Literal

    from orchestrator.archive.layout import RunDirectory
    from orchestrator.model.run import FileRecord, PointRecord, RunRecord
    from orchestrator.model.story import Asked, Story
    from orchestrator.model.wanted import Wanted
    from orchestrator.pcap.writer import Progress

ENOUGH_PASSED = 20
"""Packets of one class and direction by which a capture is judged."""


@dataclass(frozen=True, slots=True)
class _Stage:
    """What the first stages of a run yield."""

    record: RunRecord
    points: tuple[PointRecord, ...]
    indexes: list[PointIndex]
    analysis: Analysis
    unreadable: dict[str, str]
    """Points of which no file could be read, and why."""


def analyse(
    run: RunDirectory, *, check_order: bool = True, merged: bool = False, progress: Progress | None = None
) -> Result:
    """Analyse *run* and write result.json, vanished.jsonl, report.txt, and with *merged* merged.pcapng.

    Raises:
        InputError: The order of the points is contradicted by the packets.
        EvidenceError: A file is not what the run recorded.
    """
    stage = _work_out(run, check_order=check_order)
    if merged:
        _written(stage).merged(run.merged, progress)
    result = _conclude(stage)
    run.write_json("result.json", result_document(result, version=__version__, generated_ns=time.time_ns()))
    run.write_text("vanished.jsonl", "".join(vanished_lines(result)))
    run.write_text("report.txt", render(result, str(run.path), merged=run.merged.exists()))
    return result


def merge(
    run: RunDirectory, target: Path | None = None, *, view: bool = False, aligned: bool = False,
    progress: Progress | None = None,
) -> list[Path]:  # fmt: skip
    """Write all packets of *run* in corrected order to one pcapng, *target* or merged.pcapng; return the files written.

    Args: view, write a file made for Wireshark too; aligned, write one file a point too; both stand beside *target*.
    """
    written = _written(_work_out(run, check_order=False, only_fates=True))
    path = target or run.merged
    written.merged(path, progress)
    paths = [path]
    if view:
        paths.append(run.view if target is None else target.with_suffix(f".view{target.suffix}"))
        written.view(paths[-1], progress)
    if aligned:
        paths += written.aligned(run.aligned if target is None else target.with_suffix(".aligned"), progress)
    return paths


def cut(run: RunDirectory, wanted: Wanted, target: Path, progress: Progress | None = None) -> int:
    """Write the packets of *run* that are *wanted* to *target*, as merge would; return how many.

    Raises:
        InputError: There is none, or *target* cannot be written.
    """
    written = _written(_work_out(run, check_order=False, only_fates=True))
    return written.cut(target, select(written.table(), wanted), progress)


def cut_merged(merged: Path, wanted: Wanted, target: Path, progress: Progress | None = None) -> int:
    """Write the packets of the file *merged*, which merge wrote, that are *wanted* to *target*; return how many.

    Raises:
        InputError: There is none, *merged* is something else, or *target* cannot be written.
    """
    contents = read_merged(merged)
    return write_recut(target, contents, select(contents.table, wanted), progress)


def explain(run: RunDirectory, asked: Asked, *, fields: bool = False) -> Story:
    """Return the story of a packet or connection of *run*; with *fields*, its frame taken apart.

    Raises:
        InputError: There is no such packet.
    """
    stage = _work_out(run, check_order=False)
    written = _written(stage)
    story, row = tell(written.table(), stage.analysis, asked)
    return replace(story, decoded=decode(*written.frame(row))) if fields else story


def _written(stage: _Stage) -> Written:
    return Written(stage.record, stage.points, stage.indexes, stage.analysis)


@freed_memory_kept()
def _work_out(run: RunDirectory, *, check_order: bool, only_fates: bool = False) -> _Stage:
    """Index, align, match and judge a run."""
    record = run.read_record()
    points = _in_path_order(record)
    if not points:
        msg = f"{run.path}: no capture to analyse"
        raise InputError(msg, hint="See run.json for what became of each point.")
    for point in points:
        _verify_unchanged(run, point)
    indexes = index_points([[run.path / f.path for f in p.files] for p in points])
    unreadable = {p.name: str(i.unreadable) for p, i in zip(points, indexes, strict=True) if i.unreadable is not None}
    indexes = [i for i in indexes if i.unreadable is None]
    points = tuple(p for p in points if p.name not in unreadable)
    observed = [_observe(run, record, p, i) for p, i in zip(points, indexes, strict=True)]
    plan = record.plan
    window = (record.opened_ns, record.closed_ns) if record.opened_ns and record.closed_ns else None
    with ThreadPoolExecutor(THREADS) as pool:
        analysis = analyse_points(
            observed, paths=plan.paths if plan else (),
            labels={(s.near, s.far): s for s in plan.segments} if plan else {},
            reference=_reference(record, observed), window=window,
            post_roll_ns=plan.window.post_roll_ns if plan else 0, check_path_order=check_order,
            only_fates=only_fates, messages=None if only_fates else read_messages(indexes), run=pool.map,
        )  # fmt: skip
    if check_order and analysis.suggested_order:
        names = ", ".join(analysis.suggested_order)
        hint = f"Give the points as {names}, or use --order auto."
        msg = f"the packets contradict the order of the points; their TTL says {names}"
        raise InputError(msg, hint=hint)
    return _Stage(record, points, indexes, analysis, unreadable)


def suggest_order(run: RunDirectory) -> tuple[str, ...]:
    """Return the path order that the packets of an offline run speak for, the given one where they do not object."""
    stage = _work_out(run, check_order=False)
    observed = [_observe(run, stage.record, p, i) for p, i in zip(stage.points, stage.indexes, strict=True)]
    suggested = analyse_points(observed, reference=observed[0].name).suggested_order
    return (*(suggested or (p.name for p in stage.points)), *stage.unreadable)


def _in_path_order(record: RunRecord) -> tuple[PointRecord, ...]:
    """Return the points that delivered files, nearest to the clients first."""
    usable = [p for p in record.points if p.files]
    if record.plan is None:
        return tuple(usable)
    sorter: graphlib.TopologicalSorter[str] = graphlib.TopologicalSorter()
    for path in record.plan.paths:
        for near, far in pairwise(path.points):
            sorter.add(far, near)
    try:
        order = {name: place for place, name in enumerate(sorter.static_order())}
    except graphlib.CycleError:
        order = {}
    return tuple(sorted(usable, key=lambda p: order.get(p.name, len(order))))


def _verify_unchanged(run: RunDirectory, point: PointRecord) -> None:
    """Refuse files that changed since the run recorded them."""
    for file in point.files:
        path = run.path / file.path
        try:
            status = path.stat()
        except OSError as error:
            hint = "Restore the file, or run analyse --point again."
            msg = f"{path}: {error.strerror}"
            raise EvidenceError(msg, hint=hint) from error
        if status.st_size != file.size_bytes or (file.mtime_ns is not None and status.st_mtime_ns != file.mtime_ns):
            hint = "Restore the file as it was, or start a new run with it."
            msg = f"{path}: changed since this run recorded it"
            raise EvidenceError(msg, hint=hint)


def _observe(run: RunDirectory, record: RunRecord, point: PointRecord, index: PointIndex) -> Observed:
    """Return one point as the analysis takes it."""
    planned = next((p for p in record.plan.points if p.point == point.name), None) if record.plan else None
    drops = point.counters.kernel_drops if point.counters.kernel_drops is not None else index.drops
    return Observed(
        name=point.name, packets=index.packets, kernel_drops=drops,
        complete=planned.complete if planned else True, clock_samples=run.read_clock(point.name),
        captured_whole_window=point.state == "collected" and point.end_reason == "stop" and not index.defects,
        gaps_ns=index.gaps_ns, files=index.counts,
    )  # fmt: skip


def _reference(record: RunRecord, observed: Sequence[Observed]) -> str | None:
    """Return the point whose clock counts, None for the collector's."""
    if record.reference in {o.name for o in observed}:
        return record.reference
    return None if any(o.clock_samples for o in observed) else observed[0].name


def _conclude(stage: _Stage) -> Result:
    """Turn counts into findings and the answer."""
    record, analysis = stage.record, stage.analysis
    results = tuple(
        _point_result(order, point, index, analysis)
        for order, (point, index) in enumerate(zip(stage.points, stage.indexes, strict=True))
    )
    present = {p.name for p in results}
    absent = tuple((p.name, _why_absent(p, stage)) for p in record.points if p.name not in present)
    window = (record.opened_ns, record.closed_ns) if record.opened_ns and record.closed_ns else None
    findings, headline = conclude(
        Grounds(
            points=tuple(p.name for p in results),
            unsound=tuple(p.name for p in results if p.quality != "good"),
            absent=tuple(name for name, _ in absent),
            silent=tuple(p.name for p in results if not p.packets),
            segments=analysis.segments,
            vanished=analysis.vanished,
            undecided=analysis.undecided,
            resets=analysis.resets,
            bursts=analysis.bursts,
            attempts=analysis.attempts,
            window=window,
            flows=tuple(dict.fromkeys(f for p in record.plan.points for f in p.flows)) if record.plan else (),
            relays=analysis.relays,
            translations=analysis.translations,
            declared=record.plan.translations if record.plan else (),
            has_plan=record.plan is not None,
            series=analysis.series_losses,
            connections=analysis.connections,
            survived_ns=analysis.survived_ns,
            names=analysis.names,
            precursors=analysis.precursors,
        )
    )
    plan = record.plan
    paths = (
        [PathResult(name=p.name, points=tuple(n for n in p.points if n in present)) for p in plan.paths] if plan else []
    )
    warnings = [analysis.order_warning] if analysis.order_warning else []
    return Result(
        run_id=record.run_id, name=record.name, about=plan.about if plan else "", headline=headline, points=results,
        absent=absent, paths=tuple(paths) or (PathResult(name="path", points=tuple(p.name for p in results)),),
        segments=tuple(analysis.segments), vanished=tuple(analysis.vanished), undecided=tuple(analysis.undecided),
        resets=tuple(analysis.resets), bursts=tuple(analysis.bursts), translations=tuple(analysis.translations),
        findings=tuple(findings), warnings=(*warnings, *(plan.notes if plan else ())), window=window,
        ticket=plan.ticket if plan else None,
        expect=hold_against(plan.expect, analysis.segments, analysis.resets, analysis) if plan else (),
        series=tuple(analysis.series), connections=tuple(analysis.connections),
        connections_in_all=analysis.connections_in_all, names=analysis.names,
        precursors=analysis.precursors,
    )  # fmt: skip


def _why_absent(point: PointRecord, stage: _Stage) -> str:
    """Return why a point of the run has no part in the answer."""
    if point.name in stage.unreadable:
        return stage.unreadable[point.name]
    return point.reason.message if point.reason else point.state


def _point_result(order: int, point: PointRecord, index: PointIndex, analysis: Analysis) -> PointResult:
    """Describe one point and judge its capture."""
    packets = index.packets
    drops = point.counters.kernel_drops if point.counters.kernel_drops is not None else index.drops
    supers = analysis.supers[order]
    clock, missed = analysis.clocks[order], analysis.miss_rate[order]
    reasons = [*index.defects, *clock.notes]
    if drops:
        reasons.append(f"{drops:,} kernel drops")
    mirror = analysis.mirrors[order]
    if mirror.lost:
        copies = mirror.lost + mirror.received
        reasons.append(f"its mirror lost {mirror.lost:,} of {copies:,} copies, by the numbers that it gave them")
    if missed:
        reasons.append(f"missed {missed:.2%} of what passed it")
    reasons += [
        f"saw {c.seen:,} of {c.passed:,} {c.kind} packets that passed it {c.direction}: its mirror or filter leaves"
        " them out, or they go another way"
        for c in analysis.coverage[order]
        if c.passed >= ENOUGH_PASSED and 2 * c.seen < c.passed
    ]
    if point.counters.captured is not None and point.counters.captured > len(packets):
        reasons.append(f"tcpdump counted {point.counters.captured:,} packets, the file holds {len(packets):,}")
    quality: Literal["good", "degraded", "unusable"] = "degraded" if reasons else "good"
    if not len(packets):
        reasons.append("no packet was captured")
    if supers:
        reasons.append(f"{supers:,} frames that no wire carried, for the host splits or merges segments: taken apart")
    if drops is None:
        reasons.append("no drop counters: taken for complete as long as nothing shows a miss")
    return PointResult(
        name=point.name, node=point.node, order=order, packets=len(packets),
        first_ns=int(packets.time_ns.min()) if len(packets) else None,
        last_ns=int(packets.time_ns.max()) if len(packets) else None,
        link_type=", ".join(dict.fromkeys(f.link_type_name for f in index.files)), quality=quality,
        reasons=tuple(reasons),
        kernel_drops=drops, capture_miss_rate=missed, offloads=("tso-or-gro",) if supers else (),
        files=_files_in_order(point, index), clock=clock, not_decoded=index.not_decoded,
        coverage=analysis.coverage[order],
    )  # fmt: skip


def _files_in_order(point: PointRecord, index: PointIndex) -> tuple[tuple[FileRecord, int], ...]:
    """Return the file records in the order in which frames are numbered, with their packet counts."""
    by_path = {Path(r.path): r for r in point.files}  # absolute, or relative to the run: then the end of the path
    records = [next(by_path[end] for end in _ends(f.path) if end in by_path) for f in index.files]
    return tuple(zip(records, index.counts, strict=True))


def _ends(path: Path) -> Iterator[Path]:
    """Yield *path* and its ends, longest first."""
    return (Path(*path.parts[start:]) for start in range(len(path.parts)))
