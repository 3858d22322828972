"""Put the lab up and down as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab import faults, hosts, namespaces, relay, state, topology

if TYPE_CHECKING:
    from lab.state import Place

SKEWED = {"client-2": (7_250_000_000, 300.0), "line-b": (-130_000_000, -50.0), "app-1": (2_500_000_000, 0.0)}
"""Wrong clocks of ``up --clocks skewed``: offset in nanoseconds, drift in ppm."""


def up(place: Place, *, skewed: bool = False) -> None:
    """Make the network, start the line and every host; what an earlier attempt left is cleared first."""
    state.clear(place)
    state.note(place)
    namespaces.build(place)
    relay.start(place)
    hosts.start(place)
    faults.Firewall(place).apply([], masquerade=False)
    if skewed:
        for node, (offset_ns, drift_ppm) in SKEWED.items():
            faults.set_clock(place, node, offset_ns=offset_ns, drift_ppm=drift_ppm)


def down(place: Place) -> int:
    """End exactly what `up` started; return how many namespaces there were."""
    return state.clear(place)


def status(place: Place) -> dict[str, str]:
    """Return for each node whether it is there and how many processes run on it."""
    present = state.existing()
    found = {}
    for node in topology.NAMESPACES:
        namespace = place.namespace(node)
        count = len(state.processes(namespace)) if namespace in present else 0
        found[node] = f"up, {count} processes" if namespace in present else "down"
    return found
