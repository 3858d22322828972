"""The answer on a terminal: answer first, findings with denominators, the segments, what is not shown, what next."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from orchestrator.report.changed import changed_lines
from orchestrator.report.places import frame_place

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.model.finding import Finding, SegmentRow
    from orchestrator.model.result import PointResult, Result

WIDTH = 110
MOST_FINDINGS = 9
MOST_KINDS = 6
NOTEWORTHY = 0.01
"""Share of a point's frames; a few ARP and STP frames are everywhere."""
THIS_PATH = "this path: no"
"""How the statement begins where another path may be the cause."""
ANSWER = {"yes": "YES", "no": "NO", "cannot-tell": "CANNOT TELL"}
BAR = 8
"""Characters of the longest loss bar."""


def render(result: Result, directory: str = "", *, merged: bool = False) -> str:
    """Return the report of *result*; *directory* is where its files are, *merged* whether merged.pcapng is there."""
    parts = [
        _heading(result),
        [""],
        _answer(result),
        [""],
        _findings(result),
        [""],
        _segments(result),
        [""],
        _changed(result),
        _not_shown(result),
        _next(result, directory, merged=merged),
    ]
    return "\n".join(printable(line) for part in parts for line in part).rstrip() + "\n"


def printable(text: str) -> str:
    """Return *text* with control characters made visible: names and addresses come from files that others made."""
    return "".join(c if unicodedata.category(c)[0] != "C" else f"\\x{ord(c):02x}" for c in text)


