"""Make namespaces, cables, bridges, addresses and routes, with one `ip -batch` a namespace: ten times faster."""

from __future__ import annotations

import array
import ctypes
import fcntl
import os
import socket
import struct
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from lab import topology
from lab.state import LabError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lab.state import Place

CLONE_NEWNET = 0x40000000
SIOCETHTOOL = 0x8946
OFFLOADS = (0x17, 0x1F, 0x24, 0x2C)
"""ETHTOOL_STXCSUM, STSO, SGSO, SGRO; off unless asked for: captures are to look like the wire."""
MANAGEMENT_MTU = 1_700
"""Bytes: full frames of the network under test fit into a mirror's shell."""
QUEUE = 10_000
"""Packets; a shorter queue would drop what the line's log does not know of."""


def build(place: Place) -> None:
    """Make all namespaces of the lab and connect them."""
    _batch(None, [f"netns add {place.namespace(n)}" for n in topology.NAMESPACES])
    cables = [
        f"link add {i} netns {place.namespace(a)} type veth peer name {j} netns {place.namespace(b)}"
        for a, i, b, j in topology.LINKS
    ]
    managed = [*topology.HOSTS, topology.ORCHESTRATOR]
    cables += [
        f"link add mgmt0 mtu {MANAGEMENT_MTU} netns {place.namespace(n)} type veth"
        f" peer name m{k} mtu {MANAGEMENT_MTU} netns {place.namespace(topology.MANAGEMENT)}"
        for k, n in enumerate(managed)
    ]
    _batch(None, cables)
    bridge = ["link set lo up", "link add br0 type bridge forward_delay 0", "link set br0 up"]
    bridge += [f"link set dev m{k} master br0 up" for k in range(len(managed))]
    _batch(place.namespace(topology.MANAGEMENT), bridge)
    for node in (*managed, topology.LINE):
        _configure(place, node)


def _configure(place: Place, node: str) -> None:
    """Bring one node's interfaces up with their addresses and routes."""
    commands = ["link set lo up"]
    if node in topology.BRIDGES:
        commands.append("link add br0 type bridge forward_delay 0 mcast_snooping 0")
        commands += [f"link set dev {port} master br0" for port in topology.BRIDGES[node]]
        commands.append("link set dev br0 up")
    interfaces = topology.data_interfaces(node)
    commands += [f"link set dev {i} txqueuelen {QUEUE} up" for i in interfaces]
    commands += [f"addr add {a} dev {i}" for (n, i), a in topology.ADDRESSES.items() if n == node]
    if node != topology.LINE:
        commands += ["link set dev mgmt0 up", f"addr add {topology.management_address(node)}/24 dev mgmt0"]
    commands += [f"route add {r}" for r in topology.ROUTES.get(node, ())]
    within(place, node, lambda: _settings(node))
    _batch(place.namespace(node), commands)
    if interfaces:
        set_offloads(place, node, interfaces, on=False)


def _settings(node: str) -> None:
    """Set what the kernel does with packets in this namespace."""
    forward = "1" if node in topology.ROUTERS else "0"
    values = {
        "ipv6/conf/all/disable_ipv6": "1", "ipv6/conf/default/disable_ipv6": "1", "ipv4/ip_forward": forward,
        "ipv4/conf/all/rp_filter": "0", "ipv4/conf/default/rp_filter": "0", "bridge/bridge-nf-call-iptables": "0",
    }  # fmt: skip
    for name, value in values.items():
        path = Path("/proc/sys/net") / name
        if path.exists():
            path.write_text(value)


def set_offloads(place: Place, node: str, interfaces: Iterable[str], *, on: bool) -> None:
    """Let the host hand over and take in frames larger than the wire carries, or not."""
    within(place, node, lambda: _offload(interfaces, on=on))


def _offload(interfaces: Iterable[str], *, on: bool) -> None:
    commands = OFFLOADS if on else OFFLOADS[::-1]  # segmentation needs the check sum
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for interface in interfaces:
            for command in commands:
                value = array.array("B", struct.pack("II", command, int(on)))
                request = struct.pack("16sP16x", interface.encode(), value.buffer_info()[0])
                fcntl.ioctl(control, SIOCETHTOOL, request)


def within(place: Place, node: str, work: Callable[[], None]) -> None:
    """Run *work* in a child process inside the network namespace of *node*."""
    pid = os.fork()
    if pid == 0:
        try:
            enter(place.namespace(node))
            work()
        except BaseException as error:  # noqa: BLE001 - the child must not return into the parent's code
            os.write(2, f"{node}: {error}\n".encode())
            os._exit(1)
        os._exit(0)
    if os.waitpid(pid, 0)[1]:
        message = f"{node}: could not be configured"
        raise LabError(message)


def enter(namespace: str) -> None:
    """Move this process into a network namespace."""
    descriptor = os.open(f"/run/netns/{namespace}", os.O_RDONLY | os.O_CLOEXEC)
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), f"setns {namespace}")


def _batch(namespace: str | None, commands: list[str]) -> None:
    argv = ["ip", *(["-n", namespace] if namespace else []), "-batch", "-"]
    done = subprocess.run(argv, input="\n".join(commands) + "\n", capture_output=True, text=True, check=False)
    if done.returncode:
        message = f"{namespace or 'ip'}: {done.stderr.strip()}"
        raise LabError(message)
