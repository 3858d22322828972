"""Where does each flow of a playbook go, and what does each capture point see of it?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from orchestrator.core.plan_addresses import (
    Destination,
    client_addresses,
    contains,
    destinations,
    end_addresses,
    owners,
    translators,
    ways_to_address,
)
from orchestrator.core.plan_filter import Clause
from orchestrator.core.plan_paths import END_ROLES, Network, Route, Walk, route_by_hand, route_of_walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from orchestrator.core.plan_paths import Stop
    from orchestrator.model.playbook import Flow
    from orchestrator.model.topology import Point, Topology


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRoute:
    """One flow of one client on one route, with the addresses that the client uses."""

    flow: Flow
    route: Route
    sources: tuple[str, ...]
    wanted: tuple[Destination, ...]

    def clause(self, topology: Topology, stop: Stop) -> Clause:
        """Return the flow as the point at *stop* sees it."""
        return Clause(
            clients=client_addresses(topology, self.sources, stop.crossed),
            servers=destinations(topology, self.wanted, stop.crossed),
            protocol=self.flow.protocol,
            ports=self.flow.ports,
            keep=self.flow.keep,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowPlan:
    """What became of every flow."""

    routes: tuple[FlowRoute, ...]
    nowhere: tuple[tuple[Flow, str], ...]
    """Flows that no route explains, with the reason."""


class FlowPlanner:
    """Find the routes of flows; a pair of nodes is routed once."""

    def __init__(self, topology: Topology, chosen: tuple[str, ...]) -> None:
        self._topology = topology
        self._chosen = chosen
        self._routes: dict[tuple[str, str, str | None], tuple[Route, ...]] = {}
        self.network = Network(topology)

    def plan(self, flows: Iterable[Flow]) -> FlowPlan:
        """Return the routes of *flows*."""
        found: list[FlowRoute] = []
        nowhere: list[tuple[Flow, str]] = []
        for flow in flows:
            if flow.to is None:
                continue
            routes = [
                self._of_pair(flow, client, end) for client, end in product(self._clients(flow), self._ends(flow))
            ]
            mine = [item for group in routes for item in group]
            found += mine
            if not mine:
                nowhere.append((flow, self._why_nowhere(flow)))
        return FlowPlan(routes=tuple(found), nowhere=tuple(nowhere))

    def clauses_anywhere(self, flow: Flow, point: Point) -> tuple[Clause, ...]:
        """Return what *point* sees of a *flow* that goes anywhere: of each client whose traffic can get there."""
        here = {end.node for end in point.at}
        clauses: dict[tuple[str, ...], None] = {}
        for client, sources in self._clients(flow):
            on_other_client = any(
                node != client and node in flow.clients and self._topology.nodes[node].role in END_ROLES
                for node in here
            )
            if client is None:
                clauses[sources] = None
            elif not on_other_client:
                walks = (walk for node in here for walk in self.network.walks(client, node))
                crossed = (walk.nodes[: _left_behind(walk, point)] for walk in walks)
                clauses.update({client_addresses(self._topology, sources, nodes): None for nodes in crossed})
        merged = tuple(dict.fromkeys(address for addresses in clauses for address in addresses))
        if not merged:
            return ()
        servers = self._raw_destinations(flow)
        return (Clause(clients=merged, servers=servers, protocol=flow.protocol, ports=flow.ports, keep=flow.keep),)

    def clauses_as_written(self, flow: Flow) -> tuple[Clause, ...]:
        """Return *flow* with the addresses that clients and servers have themselves."""
        clients = tuple(dict.fromkeys(address for _, addresses in self._clients(flow) for address in addresses))
        servers = self._raw_destinations(flow)
        return (Clause(clients=clients, servers=servers, protocol=flow.protocol, ports=flow.ports, keep=flow.keep),)

    def _raw_destinations(self, flow: Flow) -> tuple[Destination, ...]:
        if flow.to is None:
            return ()
        node = self._topology.nodes.get(flow.to)
        return tuple(Destination(text, flow.ports) for text in (end_addresses(node) if node else (flow.to,)))

    def _clients(self, flow: Flow) -> list[tuple[str | None, tuple[str, ...]]]:
        """Return the nodes of the near end, each with the addresses meant; no node for addresses nobody has."""
        found: dict[str | None, list[str]] = {}
        for text in flow.clients:
            if text in self._topology.nodes:
                found.setdefault(text, []).extend(end_addresses(self._topology.nodes[text]))
                continue
            names = owners(self._topology, text)
            for name in names:
                own = (a for a in end_addresses(self._topology.nodes[name]) if contains(text, a))
                found.setdefault(name, []).extend(own)
            if not names:
                found.setdefault(None, []).append(text)
        return [(name, tuple(dict.fromkeys(addresses))) for name, addresses in found.items()]

    def _ends(self, flow: Flow) -> list[tuple[str, str | None]]:
        """Return the nodes of the far end, each with the node that must be passed to get there by that address."""
        topology, to = self._topology, flow.to or ""
        if to in topology.nodes:
            return self._behind(to)
        direct = [end for name in owners(topology, to) for end in self._behind(name)]
        through = [(end, name) for name, inside in translators(topology, to) for end in owners(topology, inside)]
        return list(dict.fromkeys([*direct, *through]))

    def _behind(self, node: str) -> list[tuple[str, str | None]]:
        """Return the nodes that serve what is sent to *node*: itself, or the pool of a balancer."""
        pool = self._topology.nodes[node].pool
        return [(member, node) for member in pool] if pool else [(node, None)]

    def _of_pair(
        self, flow: Flow, client: tuple[str | None, tuple[str, ...]], end: tuple[str, str | None]
    ) -> list[FlowRoute]:
        name, sources = client
        server, through = end
        if name is None or name == server:
            return []
        return [
            FlowRoute(flow=flow, route=route, sources=sources, wanted=self._wanted(flow, route, through))
            for route in self._routes_between(name, server, through)
            if route.stops
        ]

    def _wanted(self, flow: Flow, route: Route, through: str | None) -> tuple[Destination, ...]:
        if flow.to is None or flow.to not in self._topology.nodes:
            return (Destination(flow.to or "", flow.ports),)
        node = self._topology.nodes[flow.to]
        real = [Destination(address, flow.ports) for address in end_addresses(node)]
        return tuple(real) if through else ways_to_address(self._topology, real, route.nodes)

    def _routes_between(self, client: str, server: str, through: str | None) -> tuple[Route, ...]:
        key = (client, server, through)
        if key not in self._routes:
            self._routes[key] = self._find_routes(client, server, through)
        return self._routes[key]

    def _find_routes(self, client: str, server: str, through: str | None) -> tuple[Route, ...]:
        by_hand = [path for path in self._topology.paths if (path.client, path.server) == (client, server)]
        if by_hand:
            return tuple(route_by_hand(self.network, path, self._chosen) for path in by_hand)
        walks = self.network.walks(client, server)
        if through is not None and not all(through in walk.nodes for walk in walks):
            onwards = self.network.walks(through, server)
            walks = tuple(walk.joined(onward) for walk in self.network.walks(client, through) for onward in onwards)
        name = f"{client} to {server}"
        routes = [route_of_walk(self._topology, walk, self._chosen, name) for walk in walks]
        different = {route.points: route for route in reversed(routes)}
        return tuple(route for route in routes if different[route.points] is route)

    def _why_nowhere(self, flow: Flow) -> str:
        clients = [name for name, _ in self._clients(flow) if name is not None]
        ends = self._ends(flow)
        if not clients:
            return f"no node has an address in {', '.join(flow.clients)}"
        if not ends:
            return f"no node has or translates the address {flow.to}"
        if not any(self._routes_between(client, *end) for client in clients for end in ends):
            return f"no links lead from {', '.join(clients)} to {flow.to}"
        return "none of the points lies on its way"


def flows_at(
    routes: Iterable[FlowRoute], allowed: Mapping[str, tuple[str, ...]]
) -> dict[str, list[tuple[FlowRoute, Stop]]]:
    """Return what passes each point, leaving out flows that the playbook does not capture there."""
    found: dict[str, list[tuple[FlowRoute, Stop]]] = {}
    for item in routes:
        for stop in item.route.stops:
            if stop.point not in allowed or item.flow.name in allowed[stop.point]:
                found.setdefault(stop.point, []).append((item, stop))
    return found


def _left_behind(walk: Walk, point: Point) -> int:
    """Return how many nodes of *walk*, which ends at the node of *point*, have done their translations there."""
    arrives_here = bool(walk.interfaces) and walk.interfaces[-1] in point.at
    return len(walk.nodes) - 1 if arrives_here else len(walk.nodes)