def duration(value_ns: float) -> str:
    """Return nanoseconds in the unit a person would use."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if abs(value_ns) >= size:
            return f"{value_ns / size:.3g} {unit}"
    return f"{value_ns:.0f} ns"


def _clock(time_ns: int) -> str:
    try:
        return datetime.fromtimestamp(time_ns // 1_000_000_000, UTC).strftime("%d %b %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return f"{time_ns // 1_000_000_000} s"


def _heading(result: Result) -> list[str]:
    title = result.name
    if result.window:
        title += f"   {_clock(result.window[0])}–{_clock(result.window[1])[7:]} UTC"
    if result.ticket:
        title += f"   ticket {result.ticket}"
    good = sum(p.quality == "good" for p in result.points)
    planned = len(result.points) + len(result.absent)
    line = f"{good} of {planned} points good"
    drops = [(p.name, p.kernel_drops) for p in result.points if p.kernel_drops]
    known = [p for p in result.points if p.kernel_drops is not None]
    if drops:
        line += "; kernel drops " + ", ".join(f"{n} {d:,}" for n, d in drops)
    elif known:
        line += (
            ", 0 kernel drops"
            if len(known) == len(result.points)
            else f", 0 kernel drops at {len(known)} points, not counted at the others"
        )
    else:
        line += ", kernel drops not counted"
    return [title, line + "; " + _clocks(result.points)]


def _clocks(points: Iterable[PointResult]) -> str:
    """Say how well the clocks are known."""
    bounds = [p.clock.uncertainty_ns for p in points if p.clock.method != "reference"]
    if not bounds:
        return "one clock"
    known = [b for b in bounds if b is not None]
    text = f"clocks ±{duration(max(known))} at worst" if known else "clocks unbounded"
    open_sides = len(bounds) - len(known)
    return text + (f", {open_sides} unbounded on one side" if open_sides and known else "")


def _answer(result: Result) -> list[str]:
    head = result.headline
    answer = f"{ANSWER[head.network]}: {head.statement}"
    if head.statement.startswith(THIS_PATH):  # for another one may be it
        answer = head.statement[0].upper() + head.statement[1:]
    lines = _wrapped(f"IS IT THE NETWORK?   {answer}", "", "                     ")
    if head.domain not in {"unknown", "segment"}:
        lines.append(f"                     Look at: {head.domain.upper()}")
    return lines


def _findings(result: Result) -> list[str]:
    lines: list[str] = []
    for number, finding in enumerate(result.findings[:MOST_FINDINGS], 1):
        lines += _wrapped(finding.statement, f" {number} {finding.verdict:<12} ", " " * 16)
        lines += _evidence(result, finding)
    more = len(result.findings) - MOST_FINDINGS
    if more > 0:
        lines.append(f"   {more} more in result.json")
    return lines or [" no finding"]


def _evidence(result: Result, finding: Finding) -> list[str]:
    if not finding.evidence:
        return []
    first = finding.evidence[0]
    return [f"                 see {frame_place(result, first)}   {first.filter}"]


def _wrapped(text: str, lead: str, indent: str) -> list[str]:
    """Break *text* at spaces; the first line begins with *lead*, others with *indent*."""
    lines, line = [], lead
    empty = True
    for word in text.split(" "):
        if not empty and len(line) + 1 + len(word) > WIDTH:
            lines.append(line)
            line, empty = indent, True
        line += word if empty else " " + word
        empty = False
    return [*lines, line]


def _segments(result: Result) -> list[str]:
    """Draw the segment table, both directions of a segment on one line."""
    pairs: dict[tuple[str | None, str | None], dict[str, SegmentRow]] = {}
    for row in result.segments:
        ends = (row.near, row.far) if row.direction == "forward" else (row.far, row.near)
        pairs.setdefault(ends, {})[row.direction] = row
    if not pairs:
        return []
    most = max((_lost(r) for p in pairs.values() for r in p.values()), default=0)
    table: list[tuple[str, ...]] = [
        ("segment", "→  sent", "vanished", "←  sent", "vanished", "delay p95 → / ←", "resets born")
    ]
    table += [_line(ends, rows, most) for ends, rows in _in_order(result, pairs)]
    widths = [max(len(r[k]) for r in table) for k in range(len(table[0]))]
    return [
        f" {cells[0].ljust(widths[0])}  {'  '.join(c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True))}"
        for cells in table
    ]


def _in_order(
    result: Result, pairs: dict[tuple[str | None, str | None], dict[str, SegmentRow]]
) -> list[tuple[tuple[str | None, str | None], dict[str, SegmentRow]]]:
    """Return the segments nearest to the clients first; outer segments where they lie."""
    order = {p.name: p.order for p in result.points}
    count = len(order)

    def place(ends: tuple[str | None, str | None]) -> tuple[float, float]:
        near, far = ends
        first = order.get(near, 0) if near is not None else order.get(far or "", 0) - 0.5
        last = order.get(far, count) if far is not None else count
        return first, last

    return sorted(pairs.items(), key=lambda item: place(item[0]))


def _lost(row: SegmentRow) -> int:
    return row.vanished + row.vanished_probable


def _line(ends: tuple[str | None, str | None], rows: dict[str, SegmentRow], most: int) -> tuple[str, ...]:
    """Return the cells of one segment."""
    near, far = ends
    forward, reverse = rows.get("forward"), rows.get("reverse")
    one = forward or reverse
    assert one is not None
    if one.inferred:
        name = f"{near or 'clients'} ┄ {far or 'servers'}  (not measured)"
        return (name, *_outer_cells(forward), *_outer_cells(reverse), "–", str(_resets(rows)))
    name = f"{near} {'┄' if one.span else '─'} {far}"
    if one.name:
        name += f"  {one.name} {one.circuit or ''}".rstrip()
    if one.span:
        name += "  (wider claim)"
    return (name, *_cells(forward, most), *_cells(reverse, most), _delays(forward, reverse), str(_resets(rows)))


def _resets(rows: dict[str, SegmentRow]) -> int:
    return sum(r.resets for r in rows.values())


def _cells(row: SegmentRow | None, most: int) -> tuple[str, str]:
    if row is None or not row.sent:
        return ("–", "–")
    lost = _lost(row)
    bar = " " + "█" * max(1, round(BAR * lost / most)) if lost else ""
    return (f"{row.sent:,}", f"{lost:,}{bar}")


def _outer_cells(row: SegmentRow | None) -> tuple[str, str]:
    if row is None or not (row.holes or row.resent or (row.series and row.series.lost)):
        return ("–", "?")
    if row.series and row.series.lost:
        return ("–", f"{row.series.lost:,} by number" + (f", {row.holes:,} holes" if row.holes else ""))
    return ("–", f"{row.holes:,} holes" if row.holes else f"{row.resent:,} resent")


def _delays(forward: SegmentRow | None, reverse: SegmentRow | None) -> str:
    """Return one-way delays where the clocks carry them, else what no clock offset touches."""
    delays = [row.delay if row is not None else None for row in (forward, reverse)]
    known = [d for d in delays if d is not None]
    if any(d.doubt == "clocks-contradict" for d in known):
        return "clocks contradict"
    if any(d.doubt for d in known):
        varies = " / ".join("–" if d is None or d.variation is None else duration(d.variation[1]) for d in delays)
        trips = [r.round_trip_ns for r in (forward, reverse) if r is not None and r.round_trip_ns is not None]
        return f"varies {varies}" + (f", round trip {duration(trips[0])}" if trips else "")
    text = " / ".join("–" if d is None else duration(d.p95) for d in delays)
    return f"{text} ±{duration(max(d.uncertainty or 0 for d in known))}" if known else text


def _changed(result: Result) -> list[str]:
    """Say what devices changed in headers."""
    lines = changed_lines(result.segments)
    return [part for line in lines for part in _wrapped(line, " CHANGED     ", " " * 13)]


def _not_shown(result: Result) -> list[str]:  # noqa: C901  # one case a line reads best
    """Say what the counts leave open."""
    lines = []
    unseen: dict[str, int] = {}
    for row in result.segments:
        if row.unseen and row.far:
            unseen[row.far] = unseen.get(row.far, 0) + row.unseen
    if unseen:
        lines.append(" Missed by capture (arrived): " + ", ".join(f"{n:,} at {p}" for p, n in unseen.items()) + ".")
    reasons: dict[str, int] = {}
    for entry in result.undecided:
        reasons[entry.reason] = reasons.get(entry.reason, 0) + entry.count
    if reasons:
        lines.append(" Undecided: " + ", ".join(f"{n:,} {r}" for r, n in sorted(reasons.items())) + ".")
    outer = [r for r in result.segments if r.inferred]
    if outer:
        lines += _wrapped(
            "what lies before the first and behind the last point is only inferred from TCP", " NOT SHOWN   ", " " * 13
        )
    for expected in result.expect:
        word = {"pass": "holds", "fail": "FAILS", "undecidable": "cannot be decided"}[expected.outcome]
        lines += _wrapped(f"{expected.name}: {word} ({expected.reason})", " EXPECTED    ", " " * 13)
    for name, reason in result.absent:
        lines += _wrapped(f"no capture from {name}: {reason}", " MISSING     ", " " * 13)
    for point in result.points:
        if point.quality != "good":
            lines += _wrapped(f"{point.name} is {point.quality}: {'; '.join(point.reasons)}", " QUALITY     ", " " * 13)
        if sum(count for _, count in point.not_decoded) > point.packets * NOTEWORTHY:
            named = ", ".join(f"{name} {count:,}" for name, count in point.not_decoded[:MOST_KINDS])
            lines += _wrapped(f"frames of {point.name} without IP that can be read: {named}", " NOT DECODED ", " " * 13)
    for warning in result.warnings:
        lines += _wrapped(warning, " NOTE        ", " " * 13)
    return lines


def _next(result: Result, directory: str, *, merged: bool) -> list[str]:
    """Name what would decide more, and the commands."""
    lines: list[str] = []
    others = list(dict.fromkeys(a for f in result.findings[:MOST_FINDINGS] for a in f.alternatives))
    if others:
        lines += _wrapped("; ".join(others[:4]), " ELSE        ", " " * 13)
    for text in result.headline.would_decide_it:
        lines += _wrapped(text, " DECIDES IT  ", " " * 13)
    if directory:
        lines += [
            "",
            *_stories(result, directory.rstrip("/")),
            f" {directory.rstrip('/')}/  result.json  report.txt" + ("  merged.pcapng" if merged else ""),
        ]
        if not merged:
            lines.append(f" all packets on one clock:  vanishpoint merge {directory.rstrip('/')}")
    return lines


def _stories(result: Result, directory: str) -> list[str]:
    """Name the commands that tell of one packet."""
    there = [("packet that vanished", "--vanished", result.vanished), ("reset", "--reset", result.resets)]
    return [f" who saw what of the first {w}:  vanishpoint explain {directory} {o} 1" for w, o, found in there if found]
