"""Faults on demand: at the firewall, by a middlebox, on a clock. The line's are settings of its relay."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lab import clock, topology
from lab.hosts import command_in
from lab.state import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.state import Place

BASE = """
table ip lab_nat {{
  chain before {{
    type nat hook prerouting priority dstnat;
    iifname "outside" ip daddr {public} tcp dport 80 dnat to 10.20.20.2:8080
  }}
  chain after {{
    type nat hook postrouting priority srcnat;
    {masquerade}
  }}
}}
table ip lab_filter {{
  chain through {{
    type filter hook forward priority 0;
    {rules}
  }}
}}
"""


class Firewall:
    """The rules on fw; each change replaces all of them at once."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.file = place.directory / "firewall.rules"

    def apply(self, rules: list[str], *, masquerade: bool) -> None:
        """Put exactly *rules* in force."""
        line = 'oifname { "inside", "dmz" } masquerade' if masquerade else ""
        text = BASE.format(public=topology.PUBLIC, masquerade=line, rules="\n    ".join(rules))
        script = "".join(f"add table ip {t}\ndelete table ip {t}\n" for t in ("lab_nat", "lab_filter")) + text
        argv = ["ip", "netns", "exec", self.place.namespace("fw"), "nft", "-f", "-"]
        done = subprocess.run(argv, input=script, capture_output=True, text=True, check=False)
        if done.returncode:
            raise LabError("fw: " + done.stderr.strip())
        self.file.write_text("\n".join(["nat" if masquerade else "", *rules]))

    def current(self) -> tuple[list[str], bool]:
        """Return the rules in force."""
        if not self.file.exists():
            return [], False
        masquerade, *rules = self.file.read_text().split("\n")
        return [r for r in rules if r], masquerade == "nat"

    def add(self, rule: str) -> None:
        """Add one rule."""
        rules, masquerade = self.current()
        self.apply([*rules, rule], masquerade=masquerade)

    def translate(self, *, on: bool) -> None:
        """Let clients appear as the firewall's address on the side where the server is, or not."""
        self.apply(self.current()[0], masquerade=on)


def flow_rule(
    action: str, *, protocol: str = "tcp", source: str | None = None, target: str | None = None,
    port: int | None = None, loss: float | None = None, nth: int | None = None, longer_than: int | None = None,
) -> str:  # fmt: skip
    """Return an nft rule that does *action* (drop, reject, reset) to some of a flow's packets."""
    parts = []
    parts += [f"ip saddr {source}"] if source else []
    parts += [f"ip daddr {target}"] if target else []
    parts += [f"{protocol} dport {port}"] if port else [f"meta l4proto {protocol}"]
    parts += [f"meta length > {longer_than}"] if longer_than else []
    parts += [f"numgen random mod 10000 < {round(loss * 10_000)}"] if loss else []
    parts += [f"numgen inc mod {nth} == 0"] if nth else []
    return " ".join([*parts, "counter", {"reset": "reject with tcp reset"}.get(action, action)])


def block_public_service(place: Place, action: str) -> None:
    """Close the way to the public service: drop or reject; open opens it again."""
    firewall = Firewall(place)
    rules, masquerade = firewall.current()
    kept = [r for r in rules if "10.20.20.2" not in r]
    if action != "open":
        kept.append(flow_rule({"reject": "reset"}.get(action, action), target="10.20.20.2", port=8080))
    firewall.apply(kept, masquerade=masquerade)


def forge_reset(
    place: Place, *, port: int, after: int | str, towards: str, behind: int = 0
) -> subprocess.Popen[bytes]:  # fmt: skip
    """Let a device on core-sw reset a connection to *port*; towards client, server or both.

    It does so *after* some data segments, or once there was none for a while (``idle:SECONDS``), with sequence numbers
    that are out of date by *behind* bytes.
    """
    script = Path(__file__).with_name("forge.py")
    arguments = ("east", str(port), str(after), towards, str(behind))
    argv = command_in(place, "core-sw", [python_inside(), str(script), *arguments])
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
    assert process.stdout is not None
    if process.stdout.readline() != b"listening\n":
        message = "core-sw: the forger does not start"
        raise LabError(message)
    return process


IDLE = """
table ip lab_idle {{
  ct timeout brief {{
    protocol tcp;
    l3proto ip;
    policy = {{ established : {seconds} }};
  }}
  chain before {{
    type filter hook prerouting priority mangle;
    tcp dport {port} ct timeout set "brief"
  }}
}}
"""


@contextmanager
def forgets_idle(place: Place, port: int, seconds: int) -> Iterator[None]:
    """Let the firewall forget connections to *port* after so long without a packet, and reset what comes later."""
    inside = ["ip", "netns", "exec", place.namespace("fw")]
    strict = [*inside, "sysctl", "-q", "-w", "net.netfilter.nf_conntrack_tcp_loose=0"]
    subprocess.run(strict, check=True)
    script = IDLE.format(port=port, seconds=seconds)
    subprocess.run([*inside, "nft", "-f", "-"], input=script, text=True, check=True)
    Firewall(place).add(f"tcp dport {port} ct state invalid counter reject with tcp reset")
    try:
        yield
    finally:
        subprocess.run([*strict[:-1], strict[-1].replace("=0", "=1")], check=True)
        subprocess.run([*inside, "nft", "delete", "table", "ip", "lab_idle"], check=True)


def set_clock(
    place: Place, node: str, *, offset_ns: int = 0, drift_ppm: float = 0.0, step_ns: int = 0, step_at_ns: int = 0
) -> None:
    """Give a host a wrong clock; running processes see it at once."""
    if node not in topology.HOSTS:
        message = f"{node}: no host of the lab; hosts are {', '.join(topology.HOSTS)}"
        raise LabError(message)
    path = place.host(node) / "shared" / "clock"
    clock.write(path, offset_ns=offset_ns, drift_ppm=drift_ppm, step_at_ns=step_at_ns, step_ns=step_ns)


def clear(place: Place) -> None:
    """End every fault but forgers, which end by themselves: rules, line settings, clocks."""
    from lab import relay  # noqa: PLC0415 - relay is not needed by the rest

    Firewall(place).apply([], masquerade=False)
    relay.change(place, {})
    for node in topology.HOSTS:
        set_clock(place, node)


def python_inside() -> str:
    """Return a Python that exists inside hosts: they see the machine's root and the repository."""
    real = Path(sys.executable).resolve()
    return sys.executable if real.stat().st_dev == Path("/").stat().st_dev else "/usr/bin/python3"
