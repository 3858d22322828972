"""What lies between two neighbouring points of a route, from tap to tap, by name?"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from orchestrator.model.plan import SegmentLabel

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.core.plan_paths import Route, Stop, Walk
    from orchestrator.model.topology import Interface, Link, Topology


def label_segments(topology: Topology, routes: Iterable[Route]) -> tuple[tuple[SegmentLabel, ...], tuple[str, ...]]:
    """Return a label for each pair of neighbouring points, and notes on pairs that several ways join.

    Points that wait for a file are also left out in turn, so that the stretch over them has a label before it comes.
    """
    labels: dict[tuple[str, str], SegmentLabel] = {}
    notes: dict[str, None] = {}
    for route in routes:
        captured = tuple(stop for stop in route.stops if topology.points[stop.point].supply == "ssh")
        for near, far in dict.fromkeys([*pairwise(route.stops), *pairwise(captured)]):
            label = _label(topology, route.walk, near, far)
            known = labels.setdefault((near.point, far.point), label)
            if known.contains != label.contains:
                notes[f"segment {near.point} to {far.point}: several ways lead through it; the first is named"] = None
    return tuple(labels.values()), tuple(notes)


def _label(topology: Topology, walk: Walk | None, near: Stop, far: Stop) -> SegmentLabel:
    if walk is None or near.index is None or far.index is None:
        unknown = (f"everything between {near.interface} and {far.interface}: the inventory does not link them",)
        return SegmentLabel(near=near.point, far=far.point, contains=unknown)
    # Links lie between interfaces 0 and 1, 2 and 3 …: those begun at or after the near tap and ended by the far one.
    links = walk.links[(near.index + 1) // 2 : (far.index + 1) // 2]
    named = next((link for link in links if link.name), None)
    circuit = next((link.circuit for link in links if link.circuit), None)
    return SegmentLabel(
        near=near.point,
        far=far.point,
        contains=_contents(topology, walk, near.index, far.index),
        name=named.name if named else None,
        circuit=circuit,
    )


def _contents(topology: Topology, walk: Walk, near: int, far: int) -> tuple[str, ...]:
    """Name everything from the tap on interface *near* to the tap on interface *far*, in order."""
    if near == far:
        return (f"nothing: both points are taps on {walk.interfaces[near]}",)
    parts: list[str] = []
    if near % 2 == 0:
        parts.append(f"{walk.interfaces[near]} output after its tap")
    for index in range(near, far):
        here, following = walk.interfaces[index], walk.interfaces[index + 1]
        if index % 2 == 0:
            parts.append(_link(topology, walk.links[index // 2], here, following))
        else:
            parts.append(f"{here.node} ({here.name} to {following.name})")
    if far % 2 == 1:
        parts.append(f"{walk.interfaces[far]} input before its tap")
    return tuple(parts)


def _link(topology: Topology, link: Link, here: Interface, following: Interface) -> str:
    kind = "link" if link.kind == "ethernet" else link.kind
    name = f" {link.name}" if link.name else ""
    circuit = f" (circuit {link.circuit})" if link.circuit else ""
    sites = [topology.nodes[end.node].site for end in (here, following)]
    hand_off = f", hand-off from {sites[0]} to {sites[1]}" if all(sites) and sites[0] != sites[1] else ""
    return f"{kind}{name}{circuit} {here} to {following}{hand_off}"
