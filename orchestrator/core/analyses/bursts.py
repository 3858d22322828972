"""Many connections of one host that are reset within milliseconds, and who and what lives on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.analyses.resets import flow_key
from orchestrator.core.sort import by_group, nearly_sorted
from orchestrator.model.columns import FIN, TCP
from orchestrator.model.finding import Burst

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.core.tokens import Tokens
    from orchestrator.core.verdicts import Verdicts
    from orchestrator.model.columns import Packets
    from orchestrator.model.finding import FlowKey, Reset

BURST_NS = 50_000_000
"""Resets of one host closer than this are one event."""
MOST_FRAMES = 10
LOOK_NS = 1_000_000_000
"""For so long a burst must be followed by captured time before silence says anything."""


@dataclass(frozen=True, slots=True)
class Span:
    """What one end of a connection sent: when it began and ended, and whether it finished."""

    begin: int
    end: int
    finished: bool


def find_bursts(resets: Sequence[Reset], tokens: Tokens, packets: Packets, verdicts: Verdicts) -> list[Burst]:
    """Return events in which one host reset several flows at once, and what else was open then."""
    hosts: dict[str, list[Reset]] = {}
    for reset in resets:
        if reset.origin != "network":
            hosts.setdefault(reset.flow.src, []).append(reset)
    events = [(host, group) for host, mine in hosts.items() for group in _groups(mine)]
    if not events:
        return []
    spans = _flow_spans(tokens, packets, verdicts)
    latest = _last_seen({host for host, _ in events}, tokens, packets, verdicts)
    end = int(verdicts.time_ns.max())
    found = sorted((_burst(host, group, spans, (latest[host], end)) for host, group in events), key=lambda b: b.time_ns)
    return [replace(b, together=_together(b, found)) for b in found]


def _groups(resets: Sequence[Reset]) -> list[list[Reset]]:
    """Return resets of one host, in order of time, that are one event of several flows."""
    groups: list[list[Reset]] = []
    for reset in resets:
        if groups and reset.time_ns - groups[-1][-1].time_ns <= BURST_NS:
            groups[-1].append(reset)
        else:
            groups.append([reset])
    return [g for g in groups if len({r.flow for r in g}) > 1]


def _burst(host: str, group: list[Reset], spans: dict[FlowKey, Span], latest: tuple[int, int]) -> Burst:
    """Count one event; *latest* is when the host was last seen, and when anything was."""
    time, until = group[0].time_ns, group[-1].time_ns + BURST_NS
    ended, servers = {r.flow for r in group}, {r.flow.dst for r in group}
    begun = {f: s for f, s in spans.items() if s.begin <= time}
    lived = {f for f, s in begun.items() if s.end > until}
    mine = {f for f in lived if f.src == host} - ended
    quiet = {f for f, s in begun.items() if f.src == host and s.end <= until and not s.finished} - ended
    first = group[0].first_seen
    frames = [n for r in group for point, numbers in r.frames if point == first for n in numbers[:1]]
    return Burst(
        host=host, time_ns=time, flows=len(ended), servers=len(servers), survivors=len(mine), quiet=len(quiet),
        open_flows=len(ended) + len(mine) + len(quiet), spread_ns=group[-1].time_ns - time,
        went_on=_went_on(until, *latest), bystanders=len({f.src for f in lived if f.dst in servers and f.src != host}),
        together=(), first_seen=first, frames=tuple(frames[:MOST_FRAMES]),
    )  # fmt: skip


def _went_on(until_ns: int, host_ns: int, all_ns: int) -> bool | None:
    if host_ns > until_ns:
        return True
    return False if all_ns > until_ns + LOOK_NS else None


def _together(burst: Burst, found: Sequence[Burst]) -> tuple[str, ...]:
    """Return other hosts with a burst at the time of *burst*."""
    near = {b.host for b in found if abs(b.time_ns - burst.time_ns) <= BURST_NS}
    return tuple(sorted(near - {burst.host}))


def _last_seen(hosts: set[str], tokens: Tokens, packets: Packets, verdicts: Verdicts) -> dict[str, int]:
    """Return when each of *hosts* was last seen to send anything."""
    first = tokens.first_row
    host = packets.src_lo[first] ^ (packets.src_hi[first] * np.uint64(0x9E3779B97F4A7C15))
    order = np.lexsort((verdicts.time_ns, host))
    lasts = order[np.flatnonzero(np.append(np.diff(host[order]) != 0, True))]
    found = {flow_key(packets, int(first[token])).src: int(verdicts.time_ns[token]) for token in lasts.tolist()}
    return {name: found.get(name, 0) for name in hosts}


def _flow_spans(tokens: Tokens, packets: Packets, verdicts: Verdicts) -> dict[FlowKey, Span]:
    """Return of each direction of TCP flows when it was first and last seen, and whether it finished."""
    first = tokens.first_row
    tcp = np.flatnonzero(packets.protocol[first] == TCP)
    order = by_group(tcp[nearly_sorted(verdicts.time_ns[tcp])], tokens.way)
    if not len(order):
        return {}
    begins = np.flatnonzero(np.concatenate(([True], np.diff(tokens.way[order]) != 0)))
    ends = np.append(begins[1:], len(order)) - 1
    fins = np.add.reduceat((packets.flags[first[order]] & FIN).astype(np.int64), begins)
    spans = {}
    for begin, end, fin in zip(begins.tolist(), ends.tolist(), fins.tolist(), strict=True):
        times = int(verdicts.time_ns[order[begin]]), int(verdicts.time_ns[order[end]])
        spans[flow_key(packets, int(first[order[begin]]))] = Span(*times, bool(fin))
    return spans
