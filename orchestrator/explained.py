"""Tell the story of one packet or connection from a worked-out run: who saw what of it, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from orchestrator.core.analyses.resets import flow_key
from orchestrator.core.grid import arrange, sent_again, stand_out, with_context
from orchestrator.core.wording import changes, describe, end_of
from orchestrator.errors import InputError
from orchestrator.model.columns import RST, TCP, UDP
from orchestrator.model.story import Absence, Sighting, Step, Story
from orchestrator.model.wanted import End, Wanted
from orchestrator.pcap.cut import select

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from orchestrator.core.analysis import Analysis
    from orchestrator.core.grid import Grid
    from orchestrator.model.columns import Packets
    from orchestrator.model.finding import Reset, Vanished
    from orchestrator.model.story import Asked
    from orchestrator.pcap.cut import Table

Entry = TypeVar("Entry")
MOST_STEPS = 200
"""Of a whole connection; around one packet as many as were asked for."""


@dataclass(frozen=True, slots=True)
class _Focus:
    """What was asked for: a row that shows it, and what the analysis says about it."""

    row: int
    title: str
    evidence: tuple[str, ...] = ()


def explain(table: Table, analysis: Analysis, asked: Asked) -> tuple[Story, int]:
    """Return the story that is *asked* for, and the row of the frame that it is about.

    Raises:
        InputError: There is no such packet.
    """
    focus = _focus(table, analysis, asked)
    flow = asked.flow if focus is None else _flow_of(table.packets, focus.row)
    grid = arrange(table.packets, table.token, table.time_ns, table.point, len(table.names), _connection(table, flow))
    place = None if focus is None else int(np.flatnonzero(grid.token == table.token[focus.row])[0])
    fates = _fates(table, analysis, grid)
    events = stand_out(table.packets, grid, np.array(list(fates), np.int64)) if place is None else np.array([place])
    chosen = with_context(events, len(grid.token), asked.context)[: MOST_STEPS if place is None else None]
    shown, lead = 0 if place is None else place, int(grid.first[0])
    story = Story(
        title=focus.title if focus else f"{len(grid.token):,} packets   {flow_key(table.packets, lead)}",
        way=(end_of(table.packets, lead, "src", "sport"), end_of(table.packets, lead, "dst", "dport")),
        points=tuple(table.names),
        steps=_steps(table, grid, fates, chosen), left_out=len(grid.token) - 1 - int(chosen[-1]),
        focus=None if place is None else int(grid.token[place]),
        sightings=_sightings(table, analysis, grid, shown) if focus else (),
        absences=_absences(table, analysis, grid, shown) if focus else (),
        evidence=focus.evidence if focus else (),
    )  # fmt: skip
    return story, int(grid.first[shown])


def _focus(table: Table, analysis: Analysis, asked: Asked) -> _Focus | None:
    """Return the packet that was asked for, None where it was a connection."""
    if asked.reset is not None:
        reset = _numbered(analysis.resets, asked.reset, "reset")
        title = f"reset {asked.reset:,} of {len(analysis.resets):,}   {reset.flow}"
        return _Focus(int(table.resets[asked.reset - 1]), title, (_of_reset(reset), *reset.evidence, *_cause_of(reset)))
    if asked.vanished is not None:
        gone = _numbered(analysis.vanished, asked.vanished, "vanished packet")
        title = f"vanished packet {asked.vanished:,} of {len(analysis.vanished):,}   {gone.flow}"
        return _Focus(int(table.vanished[asked.vanished - 1]), title, (_of_loss(gone),))
    if asked.frame is not None:
        point, number = asked.frame
        row = _row_of(table, point, number)
        return _Focus(row, f"frame {number:,} of {point}   {flow_key(table.packets, row)}")
    return None


def _numbered(entries: Sequence[Entry], number: int, what: str) -> Entry:
    """Return the entry of that number, from 1."""
    if not 0 < number <= len(entries):
        hint = f"This run has {len(entries):,}, numbered from 1." if entries else "This run has none."
        msg = f"there is no {what} {number:,}"
        raise InputError(msg, hint=hint)
    return entries[number - 1]


def _row_of(table: Table, point: str, number: int) -> int:
    """Return the row of a point's frame."""
    if point not in table.names:
        msg = f"{point}: no such point"
        raise InputError(msg, hint=f"The points are {', '.join(table.names)}.")
    rows = np.flatnonzero(table.point == table.names.index(point))
    if not 0 < number <= len(rows):
        msg = f"{point} has no frame {number:,}"
        raise InputError(msg, hint=f"Its frames are numbered from 1 to {len(rows):,}.")
    row = int(rows[number - 1])
    if table.token[row] < 0:
        msg = f"frame {number:,} of {point} is no packet that could be followed"
        raise InputError(msg, hint="It has no IP header that can be read, or is a repeat of one before it.")
    return row


def _of_reset(reset: Reset) -> str:
    nearer = "nearer to its claimed sender"
    born = (
        f"not seen at {reset.born_after}, {nearer}"
        if reset.born_after
        else f"no point {nearer}, or none that could tell"
    )
    return (
        f"first seen at {reset.first_seen}; {born}; origin {reset.origin}, family {reset.family}, cause {reset.cause},"
        f" confidence {reset.confidence:.4g}"
    )


def _cause_of(reset: Reset) -> list[str]:
    """Return what speaks for the cause of a reset, what against it, and what would decide."""
    return [
        f"{what}: {text}"
        for what, texts in (
            (f"for {reset.cause}", reset.supports), ("against it", reset.against), ("would decide", reset.would_decide),
        )
        for text in texts
    ]  # fmt: skip


