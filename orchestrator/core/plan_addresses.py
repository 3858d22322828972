"""Which addresses do packets of a flow carry at a point, once declared translations are done?"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.model.topology import Node, Topology, Translation

PortRange = tuple[int, int]


@dataclass(frozen=True, slots=True, order=True)
class Destination:
    """An address or network, and the ports meant there; None means every port."""

    address: str
    ports: PortRange | None = None


def addresses_of(node: Node) -> tuple[str, ...]:
    """Return every address of *node*, its own first."""
    ports = (address for port in node.interfaces.values() for address in port.addresses)
    return tuple(dict.fromkeys([*node.addresses, *ports, *node.shares]))


def end_addresses(node: Node) -> tuple[str, ...]:
    """Return the addresses with which *node* talks: those of the node, else those of its interfaces."""
    return node.addresses or addresses_of(node)


def owners(topology: Topology, text: str) -> tuple[str, ...]:
    """Return the nodes that have an address inside *text*, an address or a network."""
    return tuple(
        name for name, node in topology.nodes.items() if any(contains(text, address) for address in end_addresses(node))
    )


def contains(network: str, address: str) -> bool:
    """Return whether *address* (or a whole network) lies inside *network*."""
    outer, inner = ipaddress.ip_network(network), ipaddress.ip_network(address)
    if isinstance(outer, ipaddress.IPv4Network):
        return isinstance(inner, ipaddress.IPv4Network) and inner.subnet_of(outer)
    return isinstance(inner, ipaddress.IPv6Network) and inner.subnet_of(outer)


def split_port(text: str) -> tuple[str, int | None]:
    """Return address and port of one side of a translation; only IPv4 carries a port there."""
    if text.count(":") == 1:
        address, _, port = text.partition(":")
        return address, int(port)
    return text, None


def client_addresses(topology: Topology, addresses: Iterable[str], crossed: Iterable[str]) -> tuple[str, ...]:
    """Return what *addresses* of clients have become behind the nodes *crossed*."""
    current = dict.fromkeys(addresses)
    for name in crossed:
        node = topology.nodes[name]
        if node.snat is not None:
            current = dict.fromkeys([node.snat])
        for translation in node.translations:
            if translation.kind != "dnat":
                current = dict.fromkeys(
                    translation.outside if contains(translation.inside, address) else address for address in current
                )
    return tuple(current)


def destinations(topology: Topology, wanted: Iterable[Destination], crossed: Iterable[str]) -> tuple[Destination, ...]:
    """Return what *wanted*, as clients address it, has become behind the nodes *crossed*."""
    current = dict.fromkeys(wanted)
    for name in crossed:
        node = topology.nodes[name]
        if node.pool:
            members = [address for member in node.pool for address in addresses_of(topology.nodes[member])]
            own = set(addresses_of(node))
            current = dict.fromkeys(
                moved
                for item in current
                for moved in ([Destination(m, item.ports) for m in members] if item.address in own else [item])
            )
        for translation in node.translations:
            if translation.kind == "dnat":
                current = dict.fromkeys(_inwards(translation, item) for item in current)
    return tuple(current)


def ways_to_address(topology: Topology, real: Iterable[Destination], nodes: Iterable[str]) -> tuple[Destination, ...]:
    """Return *real* destinations, and the translated ones under which nodes on the way offer them."""
    found = dict.fromkeys(real)
    for name in reversed(list(nodes)):
        for translation in topology.nodes[name].translations:
            if translation.kind == "dnat":
                outer = (_outwards(translation, item) for item in list(found))
                found.update(dict.fromkeys(item for item in outer if item is not None))
    return tuple(found)


def translators(topology: Topology, address: str) -> tuple[tuple[str, str], ...]:
    """Return the nodes that translate destination *address*, each with the address behind it."""
    return tuple(
        (name, split_port(translation.inside)[0])
        for name, node in topology.nodes.items()
        for translation in node.translations
        if translation.kind == "dnat" and contains(split_port(translation.outside)[0], address)
    )


def _inwards(translation: Translation, item: Destination) -> Destination:
    outside, outside_port = split_port(translation.outside)
    inside, inside_port = split_port(translation.inside)
    if not contains(outside, item.address) or not _covers(item.ports, outside_port):
        return item
    return Destination(inside, item.ports if inside_port is None else (inside_port, inside_port))


def _outwards(translation: Translation, item: Destination) -> Destination | None:
    outside, outside_port = split_port(translation.outside)
    inside, inside_port = split_port(translation.inside)
    if not contains(inside, item.address) or not _covers(item.ports, inside_port):
        return None
    return Destination(outside, item.ports if outside_port is None else (outside_port, outside_port))


def _covers(ports: PortRange | None, port: int | None) -> bool:
    return ports is None or port is None or ports[0] <= port <= ports[1]
