"""A story on a terminal: the packet point by point, then the connection around it, a line a packet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.report.jsonl import timestamp
from orchestrator.report.text import duration, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.model.story import Sighting, Step, Story

SEEN, UNSEEN = "●", "·"
WHAT_WIDTH = 44


def render_story(story: Story) -> str:
    """Return *story* as text."""
    parts = [*_packet(story), *_connection(story)]
    if story.decoded:
        parts += ["", "THE FRAME, as its first point captured it", *(f"  {line}" for line in story.decoded)]
    return "\n".join(printable(line).rstrip() for line in parts) + "\n"


def story_document(story: Story) -> dict[str, Any]:
    """Return *story* as it stands in JSON."""
    return {
        "schema": 1, "title": story.title, "from": story.way[0], "to": story.way[1], "points": list(story.points),
        "packet": story.focus, "evidence": list(story.evidence),
        "sightings": [
            {
                "point": s.point, "frame": s.frame, "time": timestamp(s.time_ns), "after_ns": s.after_ns,
                "uncertainty_ns": s.uncertainty_ns, "ttl": s.ttl, "copies": s.copies, "changed": list(s.changed),
            }
            for s in story.sightings
        ],
        "absences": [{"point": a.point, "why": a.why} for a in story.absences],
        "steps": [
            {
                "packet": s.packet, "time": timestamp(s.time_ns), "direction": "there" if s.along else "back",
                "what": s.what, "seen": [p for p, yes in zip(story.points, s.seen, strict=True) if yes],
                "fate": s.fate, "skipped": s.skipped,
            }
            for s in story.steps
        ],
        "left_out": story.left_out, "decoded": list(story.decoded),
    }  # fmt: skip


def _packet(story: Story) -> Iterator[str]:
    """Yield what is said of the packet itself, or of the connection as a whole."""
    yield story.title
    if story.focus is not None:
        yield f"packet {story.focus} in written files (frame.packet_id)"
    for number, line in enumerate(story.evidence):
        yield f"{'' if number == 0 else ' - '}{line}"
    if not story.sightings:
        return
    yield ""
    width = max(len("point"), *map(len, story.points))
    yield f" {'point'.ljust(width)}  {'seen (UTC)'.ljust(29)}  {'after the first'.ljust(24)}  TTL  frame"
    for sighting in story.sightings:
        yield f" {sighting.point.ljust(width)}  {_sighted(sighting)}"
    for absence in story.absences:
        yield f" {absence.point.ljust(width)}  not seen: {absence.why}"


def _sighted(sighting: Sighting) -> str:
    if sighting.uncertainty_ns is None:
        after = f"{duration(sighting.after_ns)}, unbounded"
    else:
        doubt = f" ±{duration(sighting.uncertainty_ns)}" if sighting.uncertainty_ns else ""
        after = f"{duration(sighting.after_ns)}{doubt}"
    notes = [f"and {sighting.copies:,} more"] if sighting.copies else []
    notes += sighting.changed
    text = f"{_instant(sighting.time_ns)}  {after.ljust(24)}  {sighting.ttl:3d}  {sighting.frame:,}"
    return f"{text}   {'; '.join(notes)}" if notes else text


def _instant(time_ns: int) -> str:
    return str(timestamp(time_ns)).replace("T", " ").removesuffix("Z")


def _connection(story: Story) -> Iterator[str]:
    """Yield a line a packet, with a column a point."""
    yield ""
    yield f"THE CONNECTION   → {story.way[0]} to {story.way[1]}"
    yield f" {SEEN} seen  {UNSEEN} not seen; points: " + ", ".join(f"{k} {n}" for k, n in enumerate(story.points, 1))
    marks = " ".join(str(k % 10) for k in range(1, len(story.points) + 1))
    yield f" {'time (UTC)'.ljust(18)}     {'what'.ljust(WHAT_WIDTH)}  {marks}"
    for step in story.steps:
        if step.skipped:
            yield f" {'':18}     … {step.skipped:,} more"
        yield _line(step, asked=step.packet == story.focus)
    if story.left_out:
        yield f" {'':18}     … {story.left_out:,} more"


def _line(step: Step, *, asked: bool) -> str:
    marks = " ".join(SEEN if yes else UNSEEN for yes in step.seen)
    arrow = "→" if step.along else "←"
    lead = f"{'>' if asked else ' '}{_time_of_day(step.time_ns).ljust(18)}  {arrow}"
    text = f"{lead}  {step.what.ljust(WHAT_WIDTH)}  {marks}"
    return f"{text}   {step.fate}" if step.fate else text


def _time_of_day(time_ns: int) -> str:
    return _instant(time_ns).rpartition(" ")[2]