def _of_loss(gone: Vanished) -> str:
    later = "; its data came through later" if gone.recovered else ""
    later += "; what was sent after it was acknowledged" if gone.superseded else ""
    return f"{gone.verdict}: seen at {gone.last_seen}, and at {gone.first_missing} no more{later}"


def _flow_of(packets: Packets, row: int) -> tuple[End, End]:
    """Return the two ends of a packet, with ports where it has any."""
    ported = int(packets.protocol[row]) in {TCP, UDP}
    return (
        End((int(packets.src_hi[row]), int(packets.src_lo[row])), int(packets.sport[row]) if ported else None),
        End((int(packets.dst_hi[row]), int(packets.dst_lo[row])), int(packets.dport[row]) if ported else None),
    )


def _connection(table: Table, flow: tuple[End, End] | None) -> NDArray[np.int64]:
    """Return the rows of a flow, also where its addresses are other ones and it shows no packet of those known here."""
    assert flow is not None
    rows = select(table, Wanted(flows=(flow,)))
    rows = rows[table.token[rows] >= 0]
    if not len(rows):
        msg = "none of the packets of that flow could be followed"
        raise InputError(msg, hint="They have no IP header that can be read.")
    ported = rows[np.isin(table.packets.protocol[rows], (TCP, UDP))]
    others = np.isin(table.packets.flow, np.unique(table.packets.flow[ported])) & (table.token >= 0)
    others[rows] = True
    return np.flatnonzero(others)


def _fates(table: Table, analysis: Analysis, grid: Grid) -> dict[int, str]:
    """Return by packet number what the analysis says of packets that vanished and of resets."""
    said: dict[int, str] = {}
    for k in np.flatnonzero(np.isin(table.token[table.vanished], grid.token)).tolist():
        gone = analysis.vanished[k]
        said[int(table.token[table.vanished[k]])] = f"vanished before {gone.first_missing} ({gone.verdict})"
    for k in np.flatnonzero(np.isin(table.token[table.resets], grid.token)).tolist():
        reset = analysis.resets[k]
        said[int(table.token[table.resets[k]])] = f"reset: origin {reset.origin}, {reset.cause}"
    return said


def _steps(table: Table, grid: Grid, fates: dict[int, str], chosen: NDArray[np.int64]) -> tuple[Step, ...]:
    """Put *chosen* packets into words."""
    packets = table.packets
    base, again = _bases(packets, grid), sent_again(packets, grid)
    steps, before = [], -1
    for k in chosen.tolist():
        first, along, token = int(grid.first[k]), bool(grid.along[k]), int(grid.token[k])
        what = describe(packets, first, (base[along], base[not along])) + (" again" if again[k] else "")
        steps.append(
            Step(
                packet=token, time_ns=int(table.time_ns[first]), along=along, what=what,
                seen=tuple((grid.row[k] >= 0).tolist()), fate=fates.get(token, ""), skipped=k - before - 1,
            )
        )  # fmt: skip
        before = k
    return tuple(steps)


def _bases(packets: Packets, grid: Grid) -> dict[bool, int | None]:
    """Return by direction the first sequence number that it uses, which its data is counted from."""
    base: dict[bool, int | None] = {True: None, False: None}
    for way in (True, False):
        mine = grid.first[(grid.along == way) & (packets.protocol[grid.first] == TCP)]
        mine = mine[(packets.flags[mine] & RST) == 0]
        if len(mine):
            base[way] = int(packets.seq[mine[0]])
    return base


def _sightings(table: Table, analysis: Analysis, grid: Grid, place: int) -> tuple[Sighting, ...]:
    """Return who saw a packet, in the order of time."""
    first = int(grid.first[place])
    start = np.searchsorted(table.point, np.arange(len(table.names)))
    doubt = [clock.uncertainty_ns for clock in analysis.clocks]
    found = []
    for point in np.flatnonzero(grid.row[place] >= 0).tolist():
        row = int(grid.row[place, point])
        mine, theirs = doubt[point], doubt[int(table.point[first])]
        told = 0 if row == first else None if mine is None or theirs is None else mine + theirs
        found.append(
            Sighting(
                point=table.names[point], frame=row - int(start[point]) + 1, time_ns=int(table.time_ns[row]),
                after_ns=int(table.time_ns[row] - table.time_ns[first]), uncertainty_ns=told,
                ttl=int(table.packets.ttl[row]), copies=int(grid.copies[place, point]) - 1,
                changed=changes(table.packets, first, row),
            )
        )  # fmt: skip
    return tuple(sorted(found, key=lambda s: s.time_ns))


def _absences(table: Table, analysis: Analysis, grid: Grid, place: int) -> tuple[Absence, ...]:
    """Return who did not see a packet, and why as far as that is known."""
    time = int(table.time_ns[grid.first[place]])
    missing = np.flatnonzero(grid.row[place] < 0).tolist()
    return tuple(Absence(point=table.names[p], why=_why_absent(table, analysis, grid, place, p, time)) for p in missing)


def _why_absent(table: Table, analysis: Analysis, grid: Grid, place: int, point: int, time: int) -> str:
    """Say what a point's silence about a packet is worth."""
    times = table.time_ns[table.point == point]
    if not len(times):
        return "captured nothing at all"
    if not int(times.min()) <= time <= int(times.max()):
        return "captured nothing at that time: its first packet is later, or its last earlier"
    same_way = grid.along == grid.along[place]
    if not (grid.row[same_way, point] >= 0).any():
        other = "the other direction alone" if (grid.row[:, point] >= 0).any() else "nothing of it at all"
        return f"saw {other}"
    rate = analysis.miss_rate[point]
    said = f"its capture missed {rate:.2%} of what passed it" if rate else "its capture is not known to miss anything"
    return f"saw other packets of this direction; {said}"
