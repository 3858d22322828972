"""Sentences about what devices between two points do to packets that pass: relays, translations nobody declared."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from orchestrator.model.finding import Finding

if TYPE_CHECKING:
    from orchestrator.core.grounds import Grounds

MOST_NAMED = 3


def change_findings(grounds: Grounds) -> list[Finding]:
    """Return what is to be said about relays and translations."""
    return [*_relays(grounds), *_undeclared(grounds)]


def _relays(grounds: Grounds) -> list[Finding]:
    """One finding for every two points between which connections end and begin anew."""
    return [
        Finding(
            id=f"relay-{near}-{far}", kind="relay", verdict="supported",
            statement=f"{count:,} TCP connection{'s show' if count != 1 else ' shows'} other packets at {far} than at"
            f" {near}: a proxy or a WAN optimiser ends it on the way and opens its own, or a device numbers everything"
            " anew. Nothing is claimed across that; either side is judged by itself.",
            segment=(near, far),
            would_change_it=(f"the configuration of what stands between {near} and {far}",),
        )
        for near, far, count in grounds.relays
    ]  # fmt: skip


def _undeclared(grounds: Grounds) -> list[Finding]:
    """Name the translations that packets show and the inventory does not declare, where there is an inventory."""
    if not grounds.has_plan:
        return []
    places: dict[tuple[str, str], list[str]] = {}
    for near, far, inside, outside in grounds.translations:
        if not _is_declared(grounds, inside, outside):
            places.setdefault((near, far), []).append(f"{inside} becomes {outside}")
    return [
        Finding(
            id=f"translation-{near}-{far}", kind="translation", verdict="contradicted",
            statement=f"Between {near} and {far} addresses are translated that the inventory does not declare:"
            f" {_listed(pairs)}. Filters made from the inventory may miss packets there.",
            segment=(near, far), would_change_it=("the translations of the nodes between them, in the inventory",),
        )
        for (near, far), pairs in places.items()
    ]  # fmt: skip


def _listed(pairs: list[str]) -> str:
    rest = f" and {len(pairs) - MOST_NAMED} more" if len(pairs) > MOST_NAMED else ""
    return ", ".join(pairs[:MOST_NAMED]) + rest


def _is_declared(grounds: Grounds, inside: str, outside: str) -> bool:
    """Say whether some node declares that one of two addresses becomes the other."""
    return any(
        (_contains(a, inside) and _contains(b, outside)) or (_contains(a, outside) and _contains(b, inside))
        for _, a, b in grounds.declared
    )


def _contains(network: str, address: str) -> bool:
    """Say whether *address* lies in *network*, which may carry a port."""
    host = network.rsplit(":", 1)[0] if network.count(":") == 1 else network
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(host, strict=False)
    except ValueError:
        return False
