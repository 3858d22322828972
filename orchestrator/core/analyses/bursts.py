"""Many connections of one host that are reset within milliseconds, and how many of its others live on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.analyses.resets import flow_key
from orchestrator.core.sort import by_group, nearly_sorted
from orchestrator.model.finding import Burst

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.core.tokens import Tokens
    from orchestrator.core.verdicts import Verdicts
    from orchestrator.model.columns import Packets
    from orchestrator.model.finding import FlowKey, Reset

BURST_NS = 50_000_000
"""Resets of one host closer than this are one event."""


def find_bursts(resets: Sequence[Reset], tokens: Tokens, packets: Packets, verdicts: Verdicts) -> list[Burst]:
    """Return events in which one host reset several flows at once, and how many of its flows lived on."""
    hosts: dict[str, list[Reset]] = {}
    for reset in resets:
        if reset.origin != "network":
            hosts.setdefault(reset.flow.src, []).append(reset)
    found: list[Burst] = []
    spans: dict[tuple[str, FlowKey], tuple[int, int]] = {}
    for host, mine in hosts.items():
        groups: list[list[Reset]] = []
        for reset in mine:
            if groups and reset.time_ns - groups[-1][-1].time_ns <= BURST_NS:
                groups[-1].append(reset)
            else:
                groups.append([reset])
        wide = [g for g in groups if len({r.flow for r in g}) > 1]
        if wide and not spans:
            spans = _flow_spans(tokens, packets, verdicts)
        found += [_burst(host, group, spans) for group in wide]
    return sorted(found, key=lambda b: b.time_ns)


def _burst(host: str, group: list[Reset], spans: dict[tuple[str, FlowKey], tuple[int, int]]) -> Burst:
    """Count one event."""
    time = group[0].time_ns
    ended = {r.flow for r in group}
    opened = {f for (h, f), (begin, end) in spans.items() if h == host and begin <= time <= end + BURST_NS}
    others = {f for f in opened - ended if spans[host, f][1] > group[-1].time_ns + BURST_NS}
    return Burst(
        host=host, time_ns=time, flows=len(ended), servers=len({r.flow.dst for r in group}),
        open_flows=len(ended | others), survivors=len(others), spread_ns=group[-1].time_ns - time,
    )  # fmt: skip


def _flow_spans(tokens: Tokens, packets: Packets, verdicts: Verdicts) -> dict[tuple[str, FlowKey], tuple[int, int]]:
    """Return first and last time of each TCP flow direction, by its source."""
    first = tokens.first_row
    tcp = np.flatnonzero(packets.protocol[first] == 6)  # noqa: PLR2004
    order = by_group(tcp[nearly_sorted(verdicts.time_ns[tcp])], tokens.way)
    ordered = tokens.way[order]
    begins = np.flatnonzero(np.concatenate(([True], np.diff(ordered) != 0))) if len(order) else np.empty(0, np.int64)
    ends = np.append(begins[1:], len(order)) - 1
    spans = {}
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=False):
        key = flow_key(packets, int(first[order[begin]]))
        spans[key.src, key] = (int(verdicts.time_ns[order[begin]]), int(verdicts.time_ns[order[end]]))
    return spans
