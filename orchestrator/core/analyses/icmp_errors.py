"""Errors of ICMP by the flow that they quote, and by who sent them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.core.analyses.resets import PROTOCOLS, flow_key
from orchestrator.core.routes import FORWARD, address
from orchestrator.model.columns import ICMP
from orchestrator.model.finding import FlowKey
from orchestrator.model.names import IcmpError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.core.analyses.all_frames import AllFrames
    from orchestrator.core.analyses.scene import Scene

MOST_ERRORS, MOST_TIMES = 10_000, 100
"""Groups, and times of each."""
NAMES: dict[tuple[int, int, int], str] = {
    (ICMP, 3, code): name
    for code, name in enumerate(
        (
            "net unreachable", "host unreachable", "protocol unreachable", "port unreachable", "fragmentation needed",
            "source route failed", "net unknown", "host unknown", "source host isolated", "net prohibited",
            "host prohibited", "net unreachable for this service", "host unreachable for this service",
            "administratively prohibited", "host precedence violation", "precedence cut-off",
        )
    )
} | {
    (ICMP, 11, 0): "time exceeded", (ICMP, 11, 1): "fragment reassembly time exceeded",
    (58, 3, 0): "time exceeded", (58, 3, 1): "fragment reassembly time exceeded", (58, 2, 0): "packet too big",
} | {
    (58, 1, code): name
    for code, name in enumerate(
        (
            "no route", "administratively prohibited", "beyond scope of source address", "host unreachable",
            "port unreachable", "source address failed policy", "route rejected", "source route failed",
        )
    )
}  # fmt: skip
KINDS = {
    (ICMP, 3): "unreachable", (ICMP, 4): "source quench", (ICMP, 5): "redirect", (ICMP, 11): "time exceeded",
    (ICMP, 12): "parameter problem", (58, 1): "unreachable", (58, 2): "packet too big", (58, 3): "time exceeded",
    (58, 4): "parameter problem",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Quoted:
    """Errors of ICMP, and which flows they are about."""

    errors: list[IcmpError]
    in_all: int
    """Groups of errors that differ in kind, sender or flow."""
    by_flow: dict[int, list[tuple[int, str]]]
    """By flow that was seen: (time, what) of some."""


@dataclass(frozen=True, slots=True)
class _View:
    """What all errors of a run share. Arrays by error."""

    scene: Scene
    frames: AllFrames
    table: NDArray[np.void]
    token: NDArray[np.int64]
    """A number below zero of its own for a frame that is no token."""
    time_ns: NDArray[np.int64]
    flow: NDArray[np.int64]
    """Quoted flow, -1 where it was not seen."""


def find_errors(scene: Scene, frames: AllFrames, table: NDArray[np.void]) -> Quoted:
    """Return the errors in *table*, those of one kind, sender and flow together; of very many the most frequent."""
    if not len(table):
        return Quoted([], 0, {})
    row = table["row"]
    token = np.where(frames.token[row] >= 0, frames.token[row], -1 - np.arange(len(row)))
    view = _View(scene, frames, table, token, frames.time_ns[row], _flows(scene, frames, table))
    order, begins = _grouped(view)
    groups = np.split(order, begins[1:])
    chosen = sorted(groups, key=len, reverse=True)[:MOST_ERRORS]
    errors = [_error(view, group) for group in chosen]
    by_flow: dict[int, list[tuple[int, str]]] = {}
    for error, group in zip(errors, chosen, strict=True):
        if view.flow[group[0]] >= 0:
            told = [(time, f"{error.name}, says {error.sender}") for time in error.times_ns]
            by_flow.setdefault(int(view.flow[group[0]]), []).extend(told)
    return Quoted(sorted(errors, key=lambda e: e.first_ns), len(groups), by_flow)


def _flows(scene: Scene, frames: AllFrames, table: NDArray[np.void]) -> NDArray[np.int64]:
    """Return the number of the flow that each error quotes, however translators call it; -1 where it was not seen."""
    wanted, number = np.unique(table["flow"], return_inverse=True)
    rows = np.flatnonzero(np.isin(frames.packets.flow, wanted) & (frames.token >= 0))
    flow = np.full(len(wanted), -1, np.int64)
    flow[np.searchsorted(wanted, frames.packets.flow[rows])] = scene.tokens.flow[frames.token[rows]]
    return np.where(table["family"] > 0, flow[number], -1)


def _grouped(view: _View) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the errors in an order that puts groups together, each in order of time, and where each begins."""
    table, packets, row = view.table, view.frames.packets, view.table["row"]
    about = np.where(view.flow >= 0, view.flow.astype(np.uint64), table["flow"])
    columns = (
        view.time_ns, about, view.flow >= 0, packets.src_lo[row], packets.src_hi[row], table["mtu"], table["code"],
        table["type"], packets.protocol[row],
    )  # fmt: skip
    order = np.lexsort(columns)
    fresh = np.ones(len(order), np.bool_)
    fresh[1:] = np.logical_or.reduce([c[order][1:] != c[order][:-1] for c in columns[1:]])
    return order, np.flatnonzero(fresh)


def _error(view: _View, group: NDArray[np.int64]) -> IcmpError:
    """Describe one group of errors, in order of time."""
    frames, names = view.frames, view.scene.names
    entry = view.table[_nearest_to_receiver(view, group)]
    row = int(entry["row"])
    protocol, kind, code = int(frames.packets.protocol[row]), int(entry["type"]), int(entry["code"])
    outer = flow_key(frames.packets, row)
    single = group[np.sort(np.unique(view.token[group], return_index=True)[1])]
    forms = np.unique(view.table["flow"][single], return_counts=True)[1]  # a translator changes what is quoted
    shown = np.unique(np.stack((frames.point[view.table["row"][group]], view.token[group])), axis=1)[0]
    points = np.unique(shown, return_counts=True)  # what a mirror doubles came by once
    return IcmpError(
        protocol=outer.protocol, type=kind, code=code,
        name=NAMES.get((protocol, kind, code), KINDS.get((protocol, kind), f"type {kind}, code {code}")),
        mtu=int(entry["mtu"]) or None, sender=outer.src, receiver=outer.dst, quoted=_quoted(entry),
        known=bool(view.flow[group[0]] >= 0), count=int(forms.max()),
        times_ns=tuple(view.time_ns[single][:MOST_TIMES].tolist()), last_ns=int(view.time_ns[single[-1]]),
        points=tuple((names[p], n) for p, n in zip(*(c.tolist() for c in points), strict=True)),
        point=names[int(frames.point[row])], frame=int(frames.number[row]),
    )  # fmt: skip


def _nearest_to_receiver(view: _View, group: NDArray[np.int64]) -> int:
    """Return the error that was seen farthest along its way: translators then have made it what its receiver gets."""
    token = int(view.token[group[0]])
    point = view.frames.point[view.table["row"][group]].astype(np.int64)
    forward = token >= 0 and view.scene.routes.direction[token] == FORWARD
    return int(group[np.argmax(point) if forward else np.argmin(point)])


def _quoted(entry: np.void) -> FlowKey | None:
    """Return the five-tuple that an error quotes."""
    family = int(entry["family"])
    if not family:
        return None
    source, target = (str(address(int(entry[f"{e}_hi"]), int(entry[f"{e}_lo"]), family)) for e in ("src", "dst"))
    protocol = int(entry["protocol"])
    return FlowKey(
        protocol=PROTOCOLS.get(protocol, f"ip-{protocol}"), src=source, sport=int(entry["sport"]), dst=target,
        dport=int(entry["dport"]),
    )  # fmt: skip
