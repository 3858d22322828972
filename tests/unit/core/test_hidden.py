"""What passes a point inside a tunnel is undecided there as encrypted; what merely vanishes beside one is not."""

from __future__ import annotations

import random
import struct
from collections import Counter

import pytest

from orchestrator.core.analysis import Observed, analyse
from orchestrator.model.plan import PlannedPath
from orchestrator.model.run import ClockSample
from orchestrator.pcap.reader import read_capture
from tests.support.shells import ip4, udp
from tests.support.wire import Packet, write_pcap

START_NS = 1_790_000_000 * 10**9
STEP_NS = 5_000_000
COUNT = 300
CLIENT, SERVER = "10.1.0.5", "10.2.0.9"


def inner(protocol=17):
    """Return (time, packet) of a one-way flow with packets of all sizes."""
    source = random.Random(3)
    found = []
    for k in range(COUNT):
        payload = source.randbytes(source.randrange(40, 900))
        packet = Packet(CLIENT, SERVER, 4000, 5000, ip_id=k + 1, payload=payload, protocol=protocol)
        found.append((START_NS + k * STEP_NS, packet.bytes()))
    return found


def others(late_ns=0):
    """Return packets of other hosts that pass every point in the clear."""
    return [
        (START_NS - 10**9 + k * STEP_NS + late_ns,
         Packet("10.1.0.8", "10.2.0.10", 7000, 8000, ip_id=k + 1, ttl=60, protocol=17, payload=b"heartbeat %05d" % k)
         .bytes())
        for k in range(COUNT + 400)
    ]  # fmt: skip


