"""Build the capture filter of a point from the flows that pass it.

In a BPF expression ``vlan`` (and ``mpls``, ``pppoes``) moves every offset that follows it, so the plain form of a
frame comes first and the tagged form last, once. An unchecked load beyond the end of a packet rejects the packet
whatever stands after it, so every load is guarded.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.core.plan_addresses import Destination
    from orchestrator.model.playbook import Keep

_FEW_HOSTS = 8

Form = Literal["vlan", "qinq", "mpls", "pppoe"]

_PROTOCOL_NUMBERS = {"esp": 50, "ah": 51, "gre": 47}
_ICMP_ERRORS = (3, 4, 5, 11, 12)
"""Unreachable (with "fragmentation needed"), source quench, redirect, time exceeded, parameter problem."""
_LAST_ICMP6_ERROR = 4
_LATER_FRAGMENT = "ip[6:2] & 0x1fff != 0"
_LATER_FRAGMENT6 = "ip6[6] == 44"
_SIGNALS = "tcp[13] & 7 != 0"
"""SYN, FIN or RST."""
_SIGNALS6 = "ip6[6] == 6 and ip6[53] & 7 != 0"
"""tcp[] reads IPv4 only; this is the same behind a plain IPv6 header."""
_TLS_HELLO = (
    "tcp and ip[2:2] > ((ip[0] & 0xf) << 2) + ((tcp[12] & 0xf0) >> 2) + 5"
    " and tcp[(tcp[12] & 0xf0) >> 2] == 22 and tcp[((tcp[12] & 0xf0) >> 2) + 5] <= 2"
)
"""A handshake record that holds a client or server hello; the length is checked before the bytes are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """One flow as a point sees it."""

    clients: tuple[str, ...]
    servers: tuple[Destination, ...] = ()
    """Empty: anywhere."""
    protocol: str | None = None
    ports: tuple[int, int] | None = None
    """Ports of a flow that goes anywhere; those of servers stand beside their address."""
    keep: Keep = "headers"

    @property
    def hosts(self) -> tuple[str, ...]:
        """Return every address or network that is named."""
        return (*self.clients, *(server.address for server in self.servers))


def build_filter(
    clauses: Iterable[Clause],
    *,
    form: Form = "vlan",
    only_vlan: int | None = None,
    management: Iterable[str] = (),
    tunnels: Iterable[str] = (),
) -> str:
    """Return the filter that takes every packet of *clauses*, in every form in which the link carries it.

    Args:
        clauses: The flows.
        form: How the link may wrap frames, beside not at all.
        only_vlan: Take only this VLAN of a trunk.
        management: Addresses under which hosts are managed; SSH to them is our own traffic.
        tunnels: Expressions for outer packets in which flows may travel.
    """
    found = [*_expressions(tuple(clauses)), *tunnels]
    own = _either(f"host {address}" for address in management)
    body = _without_own(_either(dict.fromkeys([*found, "arp"])), own)
    inner = _without_own(_either(dict.fromkeys(found)), own)  # MPLS and PPPoE carry no ARP, and libpcap refuses it
    if only_vlan is not None:
        return f"vlan {only_vlan} and ({body})"
    match form:
        case "vlan":
            return f"({body}) or (vlan and ({body}))"
        case "qinq":
            return f"({body}) or (vlan and (({body}) or (vlan and ({body}))))"
        case "mpls":
            return f"({body}) or (mpls and ({inner}))"
        case "pppoe":
            return f"({body}) or (pppoes and ({inner}))"


def _without_own(body: str, own: str) -> str:
    return f"not (tcp port 22 and {_group(own)}) and ({body})" if own else body


def _expressions(clauses: tuple[Clause, ...]) -> list[str]:
    """Return the alternatives of the body: flows, then what always belongs to them."""
    found = [_flow(clients, servers, group) for (clients, servers), group in _by_ends(clauses).items()]
    found += [_fragments(clause) for clause in clauses if clause.protocol not in {None, "icmp"} or _is_signals(clause)]
    hosts = dict.fromkeys(host for clause in clauses for host in clause.hosts)
    errors = _either(f"icmp[0] == {kind}" for kind in _ICMP_ERRORS)
    found.append(f"icmp and ({errors}) and {_group(_hosts(hosts))}")
    if any(":" in host for host in hosts):
        found.append(f"icmp6 and ip6[40] <= {_LAST_ICMP6_ERROR} and {_group(_hosts(hosts))}")
        found.append("icmp6 and ip6[40] >= 133 and ip6[40] <= 137")
    return found


