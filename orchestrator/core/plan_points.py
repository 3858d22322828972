"""What is captured at each point: host, interface, filter, limits, and whether its silence may accuse anybody."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.core.plan_addresses import contains
from orchestrator.core.plan_filter import build_filter
from orchestrator.core.plan_flows import flows_at
from orchestrator.errors import PlaybookError
from orchestrator.model.plan import PointPlan

if TYPE_CHECKING:
    from orchestrator.core.plan_filter import Clause, Form
    from orchestrator.core.plan_flows import FlowPlan, FlowPlanner
    from orchestrator.model.playbook import Flow, Playbook
    from orchestrator.model.topology import Interface, Point, Ssh, Topology

LEASE_SECONDS = 20
MARGIN_SECONDS = 120
"""Between the first point armed and the window, and between its end and the last point stopped."""
WHOLE_PACKET = 262_144
_LONG_FILTER = 6000
_SECOND_NS = 1_000_000_000
_FORMS: dict[str, Form] = {"qinq": "qinq", "mpls": "mpls", "pppoe": "pppoe"}
_TUNNELS = {
    "ipsec": ("ip proto 50", "ip6 proto 50", "udp port 500", "udp port 4500"),
    "wireguard": ("udp port 51820",),
}


class PointPlanner:
    """Plan points one by one; what the user should know gathers in `notes`."""

    def __init__(
        self, playbook: Playbook, topology: Topology, planner: FlowPlanner, flows: FlowPlan, *, offline: bool
    ) -> None:
        self._offline = offline
        self._playbook = playbook
        self._topology = topology
        self._planner = planner
        self._flows = flows
        self._passing = flows_at(flows.routes, playbook.point_flows)
        self.notes: list[str] = [
            f"flow {flow.name}: {reason}; it is captured where its clients' traffic passes, but no path compares it"
            for flow, reason in flows.nowhere
        ]
        if playbook.filter is not None:
            self.notes.append(
                "filter: given by hand for every point; VLAN-tagged frames, later fragments and ICMP errors are "
                "missing unless it takes them"
            )

    def plan(self, chosen: tuple[str, ...]) -> tuple[PointPlan, ...]:
        """Return the plans of the points that we capture, in the order of the paths."""
        on_paths = [name for item in self._flows.routes for name in item.route.points]
        ordered = [*_merged_order(self._flows), *(name for name in chosen if name not in on_paths)]
        plans = (self._plan_point(self._topology.points[name]) for name in ordered)
        return tuple(plan for plan in plans if plan is not None)

    def _plan_point(self, point: Point) -> PointPlan | None:
        if point.supply == "file":
            if not self._offline:
                self.notes.append(f"point {point.name}: not captured by us; hand its file in with `vanishpoint add`")
            return None
        interface, ssh = self._capture_place(point)
        flows, clauses = self._what_passes(point)
        playbook = self._playbook
        return PointPlan(
            point=point.name,
            node=interface.node,
            interface=interface.name,
            ssh=ssh,
            filter=playbook.filter or self._filter(point, clauses),
            snaplen=self._snaplen(point, flows),
            buffer_bytes=playbook.buffer_bytes,
            max_seconds=-(-(playbook.window.duration_ns + playbook.window.post_roll_ns) // _SECOND_NS) + MARGIN_SECONDS,
            lease_seconds=LEASE_SECONDS,
            disk_free_bytes=playbook.limits.disk_free_bytes,
            file_total_bytes=playbook.limits.file_total_bytes,
            required=point.name in playbook.required,
            flows=tuple(flow.name for flow in flows),
            complete=self._is_complete(point),
        )

    def _capture_place(self, point: Point) -> tuple[Interface, Ssh]:
        places = point.via or point.at
        ssh = self._topology.nodes[places[0].node].ssh
        if ssh is None:
            msg = f"point {point.name}: nobody can reach {places[0]}, node {places[0].node!r} has no ssh"
            raise PlaybookError(msg, hint="Give the node ssh in the inventory, or declare `supply: file`.")
        return places[0], ssh

    def _what_passes(self, point: Point) -> tuple[tuple[Flow, ...], list[Clause]]:
        """Return the flows captured at *point*, each as it looks there."""
        allowed = self._playbook.point_flows.get(point.name)
        flows = [flow for flow in self._playbook.flows if allowed is None or flow.name in allowed]
        lost = {flow.name for flow, _ in self._flows.nowhere}
        clauses: dict[str, list[Clause]] = {}
        for item, stop in self._passing.get(point.name, ()):
            clauses.setdefault(item.flow.name, []).append(item.clause(self._topology, stop))
        for flow in flows:
            if flow.to is None or flow.name in lost:
                clauses.setdefault(flow.name, []).extend(self._planner.clauses_anywhere(flow, point))
        found = [flow for flow in flows if clauses.get(flow.name)]
        if not found:
            self.notes.append(
                f"point {point.name}: no flow passes here by the links; every flow is captured as addressed"
            )
            clauses = {flow.name: list(self._planner.clauses_as_written(flow)) for flow in flows}
            found = flows
        return tuple(found), list(dict.fromkeys(clause for flow in found for clause in clauses[flow.name]))

    def _filter(self, point: Point, clauses: list[Clause]) -> str:
        link = self._planner.network.link_at(point.at[0])
        self._refuse_unfilterable(point)
        hosts = {
            host for clause in clauses for host in (*clause.clients, *(server.address for server in clause.servers))
        }
        text = build_filter(
            _merged(clauses),
            form=_FORMS.get(link.kind, "vlan") if link else "vlan",
            only_vlan=point.select.get("vlan"),
            management=[address for address in self._management() if any(contains(host, address) for host in hosts)],
            tunnels=_TUNNELS.get(link.encrypted or "", ()) if link else (),
        )
        if len(text) > _LONG_FILTER:
            self.notes.append(
                f"point {point.name}: its filter is {len(text)} characters long; name networks, not hosts"
            )
        return text

    def _refuse_unfilterable(self, point: Point) -> None:
        wrapped = [key for key in ("session", "vni") if key in point.select]
        if not self._offline and (point.kind == "erspan" or wrapped):
            what = f"select.{wrapped[0]}" if wrapped else "an ERSPAN mirror"
            msg = f"point {point.name}: no filter can be derived for {what}: packets arrive inside others"
            raise PlaybookError(msg, hint="Give capture.filter by hand, such as `ip proto 47`.")

    def _management(self) -> list[str]:
        hosts = (node.ssh.host for node in self._topology.nodes.values() if node.ssh is not None)
        return [host for host in dict.fromkeys(hosts) if _is_address(host)]

    def _snaplen(self, point: Point, flows: tuple[Flow, ...]) -> int:
        whole = [flow.name for flow in flows if flow.keep == "full"]
        if not whole:
            return self._playbook.snaplen
        others = [flow.name for flow in flows if flow.keep != "full"]
        if others:
            self.notes.append(
                f"point {point.name}: {whole[0]} is kept whole, so {', '.join(others)} is kept whole there too"
            )
        return WHOLE_PACKET

    def _is_complete(self, point: Point) -> bool:
        reasons = list(self._blind_spots(point))
        self.notes += [f"point {point.name}: {reason}; what it misses accuses nobody" for reason in reasons]
        return not reasons

    def _blind_spots(self, point: Point) -> list[str]:
        """Return why *point* may fail to see what passes."""
        reasons: list[str] = []
        places = point.via or point.at
        if point.sees != "all":
            reasons.append(f"it sees {point.sees}")
        if len(places) > 1:
            reasons.append(f"only {places[0]} of its {len(places)} interfaces is captured by this version")
        elif point.kind in {"span", "rspan", "erspan"}:
            reasons.append(f"a {point.kind} mirror may drop copies without counting them")
        link = self._planner.network.link_at(point.at[0])
        if link is not None and link.encrypted:
            reasons.append(f"the link is encrypted ({link.encrypted}), only outer packets can be seen")
        if self._is_bypassed(point.name):
            reasons.append("it lies on only some of the equal ways")
        if self._is_partial(point.name):
            reasons.append("the playbook captures only some of the flows of a path here")
        if self._playbook.filter is not None and self._is_translated():
            reasons.append("addresses are translated on the way and the filter was given by hand")
        return reasons

    def _is_bypassed(self, name: str) -> bool:
        pairs: dict[tuple[str, str, str], set[bool]] = {}
        for item in self._flows.routes:
            key = (item.flow.name, item.route.client, item.route.server)
            pairs.setdefault(key, set()).add(name in item.route.points)
        return any(len(seen) > 1 for seen in pairs.values())

    def _is_partial(self, name: str) -> bool:
        """Return whether a route's flows are captured at *name* only in part."""
        allowed = self._playbook.point_flows.get(name)
        if allowed is None:
            return False
        routes: dict[int, set[bool]] = {}
        for item in self._flows.routes:
            if name in item.route.points:
                routes.setdefault(id(item.route), set()).add(item.flow.name in allowed)
        return any(len(captured) > 1 for captured in routes.values())

    def _is_translated(self) -> bool:
        nodes = {name for item in self._flows.routes for name in item.route.nodes}
        return any(self._topology.nodes[n].translations or self._topology.nodes[n].pool for n in nodes)


def _merged(clauses: list[Clause]) -> list[Clause]:
    """Merge clauses that differ in their clients alone."""
    groups: dict[tuple[object, ...], list[Clause]] = {}
    for clause in clauses:
        groups.setdefault((clause.servers, clause.protocol, clause.ports, clause.keep), []).append(clause)
    return [
        replace(group[0], clients=tuple(dict.fromkeys(client for clause in group for client in clause.clients)))
        for group in groups.values()
    ]


def _merged_order(flows: FlowPlan) -> list[str]:
    """Return every point that lies on a route, in an order that agrees with as many routes as it can."""
    depth: dict[str, int] = {}
    for item in flows.routes:
        for number, name in enumerate(item.route.points):
            depth[name] = max(depth.get(name, 0), number)
    return sorted(depth, key=lambda name: depth[name])


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
