"""What the lab consists of: data only.

client-1 ┐
client-2 ┼ access-sw ─ line-a ═ (line, the provider's) ═ line-b ─ core-sw ─ fw ─ server-sw ┬ app-1
client-3 ┘                                                                 └─ dmz-1         └ app-2
"""

from __future__ import annotations

LINE, MANAGEMENT, ORCHESTRATOR = "line", "mgmt", "orchestrator"
HOSTS = {
    "client-1": 11, "client-2": 12, "client-3": 13, "access-sw": 21, "server-sw": 22, "line-a": 31, "line-b": 32,
    "core-sw": 41, "fw": 51, "app-1": 61, "app-2": 62, "dmz-1": 71,
}  # fmt: skip
"""Hosts with an sshd, and the last byte of their management address."""
MANAGEMENT_NET = "10.99.0"
ORCHESTRATOR_HOST = 254
NAMESPACES = (*HOSTS, LINE, MANAGEMENT, ORCHESTRATOR)
CLIENTS = ("client-1", "client-2", "client-3")

LINKS = (
    ("client-1", "eth0", "access-sw", "p1"), ("client-2", "eth0", "access-sw", "p2"),
    ("client-3", "eth0", "access-sw", "p3"), ("access-sw", "up0", "line-a", "lan"), ("line-a", "wan", LINE, "la"),
    (LINE, "lb", "line-b", "wan"), ("line-b", "lan", "core-sw", "west"), ("core-sw", "east", "fw", "outside"),
    ("fw", "inside", "server-sw", "up0"), ("server-sw", "p1", "app-1", "eth0"), ("server-sw", "p2", "app-2", "eth0"),
    ("fw", "dmz", "dmz-1", "eth0"),
)  # fmt: skip
"""Virtual cables: node, interface, node, interface."""

BRIDGES = {"access-sw": ("p1", "p2", "p3", "up0"), "server-sw": ("up0", "p1", "p2")}
"""Ports of the switches' bridge br0."""

ADDRESSES = {
    ("client-1", "eth0"): "192.168.0.1/24", ("client-2", "eth0"): "192.168.0.2/24",
    ("client-3", "eth0"): "192.168.0.3/24", ("line-a", "lan"): "192.168.0.254/24",
    ("line-a", "wan"): "172.16.0.1/30", ("line-b", "wan"): "172.16.0.2/30", ("line-b", "lan"): "10.0.0.2/30",
    ("core-sw", "west"): "10.0.0.1/30", ("core-sw", "east"): "10.0.1.1/30", ("fw", "outside"): "10.0.1.2/30",
    ("fw", "inside"): "10.10.10.1/24", ("app-1", "eth0"): "10.10.10.2/24", ("app-2", "eth0"): "10.10.10.3/24",
    ("fw", "dmz"): "10.20.20.1/24", ("dmz-1", "eth0"): "10.20.20.2/24",
}  # fmt: skip

ROUTES = {
    "client-1": ("default via 192.168.0.254",), "client-2": ("default via 192.168.0.254",),
    "client-3": ("default via 192.168.0.254",), "line-a": ("default via 172.16.0.2",),
    "line-b": ("192.168.0.0/24 via 172.16.0.1", "default via 10.0.0.1"),
    "core-sw": ("192.168.0.0/24 via 10.0.0.2", "172.16.0.0/30 via 10.0.0.2", "default via 10.0.1.2"),
    "fw": ("192.168.0.0/24 via 10.0.1.1", "172.16.0.0/30 via 10.0.1.1", "10.0.0.0/30 via 10.0.1.1"),
    "app-1": ("default via 10.10.10.1",), "app-2": ("default via 10.10.10.1",), "dmz-1": ("default via 10.20.20.1",),
}  # fmt: skip
ROUTERS = ("line-a", "line-b", "core-sw", "fw")
PUBLIC = "203.0.113.80"
"""Public address of the service on dmz-1; the firewall translates its port 80 to 10.20.20.2:8080."""


def management_address(node: str) -> str:
    """Return the address on the management network."""
    return f"{MANAGEMENT_NET}.{HOSTS.get(node, ORCHESTRATOR_HOST)}"


def data_interfaces(node: str) -> list[str]:
    """Return the interfaces of *node* that carry traffic under test."""
    return [i for a, i, _, _ in LINKS if a == node] + [i for _, _, b, i in LINKS if b == node]
