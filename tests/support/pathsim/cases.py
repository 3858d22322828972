"""One whole case: which path, which devices, which faults, which captures; and the files it makes."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from tests.support.pathsim.datagrams import call, heartbeats, pings, questions, transfers
from tests.support.pathsim.network import START_NS, Leg, Network
from tests.support.pathsim.taps import Clock, Record, Tap, record, write
from tests.support.pathsim.tcp import Connection, Stack
from tests.support.pathsim.wire import View, Wire

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.pathsim.faults import Fault

WARM_UP_NS = 50_000_000
LASTS_NS = 4_000_000_000
CLAMPED_MSS = 1300
PROXIED_SEQ, PROXIED_TSVAL = 3_111_222_333, 2_000_000_123


@dataclass(frozen=True, slots=True)
class Devices:
    """What stands between point ``k-1`` and point ``k``; None nowhere."""

    nat: int | None = None
    second_nat: int | None = None
    balancer: int | None = None
    shifts_seq: int | None = None
    syn_proxy: int | None = None
    """Answers for the server at first: its sequence numbers and timestamps are others before it."""
    new_ids: int | None = None
    marks: int | None = None
    clamps: int | None = None
    relay: int | None = None
    """Ends TCP connections and opens its own in the same names, as WAN optimisers do."""
    routers: tuple[int, ...] = (1, 1, 1, 1)
    mtu: tuple[int, ...] = ()
    """By segment, the outer ones too, bytes that its line takes, 0 for any number; what is longer goes on in pieces."""
    cuts_tcp: bool = False
    """A device takes from TCP the bit that forbids that."""


@dataclass(frozen=True, slots=True)
class Point:
    """How one point captures."""

    clock: Clock = field(default_factory=Clock)
    shell: str = "ethernet"
    snaplen: int = 262_144
    miss: float = 0.0
    reports: bool = False
    merges: str = ""
    mirrored: str = ""
    mirror_loses: float = 0.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """Who talks."""

    connections: int = 2
    turns: int = 4
    turn_bytes: int = 12_000
    ending: str = "fin"
    call: int = 0
    questions: int = 0
    heartbeats: int = 0
    pings: int = 0
    ping_bytes: int = 40
    transfers: int = 0
    """Datagrams of all lengths."""


@dataclass(frozen=True, slots=True)
class Case:
    """Everything that decides a case."""

    seed: int = 0
    points: int = 3
    loss: tuple[float, ...] = (0.0, 0.02, 0.0, 0.0, 0.0)
    jitter_us: int = 20
    doubles: float = 0.0
    stack: Stack = field(default_factory=Stack)
    devices: Devices = field(default_factory=Devices)
    captures: tuple[Point, ...] = (Point(), Point(), Point(), Point())
    traffic: Traffic = field(default_factory=Traffic)
    lasts_ns: int = LASTS_NS


@dataclass(slots=True)
class Made:
    """The truth and what every point wrote."""

    case: Case
    sent: list[Wire]
    taps: list[Tap]
    records: dict[str, list[Record]] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)


def make(case: Case, folder: Path, faults: dict[tuple[int, bool], Fault] | None = None) -> Made:
    """Let the case happen, with *faults* by (segment, forward); write a capture a point to *folder*."""
    source = random.Random(case.seed)
    net = Network(
        source, case.points, loss=list(case.loss), jitter_ns=case.jitter_us * 1000, doubles=case.doubles,
        delay_ns=[300_000, *(400_000 + 900_000 * k for k in range(1, case.points)), 250_000], faults=faults,
        mtu=case.devices.mtu, cuts_tcp=case.devices.cuts_tcp,
    )  # fmt: skip
    _talk(net, case if case.devices.clamps is None else _clamped(case))
    net.run(START_NS + case.lasts_ns)
    taps = [_tap(case, place) for place in range(case.points)]
    made = Made(case, net.sent, taps)
    for tap in taps:
        made.records[tap.name], missed = record(tap, net.sent, source)
        made.files[tap.name] = folder / f"{tap.name}.pcap"
        write(made.files[tap.name], tap, made.records[tap.name], missed, START_NS)
    return made


def _clamped(case: Case) -> Case:
    """Let both ends obey the segment size that a device on the way allows them."""
    stack = case.stack
    allowed = CLAMPED_MSS - (12 if stack.timestamps else 0)
    return replace(case, stack=replace(stack, mss=min(stack.mss, allowed)))


def _talk(net: Network, case: Case) -> None:
    """Start the traffic."""
    traffic = case.traffic
    for k in range(traffic.connections):
        turns = [(t % 2 == 0, max(1, traffic.turn_bytes // (1 + (t + k) % 3))) for t in range(traffic.turns)]
        client, server = (f"10.0.0.{1 + k % 2}", 40_000 + k), ("10.9.0.1", 443)
        ending = traffic.ending if k % 2 == 0 else "fin"
        start = WARM_UP_NS + 7_000_000 * k
        for number, leg in enumerate(_legs(net, case)):
            late = number * net.random.randrange(2_000_000, 20_000_000)
            gap = 3_000_000 + number * net.random.randrange(6_000_000)
            stacks = (case.stack, case.stack)
            net.at(
                net.now + start + late,
                partial(Connection, leg, client, server, stacks, turns, ending=ending, content=1000 * k, gap_ns=gap),
            )
    near, far = "10.0.0.1", "10.9.0.2"
    call(net, ((near, 20_000), (far, 30_000)), traffic.call)
    questions(net, ((near, 50_053), ("10.9.0.53", 53)), traffic.questions)
    heartbeats(net, ((near, 50_099), (far, 9_000)), traffic.heartbeats, 90_000_000)
    pings(net, ((near, 77), (far, 77)), traffic.pings, traffic.ping_bytes)
    transfers(net, ((near, 40_404), (far, 50_505)), traffic.transfers)


def _legs(net: Network, case: Case) -> list[Network | Leg]:
    """Return the parts of the path that have connections of their own."""
    relay = case.devices.relay
    return [net] if relay is None else [Leg(net, (0, relay - 1)), Leg(net, (relay, case.points - 1))]


def _tap(case: Case, place: int) -> Tap:
    """Return the capture point at *place*, with what the devices before it did."""
    devices, how = case.devices, case.captures[place]

    def past(device: int | None) -> bool:
        return device is not None and device <= place

    hops = sum(devices.routers[k - 1] for k in range(1, place + 1))
    total = sum(devices.routers[k - 1] for k in range(1, case.points))
    client = "192.0.2.7" if past(devices.nat) else None
    shift = 11_000 if past(devices.nat) else 0
    if past(devices.second_nat) and past(devices.nat):
        client, shift = "198.51.100.9", 15_000
    # a mirror that shows both sides of a router needs one there
    routed = place + 1 < case.points and devices.routers[place] > 0
    mirrored = "copy" if how.mirrored == "both-ways" and not routed else how.mirrored
    draw = random.Random(case.seed + 1)
    client_seq, server_seq = draw.getrandbits(32), draw.getrandbits(32)
    view = View(
        hops=hops, hops_behind=total - hops, client=client, client_port_shift=shift,
        server="10.77.0.1" if past(devices.balancer) else None,
        client_seq=client_seq if past(devices.shifts_seq) else 0,
        server_seq=(server_seq if past(devices.shifts_seq) else 0) + (PROXIED_SEQ if past(devices.syn_proxy) else 0),
        tsval=PROXIED_TSVAL if past(devices.syn_proxy) else 0,
        tos=0x28 if past(devices.marks) else None, mss=CLAMPED_MSS if past(devices.clamps) else None,
        new_ids=past(devices.new_ids),
    )  # fmt: skip
    return Tap(
        name=f"p{place}", place=place, view=view, clock=how.clock, shell=how.shell, snaplen=how.snaplen, miss=how.miss,
        reports=how.reports, merges=how.merges, host_is_client=place == 0, mirrored=mirrored,
        mirror_loses=how.mirror_loses,
    )  # fmt: skip
