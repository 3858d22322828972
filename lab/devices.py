"""Devices that change how traffic is carried, each for a while: a proxy, a tunnel, mirrors, a breakout."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from lab.state import LabError
from lab.story import program
from lab.topology import ADDRESSES, PUBLIC, management_address

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.state import Place

SPLITTER_PORT, MARK, TABLE = 9_000, "1", "100"
SPLITS = """
table ip lab_splitter {{
  chain before {{
    type filter hook prerouting priority mangle;
    iifname != "mgmt0" tcp dport {port} tproxy to :{listen} meta mark set {mark} accept
    iifname != "mgmt0" tcp sport {port} meta mark set {mark} accept
  }}
}}
"""
VXLAN_LOSS = """
table ip lab_mirror {{
  chain out {{
    type filter hook output priority 0;
    udp dport 4789 numgen random mod 1000 < {share} counter drop
  }}
}}
"""
TUNNEL_PORT, TUNNEL_MTU = 51_820, 1_420
CLAMPS = """
table ip lab_tunnel {
  chain through {
    type filter hook forward priority mangle;
    tcp flags syn tcp option maxseg size set 1380
  }
}
"""
"""As tunnels do that would else answer full segments with an ICMP error."""
NOWHERE = "02:00:00:00:00:fe"
ENDS = {"line-a": ("172.16.0.1", "10.10.10.0/25"), "fw": ("10.0.1.2", "192.168.0.0/25")}
"""Ends of the tunnel: own address, and what is routed into it, closer than by the routes beside it."""


@contextmanager
def splitter(place: Place, node: str, port: int) -> Iterator[None]:
    """Split TCP connections to *port* that pass the router *node* while the context lasts."""
    rules = SPLITS.format(port=port, listen=SPLITTER_PORT, mark=MARK)
    with ExitStack() as undo:
        _nft(place, node, rules)
        undo.callback(_nft, place, node, "delete table ip lab_splitter\n")
        _ip(place, node, "rule", "add", "fwmark", MARK, "lookup", TABLE)
        undo.callback(_ip, place, node, "rule", "del", "fwmark", MARK, "lookup", TABLE)
        _ip(place, node, "route", "add", "local", "default", "dev", "lo", "table", TABLE)
        undo.callback(_ip, place, node, "route", "flush", "table", TABLE)
        undo.enter_context(_running(place, node, "splitter.py", str(SPLITTER_PORT)))
        yield


@contextmanager
def tunnel(place: Place, folder: Path) -> Iterator[dict[str, Path]]:
    """Carry everything between call centre and servers through an encrypted tunnel from line-a to fw.

    Yields by node the log of what it sealed.
    """
    (near, (near_address, _)), (far, (far_address, _)) = ENDS.items()
    logs = {node: folder / f"sealed-{node}.jsonl" for node in ENDS}
    peers = {near: (near_address, far_address, "1", "2"), far: (far_address, near_address, "2", "1")}
    shared = {node: place.host(node) / "shared" / "sealed.jsonl" for node in ENDS}
    with ExitStack() as undo:
        _nft(place, near, CLAMPS)
        undo.callback(_nft, place, near, "delete table ip lab_tunnel\n")
        for node, (own, peer, index, peer_index) in peers.items():
            shared[node].unlink(missing_ok=True)
            ends = (own, peer, str(TUNNEL_PORT), index, peer_index, "/lab/sealed.jsonl")
            undo.enter_context(_running(place, node, "tunnel.py", "tun0", *ends))
            _ip(place, node, "link", "set", "dev", "tun0", "mtu", str(TUNNEL_MTU), "up")
            _ip(place, node, "route", "add", ENDS[node][1], "dev", "tun0")
        try:
            yield logs
        finally:
            for node, path in shared.items():
                logs[node].write_bytes(path.read_bytes())


@contextmanager
def erspan_mirror(place: Place, node: str, port: str, collector: str, *, loss: float, folder: Path) -> Iterator[Path]:
    """Mirror a port of the switch *node* to the host *collector* in ERSPAN; yield where the log of the copies will be.

    The switch loses that share of the copies on purpose.
    """
    shared, log = place.host(node) / "shared" / "copies.jsonl", folder / "copies.jsonl"
    shared.unlink(missing_ok=True)
    arguments = (port, management_address(collector), "9", str(loss), "/lab/copies.jsonl")
    with _running(place, node, "mirror.py", *arguments):
        try:
            yield log
        finally:
            log.write_bytes(shared.read_bytes())


@contextmanager
def vxlan_mirror(place: Place, node: str, port: str, collector: str, *, loss: float) -> Iterator[None]:
    """Mirror a port of the switch *node* to the host *collector* in VXLAN, by the kernel, and lose some copies."""
    own, other = management_address(node), management_address(collector)
    rules = VXLAN_LOSS.format(share=round(loss * 1000))
    with ExitStack() as undo:
        _nft(place, node, rules)
        undo.callback(_nft, place, node, "delete table ip lab_mirror\n")
        vxlan = ("type", "vxlan", "id", "7", "local", own, "remote", other, "dstport", "4789", "dev", "mgmt0")
        _ip(place, node, "link", "add", "mirror0", "mtu", "1600", *vxlan)
        undo.callback(_ip, place, node, "link", "del", "dev", "mirror0")
        _ip(place, node, "link", "set", "dev", "mirror0", "up")
        _tc(place, node, "qdisc", "add", "dev", port, "clsact")
        undo.callback(_tc, place, node, "qdisc", "del", "dev", port, "clsact")
        everything = ("protocol", "all", "u32", "match", "u32", "0", "0")
        for way in ("ingress", "egress"):
            mirrored = ("action", "mirred", "egress", "mirror", "dev", "mirror0")
            _tc(place, node, "filter", "add", "dev", port, way, *everything, *mirrored)
        yield


@contextmanager
def breakout(place: Place, node: str) -> Iterator[None]:
    """Let what *node* sends to the public service leave by a way of its own, where nothing answers and no point is."""
    with ExitStack() as undo:
        _ip(place, node, "link", "add", "breakout0", "type", "veth", "peer", "name", "breakout1")
        undo.callback(_ip, place, node, "link", "del", "dev", "breakout0")
        for end in ("breakout0", "breakout1"):
            _ip(place, node, "link", "set", "dev", end, "up")
        _ip(place, node, "neigh", "add", PUBLIC, "lladdr", NOWHERE, "dev", "breakout0", "nud", "permanent")
        _ip(place, node, "route", "add", PUBLIC, "dev", "breakout0", "src", ADDRESSES[node, "eth0"].split("/")[0])
        yield


@contextmanager
def _running(place: Place, node: str, name: str, *arguments: str) -> Iterator[None]:
    """Run one of the lab's programs on *node*; it is ready when it has said its first line."""
    process = subprocess.Popen(program(place, node, name, *arguments), stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        if not process.stdout.readline():
            message = f"{node}: {name} does not start"
            raise LabError(message)
        yield
    finally:
        process.kill()
        process.communicate()


def _ip(place: Place, node: str, *arguments: str) -> None:
    argv = ["ip", "-n", place.namespace(node), *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        message = f"{node}: {' '.join(arguments)}: {done.stderr.strip()}"
        raise LabError(message)


def _tc(place: Place, node: str, *arguments: str) -> None:
    argv = ["tc", "-n", place.namespace(node), *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        message = f"{node}: tc {' '.join(arguments)}: {done.stderr.strip()}"
        raise LabError(message)


def _nft(place: Place, node: str, rules: str) -> None:
    argv = ["ip", "netns", "exec", place.namespace(node), "nft", "-f", "-"]
    done = subprocess.run(argv, input=rules, capture_output=True, text=True, check=False)
    if done.returncode:
        message = f"{node}: {done.stderr.strip()}"
        raise LabError(message)
