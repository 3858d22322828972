"""Work a playbook out against its network: which interface of which host, with which filter, and for how long.

Pure: no host is touched and no clock is read. `vanishpoint plan` prints the result; a run carries it out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.core.plan_addresses import addresses_of, split_port
from orchestrator.core.plan_flows import FlowPlanner, flows_at
from orchestrator.core.plan_notes import notes_on_playbook
from orchestrator.core.plan_points import PointPlanner
from orchestrator.core.plan_segments import label_segments
from orchestrator.errors import PlaybookError
from orchestrator.model.plan import CapturePlan, PlannedPath, PointPlan

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.core.plan_flows import FlowPlan, FlowRoute
    from orchestrator.core.plan_paths import Route
    from orchestrator.model.playbook import Playbook
    from orchestrator.model.topology import Topology


def plan_capture(playbook: Playbook, topology: Topology, *, offline: bool = False) -> CapturePlan:
    """Return what a run of *playbook* in *topology* does.

    With *offline* the captures exist already: nothing is refused for want of a host or a filter, and the plan serves
    for its paths, segments and names.

    Raises:
        PlaybookError: What it asks for cannot be captured in a way that would give true results.
    """
    chosen = playbook.points or tuple(topology.points)
    planner = FlowPlanner(topology, chosen)
    flows = planner.plan(playbook.flows)
    points = PointPlanner(playbook, topology, planner, flows, offline=offline)
    plans = points.plan(chosen)
    if not offline:
        _refuse_too_few(playbook, plans)
    paths, path_notes = _paths(playbook, topology, flows)
    segments, segment_notes = label_segments(topology, _planned_routes(flows))
    notes = [*notes_on_playbook(playbook, topology), *points.notes, *path_notes, *segment_notes]
    return CapturePlan(
        name=playbook.name,
        about=playbook.about,
        points=plans,
        paths=paths,
        segments=segments,
        window=playbook.window,
        min_points=playbook.min_points,
        translations=_translations(topology),
        hosts=_hosts(topology),
        ticket=playbook.authority.ticket if playbook.authority else None,
        authority=playbook.authority,
        expect=playbook.expect,
        notes=tuple(dict.fromkeys(notes)),
    )


def _refuse_too_few(playbook: Playbook, plans: tuple[PointPlan, ...]) -> None:
    captured = {plan.point for plan in plans}
    if not captured:
        msg = f"playbook {playbook.name}: none of its points is captured by us, all wait for a file"
        raise PlaybookError(msg, hint="Analyse such files with `vanishpoint analyse --point NAME=FILE`.")
    absent = [name for name in playbook.required if name not in captured]
    if absent:
        msg = f"playbook {playbook.name}: required point {absent[0]!r} waits for a file, so no run can require it"
        raise PlaybookError(msg, hint="Take it out of capture.required.")
    if playbook.min_points > len(captured):
        count = f"min_points is {playbook.min_points}, but only {len(captured)} are captured by us"
        msg = f"playbook {playbook.name}: {count}"
        raise PlaybookError(msg, hint="Lower capture.min_points, or add points that are reached by SSH.")


def _planned_routes(flows: FlowPlan) -> Iterable[Route]:
    return {id(item.route): item.route for item in flows.routes}.values()


def _paths(playbook: Playbook, topology: Topology, flows: FlowPlan) -> tuple[tuple[PlannedPath, ...], tuple[str, ...]]:
    """Return one path per pair of ends and list of points, with the addresses of all its flows."""
    passing = flows_at(flows.routes, playbook.point_flows)
    groups: dict[tuple[str, str, tuple[str, ...]], list[FlowRoute]] = {}
    for item in flows.routes:
        kept = {name for name, found in passing.items() if any(other.route is item.route for other, _ in found)}
        points = tuple(name for name in item.route.points if name in kept)
        if points:
            groups.setdefault((item.route.client, item.route.server, points), []).append(item)
    taken: dict[str, int] = {}
    paths: list[PlannedPath] = []
    for (_, _, points), items in groups.items():
        name = items[0].route.name
        taken[name] = taken.get(name, 0) + 1
        clauses = [item.clause(topology, stop) for item in items for stop in item.route.stops if stop.point in points]
        paths.append(
            PlannedPath(
                name=name if taken[name] == 1 else f"{name} ({taken[name]})",
                points=points,
                client_addresses=tuple(dict.fromkeys(a for clause in clauses for a in clause.clients)),
                server_addresses=tuple(dict.fromkeys(s.address for clause in clauses for s in clause.servers)),
            )
        )
    several = [name for name, count in taken.items() if count > 1]
    return tuple(paths), tuple(f"path {name}: {taken[name]} ways of equal length; all are kept" for name in several)


def _translations(topology: Topology) -> tuple[tuple[str, str, str], ...]:
    declared = [
        (name, item.inside, item.outside) for name, node in topology.nodes.items() for item in node.translations
    ]
    balanced = [
        (name, inside, outside)
        for name, node in topology.nodes.items()
        for member in node.pool
        for inside in addresses_of(topology.nodes[member])
        for outside in addresses_of(node)
    ]
    return (*declared, *balanced)


def _hosts(topology: Topology) -> dict[str, str]:
    """Return the node behind each address; a shared address goes by the name of the share."""
    hosts: dict[str, str] = {}
    for name, node in topology.nodes.items():
        hosts.update({address: node.shares.get(address, name) for address in addresses_of(node)})
    for name, node in topology.nodes.items():
        for item in node.translations:
            outside, inside = split_port(item.outside)[0], split_port(item.inside)[0]
            if "/" not in outside:
                hosts.setdefault(outside, hosts.get(inside, name) if item.kind == "dnat" else name)
        if node.snat is not None and "/" not in node.snat:
            hosts.setdefault(node.snat, name)
    return hosts
