"""Which way does traffic go from client to server, which points does it meet, and with which addresses?

A *walk* is a list of interfaces from client to server along links; a *route* is what capture points make of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice, pairwise, product
from typing import TYPE_CHECKING

import networkx as nx

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from orchestrator.model.topology import Interface, Link, Path, Topology

END_ROLES = frozenset({"client", "server", "host"})
"""Roles whose nodes send and receive but do not forward for others."""
MOST_WALKS = 16
"""Equal-cost walks kept for one pair; a fabric can have thousands."""

Vertex = tuple[str, str | None]
"""A node, or one VRF of it: traffic does not cross from one to the other by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """A way through the network; interfaces in pairs, the sending and the receiving end of each link."""

    nodes: tuple[str, ...]
    links: tuple[Link, ...]
    interfaces: tuple[Interface, ...]

    def joined(self, onward: Walk) -> Walk:
        """Return this walk continued by *onward*, which begins where this one ends."""
        return Walk(
            nodes=self.nodes + onward.nodes[1:],
            links=self.links + onward.links,
            interfaces=self.interfaces + onward.interfaces,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """One capture point on a route."""

    point: str
    interface: Interface
    index: int | None
    """Index of the interface in the walk; None on a route given by hand that no walk explains."""
    crossed: tuple[str, ...]
    """Nodes that a packet from the client has left behind here, so their translations are done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Capture points from a client to a server, in order."""

    name: str
    client: str
    server: str
    stops: tuple[Stop, ...]
    nodes: tuple[str, ...]
    walk: Walk | None

    @property
    def points(self) -> tuple[str, ...]:
        """Names of the points, nearest to the client first."""
        return tuple(stop.point for stop in self.stops)


class Network:
    """The links of a topology as a graph."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self._links: dict[frozenset[Vertex], list[Link]] = {}
        self._graph: nx.Graph[Vertex] = nx.Graph()
        self._graph.add_nodes_from((name, node.vrf) for name, node in topology.nodes.items())
        for link in topology.links:
            near, far = (self._vertex(end) for end in link.endpoints)
            self._graph.add_edge(near, far)
            self._links.setdefault(frozenset((near, far)), []).append(link)

    def link_at(self, interface: Interface) -> Link | None:
        """Return the link of *interface*, if it has one."""
        return next((link for link in self.topology.links if interface in link.endpoints), None)

    def walks(self, client: str, server: str) -> tuple[Walk, ...]:
        """Return the shortest walks from *client* to *server*, all of one length, in a stable order."""
        if client == server:
            return (Walk(nodes=(client,), links=(), interfaces=()),)
        found: list[tuple[Vertex, ...]] = []
        passable = self._passable(client, server)
        for start, end in product(self._vertices(client), self._vertices(server)):
            if nx.has_path(passable, start, end):
                found += [tuple(path) for path in islice(nx.all_shortest_paths(passable, start, end), MOST_WALKS)]
        shortest = min(map(len, found), default=0)
        walks = (walk for path in found if len(path) == shortest for walk in self._expand(path))
        return tuple(sorted(islice(walks, MOST_WALKS), key=lambda walk: walk.interfaces))

    def walk_along(self, nodes: tuple[str, ...]) -> Walk | None:
        """Return the walk that visits exactly *nodes*; None when two neighbours are not linked."""
        links = [self._between(near, far) for near, far in pairwise(nodes)]
        if not links or None in links:
            return None
        return _walk(nodes, [link for link in links if link is not None])

    def _between(self, near: str, far: str) -> Link | None:
        return next((link for link in self.topology.links if {end.node for end in link.endpoints} == {near, far}), None)

    def _vertex(self, end: Interface) -> Vertex:
        node = self.topology.nodes[end.node]
        port = node.interfaces.get(end.name)
        return (end.node, (port.vrf if port else None) or node.vrf)

    def _vertices(self, node: str) -> list[Vertex]:
        return sorted((vertex for vertex in self._graph if vertex[0] == node), key=lambda vertex: vertex[1] or "")

    def _passable(self, client: str, server: str) -> nx.Graph[Vertex]:
        nodes = self.topology.nodes
        return self._graph.subgraph(
            vertex for vertex in self._graph if vertex[0] in {client, server} or nodes[vertex[0]].role not in END_ROLES
        )

    def _expand(self, path: tuple[Vertex, ...]) -> Iterator[Walk]:
        """Yield a walk for every choice among parallel links."""
        choices = [self._links[frozenset(step)] for step in pairwise(path)]
        for links in product(*choices):
            yield _walk(tuple(vertex[0] for vertex in path), links)


def _walk(nodes: tuple[str, ...], links: Iterable[Link]) -> Walk:
    links = tuple(links)
    interfaces: list[Interface] = []
    for node, link in zip(nodes, links, strict=False):
        near, far = link.endpoints
        interfaces += [near, far] if near.node == node else [far, near]
    return Walk(nodes=nodes, links=links, interfaces=tuple(interfaces))


def route_of_walk(topology: Topology, walk: Walk, chosen: Iterable[str], name: str) -> Route:
    """Return the points of *chosen* that *walk* meets, in order; a point counts where it is met first."""
    names: dict[Interface, list[str]] = {}
    for point in chosen:
        for interface in topology.points[point].at:
            names.setdefault(interface, []).append(point)
    met = [
        Stop(point=point, interface=interface, index=index, crossed=walk.nodes[: index // 2 + 1])
        for index, interface in enumerate(walk.interfaces)
        for point in names.get(interface, ())
    ]
    first = {stop.point: stop for stop in reversed(met)}
    stops = tuple(stop for stop in met if first[stop.point] is stop)
    return Route(name=name, client=walk.nodes[0], server=walk.nodes[-1], stops=stops, nodes=walk.nodes, walk=walk)


def route_by_hand(network: Network, path: Path, chosen: Iterable[str]) -> Route:
    """Return the route that the inventory gives as *path*, cut to *chosen* points that both directions meet."""
    topology, allowed = network.topology, set(chosen)
    both_ways = [name for name in path.points if name in allowed and (not path.reverse or name in path.reverse)]
    walk = network.walk_along(path.nodes) if path.nodes else _explaining(network, path)
    if walk is not None:
        derived = route_of_walk(topology, walk, both_ways, path.name)
        if derived.points == tuple(both_ways):
            return derived
    interfaces = [topology.points[name].at[0] for name in both_ways]
    nodes = path.nodes or tuple(dict.fromkeys([path.client, *(end.node for end in interfaces), path.server]))
    stops = tuple(
        Stop(point=name, interface=end, index=None, crossed=_crossed_by_hand(nodes, interfaces, number))
        for number, (name, end) in enumerate(zip(both_ways, interfaces, strict=True))
    )
    return Route(name=path.name, client=path.client, server=path.server, stops=stops, nodes=nodes, walk=None)


def _explaining(network: Network, path: Path) -> Walk | None:
    """Return the shortest walk that meets the points of *path* in its order."""
    for walk in network.walks(path.client, path.server):
        if route_of_walk(network.topology, walk, path.points, path.name).points == path.points:
            return walk
    return None


def _crossed_by_hand(nodes: tuple[str, ...], interfaces: list[Interface], number: int) -> tuple[str, ...]:
    """Return the nodes left behind at a stop: of two points on one node, the second stands behind it."""
    node = interfaces[number].node
    behind = any(end.node == node for end in interfaces[:number])
    place = nodes.index(node) if node in nodes else 0
    return nodes[: place + 1] if behind else nodes[:place]