def in_wireguard(packets, late_ns=1_000_000, lost=()):
    """Return the datagrams of a tunnel that carry *packets*."""
    return [
        (time + late_ns, udp(51_820, struct.pack("<IIQ", 4, 7, k) + random.Random(k).randbytes(len(p) // 16 * 16 + 32)))
        for k, (time, p) in enumerate(packets)
        if k not in lost
    ]


def in_esp(packets, late_ns=1_000_000, src="192.0.2.1", dst="192.0.2.2"):
    """Return the packets of an IPsec tunnel, or of hosts that encrypt by themselves."""
    return [
        (time + late_ns,
         ip4(50, struct.pack(">II", 9, k + 1) + random.Random(k).randbytes(len(p) + 30), src=src, dst=dst))
        for k, (time, p) in enumerate(packets)
    ]  # fmt: skip


def late(packets, late_ns, lost=()):
    return [(t + late_ns, p[:8] + bytes([p[8] - 1]) + p[9:]) for k, (t, p) in enumerate(packets) if k not in lost]


def judged(folder, seen, *, planned=True, clocks=True, drops=0):
    """Analyse what the points *seen* hold, in path order."""
    asked = tuple(
        ClockSample(before_ns=t, host_ns=t + 100_000, after_ns=t + 200_000)
        for t in range(START_NS - 10**9, START_NS + 3 * 10**9, 10**8)
    )
    observed = [
        Observed(
            name=name, packets=read_capture(write_pcap(folder / f"{name}.pcap", sorted(packets)))[0],
            kernel_drops=drops, clock_samples=asked if clocks else (),
        )
        for name, packets in seen.items()
    ]  # fmt: skip
    path = PlannedPath(
        name="way", points=tuple(seen), client_addresses=("10.1.0.0/16",), server_addresses=("10.2.0.0/16",)
    )
    return analyse(observed, paths=(path,) if planned else (), reference=None if clocks else observed[0].name)


def reasons(found):
    """Return undecided packets by (near, far, reason)."""
    return Counter({(u.near, u.far, u.reason): u.count for u in found.undecided})


@pytest.mark.parametrize("shell", [in_wireguard, in_esp], ids=["wireguard", "esp"])
@pytest.mark.parametrize("planned", [True, False], ids=["inventory", "no-inventory"])
def test_a_flow_that_enters_a_tunnel_is_encrypted_at_what_follows(tmp_path, shell, planned):
    """The gateway's far side shows nothing but the tunnel: no claim, whatever the plan expects there."""
    packets = inner()
    found = judged(tmp_path, {"near": packets + others(), "far": shell(packets) + others(700_000)}, planned=planned)
    assert found.vanished == []
    assert reasons(found)["near", "far", "encrypted"] == COUNT
    assert sum(reasons(found).values()) == COUNT


def test_what_is_lost_in_a_tunnel_is_claimed_between_the_points_that_see_inside(tmp_path):
    """The point in its middle is passed over, and does not count as one that missed the packets."""
    packets, lost = inner(), {40, 41, 77, 200}
    found = judged(
        tmp_path,
        {
            "near": packets + others(),
            "middle": in_wireguard(packets, lost=lost) + others(700_000),
            "far": late(packets, 2_000_000, lost) + others(1_500_000),
        },
    )
    assert Counter((v.last_seen, v.first_missing) for v in found.vanished) == {("near", "far"): len(lost)}
    assert all(r.unseen == 0 for r in found.segments)


def test_hosts_that_encrypt_by_themselves_accuse_nobody(tmp_path):
    """In the clear inside the host, the same addresses outside."""
    packets = inner()
    found = judged(
        tmp_path, {"near": packets + others(), "far": in_esp(packets, src=CLIENT, dst=SERVER) + others(700_000)}
    )
    assert found.vanished == []
    assert reasons(found)["near", "far", "encrypted"] == COUNT


def keepalives():
    return in_wireguard([(START_NS + k * 10**9, bytes(16)) for k in range(3)])


def elsewhere_filled():
    """Return a tunnel that was busy, but before this flow began."""
    return [(time - 900 * 10**9, p) for time, p in in_wireguard(inner())]


@pytest.mark.parametrize(
    "tunnel",
    [
        pytest.param(lambda: ([], []), id="no-tunnel"),
        pytest.param(lambda: ([], keepalives()), id="an-idle-tunnel"),
        pytest.param(lambda: ([], elsewhere_filled()), id="a-tunnel-busy-at-another-time"),
        pytest.param(lambda: (in_wireguard(inner(), 0), in_wireguard(inner())), id="a-tunnel-that-both-see"),
        pytest.param(
            lambda: ([], in_wireguard([(t, bytes(1200)) for t, _ in inner()])), id="a-tunnel-of-other-sizes"
        ),
    ],
)  # fmt: skip
def test_a_tunnel_that_cannot_carry_a_flow_excuses_nothing(tmp_path, tunnel):
    """A flow that a filter stops is still found, whatever else is encrypted there."""
    before, behind = tunnel()
    found = judged(tmp_path, {"near": inner() + others() + before, "far": others(700_000) + behind})
    assert {(v.last_seen, v.first_missing) for v in found.vanished} == {("near", "far")}
    assert len(found.vanished) >= 0.9 * COUNT
    assert not [u for u in found.undecided if u.reason == "encrypted"]


def test_without_clocks_nothing_is_said_of_tunnels(tmp_path):
    """What came by when is not known: as before, no coverage."""
    packets = inner()
    found = judged(tmp_path, {"near": packets, "far": in_wireguard(packets)}, planned=False, clocks=False)
    assert found.vanished == []
    assert set(reasons(found)) == {("near", "far", "no-coverage")}


def test_the_tunnels_own_packets_are_still_judged(tmp_path):
    """Lost between two points that see the outside: claimed there, while the inside stays encrypted."""
    packets = inner()
    outside = in_wireguard(packets)
    found = judged(
        tmp_path,
        {
            "near": packets + others(),
            "first": outside + others(700_000),
            "second": late(outside, 1_000_000, {50, 60}) + others(1_500_000),
        },
    )
    assert Counter((v.last_seen, v.first_missing) for v in found.vanished) == {("first", "second"): 2}
    assert reasons(found)["near", "first", "encrypted"] == COUNT