def _by_ends(clauses: tuple[Clause, ...]) -> dict[tuple[tuple[str, ...], tuple[str, ...]], list[Clause]]:
    """Group clauses of the same hosts: naming the hosts once keeps the program small."""
    groups: dict[tuple[tuple[str, ...], tuple[str, ...]], list[Clause]] = {}
    for clause in clauses:
        ends = (clause.clients, tuple(dict.fromkeys(server.address for server in clause.servers)))
        groups.setdefault(ends, []).append(clause)
    return groups


def _flow(clients: tuple[str, ...], servers: tuple[str, ...], clauses: list[Clause]) -> str:
    hosts = _hosts(clients)
    if not servers:
        return _both(hosts, _either(dict.fromkeys(_what(clause, clause.ports) for clause in clauses)))
    if len(servers) == 1:
        wanted = (_what(clause, server.ports) for clause in clauses for server in clause.servers)
        return _both(hosts, _hosts(servers), _either(dict.fromkeys(wanted)))
    each = (
        _both(_hosts([server.address]), _what(clause, server.ports)) for clause in clauses for server in clause.servers
    )
    return _both(hosts, _either(dict.fromkeys(each)))


def _what(clause: Clause, ports: tuple[int, int] | None) -> str:
    """Return what of the traffic between the hosts is meant; empty for all of it."""
    protocol = _protocol(clause.protocol)
    if ports is not None:
        wanted = f"{clause.protocol or ''} port {ports[0]}".strip()
        if ports[0] != ports[1]:
            wanted = f"{clause.protocol or ''} portrange {ports[0]}-{ports[1]}".strip()
    else:
        wanted = protocol
    if not _is_signals(clause):
        return wanted
    parts = ["icmp", "icmp6", "port 53", _SIGNALS, _TLS_HELLO]
    if any(":" in host for host in clause.clients):
        parts.append(_SIGNALS6)
    signals = _either(parts)
    return _both(wanted, signals) if wanted else signals


def _protocol(name: str | None) -> str:
    if name is None:
        return ""
    if name == "icmp":
        return "(icmp or icmp6)"
    number = _PROTOCOL_NUMBERS.get(name)
    return name if number is None else f"(ip proto {number} or ip6 proto {number})"


def _fragments(clause: Clause) -> str:
    """Return later fragments of *clause*: they carry no ports, so no filter on ports takes them."""
    kinds = [_LATER_FRAGMENT] if any(":" not in host for host in clause.hosts) else []
    kinds += [_LATER_FRAGMENT6] if any(":" in host for host in clause.hosts) else []
    protocol = "udp" if _is_signals(clause) and clause.protocol is None else ""
    servers = _hosts(dict.fromkeys(server.address for server in clause.servers))
    return _both(protocol, _either(kinds), _hosts(clause.clients), servers)


def _is_signals(clause: Clause) -> bool:
    return clause.keep == "signals"


def _hosts(addresses: Iterable[str]) -> str:
    return _either(f"net {address}" if "/" in address else f"host {address}" for address in _joined(tuple(addresses)))


def _joined(addresses: tuple[str, ...]) -> tuple[str, ...]:
    """Return many addresses as the networks that hold exactly these: a kernel takes 4096 instructions, not more."""
    if len(addresses) <= _FEW_HOSTS:
        return addresses
    networks = [ipaddress.ip_network(address) for address in addresses]
    narrow = ipaddress.collapse_addresses(one for one in networks if isinstance(one, ipaddress.IPv4Network))
    wide = ipaddress.collapse_addresses(one for one in networks if isinstance(one, ipaddress.IPv6Network))
    joined: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = [*narrow, *wide]
    return tuple(str(one.network_address) if one.num_addresses == 1 else str(one) for one in joined)


def _group(expression: str) -> str:
    return f"({expression})" if " or " in expression else expression


def _either(expressions: Iterable[str]) -> str:
    parts = list(expressions)
    if "" in parts:
        return ""  # one of them takes everything
    # In BPF `and` and `or` bind equally, so every conjunction is bracketed.
    return " or ".join(f"({part})" if " and " in part else part for part in parts)


def _both(*expressions: str) -> str:
    return " and ".join(_group(part) for part in expressions if part)
