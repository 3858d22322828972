"""Which packets a cut holds: by time, flow and point, or what vanished and what was reset with its surroundings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from orchestrator.model.columns import Packets
    from orchestrator.model.wanted import End, Wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Packets to choose from; arrays by row."""

    packets: Packets
    time_ns: NDArray[np.int64]
    token: NDArray[np.int64]
    point: NDArray[np.integer]
    names: Sequence[str]
    """Of the points, by number."""
    begin_ns: int
    """When the window opened, or the first packet."""
    vanished: NDArray[np.int64]
    """Rows where a packet that vanished was seen last."""
    resets: NDArray[np.int64]
    """Rows where a reset was seen first."""


def select(table: Table, wanted: Wanted) -> NDArray[np.int64]:
    """Return the rows that are *wanted*, ascending.

    Raises:
        InputError: There is none, or no such point.
    """
    place = _at_points(table, wanted.points)
    flow = _of_flows(table, wanted.flows)
    period = _within(table, wanted)
    if wanted.vanished or wanted.resets:
        given = [rows for rows, asked in ((table.vanished, wanted.vanished), (table.resets, wanted.resets)) if asked]
        events = np.unique(np.concatenate(given))
        chosen = _surroundings(table, events[(flow & period)[events]], place & flow, wanted)
    else:
        chosen = place & flow & period
    rows = np.flatnonzero(chosen)
    if not len(rows):
        raise InputError(_nothing(table, wanted), hint=_what_there_is(table))
    return rows


def _at_points(table: Table, names: Sequence[str]) -> NDArray[np.bool_]:
    unknown = [name for name in names if name not in table.names]
    if unknown:
        msg = f"--point {unknown[0]}: no such point"
        raise InputError(msg, hint=f"The points are {', '.join(table.names)}.")
    if not names:
        return np.ones(len(table.packets), np.bool_)
    numbers = [number for number, name in enumerate(table.names) if name in names]
    return np.isin(table.point, numbers)


def _of_flows(table: Table, flows: Sequence[tuple[End, End]]) -> NDArray[np.bool_]:
    """Return which rows belong to any of *flows*, or show a packet that does at another point: addresses change."""
    if not flows:
        return np.ones(len(table.packets), np.bool_)
    found = np.zeros(len(table.packets), np.bool_)
    for one, other in flows:
        found |= _is_end(table.packets, one, sender=True) & _is_end(table.packets, other, sender=False)
        found |= _is_end(table.packets, other, sender=True) & _is_end(table.packets, one, sender=False)
    return found | _copies(table, found)


def _copies(table: Table, rows: NDArray[np.bool_] | NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which rows show a packet that one of *rows* shows."""
    shown = np.zeros(int(table.token.max(initial=-1)) + 2, np.bool_)  # the last is for rows without a token
    shown[table.token[rows]] = True
    shown[-1] = False
    return shown[table.token]


def _is_end(packets: Packets, end: End, *, sender: bool) -> NDArray[np.bool_]:
    """Return which rows have *end* as their sender, or as their receiver."""
    high, low, port = (
        (packets.src_hi, packets.src_lo, packets.sport) if sender else (packets.dst_hi, packets.dst_lo, packets.dport)
    )
    found = packets.family > 0
    if end.address is not None:
        found &= (low == np.uint64(end.address[1])) & (high == np.uint64(end.address[0]))
    if end.port is not None:
        found &= port == end.port
    return found


def _within(table: Table, wanted: Wanted) -> NDArray[np.bool_]:
    found = np.ones(len(table.packets), np.bool_)
    if wanted.start is not None:
        found &= table.time_ns >= wanted.start.resolve(table.begin_ns)
    if wanted.end is not None:
        found &= table.time_ns <= wanted.end.resolve(table.begin_ns)
    return found


def _surroundings(
    table: Table, events: NDArray[np.int64], pool: NDArray[np.bool_], wanted: Wanted
) -> NDArray[np.bool_]:
    """Return which rows of *pool* show an event, or stand near one in time at their point."""
    chosen = _copies(table, events)
    chosen[events] = True
    chosen &= pool
    for number in range(len(table.names)):
        here = table.point == number
        at = _times_at(table, events, np.flatnonzero(here & chosen))
        rows = np.flatnonzero(pool & here)
        rows = rows[np.argsort(table.time_ns[rows], kind="stable")]
        times = table.time_ns[rows]
        steps = np.zeros(len(rows) + 1, np.int64)
        spans = [
            (np.searchsorted(times, at) - wanted.context_packets,
             np.searchsorted(times, at, side="right") + wanted.context_packets),
            (np.searchsorted(times, at - wanted.context_ns), np.searchsorted(times, at + wanted.context_ns, "right")),
        ]  # fmt: skip
        for first, behind in spans:
            np.add.at(steps, np.maximum(first, 0), 1)
            np.add.at(steps, np.minimum(behind, len(rows)), -1)
        chosen[rows[np.cumsum(steps[:-1]) > 0]] = True
    return chosen


def _times_at(table: Table, events: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return when each of *events* was at the point of *rows*, which show some of them; else when it was seen last."""
    at = table.time_ns[events]
    order = np.argsort(table.token[events], kind="stable")
    tokens = table.token[events][order]
    rows = rows[table.token[rows] >= 0]
    places = np.searchsorted(tokens, table.token[rows])
    at[order[places]] = table.time_ns[rows]
    return at


def _nothing(table: Table, wanted: Wanted) -> str:
    if wanted.vanished and not len(table.vanished) and not wanted.resets:
        return "nothing vanished here, so there is nothing to cut out"
    if wanted.resets and not len(table.resets) and not wanted.vanished:
        return "there was no reset here, so there is nothing to cut out"
    return f"none of {len(table.packets):,} packets is what was asked for"


def _what_there_is(table: Table) -> str:
    if not len(table.packets):
        return "The captures are empty."
    first, last = (np.datetime64(int(t), "ns") for t in (table.time_ns.min(), table.time_ns.max()))
    return f"There are packets from {first}Z to {last}Z at {', '.join(table.names)}; both ends of a range belong to it."
